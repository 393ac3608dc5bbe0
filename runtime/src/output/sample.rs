//! Values between the cells of a grid.

use std::ops::Range;

/// Which pixels of a picture's side lie on a grid, and between which cells' centres each of them does.
#[derive(Debug)]
pub(super) struct Axis {
    start: usize,
    places: Vec<Place>,
}

/// A pixel between two neighbouring cells.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: usize,
    second: usize,
    /// How far it is from the first centre to the second.
    share: f64,
}

impl Axis {
    /// `at` says where in cells a pixel of `pixels` lies, cell i covering [i, i + 1) with its value at i + 0.5, and None
    /// where it lies beyond the grid; what lies on it is one stretch. Beyond the outermost centres the edge continues.
    /// `cells` must not be 0.
    pub fn new(pixels: Range<usize>, cells: usize, at: impl Fn(usize) -> Option<f64>) -> Axis {
        let mut seen = pixels.filter_map(|pixel| Some((pixel, at(pixel)?))).peekable();
        let start = seen.peek().map_or(0, |(pixel, _)| *pixel);
        let places = seen.map(|(_, x)| {
            let x = (x - 0.5).clamp(0.0, (cells - 1) as f64);
            let first = x as usize;
            Place { first, second: (first + 1).min(cells - 1), share: x - first as f64 }
        });
        Axis { start, places: places.collect() }
    }

    fn pixels(&self) -> Range<usize> {
        self.start..self.start + self.places.len()
    }
}

/// A grid stretched bilinearly over a picture, row by row.
#[derive(Debug)]
pub(super) struct Stretched {
    across: Range<usize>,
    down: Axis,
    /// [rows of the grid, pixels across]: done once, so that a pixel is one step between two of these.
    rows: Vec<f64>,
}

impl Stretched {
    /// `grid` is [rows, `columns`], `across` over its columns, `down` over its rows.
    pub fn new(grid: &[f32], columns: usize, across: &Axis, down: Axis) -> Stretched {
        let between = |row: &[f32], place: &Place| {
            let (left, right) = (f64::from(row[place.first]), f64::from(row[place.second]));
            left + (right - left) * place.share
        };
        let rows = grid.chunks_exact(columns);
        let rows = rows.flat_map(|row| across.places.iter().map(move |place| between(row, place))).collect();
        Stretched { across: across.pixels(), down, rows }
    }

    /// The pixels of row `y` that lie on the grid, and their values; None where the row lies beyond it.
    pub fn row(&self, y: usize) -> Option<(Range<usize>, impl Iterator<Item = f64>)> {
        let Place { first, second, share } = *self.down.places.get(y.checked_sub(self.down.start)?)?;
        let row = |row: usize| &self.rows[row * self.across.len()..(row + 1) * self.across.len()];
        let values = row(first).iter().zip(row(second)).map(move |(upper, lower)| upper + (lower - upper) * share);
        Some((self.across.clone(), values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition.
    fn bilinear(grid: &[f32], rows: usize, columns: usize, x: f64, y: f64) -> f64 {
        let neighbours = |x: f64, cells: usize| {
            let x = (x - 0.5).clamp(0.0, (cells - 1) as f64);
            (x as usize, (x as usize + 1).min(cells - 1), x.fract())
        };
        let ((left, right, tx), (above, below, ty)) = (neighbours(x, columns), neighbours(y, rows));
        let at = |row: usize, column: usize| f64::from(grid[row * columns + column]);
        let upper = at(above, left) + (at(above, right) - at(above, left)) * tx;
        let lower = at(below, left) + (at(below, right) - at(below, left)) * tx;
        upper + (lower - upper) * ty
    }

    #[test]
    fn centres_edges_and_between() {
        let grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        for row in 0..2 {
            for column in 0..3 {
                let value = bilinear(&grid, 2, 3, column as f64 + 0.5, row as f64 + 0.5);
                assert_eq!(value, (row * 3 + column) as f64);
            }
        }
        assert_eq!(bilinear(&grid, 2, 3, 1.0, 1.0), 2.0);
        assert_eq!(bilinear(&grid, 2, 3, 0.0, 0.0), 0.0);
        assert_eq!(bilinear(&grid, 2, 3, 3.0, 2.0), 5.0);
        assert_eq!(bilinear(&[7.0], 1, 1, 0.9, 0.1), 7.0);
    }

    #[test]
    fn a_row_at_a_time_gives_the_same_bits() {
        let grid: Vec<f32> = (0..15u32).map(|i| (i * i % 11) as f32 / 7.0 - 0.4).collect();
        let (width, height) = (31, 23);
        // the grid lies over pixels 4 to 25 and 3 to 18
        let column = |x: usize| ((x as f64 + 0.5) / 31.0 - 0.13) * 7.0;
        let row = |y: usize| ((y as f64 + 0.5) / 23.0 - 0.13) * 4.2;
        let on = |at: f64, cells: usize| (0.0..cells as f64).contains(&at).then_some(at);
        let across = Axis::new(0..width, 5, |x| on(column(x), 5));
        let stretched = Stretched::new(&grid, 5, &across, Axis::new(0..height, 3, |y| on(row(y), 3)));
        let mut seen = 0;
        for y in 0..height {
            let Some((pixels, values)) = stretched.row(y) else {
                assert!(on(row(y), 3).is_none());
                continue;
            };
            assert!(on(row(y), 3).is_some());
            assert_eq!(pixels, 4..26);
            for (x, value) in pixels.zip(values) {
                assert_eq!(value.to_bits(), bilinear(&grid, 3, 5, column(x), row(y)).to_bits(), "{x} {y}");
                seen += 1;
            }
        }
        assert_eq!(seen, 22 * 16);
        assert!((0..width).all(|x| on(column(x), 5).is_some() == (4..26).contains(&x)));
    }

    #[test]
    fn beyond_the_grid_there_is_nothing() {
        let axis = || Axis::new(0..9, 2, |_| None);
        assert!(Stretched::new(&[0.0; 4], 2, &axis(), axis()).row(0).is_none());
    }
}
