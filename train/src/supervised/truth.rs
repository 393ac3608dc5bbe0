//! What a network is taught: one column a question, unknown where a film does not say.

use rad_dino_edge::{Error, ErrorKind, Result};

use crate::data::{Dataset, Film, Sex, Split};
use crate::probe::{age, findings, sex};

/// A question of one source, so that which hospital a film is from never answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// A finding, `sex` or `age`.
    pub name: String,
    /// Number of the source in `dataset.sources()`.
    pub source: usize,
    /// Mean and deviation of a value; None for yes or no.
    pub scale: Option<(f64, f64)>,
}

/// All columns, and their values by film.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// In the order of the outputs.
    pub columns: Vec<Column>,
    /// [films][columns]: 0 or 1, a standardised value, or unknown.
    pub values: Vec<Vec<Option<f32>>>,
}

impl Truth {
    /// Every finding, sex and age that a source of `dataset` has enough training films for.
    ///
    /// # Errors
    /// `Data` when there is no such question.
    pub fn new(dataset: &Dataset) -> Result<Self> {
        let mut columns = Vec::new();
        let (ages, _) = age::examples(dataset);
        for (source, name) in dataset.sources().into_iter().enumerate() {
            for label in dataset.labels_of(name) {
                if findings::question(dataset, label).of_source(source).refusal().is_none() {
                    columns.push(Column { name: label.to_owned(), source, scale: None });
                }
            }
            if sex::question(dataset).of_source(source).refusal().is_none() {
                columns.push(Column { name: "sex".to_owned(), source, scale: None });
            }
            let own = ages.filter(|s| s == source);
            if own.len() >= age::MIN_FILMS {
                let n = own.len() as f64;
                let mean = own.target.iter().sum::<f64>() / n;
                let deviation = (own.target.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n).sqrt().max(1.0);
                columns.push(Column { name: "age".to_owned(), source, scale: Some((mean, deviation)) });
            }
        }
        if columns.is_empty() {
            return Err(Error::new(ErrorKind::Data, "these films have nothing to teach")
                .hint("a question needs 50 training films of each answer in one source"));
        }
        let sources = dataset.sources();
        let value = |film: &Film, column: &Column| -> Option<f32> {
            if film.row.source != sources[column.source] {
                return None;
            }
            match (column.name.as_str(), column.scale) {
                ("age", Some((mean, deviation))) => film.row.age.map(|a| ((a - mean) / deviation) as f32),
                ("sex", None) => film.row.sex.map(|s| f32::from(u8::from(s == Sex::Female))),
                (label, _) => dataset.finding(film, label).map(|p| f32::from(u8::from(p))),
            }
        };
        let values = dataset.films.iter().map(|film| columns.iter().map(|c| value(film, c)).collect()).collect();
        Ok(Truth { columns, values })
    }

    /// The films of `split` that know any answer.
    pub fn films(&self, dataset: &Dataset, split: Split) -> Vec<usize> {
        let known = |i: &usize| self.values[*i].iter().any(Option::is_some);
        dataset.of_split(split).into_iter().filter(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;

    #[test]
    fn columns_belong_to_sources_and_unknown_stays_unknown() {
        let mut csv = String::from("file,source,split,findings,sex,age\n");
        for i in 0..240 {
            let (source, finding) = (["A", "B"][i % 2], ["mass", "no_finding"][(i / 2) % 2]);
            csv += &format!("{i},{source},train,{finding},{},{}\n", ["F", "M", ""][i % 3], 20 + i % 50);
        }
        let data = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let truth = Truth::new(&data).unwrap();
        let at = |source, name: &str| truth.columns.iter().position(|c| c.source == source && c.name == name).unwrap();
        let (mass, other) = (at(0, "mass"), at(1, "mass"));
        assert_eq!((truth.values[0][mass], truth.values[0][other]), (Some(1.0), None));
        assert_eq!(truth.values[3][other], Some(0.0));
        let age = at(0, "age");
        let ages: Vec<f32> = truth.values.iter().filter_map(|v| v[age]).collect();
        assert!(ages.iter().sum::<f32>().abs() < 1e-2 && ages.len() == 120);
        assert_eq!(truth.films(&data, Split::Train).len(), 240);
        assert!(Truth::new(&Dataset::new(vec![Manifest::parse(b"file,findings\na,mass\n").unwrap()])).is_err());
    }
}
