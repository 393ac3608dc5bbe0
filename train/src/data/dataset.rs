//! Films of several manifests, with what is known about each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rad_dino_edge::{Error, ErrorKind, Result};

use super::manifest::{Manifest, NO_FINDING};
use super::row::{Row, Split};

/// A film: its row and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Film {
    /// Path of the picture.
    pub path: PathBuf,
    /// Path of its lung mask, if it has one.
    pub mask: Option<PathBuf>,
    /// Its row.
    pub row: Row,
}

/// Films of several manifests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// In the order of the manifests.
    pub films: Vec<Film>,
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Dataset {
    /// Reads all manifests; sources of one name in several files are one source.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let manifests = paths.iter().map(|p| Manifest::read(p)).collect::<Result<Vec<_>>>()?;
        let dataset = Dataset::new(manifests);
        if dataset.films.is_empty() {
            return Err(Error::new(ErrorKind::Data, "the manifests hold no films").hint("check --data"));
        }
        Ok(dataset)
    }

    /// Joins manifests.
    pub fn new(manifests: Vec<Manifest>) -> Self {
        let mut dataset = Dataset::default();
        for manifest in manifests {
            for row in manifest.rows {
                let labels = dataset.labels.entry(row.source.clone()).or_default();
                labels.extend(row.findings.iter().flatten().filter(|l| *l != NO_FINDING).cloned());
                let mask = (!row.mask.is_empty()).then(|| manifest.folder.join(&row.mask));
                dataset.films.push(Film { path: manifest.folder.join(&row.file), mask, row });
            }
        }
        dataset
    }

    /// Adds the films of `other`.
    pub fn append(&mut self, other: Dataset) {
        self.films.extend(other.films);
        for (source, labels) in other.labels {
            self.labels.entry(source).or_default().extend(labels);
        }
    }

    /// The sources, sorted.
    pub fn sources(&self) -> Vec<&str> {
        self.labels.keys().map(String::as_str).collect()
    }

    /// The labels `source` uses anywhere, without `no_finding`.
    pub fn labels_of(&self, source: &str) -> impl Iterator<Item = &str> {
        self.labels.get(source).into_iter().flatten().map(String::as_str)
    }

    /// Every label of every source, sorted.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.labels.values().flatten().map(String::as_str).collect()
    }

    /// Present, absent or unknown: a label is known only in labelled films of sources that use it anywhere.
    pub fn finding(&self, film: &Film, label: &str) -> Option<bool> {
        let findings = film.row.findings.as_ref()?;
        let used = self.labels.get(&film.row.source).is_some_and(|labels| labels.contains(label));
        used.then(|| findings.iter().any(|f| f == label))
    }

    /// Positions of the films of `split`.
    pub fn of_split(&self, split: Split) -> Vec<usize> {
        (0..self.films.len()).filter(|&i| self.films[i].row.split() == split).collect()
    }

    /// Keeps the films `keep` wants; what labels a source uses stays as it was read.
    pub fn retain(&mut self, mut keep: impl FnMut(&Film) -> bool) {
        self.films.retain(|f| keep(f));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(csv: &str) -> Dataset {
        Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()])
    }

    #[test]
    fn a_label_is_known_only_where_the_source_uses_it() {
        let data = dataset(
            "file,source,findings\n1,A,pneumonia\n2,A,no_finding\n3,A,\n4,B,edema;no_finding\n5,B,no_finding\n",
        );
        let known = |label| data.films.iter().map(|f| data.finding(f, label)).collect::<Vec<_>>();
        assert_eq!(known("pneumonia"), [Some(true), Some(false), None, None, None]);
        assert_eq!(known("edema"), [None, None, None, Some(true), Some(false)]);
        assert_eq!(data.labels().into_iter().collect::<Vec<_>>(), ["edema", "pneumonia"]);
        assert_eq!(data.sources(), ["A", "B"]);
    }

    #[test]
    fn one_source_in_two_manifests_is_one_source() {
        let a = Manifest::parse(b"file,source,findings\n1,A,mass\n").unwrap();
        let b = Manifest::parse(b"file,source,findings\n2,A,no_finding\n").unwrap();
        let data = Dataset::new(vec![a.clone(), b.clone()]);
        assert_eq!(data.finding(&data.films[1], "mass"), Some(false));
        let mut appended = Dataset::new(vec![a]);
        appended.append(Dataset::new(vec![b]));
        assert_eq!(appended, data);
    }
}
