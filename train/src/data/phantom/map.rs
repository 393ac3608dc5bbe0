//! A square map of values over the film, and the soft shapes painted into it.

/// [side, side], row-major. Coordinates run from 0 to 1, x to the right of the image, y down.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Pixels a side.
    pub side: usize,
    /// Values.
    pub values: Vec<f32>,
}

impl Map {
    /// A map of zeros.
    pub fn zeros(side: usize) -> Self {
        Map { side, values: vec![0.0; side * side] }
    }

    /// The map of `value(x, y)`.
    pub fn of(side: usize, value: impl Fn(f64, f64) -> f64) -> Self {
        let mut map = Map::zeros(side);
        for (i, v) in map.values.iter_mut().enumerate() {
            let (x, y) = centre(i, side);
            *v = value(x, y) as f32;
        }
        map
    }

    /// Adds a line through `points` with a Gaussian cross-section of deviation `width`, at most `strength` high.
    pub fn line(&mut self, points: &[(f64, f64)], width: f64, strength: f64) {
        let mut own = Map::zeros(self.side);
        for pair in points.windows(2) {
            own.segment(pair[0], pair[1], width);
        }
        for (v, line) in self.values.iter_mut().zip(own.values) {
            *v += line * strength as f32;
        }
    }

    /// The larger of what is there and the Gaussian profile of one segment.
    fn segment(&mut self, a: (f64, f64), b: (f64, f64), width: f64) {
        let n = self.side as f64;
        let reach = 3.0 * width + 1.0 / n;
        let pixel = |v: f64| (v * n).clamp(0.0, n) as usize;
        let columns = pixel(a.0.min(b.0) - reach)..(pixel(a.0.max(b.0) + reach) + 1).min(self.side);
        let rows = pixel(a.1.min(b.1) - reach)..(pixel(a.1.max(b.1) + reach) + 1).min(self.side);
        for row in rows {
            for column in columns.clone() {
                let at = row * self.side + column;
                let distance = to_segment(centre(at, self.side), a, b);
                let value = (-0.5 * (distance / width).powi(2)).exp() as f32;
                self.values[at] = self.values[at].max(value);
            }
        }
    }
}

/// Coordinates of the centre of pixel `i`.
pub fn centre(i: usize, side: usize) -> (f64, f64) {
    (((i % side) as f64 + 0.5) / side as f64, ((i / side) as f64 + 0.5) / side as f64)
}

fn to_segment(p: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    ((p.0 - a.0 - t * dx).powi(2) + (p.1 - a.1 - t * dy).powi(2)).sqrt()
}

/// 0 below −1, 1 above 1, smooth in between; `step(distance / softness)` is a soft edge.
pub fn step(x: f64) -> f64 {
    let t = (0.5 * (x + 1.0)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A soft ellipse: 1 inside, 0 outside; `edge` is the softness as a share of the radius.
pub fn ellipse(x: f64, y: f64, centre: (f64, f64), radii: (f64, f64), tilt: f64, edge: f64) -> f64 {
    let (dx, dy) = (x - centre.0, y - centre.1);
    let (c, s) = (tilt.cos(), tilt.sin());
    let (u, v) = ((c * dx + s * dy) / radii.0, (c * dy - s * dx) / radii.1);
    step((1.0 - (u * u + v * v).sqrt()) / edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_where_they_should_be() {
        let mut map = Map::zeros(50);
        map.line(&[(0.1, 0.5), (0.9, 0.5)], 0.02, 2.0);
        let at = |x: f64, y: f64| map.values[(y * 50.0) as usize * 50 + (x * 50.0) as usize];
        assert!(at(0.5, 0.5) > 1.7 && at(0.5, 0.7) == 0.0 && at(0.02, 0.5) < 0.1);
        assert_eq!(ellipse(0.5, 0.5, (0.5, 0.5), (0.1, 0.2), 0.3, 0.1), 1.0);
        assert_eq!(ellipse(0.5, 0.8, (0.5, 0.5), (0.1, 0.2), 0.0, 0.1), 0.0);
        assert_eq!((step(-1.0), step(0.0), step(1.0)), (0.0, 0.5, 1.0));
    }
}
