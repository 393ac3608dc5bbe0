//! Limited-memory BFGS for smooth convex functions.

const MEMORY: usize = 20;
const ARMIJO: f64 = 1e-4;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// Largest absolute gradient component.
    pub gradient: f64,
    /// Iterations.
    pub iterations: usize,
}

impl Default for Stop {
    fn default() -> Self {
        Stop { gradient: 1e-7, iterations: 2000 }
    }
}

/// Minimises `value_and_gradient(x, gradient out) -> value` from `x` in place; returns the last value.
pub fn minimise(x: &mut [f64], stop: Stop, mut value_and_gradient: impl FnMut(&[f64], &mut [f64]) -> f64) -> f64 {
    let n = x.len();
    let mut gradient = vec![0.0; n];
    let mut value = value_and_gradient(x, &mut gradient);
    let mut history: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    let (mut next, mut next_gradient) = (vec![0.0; n], vec![0.0; n]);
    for _ in 0..stop.iterations {
        let steepest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        if steepest <= stop.gradient || !value.is_finite() {
            break;
        }
        let mut direction = two_loop(&gradient, &history);
        let mut slope = inner(&direction, &gradient);
        if slope >= 0.0 {
            history.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -inner(&gradient, &gradient);
        }
        let mut step = if history.is_empty() { (1.0 / norm(&gradient)).min(1.0) } else { 1.0 };
        let improved = loop {
            for i in 0..n {
                next[i] = x[i] + step * direction[i];
            }
            let next_value = value_and_gradient(&next, &mut next_gradient);
            if next_value <= value + ARMIJO * step * slope {
                let flat = value - next_value <= f64::EPSILON * value.abs();
                value = next_value;
                break !flat || steepest > 10.0 * stop.gradient;
            }
            step *= 0.5;
            if step < 1e-20 {
                break false;
            }
        };
        if !improved {
            break;
        }
        let moved: Vec<f64> = next.iter().zip(x.iter()).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = inner(&moved, &turned);
        if curvature > 1e-14 * norm(&moved) * norm(&turned) {
            if history.len() == MEMORY {
                history.remove(0);
            }
            history.push((moved, turned, 1.0 / curvature));
        }
        x.copy_from_slice(&next);
        std::mem::swap(&mut gradient, &mut next_gradient);
    }
    value
}

/// −H · gradient with the inverse Hessian H of the history.
fn two_loop(gradient: &[f64], history: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(history.len());
    for (moved, turned, rho) in history.iter().rev() {
        let alpha = rho * inner(moved, &q);
        q.iter_mut().zip(turned).for_each(|(q, t)| *q -= alpha * t);
        alphas.push(alpha);
    }
    if let Some((_, turned, rho)) = history.last() {
        let scale = 1.0 / (rho * inner(turned, turned));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, turned, rho), alpha) in history.iter().zip(alphas.into_iter().rev()) {
        let beta = rho * inner(turned, &q);
        q.iter_mut().zip(moved).for_each(|(q, m)| *q += (alpha - beta) * m);
    }
    q
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn norm(a: &[f64]) -> f64 {
    inner(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_an_ill_conditioned_bowl() {
        let scale: Vec<f64> = (0..50).map(|i| 10f64.powf(f64::from(i) / 12.5)).collect();
        let mut x = vec![1.0; 50];
        let value = minimise(&mut x, Stop { gradient: 1e-9, iterations: 5000 }, |x, g| {
            let mut value = 0.0;
            for i in 0..50 {
                g[i] = scale[i] * (x[i] - i as f64);
                value += 0.5 * scale[i] * (x[i] - i as f64).powi(2);
            }
            value
        });
        assert!(value < 1e-12, "{value}");
        assert!(x.iter().enumerate().all(|(i, x)| (x - i as f64).abs() < 1e-6));
    }

    #[test]
    fn descends_rosenbrock() {
        let mut x = [-1.2, 1.0];
        minimise(&mut x, Stop { gradient: 1e-8, iterations: 500 }, |x, g| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        });
        assert!((x[0] - 1.0).abs() < 1e-5 && (x[1] - 1.0).abs() < 1e-5, "{x:?}");
    }
}
