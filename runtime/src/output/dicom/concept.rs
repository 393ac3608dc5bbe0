//! Coded concepts: SNOMED CT, DICOM, UCUM where a code exists, else our own scheme.

use std::borrow::Cow;

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::dataset::{Object, items, text};

/// Designator of our own codes; the standard reserves `99…` for private schemes (PS3.16, 8.2).
pub(super) const OWN: &str = "99RADDINOEDGE";
const OWN_NAME: &str = "rad-dino-edge concepts: the labels and terms of the model's manifest and of its results";

/// A code, the scheme it is from, and its meaning in English.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concept {
    value: Cow<'static, str>,
    scheme: &'static str,
    meaning: Cow<'static, str>,
}

const fn known(value: &'static str, scheme: &'static str, meaning: &'static str) -> Concept {
    Concept { value: Cow::Borrowed(value), scheme, meaning: Cow::Borrowed(meaning) }
}

pub(super) const fn dcm(value: &'static str, meaning: &'static str) -> Concept {
    known(value, "DCM", meaning)
}

pub(super) const fn sct(value: &'static str, meaning: &'static str) -> Concept {
    known(value, "SCT", meaning)
}

pub(super) const fn ucum(value: &'static str, meaning: &'static str) -> Concept {
    known(value, "UCUM", meaning)
}

pub(super) const fn own(value: &'static str, meaning: &'static str) -> Concept {
    known(value, OWN, meaning)
}

pub(super) const ENGLISH: Concept = known("en-US", "RFC5646", "English (United States)");
pub(super) const QUALITATIVE_EVALUATIONS: Concept = known("C0034375", "UMLS", "Qualitative Evaluations");

/// What a label of the model's manifest means.
pub(super) fn finding(label: &str) -> Concept {
    match label {
        "atelectasis" => sct("46621007", "Atelectasis"),
        "bacterial_pneumonia" => sct("53084003", "Bacterial pneumonia"),
        "cardiomegaly" => sct("8186001", "Cardiomegaly"),
        "consolidation" => sct("95436008", "Lung consolidation"),
        "edema" => sct("19242006", "Pulmonary edema"),
        "emphysema" => sct("87433001", "Pulmonary emphysema"),
        "fibrosis" => sct("51615001", "Fibrosis of lung"),
        "infiltration" => dcm("112121", "Infiltrate"),
        "mass" => sct("4147007", "Mass"),
        "nodule" => sct("27925004", "Nodule"),
        "pleural_effusion" => sct("60046008", "Pleural effusion"),
        "pneumonia" => sct("233604007", "Pneumonia"),
        "pneumothorax" => sct("36118008", "Pneumothorax"),
        "viral_pneumonia" => sct("75570004", "Viral pneumonia"),
        other => labelled(other),
    }
}

/// The anatomical structure or tissue that a region's label names.
pub(super) fn region(label: &str) -> Concept {
    match label {
        "lung" => sct("39607008", "Lung"),
        "left_lung" => sct("44029006", "Left lung"),
        "right_lung" => sct("3341006", "Right lung"),
        "heart" => sct("80891009", "Heart"),
        "mediastinum" | "cardiomediastinum" => sct("72410000", "Mediastinum"),
        other => finding(other),
    }
}

/// What kind of thing [`region`] is (PS3.16, CID 7150).
pub(super) fn region_category(label: &str) -> Concept {
    match label {
        "lung" | "left_lung" | "right_lung" | "heart" | "mediastinum" | "cardiomediastinum" => {
            sct("91723000", "Anatomical Structure")
        }
        other if finding(other).scheme == OWN => sct("85756007", "Tissue"),
        _ => sct("49755003", "Morphologically Abnormal Structure"),
    }
}

/// The projection that a view's label names (PS3.16, CID 4010).
pub(super) fn view(label: &str) -> Concept {
    match label {
        "PA" => sct("272479007", "postero-anterior"),
        "AP" => sct("399348003", "antero-posterior"),
        "lateral" | "LATERAL" | "L" => sct("399067008", "lateral"),
        other => labelled(other),
    }
}

/// The modality of a source image (PS3.16, CID 29).
pub(super) fn modality(word: &str) -> Concept {
    match word {
        "CR" => dcm("CR", "Computed Radiography"),
        "DX" => dcm("DX", "Digital Radiography"),
        "RG" => dcm("RG", "Radiographic imaging"),
        "RF" => dcm("RF", "Radiofluoroscopy"),
        "CT" => dcm("CT", "Computed Tomography"),
        "MR" => dcm("MR", "Magnetic Resonance"),
        _ => dcm("OT", "Other Modality"),
    }
}

/// A label without a code elsewhere.
fn labelled(label: &str) -> Concept {
    Concept { value: label.to_string().into(), scheme: OWN, meaning: label.replace('_', " ").into() }
}

impl Concept {
    /// As an item of a code sequence (PS3.3, 8.8).
    pub fn object(&self) -> Object {
        let mut object = Object::new_empty();
        // SH holds 16 characters.
        match self.value.len() {
            0..=16 => text(&mut object, tags::CODE_VALUE, VR::SH, &self.value),
            _ => text(&mut object, tags::LONG_CODE_VALUE, VR::UC, &self.value),
        }
        text(&mut object, tags::CODING_SCHEME_DESIGNATOR, VR::SH, self.scheme);
        text(&mut object, tags::CODE_MEANING, VR::LO, &self.meaning);
        object
    }
}

/// Says in `object` where our own codes come from.
pub(super) fn identify_schemes(object: &mut Object) {
    let mut scheme = Object::new_empty();
    text(&mut scheme, tags::CODING_SCHEME_DESIGNATOR, VR::SH, OWN);
    text(&mut scheme, tags::CODING_SCHEME_NAME, VR::ST, OWN_NAME);
    text(&mut scheme, tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, VR::ST, "rad-dino-edge");
    items(object, tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![scheme]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_labels_get_our_scheme_and_long_ones_a_long_code() {
        let object = finding("a_label_nobody_has_coded").object();
        assert!(object.get(tags::CODE_VALUE).is_none());
        assert_eq!(object.get(tags::LONG_CODE_VALUE).unwrap().to_str().unwrap(), "a_label_nobody_has_coded");
        assert_eq!(object.get(tags::CODING_SCHEME_DESIGNATOR).unwrap().to_str().unwrap(), OWN);
        assert!(OWN.len() <= 16 && OWN.starts_with("99"));
        assert_eq!(finding("edema").scheme, "SCT");
        assert_eq!(region_category("lung"), sct("91723000", "Anatomical Structure"));
    }
}
