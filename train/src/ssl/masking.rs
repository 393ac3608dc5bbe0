//! Which patches of the global crops the student does not see: rectangles, stratified over the batch.

use crate::random::Random;

/// Tries to place a rectangle before giving up.
const TRIES: usize = 10;
/// Fewest patches of a rectangle.
const SMALLEST: usize = 4;

/// How global crops are masked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    /// Share of the global crops that get a mask.
    pub probability: f64,
    /// Lowest share of masked patches.
    pub low: f64,
    /// Highest share of masked patches.
    pub high: f64,
}

impl Masking {
    /// Masks of `crops` crops, true = hidden, [crops, grid·grid]. ⌊crops·p⌋ crops are masked; their shares are drawn
    /// from equal parts of [low, high] (one each), and the crops are shuffled.
    pub fn draw(&self, crops: usize, grid: usize, random: &mut Random) -> Vec<bool> {
        let cells = grid * grid;
        let masked = (crops as f64 * self.probability) as usize;
        let edge = |j: usize| self.low + (self.high - self.low) * j as f64 / masked.max(1) as f64;
        let mut masks: Vec<Vec<bool>> = (0..crops)
            .map(|j| {
                if j >= masked {
                    return vec![false; cells];
                }
                let target = (cells as f64 * random.range(edge(j), edge(j + 1))) as usize;
                blocks(grid, target, random)
            })
            .collect();
        (1..crops).for_each(|i| masks.swap(i, random.below(i + 1)));
        masks.concat()
    }
}

/// The largest rectangle, as DINOv2 computes it: half of the crop's patches, with its two roundings.
fn largest(grid: usize) -> usize {
    grid / 2 * grid
}

/// At most `target` patches in rectangles of aspect 0.3 to 1/0.3.
fn blocks(grid: usize, target: usize, random: &mut Random) -> Vec<bool> {
    let mut mask = vec![false; grid * grid];
    let mut count = 0;
    while count < target {
        let added = place(&mut mask, grid, target - count, random);
        if added == 0 {
            break;
        }
        count += added;
    }
    mask
}

/// Adds one rectangle that covers between 1 and `remaining` new patches; 0 when no try did.
fn place(mask: &mut [bool], grid: usize, remaining: usize, random: &mut Random) -> usize {
    let biggest = remaining.min(largest(grid)) as f64;
    for _ in 0..TRIES {
        let area = random.range(SMALLEST as f64, biggest.max(SMALLEST as f64));
        let aspect = random.range(0.3f64.ln(), (1.0 / 0.3f64).ln()).exp();
        let (height, width) = ((area * aspect).sqrt().round() as usize, (area / aspect).sqrt().round() as usize);
        if height >= grid || width >= grid || height == 0 || width == 0 {
            continue;
        }
        let (top, left) = (random.below(grid - height + 1), random.below(grid - width + 1));
        let cells = || (top..top + height).flat_map(move |y| (left..left + width).map(move |x| y * grid + x));
        let fresh = cells().filter(|&cell| !mask[cell]).count();
        if fresh > 0 && fresh <= remaining {
            cells().for_each(|cell| mask[cell] = true);
            return fresh;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_crops_are_masked_and_shares_are_stratified() {
        let masking = Masking { probability: 0.5, low: 0.1, high: 0.5 };
        let (crops, grid) = (32, 16);
        let mut random = Random::new(9);
        let mut reached = 0.0;
        for _ in 0..20 {
            let masks = masking.draw(crops, grid, &mut random);
            let mut counts: Vec<usize> =
                masks.chunks_exact(grid * grid).map(|m| m.iter().filter(|v| **v).count()).collect();
            counts.sort_unstable();
            assert!(counts[..16].iter().all(|&c| c == 0), "{counts:?}");
            for (j, &count) in counts[16..].iter().enumerate() {
                // never above the j-th stratum's upper edge
                let top = 256.0 * (0.1 + 0.4 * (j + 1) as f64 / 16.0);
                assert!(count > 0 && (count as f64) <= top, "{j}: {count} > {top}");
            }
            reached += counts.iter().sum::<usize>() as f64 / (16.0 * 256.0) / 20.0;
        }
        assert!((0.2..=0.32).contains(&reached), "{reached}");
    }

    #[test]
    fn it_repeats_and_small_grids_do_not_hang() {
        let masking = Masking { probability: 1.0, low: 0.1, high: 0.5 };
        let draw = |grid| masking.draw(6, grid, &mut Random::new(4));
        assert_eq!(draw(14), draw(14));
        for grid in 1..6 {
            assert_eq!(draw(grid).len(), 6 * grid * grid);
        }
        assert_eq!((largest(16), largest(37)), (128, 666));
    }
}
