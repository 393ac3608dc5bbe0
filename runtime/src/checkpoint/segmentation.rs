//! The head that draws regions from patch tokens.

use super::probes_file::refuse;
use super::tensors::{Reader, Tensors};
use super::write::Stored;
use crate::error::Result;
use crate::model::SegmentationSizes;

/// A head on the patch tokens (after the final LayerNorm) of the g×g grid, x [D, g, g]:
/// h = relu(project(x)), 1×1, D → W; h = relu(convolution(h)), 3×3 with a border of zeros, W → W, each in turn;
/// logits [C, s·g, s·g] = pixel shuffle of readout(h), 1×1, W → C·s². Without hidden layers (W = 0) the readout sees x.
/// In the file: `segmentation.{project,convolution0,…,readout}.{weight,bias}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentationHead {
    /// C
    pub channels: usize,
    /// s: logits a side of a patch.
    pub scale: usize,
    /// W; 0 for a linear head.
    pub hidden: usize,
    /// [W, D]
    pub project_weight: Vec<f32>,
    /// [W]
    pub project_bias: Vec<f32>,
    /// Weight [W, W, 3, 3] (out, in, row, column) and bias [W] of each.
    pub convolutions: Vec<(Vec<f32>, Vec<f32>)>,
    /// [C·s², W], or [C·s², D] of a linear head; row (c·s + y)·s + x is sub-pixel (x, y) of channel c.
    pub readout_weight: Vec<f32>,
    /// [C·s²]
    pub readout_bias: Vec<f32>,
}

/// A tensor of the head: its name after `segmentation.`, shape and values.
pub type SegmentationTensor<'a> = (String, Vec<usize>, &'a [f32]);

