//! One way to train.

use serde::{Deserialize, Serialize};

/// What the encoder learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Random weights, not trained.
    Random,
    /// The start, not trained.
    Start,
    /// Images alone: DINO + iBOT + KoLeo.
    Images,
    /// Images alone, without the masked-patch loss.
    ImagesWithoutIbot,
    /// Images alone, from fresh weights.
    ImagesFromScratch,
    /// Image–report pairs.
    Reports,
    /// Labels.
    Labels,
}

/// A row of the study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// What it learns from.
    pub kind: Kind,
    /// Share of the patients it learns from.
    pub fraction: f64,
    /// The one source it learns from; None = all.
    pub source: Option<String>,
}

impl Arm {
    /// On all films.
    pub fn whole(kind: Kind) -> Self {
        Arm { kind, fraction: 1.0, source: None }
    }

    /// For people.
    pub fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Random => "random weights",
            Kind::Start => "start",
            Kind::Images => "images",
            Kind::ImagesWithoutIbot => "images, no iBOT",
            Kind::ImagesFromScratch => "images, from scratch",
            Kind::Reports => "reports",
            Kind::Labels => "labels",
        };
        let mut name = kind.to_owned();
        if self.fraction < 1.0 {
            name += &format!(", {} % of the patients", (self.fraction * 100.0).round());
        }
        if let Some(source) = &self.source {
            name += &format!(", only {source}");
        }
        name
    }

    /// For folders: lower-case letters, digits and dashes.
    pub fn folder(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.name().chars().map(safe).collect();
        name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_arms_apart() {
        let arm = Arm { kind: Kind::Images, fraction: 0.1, source: Some("NIH ../x".to_owned()) };
        assert_eq!(arm.name(), "images, 10 % of the patients, only NIH ../x");
        assert_eq!(arm.folder(), "images-10-of-the-patients-only-nih-x");
        assert_eq!(Arm::whole(Kind::ImagesWithoutIbot).folder(), "images-no-ibot");
    }
}
