//! A comparison as a table for people.

use rad_dino_train::evaluate::scores::Estimate;

use super::report::{Comparison, File};

/// The text of `compare --format text`.
pub fn text(found: &Comparison) -> String {
    let mut lines =
        vec![format!("{:10} {:24} {:>9} {:>22} {:>12}", "", "model", "file", "encoder, median (min)", "peak memory")];
    for (role, file) in [("reference", &found.reference), ("candidate", &found.candidate)] {
        lines.push(file_line(role, file));
    }
    lines.push(format!("measured in turns on {} with {} threads", found.isa, found.threads));
    let tokens = &found.tokens;
    lines.push(format!(
        "\n{} films of split {} ({} failed)\nCLS cosine {:.5}, worst film {:.5}; patch cosine {:.5}, worst token {:.4}; largest difference {:.3}\n",
        tokens.films,
        found.split,
        found.failed,
        tokens.cls_mean,
        tokens.cls_worst,
        tokens.patch_mean,
        tokens.patch_worst,
        tokens.largest_difference
    ));
    let mut source = "";
    for row in &found.metrics {
        if row.source != source {
            source = &row.source;
            lines.push(format!("{source}: reference | candidate | difference, 95 % intervals over patients"));
        }
        let name = format!("{} {} {}", row.task, row.label, row.metric);
        let difference = row.difference.as_ref().map_or_else(|| "–".to_owned(), |d| estimate(d, true));
        lines.push(format!(
            "  {name:44} {} | {} | {difference}  n {}, positive {}",
            estimate(&row.reference, false),
            estimate(&row.candidate, false),
            row.n,
            row.positives
        ));
    }
    lines.push("\ndecisions: agreeing films (positive by the reference only / by the candidate only)".to_owned());
    for decision in &found.decisions {
        let name = format!("{} {}", decision.task, decision.label);
        let share = 100.0 * decision.agree as f64 / decision.n.max(1) as f64;
        lines.push(format!(
            "  {name:44} {}/{} = {share:.1} % ({} / {})",
            decision.agree, decision.n, decision.lost, decision.gained
        ));
    }
    lines.join("\n")
}

fn file_line(role: &str, file: &File) -> String {
    let name = match file.precision {
        Some(precision) => format!("{} ({})", file.name, precision.as_str()),
        None => file.name.clone(),
    };
    let time = format!("{:.2} ms ({:.2})", file.encoder_ms.median, file.encoder_ms.min);
    let memory = file.peak_rss_mb.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.0} MB"));
    format!("{role:10} {name:24} {:6.1} MB {time:>22} {memory:>12}", file.bytes as f64 / 1e6)
}

fn estimate(e: &Estimate, signed: bool) -> String {
    let number = |x: Option<f64>| match x {
        Some(x) if signed => format!("{x:+.4}"),
        Some(x) => format!("{x:.3}"),
        None => "–".to_owned(),
    };
    format!("{} [{}, {}]", number(e.value), number(e.low), number(e.high))
}
