//! Curves over the steps as SVG.

use std::fmt::Write;
use std::path::Path;

use rad_dino_edge::Result;

use super::checkup::Report;
use super::metrics::Record;
use crate::files;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 28.0;
const POINTS: usize = 700;

type Value = fn(&Record) -> f64;

const PANELS: [(&str, Value); 8] = [
    ("loss", |r| r.loss),
    ("loss_dino_local", |r| r.loss_dino_local),
    ("loss_dino_global", |r| r.loss_dino_global),
    ("loss_ibot", |r| r.loss_ibot),
    ("loss_koleo", |r| r.loss_koleo),
    ("target_entropy", |r| r.target_entropy),
    ("lr", |r| r.lr),
    ("images_per_second", |r| r.images_per_second),
];

/// A name and its (step, value).
pub type Panel = (String, Vec<(f64, f64)>);

/// Draws `panels` one below the other to `path`.
///
/// # Errors
/// `Io` naming the file.
pub fn draw_panels(path: &Path, panels: &[Panel]) -> Result<()> {
    files::write(path, svg(panels).as_bytes())
}

/// Draws one panel a quantity over the steps to `path`.
///
/// # Errors
/// `Io` naming the file.
pub fn draw(path: &Path, records: &[Record]) -> Result<()> {
    files::write(path, svg(&panels(records)).as_bytes())
}

/// Draws rank, means, and one panel a question (AUROC of k-NN and of the linear probe) to `path`.
///
/// # Errors
/// `Io` naming the file.
pub fn draw_watch(path: &Path, reports: &[Report]) -> Result<()> {
    let over = |value: &dyn Fn(&Report) -> Option<f64>| {
        reports.iter().filter_map(|r| Some((r.step as f64, value(r)?))).collect::<Vec<_>>()
    };
    let mut panels: Vec<Panel> = vec![("rank".to_owned(), over(&|r| Some(r.rank)))];
    let names = reports.first().map_or(&[][..], |r| &r.marks).iter().map(|m| (&m.source, &m.question));
    for (source, question) in names {
        let mark = |r: &Report| r.marks.iter().find(|m| m.source == *source && m.question == *question).cloned();
        panels.push((format!("{source}: {question}, k-NN AUROC"), over(&|r| Some(mark(r)?.knn_auroc))));
        panels.push((format!("{source}: {question}, linear AUROC"), over(&|r| mark(r)?.linear_auroc)));
    }
    files::write(path, svg(&panels).as_bytes())
}

fn panels(records: &[Record]) -> Vec<Panel> {
    PANELS.iter().map(|(name, value)| ((*name).to_owned(), points(records, *value))).collect()
}

fn svg(panels: &[Panel]) -> String {
    let height = HEIGHT * panels.len() as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (i, (name, points)) in panels.iter().enumerate() {
        panel(&mut text, name, points, i as f64 * HEIGHT);
    }
    text.push_str("</svg>\n");
    text
}

/// At most [`POINTS`] of (step, mean of the steps around it).
fn points(records: &[Record], value: Value) -> Vec<(f64, f64)> {
    let group = records.len().div_ceil(POINTS).max(1);
    let mean = |chunk: &[Record]| {
        let n = chunk.len() as f64;
        (chunk.iter().map(|r| r.step as f64).sum::<f64>() / n, chunk.iter().map(value).sum::<f64>() / n)
    };
    records.chunks(group).map(mean).filter(|(_, y)| y.is_finite()).collect()
}

fn panel(text: &mut String, name: &str, points: &[(f64, f64)], top: f64) {
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        let (low, high) = points
            .iter()
            .map(pick)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
    };
    let (x0, x1) = bounds(|p| p.0);
    let (y0, y1) = bounds(|p| p.1);
    let (right, bottom) = (WIDTH - 16.0, HEIGHT - 24.0);
    let x = |v: f64| LEFT + (v - x0) / (x1 - x0) * (right - LEFT);
    let y = |v: f64| top + bottom - (v - y0) / (y1 - y0) * (bottom - TOP);
    // writing to a String cannot fail
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>", top + 16.0, escaped(name));
    if points.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"none\" stroke=\"#999\"/>",
        top + TOP,
        right - LEFT,
        bottom - TOP
    );
    for v in [y0, y1] {
        let _ = writeln!(text, "<text x=\"4\" y=\"{:.1}\">{}</text>", y(v) + 4.0, short(v));
    }
    for (v, anchor) in [(x0, "start"), (x1, "end")] {
        let (x, y) = (x(v), top + bottom + 14.0);
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", short(v));
    }
    let line: Vec<String> = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
    let _ = writeln!(text, "<polyline fill=\"none\" stroke=\"#06c\" points=\"{}\"/>", line.join(" "));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn short(v: f64) -> String {
    if v == 0.0 || (1e-2..1e5).contains(&v.abs()) { format!("{}", (v * 1e3).round() / 1e3) } else { format!("{v:.2e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_thinned_and_odd_values_do_no_harm() {
        let records: Vec<Record> =
            (0..5000).map(|step| Record { step, loss: 10.0 / (step + 1) as f64, ..Record::default() }).collect();
        let thin = points(&records, |r| r.loss);
        assert!(thin.len() <= POINTS && thin[0].1 > thin[100].1);
        let text = svg(&panels(&records));
        assert_eq!(text.matches("<polyline").count(), PANELS.len());
        assert!(text.len() < 200_000 && !text.contains("NaN") && !text.contains("inf"));
        let odd = svg(&panels(&[Record { loss: f64::NAN, ..Record::default() }]));
        assert!(!odd.contains("NaN"));
        assert_eq!(svg(&panels(&[])).matches("<polyline").count(), 0);
    }
}
