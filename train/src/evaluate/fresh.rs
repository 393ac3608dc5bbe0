//! Fresh heads for one source alone, fitted on its own train split: the floors, and `evaluate --fit`.

use rad_dino_edge::model::manifest::{Calibration, Finding};

use super::Predictions;
use crate::data::Dataset;
use crate::linalg::Matrix;
use crate::probe::{Answer, Columns, Question, age, findings, sex, view};

/// What fresh heads are wanted for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Labels of findings.
    pub findings: Vec<String>,
    /// The sex head.
    pub sex: bool,
    /// The age head.
    pub age: bool,
    /// The view head.
    pub view: bool,
}

impl Wanted {
    /// What `predictions` has heads for.
    pub fn like(predictions: &Predictions) -> Self {
        Wanted {
            findings: predictions.findings.iter().map(|(finding, _)| finding.label.clone()).collect(),
            sex: predictions.sex.is_some(),
            age: predictions.age.is_some(),
            view: predictions.view.is_some(),
        }
    }

    /// Whatever can be learnt from `dataset`: labels enough films of some source show.
    pub fn all(dataset: &Dataset) -> Self {
        let learnable = |label: &&str| {
            let question = findings::question(dataset, label);
            question.train.sources().iter().any(|s| question.of_source(*s).refusal().is_none())
        };
        let findings = dataset.labels().into_iter().filter(learnable).map(str::to_owned).collect();
        Wanted { findings, sex: true, age: true, view: true }
    }
}

/// Fits what is `wanted` on the train split of the source numbered `source` (in `dataset.sources()`), with the columns
/// `columns` of `features`, and predicts every film. A label the source cannot teach gets no logits.
pub fn fit(dataset: &Dataset, features: &Matrix, columns: &Columns, source: usize, wanted: &Wanted) -> Predictions {
    let rows: Vec<usize> = (0..features.rows).collect();
    let answer = |question: Question| question.of_source(source).fit(features, columns);
    let logits = |answer: &Answer| answer.head.outputs(features, &rows);
    let of_label = |label: &String| match answer(findings::question(dataset, label)) {
        Some(a) => (Finding { label: label.clone(), threshold: a.threshold, calibration: a.calibration }, logits(&a)),
        None => {
            let calibration = Calibration { scale: 1.0, offset: 0.0 };
            (Finding { label: label.clone(), threshold: 0.5, calibration }, Vec::new())
        }
    };
    let sex = wanted.sex.then(|| answer(sex::question(dataset))).flatten();
    let (train, val) = age::examples(dataset);
    let age = wanted
        .age
        .then(|| age::fit(features, columns.used.clone(), &train.filter(|s| s == source), &val.filter(|s| s == source)))
        .flatten();
    let (train, val) = view::examples(dataset);
    let (train, val) = (train.filter(|s| s == source), val.filter(|s| s == source));
    let view = (wanted.view && view::refusal(&train).is_none())
        .then(|| view::fit(features, columns.used.clone(), &train, &val));
    Predictions {
        findings: wanted.findings.iter().map(of_label).collect(),
        sex: sex.map(|a| (a.calibration, logits(&a))),
        age: age.map(|a| a.linear.outputs(features, &rows)),
        view: view.flatten().map(|v| {
            let mut outputs = Matrix::zeros(rows.len(), v.logits.len());
            for &row in &rows {
                let values = v.logits.iter().map(|l| l.output(features.row(row)) as f32);
                outputs.row_mut(row).iter_mut().zip(values).for_each(|(o, x)| *o = x);
            }
            (view::CLASSES.iter().map(|c| c.as_str().to_owned()).collect(), outputs)
        }),
        out_of_distribution: None,
        segmentation: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Manifest, Split};
    use crate::evaluate::report;
    use crate::random::Random;

    #[test]
    fn learns_from_one_source_and_leaves_out_what_it_cannot_teach() {
        let mut random = Random::new(17);
        let mut csv = String::from("file,source,split,findings,sex,age,view\n");
        let n = 900;
        let mut features = Matrix::zeros(n, 5);
        for i in 0..n {
            let source = ["A", "B"][i % 2];
            let split = ["train", "train", "train", "val", "test"][(i / 2) % 5];
            let (mass, female, pa) = (random.chance(0.4), random.chance(0.5), random.chance(0.5));
            let age = random.range(20.0, 80.0);
            let label = if mass && source == "A" { "mass" } else { "no_finding" };
            csv += &format!(
                "{i},{source},{split},{label},{},{age:.1},{}\n",
                if female { "F" } else { "M" },
                if pa { "PA" } else { "AP" }
            );
            let signal = |yes: bool| if yes { 3.0 } else { 0.0 };
            for (j, x) in [signal(mass), signal(female), age / 5.0, signal(pa), 0.0].into_iter().enumerate() {
                features.row_mut(i)[j] = (x + random.normal()) as f32;
            }
        }
        let data = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let wanted = Wanted::all(&data);
        assert_eq!(wanted.findings, ["mass"]);
        let predictions = fit(&data, &features, &Columns::all(5), 0, &wanted);
        let report = report::report(&data, "A", Split::Test, &predictions, None).unwrap();
        let value = |task: &str, metric: &str| {
            report.metrics.iter().find(|m| m.task == task && m.metric == metric).unwrap().value.unwrap()
        };
        assert!(value("findings", "auroc") > 0.9 && value("sex", "accuracy") > 0.85, "{:?}", report.metrics);
        assert!(value("age", "mae") < 6.0 && value("view", "auroc") > 0.9, "{:?}", report.metrics);
        let other = fit(&data, &features, &Columns::all(5), 1, &wanted);
        assert!(other.findings[0].1.is_empty(), "source B never uses the label");
        assert!(other.sex.is_some());
    }
}
