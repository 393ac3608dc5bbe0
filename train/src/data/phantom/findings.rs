//! What is wrong with a synthetic patient.

use super::anatomy::Anatomy;
use super::lungs;
use crate::random::Random;

/// Labels a phantom may have, in the order of [`code`].
pub const LABELS: [&str; 6] =
    ["consolidation", "pleural_effusion", "pneumothorax", "nodule", "cardiomegaly", "support_devices"];

/// The pixel value of a label in a pathology mask: 2 consolidation, 3 pleural effusion, 4 pneumothorax (as in the data
/// pack), 5 nodule, 6 cardiomegaly (the heart), 7 support devices.
pub fn code(label: &str) -> u8 {
    LABELS.iter().position(|l| *l == label).map_or(0, |at| at as u8 + 2)
}

/// Fluid that stands in the costophrenic angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effusion {
    /// 0 right, 1 left.
    pub lung: usize,
    /// Height above the angle.
    pub height: f64,
}

/// Air between lung and chest wall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pneumothorax {
    /// 0 right, 1 left.
    pub lung: usize,
    /// Width at the apex.
    pub width: f64,
}

/// Air spaces filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Consolidation {
    /// 0 right, 1 left.
    pub lung: usize,
    /// Upper, middle or lower zone.
    pub zone: &'static str,
    /// Centre.
    pub at: (f64, f64),
    /// Radius.
    pub radius: f64,
    /// Share of the air replaced.
    pub density: f64,
}

/// A small round opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nodule {
    /// 0 right, 1 left.
    pub lung: usize,
    /// Upper, middle or lower zone.
    pub zone: &'static str,
    /// Centre.
    pub at: (f64, f64),
    /// Radius.
    pub radius: f64,
}

/// Something that does not belong to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Catheter from the right neck to the superior vena cava.
    CentralLine,
    /// Tube in the trachea.
    TrachealTube,
    /// Generator over the left chest with a lead to the right ventricle.
    Pacemaker,
    /// Electrodes and their wires.
    Electrodes,
}

/// All findings of one film.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Effusion.
    pub effusion: Option<Effusion>,
    /// Pneumothorax.
    pub pneumothorax: Option<Pneumothorax>,
    /// Consolidation.
    pub consolidation: Option<Consolidation>,
    /// Nodule.
    pub nodule: Option<Nodule>,
    /// Whether the heart is enlarged.
    pub cardiomegaly: bool,
    /// Devices.
    pub devices: Vec<Device>,
}

impl Findings {
    /// Draws findings, each on its own; about a third of the films have none. Enlarges the heart of `anatomy` if so.
    pub fn draw(random: &mut Random, anatomy: &mut Anatomy) -> Self {
        let mut findings = Findings::default();
        let healthy = random.chance(0.18);
        let mut has = |p: f64| !healthy && random.chance(p);
        let wanted = [has(0.2), has(0.2), has(0.2), has(0.2), has(0.2), has(0.24)];
        if wanted[1] {
            findings.effusion = Some(Effusion { lung: random.below(2), height: random.range(0.05, 0.26) });
        }
        if wanted[2] {
            // Not on the side of an effusion: that would be another finding.
            let lung = findings.effusion.map_or_else(|| random.below(2), |e| 1 - e.lung);
            findings.pneumothorax = Some(Pneumothorax { lung, width: random.range(0.035, 0.11) });
        }
        if wanted[0] {
            let (lung, zone, at) = place(random, anatomy);
            let (radius, density) = (random.range(0.06, 0.12), random.range(0.45, 0.8));
            findings.consolidation = Some(Consolidation { lung, zone, at, radius, density });
        }
        if wanted[3] {
            let (lung, zone, at) = place(random, anatomy);
            findings.nodule = Some(Nodule { lung, zone, at, radius: random.range(0.011, 0.028) });
        }
        if wanted[4] {
            findings.cardiomegaly = true;
            anatomy.cardiothoracic_ratio = random.range(0.57, 0.68);
        }
        if wanted[5] {
            let all = [Device::CentralLine, Device::TrachealTube, Device::Pacemaker, Device::Electrodes];
            let first = random.below(4);
            findings.devices.push(all[first]);
            if random.chance(0.3) {
                findings.devices.push(all[(first + 1 + random.below(3)) % 4]);
            }
        }
        findings
    }

    /// The labels, `no_finding` when there is nothing.
    pub fn labels(&self) -> Vec<String> {
        let there = [
            self.consolidation.is_some(),
            self.effusion.is_some(),
            self.pneumothorax.is_some(),
            self.nodule.is_some(),
            self.cardiomegaly,
            !self.devices.is_empty(),
        ];
        let labels: Vec<String> = LABELS.iter().zip(there).filter(|(_, t)| *t).map(|(l, _)| (*l).to_owned()).collect();
        if labels.is_empty() { vec![crate::data::NO_FINDING.to_owned()] } else { labels }
    }
}

/// A place well inside a lung and clear of the heart.
fn place(random: &mut Random, a: &Anatomy) -> (usize, &'static str, (f64, f64)) {
    let (lung, zone) = (random.below(2), random.below(3));
    let y = a.apex + (a.dome[lung] - a.apex) * (0.24 + 0.27 * zone as f64 + random.range(-0.06, 0.06));
    let outer = lungs::outer(a, y);
    let clear = if lung == 1 && zone > 0 { 0.62 } else { 0.45 };
    let d = outer * random.range(clear, 0.82);
    (lung, ["upper", "mid", "lower"][zone], (a.x(d, lung), y))
}
