//! Made-up heads of every kind, for small encoders.

use std::collections::BTreeMap;

use rad_dino_edge::checkpoint::{ProbeHead, Probes, ProbesConfig, SegmentationHead};
use rad_dino_edge::model::manifest::{Calibration, Detector, Finding, Heads, OutOfDistribution};

/// Width of the committed checkpoint `smaller`.
pub const DIM: usize = 32;

fn head(outputs: usize, hidden: usize) -> ProbeHead {
    let values = |n: usize| (0..n).map(|i| (i % 7) as f32 / 8.0 - 0.375).collect::<Vec<_>>();
    ProbeHead {
        outputs,
        hidden,
        weight: values(outputs * (2 * DIM + hidden)),
        bias: values(outputs),
        hidden_weight: values(hidden * 2 * DIM),
        hidden_bias: values(hidden),
    }
}

/// All heads and both kinds of out-of-distribution detection, for an encoder of width [`DIM`].
pub fn probes() -> Probes {
    let calibration = Calibration { scale: 1.5, offset: -0.25 };
    let finding = |label: &str| Finding { label: label.into(), threshold: 0.4, calibration };
    // f16 in base64
    let zeros = |n: usize| {
        let digits = (16 * n).div_ceil(6);
        "A".repeat(digits) + &"=".repeat(digits.next_multiple_of(4) - digits)
    };
    let out_of_distribution = OutOfDistribution {
        limit: 1e6,
        dim: DIM,
        rank: 1,
        variances: vec![1.0, 2.0],
        basis: zeros(2 * DIM),
        detectors: vec![Detector { label: "inverted".into(), bias: -1.0, weights: zeros(2 * DIM) }],
    };
    let heads = Heads {
        findings: vec![finding("pneumonia"), finding("edema")],
        sex: Some(calibration),
        age: true,
        view: vec!["PA".into(), "AP".into()],
        segmentation: vec!["lung".into()],
    };
    let segmentation = SegmentationHead {
        channels: 1,
        scale: 2,
        hidden: 3,
        project_weight: vec![0.1; 3 * DIM],
        project_bias: vec![0.0; 3],
        convolutions: vec![(vec![0.1; 3 * 3 * 9], vec![0.0; 3])],
        readout_weight: vec![0.5; 4 * 3],
        readout_bias: vec![0.0; 4],
    };
    let config = ProbesConfig {
        schema: "rad-dino-edge/probes/1".into(),
        heads,
        out_of_distribution: Some(out_of_distribution),
        ..Default::default()
    };
    let heads = [("findings", head(2, 3)), ("sex", head(1, 0)), ("age", head(1, 0)), ("view", head(2, 0))];
    Probes {
        config,
        heads: BTreeMap::from(heads.map(|(name, head)| (name.to_string(), head))),
        segmentation: Some(segmentation),
    }
}
