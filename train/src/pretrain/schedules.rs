//! All scheduled values of a step.

use super::config::Config;
use crate::optim::param_groups::Rates;
use crate::optim::schedule::{Cosine, Linear};

/// The values of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// Of the optimiser.
    pub rates: Rates,
    /// τ of the teacher.
    pub temperature: f64,
    /// Of the moving average.
    pub momentum: f64,
}

/// The values at `step` of `total`; shares of the run in the configuration are of `total`.
pub fn at(config: &Config, step: usize, total: usize) -> Values {
    let (o, t) = (&config.optimizer, &config.teacher);
    let part = |share: f64| (share * total as f64).round() as usize;
    let scale = if o.scale_with_batch { (config.batch() as f64 / 1024.0).sqrt() } else { 1.0 };
    let cosine = |base: f64, freeze: usize| {
        Cosine { base: base * scale, end: o.rate_end, start: 0.0, freeze, warmup: part(o.warmup), total }.at(step)
    };
    let heads = cosine(o.head_rate, 0);
    let temperature = Linear { start: t.temperature_start, end: t.temperature, length: part(t.temperature_warmup) };
    Values {
        rates: Rates {
            backbone: cosine(o.rate, part(o.heads_only)),
            heads,
            last_layer: if step < part(o.freeze_last_layer) { 0.0 } else { heads },
            weight_decay: Cosine::plain(o.weight_decay, o.weight_decay_end, total).at(step),
        },
        temperature: temperature.at(step),
        momentum: Cosine::plain(t.momentum, t.momentum_end, total).at(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_learn_first_and_everything_ends_where_it_should() {
        let mut config = Config::default();
        config.optimizer.heads_only = 0.1;
        config.optimizer.freeze_last_layer = 0.02;
        config.optimizer.scale_with_batch = false;
        let values = |step| at(&config, step, 1000);
        assert_eq!((values(50).rates.backbone, values(10).rates.last_layer), (0.0, 0.0));
        assert!(values(50).rates.heads > 0.0 && values(50).rates.last_layer > 0.0);
        assert!((values(200).rates.backbone - 2e-4).abs() < 1e-9);
        assert!((values(999).rates.backbone - 1e-6).abs() < 1e-8);
        assert_eq!((values(0).temperature, values(300).temperature), (0.04, 0.07));
        assert!((values(999).momentum - 1.0).abs() < 1e-4 && values(0).momentum == 0.994);
        config.optimizer.scale_with_batch = true;
        assert!((at(&config, 200, 1000).rates.backbone - 2e-4 * 0.25).abs() < 1e-9, "64 films: 1/4 of 1024's root");
    }
}
