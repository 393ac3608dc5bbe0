//! The study as one picture: a row a question, a dot with its interval an arm.

use std::fmt::Write;

use super::run::Outcome;

const LEFT: f64 = 330.0;
const WIDTH: f64 = 900.0;
const LINE: f64 = 11.0;
const COLOURS: [&str; 8] = ["#888", "#000", "#06c", "#0aa", "#693", "#c60", "#a0a", "#c22"];

/// Yes/no questions only: their AUROC lies on one axis, from 0.4 to 1.
pub fn svg(outcomes: &[Outcome]) -> String {
    let done: Vec<&Outcome> = outcomes.iter().filter(|o| o.left_out.is_none()).collect();
    let questions: Vec<(usize, String)> = done.first().map_or(Vec::new(), |first| {
        let named = first.questions.iter().enumerate().filter(|(_, q)| !q.is_age());
        named.map(|(i, q)| (i, format!("{}: {}", q.source, q.label))).collect()
    });
    let block = LINE * (done.len() as f64 + 1.5);
    let top = 30.0 + 16.0 * done.len() as f64;
    let height = top + block * questions.len() as f64 + 30.0;
    let x = |v: f64| LEFT + (v.clamp(0.4, 1.0) - 0.4) / 0.6 * (WIDTH - LEFT - 20.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let dot = |text: &mut String, x: f64, y: f64, colour: &str| {
        // writing to a String cannot fail
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
    };
    let words = |text: &mut String, x: f64, y: f64, anchor: &str, words: &str| {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
    };
    let line = |text: &mut String, [x1, x2, y1, y2]: [f64; 4], colour: &str| {
        let _ =
            writeln!(text, "<line x1=\"{x1:.1}\" x2=\"{x2:.1}\" y1=\"{y1:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>");
    };
    for (a, outcome) in done.iter().enumerate() {
        let y = 20.0 + 16.0 * a as f64;
        dot(&mut text, 12.0, y - 4.0, COLOURS[a % COLOURS.len()]);
        words(&mut text, 22.0, y, "start", &outcome.arm.name());
    }
    for tick in 4..=10 {
        let v = f64::from(tick) / 10.0;
        line(&mut text, [x(v), x(v), top, height - 24.0], "#ddd");
        words(&mut text, x(v), height - 8.0, "middle", &v.to_string());
    }
    for (row, (i, name)) in questions.iter().enumerate() {
        let first = top + block * row as f64;
        words(&mut text, 8.0, first + LINE, "start", name);
        for (a, outcome) in done.iter().enumerate() {
            let Some(e) = outcome.questions.get(*i).and_then(|q| q.estimate()) else { continue };
            let (y, colour) = (first + LINE * (a as f64 + 0.7), COLOURS[a % COLOURS.len()]);
            line(&mut text, [x(e.low), x(e.high), y, y], colour);
            dot(&mut text, x(e.value), y, colour);
        }
    }
    text.push_str("</svg>\n");
    text
}
