//! A report in the words of radiologists, put together from templates.

use super::anatomy::Anatomy;
use super::findings::{Device, Findings};
use crate::data::View;
use crate::random::Random;

const SIDES: [&str; 2] = ["right", "left"];

/// FINDINGS and IMPRESSION of a film.
pub fn report(a: &Anatomy, f: &Findings, random: &mut Random) -> String {
    let mut findings = vec![view(a, random), devices(f)];
    findings.extend([heart(f, random), lungs(f, random), pleura(f, random), bones(a, random)]);
    let findings: Vec<String> = findings.into_iter().filter(|s| !s.is_empty()).collect();
    format!("FINDINGS: {} IMPRESSION: {}", findings.join(" "), impression(f, random))
}

fn view(a: &Anatomy, random: &mut Random) -> String {
    match a.view {
        View::Pa => random.pick(&["PA view of the chest.", "Single frontal view.", "Frontal radiograph of the chest."]),
        View::Ap => random.pick(&["AP portable view of the chest.", "Single AP view.", "Portable frontal radiograph."]),
    }
    .to_owned()
}

fn devices(f: &Findings) -> String {
    let sentence = |device: &Device| match device {
        Device::CentralLine => "A right central venous catheter ends in the superior vena cava.",
        Device::TrachealTube => "An endotracheal tube ends above the carina.",
        Device::Pacemaker => "A left chest pacemaker with a lead in the right ventricle is present.",
        Device::Electrodes => "Monitoring electrodes and wires overlie the chest.",
    };
    f.devices.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

fn heart(f: &Findings, random: &mut Random) -> String {
    if f.cardiomegaly {
        random.pick(&["The heart is enlarged.", "The cardiac silhouette is enlarged.", "There is cardiomegaly."])
    } else {
        random.pick(&[
            "The heart is normal in size.",
            "Heart size is within normal limits.",
            "The cardiomediastinal silhouette is unremarkable.",
        ])
    }
    .to_owned()
}

fn lungs(f: &Findings, random: &mut Random) -> String {
    let mut sentences = Vec::new();
    if let Some(c) = &f.consolidation {
        let place = format!("{} {}", SIDES[c.lung], c.zone);
        sentences.push(match random.below(3) {
            0 => format!("There is consolidation in the {place} zone."),
            1 => format!("Patchy airspace opacity projects over the {place} lung zone, in keeping with consolidation."),
            _ => format!("A {place} zone consolidation is seen."),
        });
    }
    if let Some(n) = &f.nodule {
        // A film shows about 40 cm.
        let millimetres = (n.radius * 2.0 * 400.0).round();
        let place = format!("{} {}", SIDES[n.lung], n.zone);
        sentences.push(match random.below(2) {
            0 => format!("A {millimetres:.0} mm nodule projects over the {place} zone."),
            _ => format!("There is a rounded nodule of about {millimetres:.0} mm in the {place} lung zone."),
        });
    }
    if sentences.is_empty() {
        let clear = ["The lungs are clear.", "No focal consolidation or nodule.", "Both lungs are clear."];
        sentences.push(random.pick(&clear).to_owned());
    }
    sentences.join(" ")
}

fn pleura(f: &Findings, random: &mut Random) -> String {
    let mut sentences = Vec::new();
    match &f.effusion {
        Some(e) => {
            let size = size(e.height, [0.10, 0.19]);
            sentences.push(match random.below(2) {
                0 => format!("There is a {size} {} pleural effusion.", SIDES[e.lung]),
                _ => format!("The {} costophrenic angle is blunted by a {size} pleural effusion.", SIDES[e.lung]),
            });
        }
        None => sentences.push(random.pick(&["No pleural effusion.", "The costophrenic angles are sharp."]).to_owned()),
    }
    match &f.pneumothorax {
        Some(p) => {
            let size = size(p.width, [0.055, 0.085]);
            sentences.push(format!("There is a {size} {} apical pneumothorax.", SIDES[p.lung]));
        }
        None => sentences.push(random.pick(&["No pneumothorax.", "There is no pneumothorax."]).to_owned()),
    }
    sentences.join(" ")
}

fn bones(a: &Anatomy, random: &mut Random) -> String {
    if a.age > 70.0 {
        random.pick(&["The bones are demineralized.", "Degenerative changes of the spine."])
    } else {
        random.pick(&["The bony thorax is intact.", "No acute bony abnormality.", "Osseous structures are normal."])
    }
    .to_owned()
}

fn impression(f: &Findings, random: &mut Random) -> String {
    let mut points = Vec::new();
    if let Some(p) = &f.pneumothorax {
        points.push(format!("{} pneumothorax", capital(SIDES[p.lung])));
    }
    if let Some(c) = &f.consolidation {
        points.push(format!("{} {} zone consolidation", capital(SIDES[c.lung]), c.zone));
    }
    if let Some(e) = &f.effusion {
        points.push(format!("{} pleural effusion", capital(SIDES[e.lung])));
    }
    if let Some(n) = &f.nodule {
        points.push(format!("{} {} zone nodule; follow-up is advised", capital(SIDES[n.lung]), n.zone));
    }
    if f.cardiomegaly {
        points.push("Cardiomegaly".to_owned());
    }
    if points.is_empty() {
        let normal = ["No acute cardiopulmonary abnormality.", "No acute disease.", "Normal chest."];
        return random.pick(&normal).to_owned();
    }
    points.iter().enumerate().map(|(i, p)| format!("{}. {p}.", i + 1)).collect::<Vec<_>>().join(" ")
}

fn size(value: f64, limits: [f64; 2]) -> &'static str {
    if value < limits[0] {
        "small"
    } else if value < limits[1] {
        "moderate"
    } else {
        "large"
    }
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}
