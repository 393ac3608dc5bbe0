//! Values between the cells of a grid.

/// The value at (x, y) of `grid` ([rows, columns]) in cells, where cell i covers [i, i + 1) and its value holds at
/// i + 0.5; beyond the outermost centres the edge continues. `grid` must not be empty.
pub(super) fn bilinear(grid: &[f32], rows: usize, columns: usize, x: f64, y: f64) -> f64 {
    let (left, right, tx) = neighbours(x, columns);
    let (above, below, ty) = neighbours(y, rows);
    let at = |row: usize, column: usize| f64::from(grid[row * columns + column]);
    let upper = at(above, left) + (at(above, right) - at(above, left)) * tx;
    let lower = at(below, left) + (at(below, right) - at(below, left)) * tx;
    upper + (lower - upper) * ty
}

/// The cells whose centres enclose `x`, and how far it is from the first to the second.
fn neighbours(x: f64, cells: usize) -> (usize, usize, f64) {
    let x = (x - 0.5).clamp(0.0, (cells - 1) as f64);
    let first = x as usize;
    (first, (first + 1).min(cells - 1), x - first as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
