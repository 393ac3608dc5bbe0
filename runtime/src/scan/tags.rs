//! What a DICOM file says about the film beside its pixels: shown next to our estimates, never a model's input.

use serde::Serialize;

/// Tags of one film. Values that break the rules of their tag count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tags {
    /// ViewPosition (0018,5101), such as `PA`, `AP`, `LL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_position: Option<String>,
    /// PatientSex (0010,0040): `M`, `F` or `O`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_sex: Option<String>,
    /// PatientAge (0010,1010), such as `063Y`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_age: Option<String>,
    /// SHA-256 of PatientID and its issuer, lower-case hex: tells films of one patient, not who it is.
    #[serde(skip)]
    pub patient_sha256: Option<String>,
}

impl Tags {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.view_position.is_none() && self.patient_sex.is_none() && self.patient_age.is_none()
    }

    /// [`Tags::patient_age`] in years.
    pub fn age_years(&self) -> Option<f64> {
        let (number, unit) = self.patient_age.as_deref()?.split_at_checked(3)?;
        let number: f64 = number.parse::<u16>().ok()?.into();
        let days = match unit {
            "D" => 1.0,
            "W" => 7.0,
            "M" => 365.25 / 12.0,
            _ => 365.25,
        };
        Some(number * days / 365.25)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_in_any_unit() {
        for (age, years) in [("063Y", 63.0), ("006M", 0.5), ("000D", 0.0)] {
            assert_eq!(Tags { patient_age: Some(age.into()), ..Tags::default() }.age_years(), Some(years));
        }
        assert_eq!(Tags::default().age_years(), None);
    }
}
