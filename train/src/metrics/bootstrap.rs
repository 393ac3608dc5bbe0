//! 95 % intervals by resampling patients (not films) with replacement: percentile bootstrap, seeded.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::random::Random;

/// Number of resamples.
pub const RESAMPLES: usize = 1000;
/// Seed of the resampling.
pub const SEED: u64 = 0x0b00_7574;

/// Films by patient.
#[derive(Clone, Debug)]
pub struct Patients {
    /// Patient number of each row.
    of_row: Vec<u32>,
    count: usize,
}

impl Patients {
    /// Numbers the patients in order of appearance.
    pub fn new<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let of_row = ids.into_iter().map(|id| {
            let next = numbers.len() as u32;
            *numbers.entry(id).or_insert(next)
        });
        let of_row = of_row.collect();
        Patients { of_row, count: numbers.len() }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How often the resample `index` draws each row's patient.
    fn draw(&self, index: usize) -> Vec<f64> {
        let mut random = Random::stream(SEED, index as u64);
        let mut times = vec![0.0; self.count];
        for _ in 0..self.count {
            times[random.below(self.count)] += 1.0;
        }
        self.of_row.iter().map(|&p| times[p as usize]).collect()
    }

    /// The 2.5 and 97.5 percentiles of `statistic` (of row weights) over the resamples in which it exists;
    /// None when it exists in less than half of them.
    pub fn interval(&self, statistic: impl Fn(&[f64]) -> Option<f64> + Sync) -> Option<(f64, f64)> {
        if self.count == 0 {
            return None;
        }
        let draws = (0..RESAMPLES).into_par_iter().filter_map(|index| statistic(&self.draw(index)));
        let mut values: Vec<f64> = draws.collect();
        if values.len() * 2 < RESAMPLES {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some((percentile(&values, 0.025), percentile(&values, 0.975)))
    }
}

/// The `q`-quantile of sorted values with linear interpolation between ranks; 0 for no values.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::mae::mean;

    #[test]
    fn interval_of_a_mean_is_its_normal_interval() {
        let mut random = Random::new(3);
        let values: Vec<f64> = (0..400).map(|_| random.normal()).collect();
        let ids: Vec<String> = (0..400).map(|i| i.to_string()).collect();
        let patients = Patients::new(ids.iter().map(String::as_str));
        let (low, high) = patients.interval(|w| mean(&values, w)).unwrap();
        let centre = mean(&values, &[1.0; 400]).unwrap();
        assert!((low - (centre - 0.098)).abs() < 0.015 && (high - (centre + 0.098)).abs() < 0.015, "{low} {high}");
    }

    #[test]
    fn films_of_a_patient_go_together() {
        // 20 patients with 20 films each: as wide as 20 films, not as 400.
        let values: Vec<f64> = (0..400).map(|i| f64::from((i / 20) % 2)).collect();
        let ids: Vec<String> = (0..400).map(|i| (i / 20).to_string()).collect();
        let patients = Patients::new(ids.iter().map(String::as_str));
        assert_eq!(patients.count(), 20);
        let (low, high) = patients.interval(|w| mean(&values, w)).unwrap();
        assert!(high - low > 0.35, "{low} {high}");
    }

    #[test]
    fn repeats_and_refuses_what_mostly_does_not_exist() {
        let patients = Patients::new(["a", "b", "c"]);
        let statistic = |w: &[f64]| mean(&[1.0, 2.0, 4.0], w);
        assert_eq!(patients.interval(statistic), patients.interval(statistic));
        assert_eq!(patients.interval(|_| None), None);
        assert_eq!(Patients::new([]).interval(statistic), None);
    }

    #[test]
    fn percentile_interpolates() {
        assert_eq!(percentile(&[0.0, 1.0, 2.0, 3.0], 0.5), 1.5);
        assert_eq!(percentile(&[5.0], 0.975), 5.0);
    }
}
