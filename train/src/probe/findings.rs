//! The multi-label findings task.

use crate::data::{Dataset, Film, Split};

use super::examples::Examples;
use super::question::Question;

/// The training and val films of `label` from the sources that can teach it.
pub fn question(dataset: &Dataset, label: &str) -> Question {
    yes_or_no(dataset, |film| dataset.finding(film, label))
}

/// The training and val films of which `truth` knows the answer, from the sources that can teach it.
pub fn yes_or_no(dataset: &Dataset, truth: impl Fn(&Film) -> Option<bool>) -> Question {
    let of = |split| Examples::new(dataset, split, |film| truth(film).map(|p| f64::from(u8::from(p))));
    Question::new(&of(Split::Train), &of(Split::Val))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;

    #[test]
    fn films_of_sources_without_the_label_do_not_count() {
        let mut csv = String::from("file,source,split,findings\n");
        for i in 0..120 {
            let label = ["mass", "no_finding"][i % 2];
            csv += &format!("a{i},A,train,{label}\nb{i},B,train,no_finding\n");
        }
        csv += "v,A,val,mass\nu,A,train,\n";
        let data = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let question = question(&data, "mass");
        assert_eq!((question.train.len(), question.train.positives(), question.val.len()), (120, 60, 1));
        assert_eq!(question.refusal(), None);
    }
}
