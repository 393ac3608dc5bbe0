//! Stops a run that can no longer learn.

use rad_dino_edge::{Error, ErrorKind, Result};

use super::metrics::Record;

/// Steps in a row that must look collapsed.
const PATIENCE: usize = 10;
/// The same for a network that has never told films apart: a fresh one, whose LayerScale is 1e-5, takes a while.
const START: usize = 1_000;
/// Below this 1 − ‖mean unit CLS‖² all films look the same.
const SPREAD: f64 = 1e-5;
/// Below this share of ln K the CLS loss is a constant answer.
const SHARE: f64 = 0.005;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    same: usize,
    spread: bool,
    trivial: usize,
}

impl Watch {
    /// Looks at a step; `uniform` is ln K, `dino` whether the CLS terms count.
    ///
    /// # Errors
    /// `Data` when a value is not finite, when all films have had the same features for some steps, or the CLS loss has
    /// vanished.
    pub fn see(&mut self, record: &Record, uniform: f64, dino: bool) -> Result<()> {
        let values = [
            ("loss_dino_local", record.loss_dino_local),
            ("loss_dino_global", record.loss_dino_global),
            ("loss_ibot", record.loss_ibot),
            ("loss_koleo", record.loss_koleo),
            ("grad_norm", record.grad_norm),
            ("grad_norm_head", record.grad_norm_head),
            ("loss", record.loss),
        ];
        if let Some((name, value)) = values.iter().find(|(_, value)| !value.is_finite()) {
            let message = format!("step {}: {name} is {value}; the run has diverged", record.step);
            return Err(Error::new(ErrorKind::Data, message)
                .hint("lower optimizer.rate, then --resume from the last save, which is still good"));
        }
        let count = |seen: &mut usize, bad: bool, patience: usize| {
            *seen = if bad { *seen + 1 } else { 0 };
            *seen >= patience
        };
        let collapsed = |why: &str| {
            let message = format!("step {}: the encoder has collapsed: {why}", record.step);
            Error::new(ErrorKind::Data, message)
                .hint("lower optimizer.rate, raise loss.koleo or teacher.momentum, or start from another checkpoint")
        };
        self.spread |= record.spread >= SPREAD;
        if count(&mut self.same, record.spread < SPREAD, if self.spread { PATIENCE } else { START }) {
            return Err(collapsed("all films have the same features"));
        }
        let cls = record.loss_dino_local + record.loss_dino_global;
        if count(&mut self.trivial, dino && cls < SHARE * uniform, PATIENCE) {
            return Err(collapsed("the CLS loss has vanished"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Record {
        Record { loss_dino_local: 4.0, loss_dino_global: 0.5, spread: 0.3, ..Record::default() }
    }

    #[test]
    fn healthy_steps_pass_and_bad_ones_are_named() {
        let mut watch = Watch::default();
        (0..50).for_each(|_| watch.see(&healthy(), 7.0, true).unwrap());
        let error = watch.see(&Record { loss_ibot: f64::NAN, ..healthy() }, 7.0, true).unwrap_err();
        assert!(error.message().contains("loss_ibot is NaN"), "{error}");
        for (bad, word) in [
            (Record { spread: 0.0, ..healthy() }, "same features"),
            (Record { loss_dino_local: 0.001, loss_dino_global: 0.0, ..healthy() }, "vanished"),
        ] {
            let mut watch = Watch::default();
            watch.see(&healthy(), 7.0, true).unwrap();
            let seen: Vec<_> = (0..PATIENCE).map(|_| watch.see(&bad, 7.0, true)).collect();
            assert!(seen[..PATIENCE - 1].iter().all(Result::is_ok));
            assert!(seen[PATIENCE - 1].as_ref().unwrap_err().message().contains(word));
        }
        // a fresh network may take its time
        let mut watch = Watch::default();
        let flat = Record { spread: 0.0, ..healthy() };
        assert!((0..START - 1).all(|_| watch.see(&flat, 7.0, true).is_ok()) && watch.see(&flat, 7.0, true).is_err());
    }
}
