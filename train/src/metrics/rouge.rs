//! ROUGE-L (Lin 2004): the longest common subsequence of words, as F1.

/// F1 of the longest common subsequence; 0 where either text is empty.
pub fn rouge_l(reference: &[String], candidate: &[String]) -> f64 {
    let common = longest_common(reference, candidate) as f64;
    if common == 0.0 {
        return 0.0;
    }
    let (recall, precision) = (common / reference.len() as f64, common / candidate.len() as f64);
    2.0 * recall * precision / (recall + precision)
}

/// Length of the longest common subsequence.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
