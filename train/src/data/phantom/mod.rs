//! Synthetic radiographs: every pixel, label, mask, attribute and word is known, and anyone may have them.
//!
//! Soft shapes with known attenuation are added up along the beam and exposed like a film. Sex, age and view shape the
//! anatomy. The same seed makes the same films.

mod airway;
mod anatomy;
mod body;
mod clavicles;
mod findings;
mod heart;
mod lesion;
mod lungs;
mod map;
mod render;
mod report;
mod ribs;
mod spine;
mod texture;
mod vessels;
mod write;

pub use anatomy::Anatomy;
pub use findings::{Findings, LABELS, code};
pub use render::Rendered;

use super::{Sex, View};
use crate::random::Random;

/// A synthetic film with everything known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Phantom {
    /// Pixels a side.
    pub side: usize,
    /// Sex, age, view and measures.
    pub anatomy: Anatomy,
    /// What is wrong.
    pub findings: Findings,
    /// FINDINGS and IMPRESSION.
    pub report: String,
    /// Grey levels and masks.
    pub rendered: Rendered,
}

/// Film number `index` of `seed`, `side` pixels square. It does not depend on how many films are made.
pub fn film(seed: u64, index: u64, side: usize) -> Phantom {
    let mut random = Random::stream(seed, index);
    let mut anatomy = Anatomy::draw(&mut random);
    let findings = Findings::draw(&mut random, &mut anatomy);
    finish(anatomy, findings, &mut random, side)
}

/// A film for showing: an adult PA view with an effusion, a nodule and nothing else.
pub fn demo(seed: u64, side: usize) -> Phantom {
    let mut random = Random::new(seed);
    let anatomy = Anatomy::of(&mut random, Sex::Male, 58.0, View::Pa);
    let effusion = findings::Effusion { lung: 1, height: 0.16 };
    let at = (anatomy.x(0.62 * anatomy.width, 0), anatomy.apex + 0.22);
    let nodule = findings::Nodule { lung: 0, zone: "upper", at, radius: 0.018 };
    let findings = Findings { effusion: Some(effusion), nodule: Some(nodule), ..Findings::default() };
    finish(anatomy, findings, &mut random, side)
}

fn finish(anatomy: Anatomy, findings: Findings, random: &mut Random, side: usize) -> Phantom {
    let report = report::report(&anatomy, &findings, random);
    let rendered = render::render(&anatomy, &findings, random, side);
    Phantom { side, anatomy, findings, report, rendered }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(pixels: &[u8], mask: &[bool]) -> f64 {
        let inside: Vec<f64> = pixels.iter().zip(mask).filter(|(_, m)| **m).map(|(p, _)| f64::from(*p)).collect();
        inside.iter().sum::<f64>() / inside.len() as f64
    }

    #[test]
    fn the_same_seed_makes_the_same_film() {
        assert!(film(3, 5, 96) == film(3, 5, 96));
        assert!(film(3, 5, 96).rendered.pixels != film(3, 6, 96).rendered.pixels);
    }

    #[test]
    fn it_looks_like_a_chest_film() {
        for index in 0..12 {
            let film = film(1, index, 128);
            let r = &film.rendered;
            let area = |mask: &[bool]| mask.iter().filter(|m| **m).count() as f64 / mask.len() as f64;
            for lung in &r.lungs {
                assert!((0.08..0.24).contains(&area(lung)), "{index}: lung {}", area(lung));
            }
            // Free lungs are darker than the mediastinum and the belly.
            let free: Vec<bool> = (0..r.pixels.len())
                .map(|i| {
                    let lung = r.lungs[0][i] || r.lungs[1][i];
                    let sick = r.findings.iter().any(|(_, mask)| mask[i]);
                    lung && !r.mediastinum[i] && !sick
                })
                .collect();
            let (lung, middle) = (mean(&r.pixels, &free), mean(&r.pixels, &r.mediastinum));
            assert!(lung + 50.0 < middle, "{index}: {lung} {middle}");
            let used = r.pixels.iter().collect::<std::collections::BTreeSet<_>>().len();
            assert!(used > 100, "{index}: only {used} grey levels");
        }
    }

    #[test]
    fn findings_have_labels_masks_and_words() {
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..300 {
            let mut random = Random::stream(2, index);
            let mut anatomy = Anatomy::draw(&mut random);
            let findings = Findings::draw(&mut random, &mut anatomy);
            let text = report::report(&anatomy, &findings, &mut random);
            let labels = findings.labels();
            for label in &labels {
                *counts.entry(label.clone()).or_insert(0) += 1;
            }
            let has = |label: &str| labels.iter().any(|l| l == label);
            assert_eq!(has("cardiomegaly"), text.contains("enlarged") || text.contains("cardiomegaly"), "{text}");
            assert_eq!(has("pneumothorax"), text.contains("apical pneumothorax"), "{text}");
            assert!(text.starts_with("FINDINGS: ") && text.contains(" IMPRESSION: "));
        }
        assert!(LABELS.iter().all(|l| (35..100).contains(&counts[*l])), "{counts:?}");
        assert!((40..140).contains(&counts["no_finding"]), "{counts:?}");
        let sick = (0..60).map(|i| film(2, i, 96)).find(|f| f.findings.labels().len() >= 3).unwrap();
        let mut masked: Vec<&str> = sick.rendered.findings.iter().map(|(l, _)| *l).collect();
        let mut labels = sick.findings.labels();
        masked.sort_unstable();
        labels.sort_unstable();
        assert_eq!(masked, labels);
        assert!(sick.rendered.findings.iter().all(|(_, mask)| mask.contains(&true)));
    }

    #[test]
    fn an_effusion_is_brighter_than_the_same_lung_without() {
        let mut film = demo(1, 128);
        let mask = film.rendered.findings.iter().find(|(l, _)| *l == "pleural_effusion").unwrap().1.clone();
        let with = mean(&film.rendered.pixels, &mask);
        film.findings = Findings::default();
        let without = render::render(&film.anatomy, &film.findings, &mut Random::new(1), 128);
        assert!(with > mean(&without.pixels, &mask) + 25.0);
    }
}