impl SegmentationHead {
    /// All tensors for an encoder of width `dim` (D), in the order in which they act; 1×1 convolutions as matrices.
    pub fn tensors(&self, dim: usize) -> Vec<SegmentationTensor<'_>> {
        let (w, rows) = (self.hidden, self.channels * self.scale * self.scale);
        let mut tensors: Vec<SegmentationTensor<'_>> = Vec::new();
        if w > 0 {
            tensors.push(("project.weight".to_owned(), vec![w, dim], &self.project_weight));
            tensors.push(("project.bias".to_owned(), vec![w], &self.project_bias));
        }
        for (i, (weight, bias)) in self.convolutions.iter().enumerate() {
            tensors.push((format!("convolution{i}.weight"), vec![w, w, 3, 3], weight));
            tensors.push((format!("convolution{i}.bias"), vec![w], bias));
        }
        let inputs = if w > 0 { w } else { dim };
        tensors.push(("readout.weight".to_owned(), vec![rows, inputs], &self.readout_weight));
        tensors.push(("readout.bias".to_owned(), vec![rows], &self.readout_bias));
        tensors
    }

    /// C, s, W and the number of 3×3 convolutions.
    pub fn sizes(&self) -> SegmentationSizes {
        let convolutions = self.convolutions.len();
        SegmentationSizes { channels: self.channels, scale: self.scale, hidden: self.hidden, convolutions }
    }

    pub(super) fn stored(&self, dim: usize) -> Vec<Stored<'_>> {
        let tensors = self.tensors(dim).into_iter();
        tensors.map(|(name, shape, values)| Stored::new(&format!("segmentation.{name}"), &shape, values)).collect()
    }

    pub(super) fn check(&self, channels: usize, dim: usize) -> Result<()> {
        if self.channels != channels {
            return Err(refuse(format!("segmentation has {} channels, expected {channels}", self.channels)));
        }
        if self.sizes().rows().is_none() {
            return Err(refuse(format!("segmentation: {:?} make no head", self.sizes())));
        }
        for (name, shape, values) in self.tensors(dim) {
            let expected = shape.iter().product::<usize>();
            if values.len() != expected {
                return Err(refuse(format!("segmentation.{name} has {} values, expected {expected}", values.len())));
            }
        }
        Ok(())
    }

    pub(super) fn read(tensors: &Tensors, reader: &mut Reader<'_>, channels: usize, dim: usize) -> Result<Self> {
        let rows = |name: &str| tensors.shape(&format!("segmentation.{name}")).and_then(|s| s.first().copied());
        let hidden = rows("project.weight").unwrap_or(0);
        let outputs = rows("readout.weight").unwrap_or(0);
        let convolutions = (0..).take_while(|i| rows(&format!("convolution{i}.weight")).is_some()).count();
        let scale = outputs.checked_div(channels).unwrap_or(0).isqrt();
        let sizes = SegmentationSizes { channels, scale, hidden, convolutions };
        if sizes.rows() != Some(outputs) {
            return Err(refuse(format!("segmentation.readout.weight has {outputs} rows: with {sizes:?} no head")));
        }
        let mut take = |name: &str, shape: &[usize]| reader.take(&[&format!("segmentation.{name}")], shape);
        let mut head = SegmentationHead { channels, scale, hidden, ..SegmentationHead::default() };
        if hidden > 0 {
            head.project_weight = take("project.weight", &[hidden, dim])?;
            head.project_bias = take("project.bias", &[hidden])?;
        }
        for i in 0..convolutions {
            let weight = take(&format!("convolution{i}.weight"), &[hidden, hidden, 3, 3])?;
            head.convolutions.push((weight, take(&format!("convolution{i}.bias"), &[hidden])?));
        }
        head.readout_weight = take("readout.weight", &[outputs, if hidden > 0 { hidden } else { dim }])?;
        head.readout_bias = take("readout.bias", &[outputs])?;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Probes, ProbesConfig};
    use crate::error::ErrorKind;
    use crate::model::manifest::Heads;

    const DIM: usize = 5;

    fn head(channels: usize, scale: usize, hidden: usize, convolutions: usize) -> SegmentationHead {
        let values = |n: usize| (0..n).map(|i| i as f32 * 0.25 - 1.0).collect::<Vec<f32>>();
        let rows = channels * scale * scale;
        SegmentationHead {
            channels,
            scale,
            hidden,
            project_weight: values(hidden * DIM),
            project_bias: values(hidden),
            convolutions: vec![(values(9 * hidden * hidden), values(hidden)); convolutions],
            readout_weight: values(rows * if hidden > 0 { hidden } else { DIM }),
            readout_bias: values(rows),
        }
    }

    fn probes(head: SegmentationHead) -> Probes {
        let labels = (0..head.channels).map(|c| format!("part_{c}")).collect();
        let heads = Heads { segmentation: labels, ..Heads::default() };
        let config = ProbesConfig { schema: "rad-dino-edge/probes/1".to_owned(), heads, ..ProbesConfig::default() };
        Probes { config, segmentation: Some(head), ..Probes::default() }
    }

    #[test]
    fn heads_come_back_as_they_were_written() {
        for shape in [(1, 1, 0, 0), (2, 3, 0, 0), (1, 4, 6, 2), (3, 2, 4, 0)] {
            let dir = tempfile::tempdir().unwrap();
            let probes = probes(head(shape.0, shape.1, shape.2, shape.3));
            probes.write(dir.path(), DIM).unwrap();
            assert_eq!(Probes::read(dir.path(), DIM).unwrap().unwrap(), probes, "{shape:?}");
            assert!(Probes::read(dir.path(), DIM + 1).is_err(), "an encoder of another width");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_and_after_the_file() {
        type Change = fn(&mut Probes);
        let broken: [(&str, Change); 8] = [
            ("no weights", |p| p.segmentation = None),
            ("no entry", |p| p.config.heads.segmentation.clear()),
            ("channels", |p| p.config.heads.segmentation.push("heart".to_owned())),
            ("letters", |p| p.config.heads.segmentation[0] = "../lung".to_owned()),
            ("there twice", |p| p.config.heads.segmentation[1] = "part_0".to_owned()),
            ("readout.weight", |p| p.segmentation.as_mut().unwrap().readout_weight.truncate(3)),
            ("convolution0.weight", |p| p.segmentation.as_mut().unwrap().convolutions[0].0.push(0.0)),
            ("make no head", |p| p.segmentation.as_mut().unwrap().scale = usize::MAX),
        ];
        let dir = tempfile::tempdir().unwrap();
        for (word, change) in broken {
            let mut probes = probes(head(2, 2, 4, 1));
            change(&mut probes);
            let error = probes.write(dir.path(), DIM).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint);
            assert!(error.message().contains(word), "{word}: {error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        // Three sub-pixels are no square; a projection without rows is no layer; weights for another number of labels.
        let write = |name: &str, shape: &[usize]| {
            let values = vec![0.5; shape.iter().product()];
            probes(head(1, 2, 4, 1)).write(dir.path(), DIM).unwrap();
            let full = head(1, 2, 4, 1);
            let mut stored = full.stored(DIM);
            stored.retain(|s| !s.is(&format!("segmentation.{name}")));
            stored.push(Stored::new(&format!("segmentation.{name}"), shape, &values));
            let path = dir.path().join("probes.safetensors");
            super::super::write::write_safetensors(&path, &stored, crate::checkpoint::DType::F32).unwrap();
            Probes::read(dir.path(), DIM).unwrap_err()
        };
        for (name, shape) in [
            ("readout.weight", &[3, 4][..]),
            ("readout.weight", &[0, 4]),
            ("readout.weight", &[4, 5]),
            ("readout.bias", &[5]),
            ("project.weight", &[0, 5]),
            ("project.weight", &[4, 6]),
            ("convolution0.weight", &[4, 4, 1, 9]),
            ("convolution2.weight", &[4, 4, 3, 3]),
            ("convolution0.bias", &[]),
        ] {
            let error = write(name, shape);
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{name} {shape:?}: {error}");
            assert!(error.message().contains("segmentation"), "{name} {shape:?}: {error}");
        }
    }
}
