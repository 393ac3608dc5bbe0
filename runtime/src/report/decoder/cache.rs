//! Keys and values of the positions read so far.

/// [layer][KV head]: keys and values [S, hd].
#[derive(Clone, Debug)]
pub(super) struct Cache {
    heads: usize,
    head_dim: usize,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl Cache {
    /// Empty, with room for `positions`.
    pub fn new(layers: usize, heads: usize, head_dim: usize, positions: usize) -> Self {
        let room = || (0..layers * heads).map(|_| Vec::with_capacity(positions * head_dim)).collect();
        Cache { heads, head_dim, keys: room(), values: room() }
    }

    /// S: positions that all layers have.
    pub fn len(&self) -> usize {
        self.keys.last().map_or(0, |keys| keys.len() / self.head_dim)
    }

    /// Adds one position to a head.
    pub fn push(&mut self, layer: usize, head: usize, key: &[f32], value: &[f32]) {
        self.keys[layer * self.heads + head].extend_from_slice(key);
        self.values[layer * self.heads + head].extend_from_slice(value);
    }

    /// Keys and values [S, hd] of a head.
    pub fn of(&self, layer: usize, head: usize) -> (&[f32], &[f32]) {
        (&self.keys[layer * self.heads + head], &self.values[layer * self.heads + head])
    }
}
