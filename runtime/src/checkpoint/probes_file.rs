//! Reading and writing `probes.json` and `probes.safetensors`.

use std::collections::BTreeSet;
use std::path::Path;

use super::tensors::{Reader, Tensors};
use super::write::{Stored, write_safetensors};
use super::{DType, ProbeHead, Probes, ProbesConfig, SegmentationHead, read_text};
use crate::error::{Error, ErrorKind, Result};
use crate::output::mask::is_file_name;
use crate::output::write;

/// The value of `schema` in `probes.json`.
pub(super) const SCHEMA: &str = "rad-dino-edge/probes/1";
const CONFIG: &str = "probes.json";
const WEIGHTS: &str = "probes.safetensors";
const MAX_OUTPUTS: usize = 4_096;
const SEGMENTATION: &str = "segmentation";

impl Probes {
    /// Reads the heads beside an encoder of width `dim` (D); None when the folder has neither file. Labels and
    /// tensors that do not fit each other, or a tensor that is missing, extra or misshapen, are errors naming it.
    pub fn read(dir: &Path, dim: usize) -> Result<Option<Self>> {
        let (config_path, weights_path) = (dir.join(CONFIG), dir.join(WEIGHTS));
        if !config_path.exists() && !weights_path.exists() {
            return Ok(None);
        }
        let config: ProbesConfig = serde_json::from_str(&read_text(&config_path)?).map_err(|e| {
            Error::new(ErrorKind::Checkpoint, format!("{}: {e}", config_path.display()))
                .hint("write the heads again with rad-dino-train probe")
                .source(e)
        })?;
        check_config(&config).map_err(|e| e.at(config_path.display()))?;
        let mut tensors = Tensors::new(&weights_path);
        tensors.add(&weights_path)?;
        let mut reader = tensors.reader();
        let mut probes = Probes { config, ..Probes::default() };
        for (name, outputs) in probes.config.heads.declared() {
            if name == SEGMENTATION {
                probes.segmentation = Some(SegmentationHead::read(&tensors, &mut reader, outputs, dim)?);
            } else {
                probes.heads.insert(name.to_owned(), head(&tensors, &mut reader, name, outputs, dim)?);
            }
        }
        reader.finish()?;
        Ok(Some(probes))
    }

    /// Writes both files into `dir` (which exists), each whole or not at all. Heads that [`Probes::check`] refuses
    /// are not written.
    pub fn write(&self, dir: &Path, dim: usize) -> Result<()> {
        self.check(dim)?;
        let mut tensors = Vec::new();
        for (name, head) in &self.heads {
            let (k, h, f) = (head.outputs, head.hidden, 2 * dim);
            tensors.push(Stored::new(&format!("{name}.weight"), &[k, f + h], &head.weight));
            tensors.push(Stored::new(&format!("{name}.bias"), &[k], &head.bias));
            if h > 0 {
                tensors.push(Stored::new(&format!("{name}.hidden.weight"), &[h, f], &head.hidden_weight));
                tensors.push(Stored::new(&format!("{name}.hidden.bias"), &[h], &head.hidden_bias));
            }
        }
        tensors.extend(self.segmentation.iter().flat_map(|head| head.stored(dim)));
        write_safetensors(&dir.join(WEIGHTS), &tensors, DType::F32)?;
        let text = serde_json::to_string_pretty(&self.config)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("{CONFIG}: {e}")).source(e))?;
        write::atomic(&dir.join(CONFIG), |w| writeln!(w, "{text}"))
    }

    /// Checks labels against weights, and every length against an encoder of width `dim`.
    pub fn check(&self, dim: usize) -> Result<()> {
        check_config(&self.config)?;
        let declared = self.config.heads.declared();
        let mut names = self.heads.keys().map(String::as_str).chain(self.segmentation.as_ref().map(|_| SEGMENTATION));
        if let Some(name) = names.find(|name| declared.iter().all(|(known, _)| known != name)) {
            return Err(refuse(format!("head {name} has weights but no entry in {CONFIG}")));
        }
        for (name, outputs) in declared {
            if name == SEGMENTATION {
                let head = self.segmentation.as_ref().ok_or_else(|| refuse(format!("head {name} has no weights")))?;
                head.check(outputs, dim)?;
                continue;
            }
            let head = self.heads.get(name).ok_or_else(|| refuse(format!("head {name} has no weights")))?;
            let (h, f) = (head.hidden, 2 * dim);
            let lengths = [
                (".outputs", head.outputs, outputs),
                (".weight", head.weight.len(), outputs * (f + h)),
                (".bias", head.bias.len(), outputs),
                (".hidden.weight", head.hidden_weight.len(), h * f),
                (".hidden.bias", head.hidden_bias.len(), h),
            ];
            if let Some((part, found, expected)) = lengths.iter().find(|(_, found, expected)| found != expected) {
                return Err(refuse(format!("{name}{part} has {found} values, expected {expected}")));
            }
        }
        Ok(())
    }
}

