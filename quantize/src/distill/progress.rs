//! Progress on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `count` `unit`s, hidden when `quiet`.
pub fn bar(label: &str, unit: &str, count: usize, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(count as u64), target);
    let template = format!("{label} {{wide_bar}} {{pos}}/{{len}} {unit} {{msg}} {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// A line on stderr, above the bar.
pub fn note(quiet: bool, bar: &ProgressBar, text: &str) {
    if !quiet {
        bar.suspend(|| eprintln!("{text}"));
    }
}
