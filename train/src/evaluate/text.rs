//! A report as a table for people.

use std::fmt::Write;

use rad_dino_edge::model::manifest::Metric;

use super::Report;

/// The table of one report; groups are left to JSON.
pub fn table(report: &Report) -> String {
    let mut out = format!("{} · {}", report.source, report.split);
    match report.floor {
        Some(super::Floor::Random) => out += " · floor: random encoder",
        Some(super::Floor::Pixels) => out += " · floor: 32×32 pixels",
        None => {}
    }
    out += "\n";
    let name = |m: &Metric| format!("{} {}", m.task, m.label);
    let width = report.metrics.iter().map(|m| name(m).chars().count()).max().unwrap_or(0);
    for metric in &report.metrics {
        let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.3}"));
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "  {:width$}  {:<11} {:>7}  [{}, {}]  n {}, positive {}",
            name(metric),
            metric.metric,
            number(metric.value),
            number(metric.low),
            number(metric.high),
            metric.n,
            metric.positives,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_metric() {
        let metric = Metric {
            source: String::new(),
            task: "findings".to_owned(),
            label: "mass".to_owned(),
            metric: "auroc".to_owned(),
            value: Some(0.81234),
            low: None,
            high: Some(0.9),
            n: 20,
            positives: 7,
        };
        let report = Report {
            source: "S".to_owned(),
            split: "test".to_owned(),
            floor: Some(crate::evaluate::Floor::Pixels),
            metrics: vec![metric],
            groups: Vec::new(),
        };
        let text = table(&report);
        assert!(text.starts_with("S · test · floor: 32×32 pixels\n"), "{text}");
        assert!(text.contains("findings mass") && text.contains("0.812  [–, 0.900]  n 20, positive 7"), "{text}");
    }
}
