//! One source's report: metrics over all its films and by group. Contract 3's JSON object.

use rad_dino_edge::model::manifest::Metric;
use serde::Serialize;

use super::Predictions;
use super::scores::{Detail, scores};
use crate::data::{Dataset, Row, Split};

/// A trivial encoder to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Floor {
    /// An encoder of the same shape with random weights.
    Random,
    /// 32×32 grey levels.
    Pixels,
}

/// One object of `evaluate --format json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of the source.
    pub source: String,
    /// train, val or test.
    pub split: String,
    /// None for the model itself.
    pub floor: Option<Floor>,
    /// Over all films of the source and split.
    pub metrics: Vec<Metric>,
    /// The same by sex, age band and view.
    pub groups: Vec<Group>,
}

/// Metrics of a part of the films.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// `sex`, `age` or `view`.
    pub by: &'static str,
    /// F, M; 0-17 …; AP, PA.
    pub value: &'static str,
    /// Films.
    pub n: usize,
    /// Their metrics.
    pub metrics: Vec<Metric>,
}

/// The report on `source`; None when it has no films in `split`.
pub fn report(
    dataset: &Dataset,
    source: &str,
    split: Split,
    predictions: &Predictions,
    floor: Option<Floor>,
) -> Option<Report> {
    let rows: Vec<usize> =
        dataset.of_split(split).into_iter().filter(|&row| dataset.films[row].row.source == source).collect();
    if rows.is_empty() {
        return None;
    }
    let detail = if floor.is_none() { Detail::Full } else { Detail::Brief };
    let mut groups = Vec::new();
    type Key = fn(&Row) -> Option<&'static str>;
    let keys: [(&'static str, Key); 3] = [
        ("sex", |row| row.sex.map(|s| s.as_str())),
        ("age", Row::age_band),
        ("view", |row| row.view.map(|v| v.as_str())),
    ];
    for (by, key) in keys {
        let mut values: Vec<&'static str> = rows.iter().filter_map(|&row| key(&dataset.films[row].row)).collect();
        values.sort_unstable();
        values.dedup();
        for value in values {
            let own: Vec<usize> =
                rows.iter().copied().filter(|&row| key(&dataset.films[row].row) == Some(value)).collect();
            let metrics = scores(dataset, source, &own, predictions, Detail::Brief);
            groups.push(Group { by, value, n: own.len(), metrics });
        }
    }
    Some(Report {
        source: source.to_owned(),
        split: split.as_str().to_owned(),
        floor,
        metrics: scores(dataset, source, &rows, predictions, detail),
        groups,
    })
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::model::manifest::{Calibration, Finding};

    use super::*;
    use crate::data::Manifest;

    #[test]
    fn the_object_is_the_contract() {
        let csv = b"file,source,split,findings,sex,age,view\na,S,test,mass,F,30,PA\nb,S,test,no_finding,M,70,AP\n\
                    c,S,test,no_finding,F,,\nd,S,train,mass,F,30,PA\ne,T,test,mass,,,\n";
        let data = Dataset::new(vec![Manifest::parse(csv).unwrap()]);
        let calibration = Calibration { scale: 1.0, offset: 0.0 };
        let finding = Finding { label: "mass".to_owned(), threshold: 0.5, calibration };
        let predictions = Predictions {
            findings: vec![(finding, vec![2.0, -1.0, 3.0, 0.0, 0.0])],
            age: Some(vec![40.0, 60.0, 0.0, 0.0, 0.0]),
            ..Predictions::default()
        };
        let report = report(&data, "S", Split::Test, &predictions, None).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["floor"], serde_json::Value::Null);
        let auroc = &json["metrics"][0];
        assert_eq!(
            (&auroc["task"], &auroc["label"], &auroc["metric"]),
            (&"findings".into(), &"mass".into(), &"auroc".into())
        );
        assert_eq!((&auroc["value"], &auroc["n"], &auroc["positives"]), (&0.5.into(), &3.into(), &1.into()));
        assert!(auroc.get("source").is_none());
        let find = |name: &str| report.metrics.iter().find(|m| m.metric == name).unwrap().value.unwrap();
        assert_eq!((find("sensitivity"), find("specificity"), find("mae")), (1.0, 0.5, 10.0));
        let groups: Vec<(&str, &str, usize)> = report.groups.iter().map(|g| (g.by, g.value, g.n)).collect();
        assert_eq!(
            groups,
            [
                ("sex", "F", 2),
                ("sex", "M", 1),
                ("age", "18-39", 1),
                ("age", "60-79", 1),
                ("view", "AP", 1),
                ("view", "PA", 1)
            ]
        );
        assert_eq!(report.groups[1].metrics[0].value, None, "one class has no area");
        assert_eq!(serde_json::to_value(Floor::Pixels).unwrap(), "pixels");
    }
}
