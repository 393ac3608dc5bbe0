//! One film of a manifest.

use rad_dino_edge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

/// The part of the data a patient belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Fits weights.
    Train,
    /// Chooses strengths, calibration and thresholds.
    Val,
    /// Is only measured.
    Test,
}

impl Split {
    /// The word in the csv.
    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }

    /// From the word in the csv; [`ErrorKind::Data`] for anything else.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "train" => Ok(Split::Train),
            "val" => Ok(Split::Val),
            "test" => Ok(Split::Test),
            _ => Err(Error::new(ErrorKind::Data, format!("split {word:?} is none of train, val, test"))
                .hint("leave the field empty to split by a hash of patient_id")),
        }
    }

    /// 70 % train, 10 % val, 20 % test, by a hash of the patient, so that no patient crosses splits.
    pub fn of_patient(patient_id: &str) -> Self {
        match u32::from_be_bytes(first_bytes(patient_id)) % 100 {
            0..70 => Split::Train,
            70..80 => Split::Val,
            _ => Split::Test,
        }
    }
}

fn first_bytes(text: &str) -> [u8; 4] {
    let digest = Sha256::digest(text.as_bytes());
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Where a patient lies in [0, 1), evenly and independently of the split: those below x are a share x of the patients,
/// and a larger share contains a smaller one.
pub fn patient_share(patient_id: &str) -> f64 {
    let digest = Sha256::digest(patient_id.as_bytes());
    let bytes = [digest[4], digest[5], digest[6], digest[7]];
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// Sex as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sex {
    /// F
    Female,
    /// M
    Male,
}

impl Sex {
    /// The letter in the csv.
    pub fn as_str(self) -> &'static str {
        match self {
            Sex::Female => "F",
            Sex::Male => "M",
        }
    }

    /// From the csv; whatever is neither female nor male is unknown.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "f" | "female" => Some(Sex::Female),
            "m" | "male" => Some(Sex::Male),
            _ => None,
        }
    }
}

/// Projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Antero-posterior.
    Ap,
    /// Postero-anterior.
    Pa,
}

impl View {
    /// The word in the csv.
    pub fn as_str(self) -> &'static str {
        match self {
            View::Ap => "AP",
            View::Pa => "PA",
        }
    }

    /// From the csv; whatever is neither PA nor AP is unknown.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "AP" => Some(View::Ap),
            "PA" => Some(View::Pa),
            _ => None,
        }
    }
}

/// One row of a manifest. Empty strings are fields the csv leaves empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Path of the film, relative to the folder of the csv.
    pub file: String,
    /// Where the film comes from.
    pub source: String,
    /// The film's name at the source.
    pub source_id: String,
    /// Patient; the file itself where the csv names none.
    pub patient_id: String,
    /// Split; by a hash of the patient where the csv names none.
    pub split: Option<Split>,
    /// Projection, if known.
    pub view: Option<View>,
    /// Sex, if known.
    pub sex: Option<Sex>,
    /// Age in years, if known.
    pub age: Option<f64>,
    /// Findings, lower-case; None = unlabelled, `no_finding` is explicit.
    pub findings: Option<Vec<String>>,
    /// Report text.
    pub report: String,
    /// Lung mask, relative path.
    pub mask: String,
    /// Licence of the film.
    pub licence: String,
    /// Where it was taken from.
    pub source_url: String,
    /// Anatomy mask, relative path.
    pub mask_anatomy: String,
    /// Pathology mask, relative path.
    pub mask_pathology: String,
    /// `radiology_report` or `clinical_note`.
    pub report_kind: String,
    /// Values of the manifest's other columns, in their order.
    pub other: Vec<String>,
}

impl Row {
    /// The split the row belongs to.
    pub fn split(&self) -> Split {
        self.split.unwrap_or_else(|| Split::of_patient(&self.patient_id))
    }

    /// Age band of the evaluation's groups.
    pub fn age_band(&self) -> Option<&'static str> {
        Some(match self.age? {
            a if a < 18.0 => "0-17",
            a if a < 40.0 => "18-39",
            a if a < 60.0 => "40-59",
            a if a < 80.0 => "60-79",
            _ => "80+",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_by_patient_keeps_its_shares() {
        let mut counts = [0usize; 3];
        for i in 0..10_000 {
            counts[Split::of_patient(&format!("patient-{i}")) as usize] += 1;
        }
        assert!((6_800..7_200).contains(&counts[0]), "{counts:?}");
        assert!((850..1_150).contains(&counts[1]), "{counts:?}");
        assert_eq!(Split::of_patient("a"), Split::of_patient("a"));
    }

    #[test]
    fn words_are_read_leniently_and_written_strictly() {
        assert_eq!(Sex::parse("female"), Some(Sex::Female));
        assert_eq!(Sex::parse("O"), None);
        assert_eq!(View::parse("pa").map(View::as_str), Some("PA"));
        assert_eq!(View::parse("LATERAL"), None);
        assert!(Split::parse("training").is_err());
    }

    #[test]
    fn age_bands_meet_without_gap() {
        let band = |age| Row { age: Some(age), ..Row::default() }.age_band();
        assert_eq!(band(17.9), Some("0-17"));
        assert_eq!(band(18.0), Some("18-39"));
        assert_eq!(band(80.0), Some("80+"));
        assert_eq!(Row::default().age_band(), None);
    }
}
