//! Tasks: each fits one head and puts it among the probes of a checkpoint.

use rad_dino_edge::checkpoint::Probes;
use rad_dino_edge::model::manifest::Finding;

use super::gate::Gated;
use super::question::Question;
use super::{Columns, age, findings, head, sex, view};
use crate::data::Dataset;
use crate::linalg::Matrix;

/// A task with a head of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Multi-label findings.
    Findings,
    /// Sex.
    Sex,
    /// Age in years.
    Age,
    /// Projection.
    View,
}

impl Task {
    /// All tasks.
    pub const ALL: [Task; 4] = [Task::Findings, Task::Sex, Task::Age, Task::View];

    /// The head's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Findings => "findings",
            Task::Sex => "sex",
            Task::Age => "age",
            Task::View => "view",
        }
    }

    /// Fits the head on `features` [films, 2D] (of findings the `labels` only, all when empty) and puts it into `probes`, in place of what was there under its name.
    /// Returns what there is to say about it; None when the data cannot teach the task (then `probes` stay as they are).
    pub fn fit(
        self,
        dataset: &Dataset,
        features: &Matrix,
        columns: &Columns,
        labels: &[String],
        probes: &mut Probes,
        notes: &mut Vec<String>,
    ) -> Option<()> {
        let outputs = match self {
            Task::Findings => {
                let (labels, outputs) = fit_findings(dataset, features, columns, labels, notes);
                if outputs.is_empty() {
                    notes.push("findings: no label can be taught by these films".to_owned());
                    return None;
                }
                probes.config.heads.findings = labels;
                outputs
            }
            Task::Sex => {
                let question = sex::question(dataset);
                let Some(answer) = question.fit(features, columns) else {
                    notes.push(format!("sex: {}", question.refusal().unwrap_or_else(|| "no head".to_owned())));
                    return None;
                };
                notes.push(format!("sex: {} training films, {}", question.train.len(), answer.summary()));
                probes.config.heads.sex = Some(answer.calibration);
                vec![answer.head]
            }
            Task::Age => {
                let (train, val) = age::examples(dataset);
                let Some(fit) = age::fit(features, columns.used.clone(), &train, &val) else {
                    notes.push(format!("age: no source has {} training films of known age", age::MIN_FILMS));
                    return None;
                };
                let error = fit.val_mae.map_or_else(|| "unknown".to_owned(), |e| format!("{e:.2} years"));
                notes.push(format!(
                    "age: {} training films, strength {}, val error {error}",
                    train.len(),
                    fit.strength
                ));
                probes.config.heads.age = true;
                vec![Gated::from(fit.linear)]
            }
            Task::View => {
                let (train, val) = view::examples(dataset);
                if let Some(reason) = view::refusal(&train) {
                    notes.push(format!("view: {reason}"));
                    return None;
                }
                let fit = view::fit(features, columns.used.clone(), &train, &val)?;
                notes.push(format!("view: {} training films, strength {}", train.len(), fit.strength));
                probes.config.heads.view = view::CLASSES.iter().map(|c| c.as_str().to_owned()).collect();
                fit.logits.into_iter().map(Gated::from).collect()
            }
        };
        probes.heads.insert(self.as_str().to_owned(), head::head(&outputs, features.cols));
        Some(())
    }
}

fn fit_findings(
    dataset: &Dataset,
    features: &Matrix,
    columns: &Columns,
    wanted: &[String],
    notes: &mut Vec<String>,
) -> (Vec<Finding>, Vec<Gated>) {
    let sources = dataset.sources();
    let of_label = |label: &str| {
        let question: Question = findings::question(dataset, label);
        let Some(answer) = question.fit(features, columns) else {
            notes.push(format!("{label}: {}", question.refusal().unwrap_or_else(|| "no head".to_owned())));
            return None;
        };
        let names: Vec<&str> = question.train.sources().into_iter().map(|s| sources[s]).collect();
        notes.push(format!(
            "{label}: {} of {} training films ({}), {}",
            question.train.positives(),
            question.train.len(),
            names.join(", "),
            answer.summary()
        ));
        let finding = Finding { label: label.to_owned(), threshold: answer.threshold, calibration: answer.calibration };
        Some((finding, answer.head))
    };
    let labels = dataset.labels().into_iter();
    let labels = labels.filter(|label| wanted.is_empty() || wanted.iter().any(|w| w == label));
    labels.filter_map(of_label).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;
    use crate::random::Random;

    #[test]
    fn heads_are_added_one_task_at_a_time() {
        let mut random = Random::new(23);
        let mut csv = String::from("file,source,split,findings,sex,age\n");
        let n = 500;
        let mut features = Matrix::zeros(n, 8);
        for i in 0..n {
            let (mass, female) = (random.chance(0.5), random.chance(0.5));
            let split = if i % 5 == 0 { "val" } else { "train" };
            csv += &format!(
                "{i},A,{split},{},{},{}\n",
                if mass { "mass" } else { "no_finding" },
                if female { "F" } else { "M" },
                20 + i % 60
            );
            let signal = |yes: bool| if yes { 2.0 } else { 0.0 };
            for j in 0..8 {
                let x = [signal(mass), signal(female)].get(j).copied().unwrap_or(0.0);
                features.row_mut(i)[j] = (x + random.normal()) as f32;
            }
        }
        let data = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let (mut probes, mut notes) = (Probes::default(), Vec::new());
        let columns = Columns::cls(4);
        for task in [Task::Findings, Task::Sex, Task::Age] {
            task.fit(&data, &features, &columns, &[], &mut probes, &mut notes).unwrap();
        }
        assert!(Task::View.fit(&data, &features, &columns, &[], &mut probes, &mut notes).is_none());
        assert_eq!(probes.heads.keys().collect::<Vec<_>>(), ["age", "findings", "sex"]);
        assert_eq!(probes.config.heads.findings[0].label, "mass");
        assert!(probes.heads["findings"].weight[4..8].iter().all(|w| *w == 0.0), "CLS alone leaves the mean at zero");
        assert!(notes.last().unwrap().starts_with("view: 0 AP and 0 PA"), "{notes:?}");
        probes.config.schema = "rad-dino-edge/probes/1".to_owned();
        probes.check(4).unwrap();
    }
}
