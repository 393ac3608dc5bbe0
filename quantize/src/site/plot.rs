//! Reliability diagrams as SVG: share of positive films over mean probability, bin by bin, before and after.

use std::fmt::Write;

use rad_dino_train::metrics::calibration::Bin;

use super::refit::Fitted;

const SIDE: f64 = 180.0;
const GAP: f64 = 46.0;
const COLUMNS: usize = 4;
const COLOURS: [&str; 2] = ["#b0682c", "#1f5fa8"];

/// One square a label. A point's area grows with the films of its bin.
pub(super) fn svg(labels: &[Fitted]) -> String {
    let columns = labels.len().clamp(1, COLUMNS);
    let rows = labels.len().div_ceil(COLUMNS).max(1);
    let (width, height) = (columns as f64 * (SIDE + GAP) + GAP, rows as f64 * (SIDE + 2.0 * GAP) + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (word, (colour, x)) in ["before", "after"].iter().zip(COLOURS.iter().zip([GAP, GAP + 70.0])) {
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"16\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"20\">{word}</text>",
            x + 9.0
        );
    }
    for (i, label) in labels.iter().enumerate() {
        let left = GAP + (i % COLUMNS) as f64 * (SIDE + GAP);
        let top = 1.4 * GAP + (i / COLUMNS) as f64 * (SIDE + 2.0 * GAP);
        square(&mut out, label, left, top);
    }
    out + "</svg>\n"
}

fn square(out: &mut String, label: &Fitted, left: f64, top: f64) {
    let bottom = top + SIDE;
    let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.3}"));
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\">{}: ECE {} → {} (n {})</text>\n\
         <rect x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#888\"/>\n\
         <line x1=\"{left}\" y1=\"{bottom}\" x2=\"{}\" y2=\"{top}\" stroke=\"#bbb\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{left}\" y=\"{}\">mean probability, 0 to 1</text>",
        top - 6.0,
        escaped(&label.label),
        number(label.ece[0]),
        number(label.ece[1]),
        label.measured[0],
        left + SIDE,
        bottom + 14.0,
    );
    for (bins, colour) in label.bins.iter().zip(COLOURS) {
        let all: f64 = bins.iter().map(|bin| bin.weight).sum();
        let place = |bin: &Bin| {
            let (x, y) = (bin.confidence / bin.weight, bin.hits / bin.weight);
            (left + x * SIDE, bottom - y * SIDE)
        };
        let filled: Vec<&Bin> = bins.iter().filter(|bin| bin.weight > 0.0).collect();
        let line: Vec<String> = filled.iter().map(|bin| place(bin)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", line.join(" "));
        for bin in filled {
            let ((x, y), radius) = (place(bin), 2.0 + 8.0 * (bin.weight / all).sqrt());
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{colour}\" fill-opacity=\"0.6\"/>"
            );
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
