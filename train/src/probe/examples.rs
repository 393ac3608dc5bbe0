//! The rows of one split that a task knows the truth of, and how much each counts.

use std::collections::BTreeMap;

use crate::data::{Dataset, Film, Split};

/// Films from which on a source, or a source's films of one class, count in full.
pub const FULL: usize = 200;

/// Labelled films of one split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examples {
    /// Position in the dataset and in the features.
    pub rows: Vec<usize>,
    /// Number of the source.
    pub source: Vec<usize>,
    /// Class number, 0/1 for absent/present, or the value to regress.
    pub target: Vec<f64>,
}

impl Examples {
    /// The films of `split` of which `truth` knows the target.
    pub fn new(dataset: &Dataset, split: Split, truth: impl Fn(&Film) -> Option<f64>) -> Self {
        let sources: BTreeMap<&str, usize> = dataset.sources().into_iter().enumerate().map(|(i, s)| (s, i)).collect();
        let mut examples = Examples::default();
        for row in dataset.of_split(split) {
            let film = &dataset.films[row];
            if let Some(target) = truth(film) {
                examples.rows.push(row);
                examples.source.push(sources[film.row.source.as_str()]);
                examples.target.push(target);
            }
        }
        examples
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Which rows are positive.
    pub fn is_positive(&self) -> Vec<bool> {
        self.target.iter().map(|t| *t > 0.5).collect()
    }

    /// How many rows are positive.
    pub fn positives(&self) -> usize {
        self.target.iter().filter(|t| **t > 0.5).count()
    }

    /// The examples of the sources `keep` wants.
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Examples {
        let mut out = Examples::default();
        for i in (0..self.len()).filter(|&i| keep(self.source[i])) {
            out.rows.push(self.rows[i]);
            out.source.push(self.source[i]);
            out.target.push(self.target[i]);
        }
        out
    }

    /// The numbers of the sources, rising.
    pub fn sources(&self) -> Vec<usize> {
        let mut sources = self.source.clone();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Films of each source and class.
    pub fn cells(&self) -> BTreeMap<(usize, u64), usize> {
        let mut cells = BTreeMap::new();
        for (source, target) in self.source.iter().zip(&self.target) {
            *cells.entry((*source, *target as u64)).or_default() += 1;
        }
        cells
    }

    /// Row weights, sum 1, such that each source × class counts equally, but for those of fewer than [`FULL`] films,
    /// which count in proportion.
    pub fn weights_by_cell(&self) -> Vec<f64> {
        equalised((0..self.len()).map(|i| (self.source[i], self.target[i] as u64)).collect(), FULL)
    }

    /// Row weights, sum 1, such that each source counts equally, but for those of fewer than [`FULL`] films, which
    /// count in proportion.
    pub fn weights_by_source(&self) -> Vec<f64> {
        equalised(self.source.clone(), FULL)
    }

    /// Row weights, sum 1, such that each source × class counts equally however few its films.
    pub fn weights_of_equal_cells(&self) -> Vec<f64> {
        equalised((0..self.len()).map(|i| (self.source[i], self.target[i] as u64)).collect(), 1)
    }
}

/// Weights, sum 1, such that each group's sum is proportional to its size, at most `full`.
fn equalised<G: Ord + Copy>(groups: Vec<G>, full: usize) -> Vec<f64> {
    let mut sizes: BTreeMap<G, usize> = BTreeMap::new();
    groups.iter().for_each(|g| *sizes.entry(*g).or_default() += 1);
    let total: usize = sizes.values().map(|n| (*n).min(full)).sum();
    groups.iter().map(|g| sizes[g].min(full) as f64 / (sizes[g] * total) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;

    #[test]
    fn every_source_and_class_weighs_the_same() {
        let examples =
            Examples { rows: vec![0, 1, 2, 3, 4], source: vec![0, 0, 0, 1, 1], target: vec![1., 0., 0., 1., 0.] };
        assert_eq!(examples.weights_of_equal_cells(), [0.25, 0.125, 0.125, 0.25, 0.25]);
        assert_eq!(examples.weights_by_cell(), [0.2; 5], "few films count as they are");
        let sizes = [3 * FULL, FULL, FULL / 2];
        let source: Vec<usize> = sizes.iter().enumerate().flat_map(|(s, n)| vec![s; *n]).collect();
        let n = source.len();
        let many = Examples { rows: (0..n).collect(), target: vec![0.0; n], source };
        let weights = many.weights_by_source();
        let of = |s: usize| weights.iter().zip(&many.source).filter(|(_, t)| **t == s).map(|(w, _)| w).sum::<f64>();
        assert!((of(0) - 0.4).abs() < 1e-9 && (of(1) - 0.4).abs() < 1e-9 && (of(2) - 0.2).abs() < 1e-9);
        assert_eq!(examples.filter(|s| s == 1).rows, [3, 4]);
    }

    #[test]
    fn unknown_truth_is_left_out() {
        let csv =
            b"file,source,split,findings\na,X,train,mass\nb,X,train,\nc,Y,train,edema\nd,X,val,mass\ne,X,train,edema\n";
        let data = Dataset::new(vec![Manifest::parse(csv).unwrap()]);
        let examples = Examples::new(&data, Split::Train, |f| data.finding(f, "mass").map(|p| f64::from(u8::from(p))));
        assert_eq!((examples.rows.as_slice(), examples.target.as_slice()), (&[0, 4][..], &[1.0, 0.0][..]));
        assert_eq!((examples.len(), examples.positives(), examples.sources()), (2, 1, vec![0]));
    }
}