fn head(tensors: &Tensors, reader: &mut Reader<'_>, name: &str, outputs: usize, dim: usize) -> Result<ProbeHead> {
    let features = dim.saturating_mul(2);
    let hidden_name = format!("{name}.hidden.weight");
    let hidden = match tensors.shape(&hidden_name) {
        Some([h, _]) if *h > 0 => *h,
        Some(shape) => {
            return Err(refuse(format!("tensor {hidden_name} has shape {shape:?}, expected [H, {features}]")));
        }
        None => 0,
    };
    let mut take = |part: &str, shape: &[usize]| reader.take(&[&format!("{name}{part}")], shape);
    let width = features.saturating_add(hidden);
    Ok(ProbeHead {
        outputs,
        hidden,
        weight: take(".weight", &[outputs, width])?,
        bias: take(".bias", &[outputs])?,
        hidden_weight: if hidden > 0 { take(".hidden.weight", &[hidden, features])? } else { Vec::new() },
        hidden_bias: if hidden > 0 { take(".hidden.bias", &[hidden])? } else { Vec::new() },
    })
}

fn check_config(config: &ProbesConfig) -> Result<()> {
    if config.schema != SCHEMA {
        return Err(refuse(format!("schema is {:?}, expected {SCHEMA:?}", config.schema)));
    }
    let heads = &config.heads;
    if let Some(label) = heads.segmentation.iter().find(|label| !is_file_name(label)) {
        return Err(refuse(format!("segmentation: label {label:?} must be letters, digits, _ and -")));
    }
    unique("findings", heads.findings.iter().map(|finding| finding.label.as_str()))?;
    unique("view", heads.view.iter().map(String::as_str))?;
    unique(SEGMENTATION, heads.segmentation.iter().map(String::as_str))?;
    for finding in &heads.findings {
        if !(0.0..=1.0).contains(&finding.threshold) {
            return Err(refuse(format!("threshold of {} is {}, must be 0 to 1", finding.label, finding.threshold)));
        }
    }
    Ok(())
}

fn unique<'a>(head: &str, labels: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for label in labels {
        if label.is_empty() || !seen.insert(label) {
            return Err(refuse(format!("{head}: label {label:?} is empty or there twice")));
        }
        if seen.len() > MAX_OUTPUTS {
            return Err(refuse(format!("{head}: more than {MAX_OUTPUTS} labels")));
        }
    }
    Ok(())
}

pub(super) fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Checkpoint, message).hint("write the heads again with rad-dino-train probe")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{Calibration, Finding, Heads};

    const DIM: usize = 6;

    fn probes() -> Probes {
        let calibration = Calibration { scale: 1.5, offset: -0.25 };
        let finding = |label: &str| Finding { label: label.to_owned(), threshold: 0.4, calibration };
        let heads = Heads {
            findings: vec![finding("pneumonia"), finding("pleural_effusion")],
            sex: Some(calibration),
            age: true,
            view: Vec::new(),
            segmentation: Vec::new(),
        };
        let head = |outputs: usize, hidden: usize| ProbeHead {
            outputs,
            hidden,
            weight: (0..outputs * (2 * DIM + hidden)).map(|i| i as f32 * 0.5 - 3.0).collect(),
            bias: vec![0.125; outputs],
            hidden_weight: (0..hidden * 2 * DIM).map(|i| 1.0 - i as f32 / 8.0).collect(),
            hidden_bias: vec![-0.5; hidden],
        };
        let config = ProbesConfig { schema: SCHEMA.to_owned(), heads, ..ProbesConfig::default() };
        let heads = [("findings", head(2, 3)), ("sex", head(1, 0)), ("age", head(1, 0))];
        Probes { config, heads: heads.map(|(name, head)| (name.to_owned(), head)).into(), segmentation: None }
    }

    #[test]
    fn a_folder_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Probes::read(dir.path(), DIM).unwrap().is_none());
        probes().write(dir.path(), DIM).unwrap();
        assert_eq!(Probes::read(dir.path(), DIM).unwrap().unwrap(), probes());
        let error = Probes::read(dir.path(), DIM + 1).unwrap_err();
        assert!(error.message().contains("findings") && error.message().contains("expected"), "{error}");
    }

    #[test]
    fn labels_and_weights_must_fit_each_other() {
        type Change = fn(&mut Probes);
        let broken: [(&str, Change); 8] = [
            ("schema", |p| p.config.schema = "other".to_owned()),
            ("sex has weights but no entry", |p| p.config.heads.sex = None),
            ("view has no weights", |p| p.config.heads.view = vec!["PA".to_owned()]),
            ("findings.outputs", |p| p.config.heads.findings.truncate(1)),
            ("there twice", |p| p.config.heads.findings[1].label = "pneumonia".to_owned()),
            ("threshold", |p| p.config.heads.findings[0].threshold = 1.5),
            ("age.weight", |p| p.heads.get_mut("age").unwrap().weight.truncate(1)),
            ("segmentation has no weights", |p| p.config.heads.segmentation = vec!["lung".to_owned()]),
        ];
        let dir = tempfile::tempdir().unwrap();
        for (word, change) in broken {
            let mut probes = probes();
            change(&mut probes);
            let error = probes.write(dir.path(), DIM).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint);
            assert!(error.message().contains(word), "{word}: {error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_lost_its_partner_is_an_error() {
        for name in [CONFIG, WEIGHTS] {
            let dir = tempfile::tempdir().unwrap();
            probes().write(dir.path(), DIM).unwrap();
            std::fs::remove_file(dir.path().join(name)).unwrap();
            let error = Probes::read(dir.path(), DIM).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }
}
