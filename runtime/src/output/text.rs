//! An answer for a person.

use std::fmt::Write;

use super::json::Answer;
use crate::model::manifest::NOTICE;

const BAR: usize = 20;

/// A small table: findings with bars and thresholds, estimates, warnings.
pub fn answer(answer: &Answer) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let (input, model) = (&answer.input, &answer.model);
    line(format!("{}  ({} × {}, {})", input.path, input.width, input.height, input.format));
    let precision = model.precision.map(|p| format!(", {p}")).unwrap_or_default();
    line(format!("model {}{precision}, {} px, sha256 {:.12}", model.name, model.image_size, model.sha256));
    for warning in &answer.warnings {
        line(format!("  WARNING  {}: {}", warning.kind, warning.message));
    }
    if let Some(findings) = &answer.findings {
        let width = findings.iter().map(|f| f.label.len()).max().unwrap_or(0);
        line(format!("\n  {:width$}  probability  {:BAR$}  threshold", "finding", ""));
        for f in findings {
            let filled = (f.probability * BAR as f64).round() as usize;
            let bar: String = (0..BAR).map(|i| if i < filled { '█' } else { '·' }).collect();
            let mark = if f.positive { "  POSITIVE" } else { "" };
            line(format!("  {:width$}     {:7.3}   {bar}      {:.3}{mark}", f.label, f.probability, f.threshold));
        }
    }
    let attributes = &answer.attributes;
    let mut estimates = vec![];
    if let Some(sex) = &attributes.sex {
        let (word, p) = if sex.female >= 0.5 { ("female", sex.female) } else { ("male", 1.0 - sex.female) };
        estimates.push(format!("sex {word} ({:.0} %)", p * 100.0));
    }
    if let Some(age) = attributes.age_years {
        estimates.push(format!("age {age:.0} y"));
    }
    if let Some(view) = &attributes.view {
        estimates.push(format!("view {} ({:.0} %)", view.label, view.probability * 100.0));
    }
    if !estimates.is_empty() {
        line(format!("\n  estimated from the image: {}", estimates.join(", ")));
    }
    let tags = &input.tags;
    let said = [("sex", &tags.patient_sex), ("age", &tags.patient_age), ("view", &tags.view_position)];
    let said: Vec<_> = said.iter().filter_map(|(name, tag)| Some(format!("{name} {}", tag.as_ref()?))).collect();
    if !said.is_empty() {
        line(format!("  tags of the file:         {}", said.join(", ")));
    }
    if let Some(regions) = &answer.segmentation {
        let regions: Vec<_> = regions.iter().map(|r| format!("{} {:.0} %", r.label, r.area_fraction * 100.0)).collect();
        line(format!("\n  share of the picture: {}", regions.join(", ")));
    }
    if let Some(report) = &answer.report {
        line(format!("\n  report ({}): {}", report.source, report.text));
        for sentence in &report.sentences {
            let against = match sentence.contradicts.is_empty() {
                true => String::new(),
                false => format!("  AGAINST THE PROBE of {}", sentence.contradicts.join(", ")),
            };
            line(format!("    {:3.0} %  {}{against}", sentence.confidence * 100.0, sentence.text));
        }
    }
    let t = &answer.timing_ms;
    line(format!(
        "\n  {:.0} ms: read {:.0}, preprocess {:.0}, encoder {:.0}, heads {:.1}  ({}, {} threads)",
        t.total, t.read, t.preprocess, t.encoder, t.heads, answer.engine.isa, answer.engine.threads
    ));
    line(format!("  {NOTICE}"));
    out
}
