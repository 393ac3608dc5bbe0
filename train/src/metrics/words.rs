//! Words as text metrics count them: lower-case runs of letters and digits.

/// The words of a text (as `rouge_score` splits without stemming).
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}
