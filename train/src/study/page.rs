//! The study as Markdown.

use std::fmt::Write;

use super::Config;
use super::arm::Kind;
use super::questions::Estimate;
use super::run::Outcome;

/// Tables of every arm's test scores and of its gains over the start, and what was compared how.
pub fn markdown(config: &Config, outcomes: &[Outcome]) -> String {
    let mut text = String::from("# What the encoder learns from what\n\n");
    // writing to a String cannot fail
    let _ = writeln!(
        text,
        "Every arm: the same start, {} steps of {} films, then frozen; heads fitted on each source's own train split, \
         chosen on val, measured on test at {} px. AUROC (`age`: mean absolute error in years, less is better), 95 % \
         interval over patients. `reports` and `labels` see one view of a film a step, the arms on images {}.\n",
        config.steps,
        config.pretrain.batch(),
        config.image_size,
        2 + config.pretrain.crops.local_count,
    );
    let done: Vec<&Outcome> = outcomes.iter().filter(|o| o.left_out.is_none()).collect();
    for outcome in outcomes {
        if let Some(reason) = &outcome.left_out {
            let _ = writeln!(text, "Left out: {} ({reason}).\n", outcome.arm.name());
        }
    }
    table(&mut text, "## Test", &done, |outcome, i| outcome.questions.get(i)?.estimate());
    if let Some(start) = done.iter().find(|o| o.arm.kind == Kind::Start) {
        let others: Vec<&Outcome> = done.iter().copied().filter(|o| o.arm.kind != Kind::Start).collect();
        let heading = "## Gain over the start, film by film (positive is better, in years for age)";
        table(&mut text, heading, &others, |outcome, i| outcome.questions.get(i)?.gain(start.questions.get(i)?));
    }
    text.push_str("![All arms](study.svg)\n\n| arm | minutes of training |\n|---|---|\n");
    for outcome in &done {
        let _ = writeln!(text, "| {} | {:.1} |", outcome.arm.name(), outcome.seconds / 60.0);
    }
    text.push_str("\nResearch software, not a medical device.\n");
    text
}

/// One row a question, one column an arm. Every arm answers the same questions in the same order.
fn table(text: &mut String, heading: &str, outcomes: &[&Outcome], cell: impl Fn(&Outcome, usize) -> Option<Estimate>) {
    let Some(first) = outcomes.first() else { return };
    let names: Vec<String> = outcomes.iter().map(|o| o.arm.name()).collect();
    let _ = writeln!(text, "{heading}\n\n| source · question | films | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(names.len()));
    for (i, question) in first.questions.iter().enumerate() {
        let _ = write!(text, "| {} · {} | {} |", question.source, question.label, question.truth.len());
        for outcome in outcomes {
            let shown = cell(outcome, i).map_or_else(|| "–".to_owned(), |e| shown(e, question.is_age()));
            let _ = write!(text, " {shown} |");
        }
        text.push('\n');
    }
    text.push('\n');
}

fn shown(e: Estimate, years: bool) -> String {
    match years {
        true => format!("{:.1} [{:.1}, {:.1}]", e.value, e.low, e.high),
        false => format!("{:.3} [{:.3}, {:.3}]", e.value, e.low, e.high),
    }
}
