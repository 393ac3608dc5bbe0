//! The modules that every object has (PS3.3, C.7): whose it is, and what made it.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::concept::Concept;
use super::dataset::{Object, empty, items, raw, text, texts};
use super::{NOTICE, uid};
use crate::Result;
use crate::output::json::Answer;
use crate::scan::Scan;
use crate::scan::dicom::source::Source;

const MANUFACTURER: &str = "rad-dino-edge";

/// Copied as they are: (tag, VR, whether it must be there, empty if need be).
const COPIED: [(Tag, VR, bool); 20] = [
    (tags::SPECIFIC_CHARACTER_SET, VR::CS, false),
    (tags::ACCESSION_NUMBER, VR::SH, true),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN, true),
    (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, false),
    (tags::STUDY_DESCRIPTION, VR::LO, false),
    (tags::PHYSICIANS_OF_RECORD, VR::PN, false),
    (tags::PATIENT_NAME, VR::PN, true),
    (tags::PATIENT_ID, VR::LO, true),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO, false),
    (tags::TYPE_OF_PATIENT_ID, VR::CS, false),
    (tags::PATIENT_SEX, VR::CS, true),
    (tags::PATIENT_AGE, VR::AS, false),
    (tags::PATIENT_SIZE, VR::DS, false),
    (tags::PATIENT_WEIGHT, VR::DS, false),
    (tags::PATIENT_IDENTITY_REMOVED, VR::CS, false),
    (tags::DEIDENTIFICATION_METHOD, VR::LO, false),
    (tags::STUDY_ID, VR::SH, true),
    (tags::PATIENT_BIRTH_DATE, VR::DA, true),
    (tags::STUDY_DATE, VR::DA, true),
    (tags::STUDY_TIME, VR::TM, true),
];

/// What the objects of one reading have in common.
pub(super) struct Context<'a> {
    pub source: &'a Source,
    pub scan: &'a Scan,
    pub answer: &'a Answer,
    pub sop_class: &'a str,
    pub sop_instance: &'a str,
    study: &'a str,
    series: &'a str,
}

impl<'a> Context<'a> {
    /// # Errors
    /// `Malformed` when the source lacks an identifier.
    pub fn new(source: &'a Source, scan: &'a Scan, answer: &'a Answer) -> Result<Self> {
        Ok(Context {
            source,
            scan,
            answer,
            sop_class: source.uid((0x0008, 0x0016), "SOPClassUID")?,
            sop_instance: source.uid((0x0008, 0x0018), "SOPInstanceUID")?,
            study: source.uid((0x0020, 0x000d), "StudyInstanceUID")?,
            series: source.uid((0x0020, 0x000e), "SeriesInstanceUID")?,
        })
    }

    /// A new object of the source's patient and study, in a series of its own. The series is that of this kind of
    /// result of this model for this image.
    pub fn object(&self, kind: Kind) -> Object {
        let mut object = Object::new_empty();
        for (tag, vr, needed) in COPIED {
            match self.source.bytes((tag.0, tag.1)) {
                Some(value) if matches!(vr, VR::DA | VR::TM) => {
                    let value = std::str::from_utf8(value).ok().and_then(|value| moment(value, vr));
                    text(&mut object, tag, vr, &value.unwrap_or_default());
                }
                Some(value) => raw(&mut object, tag, vr, value),
                None if needed => empty(&mut object, tag, vr),
                None => {}
            }
        }
        let (date, time) = self.moment();
        let model = &self.answer.model;
        text(&mut object, tags::SOP_CLASS_UID, VR::UI, kind.sop_class);
        text(&mut object, tags::STUDY_INSTANCE_UID, VR::UI, self.study);
        text(&mut object, tags::SERIES_INSTANCE_UID, VR::UI, &self.uid(&["series", kind.suffix]));
        text(&mut object, tags::MODALITY, VR::CS, kind.modality);
        text(&mut object, tags::SERIES_NUMBER, VR::IS, kind.series_number);
        text(&mut object, tags::SERIES_DESCRIPTION, VR::LO, kind.series_description);
        text(&mut object, tags::INSTANCE_NUMBER, VR::IS, "1");
        text(&mut object, tags::CONTENT_DATE, VR::DA, &date);
        text(&mut object, tags::CONTENT_TIME, VR::TM, &time);
        text(&mut object, tags::MANUFACTURER, VR::LO, MANUFACTURER);
        text(&mut object, tags::MANUFACTURER_MODEL_NAME, VR::LO, &model.name);
        // A model's hash is what a serial number is to a machine: there is one of it.
        text(&mut object, tags::DEVICE_SERIAL_NUMBER, VR::LO, &model.sha256);
        let software = [self.software(), format!("model {}", self.model_version())];
        texts(&mut object, tags::SOFTWARE_VERSIONS, VR::LO, &software.each_ref().map(String::as_str));
        object
    }

    /// What an image in the source's frame has beside: the orientation and the body part.
    pub fn like_the_source(&self, object: &mut Object) {
        match self.source.bytes((0x0020, 0x0020)) {
            Some(value) => raw(object, tags::PATIENT_ORIENTATION, VR::CS, value),
            None => empty(object, tags::PATIENT_ORIENTATION, VR::CS),
        }
        match self.source.bytes((0x0018, 0x0015)) {
            Some(value) => raw(object, tags::BODY_PART_EXAMINED, VR::CS, value),
            None => text(object, tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        }
        let lossy = if self.source.is_lossy() { "01" } else { "00" };
        text(object, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, lossy);
        for (tag, vr) in [(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS), (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS)]
        {
            if let Some(value) = self.source.bytes((tag.0, tag.1)) {
                raw(object, tag, vr, value);
            }
        }
        text(object, tags::IMAGE_COMMENTS, VR::LT, &self.remarks());
    }

    /// Which of a pair the source shows. What is not the chest may be one of a pair, of which the standard wants to know
    /// at least that it is unknown.
    pub fn laterality(&self, object: &mut Object) {
        let chest = self.source.text((0x0018, 0x0015)).is_none_or(|part| part == "CHEST");
        match self.source.bytes((0x0020, 0x0060)) {
            Some(value) => raw(object, tags::LATERALITY, VR::CS, value),
            None if chest => {}
            None => empty(object, tags::LATERALITY, VR::CS),
        }
    }

    /// The notice and the warnings, in words.
    pub fn remarks(&self) -> String {
        let warnings = self.answer.warnings.iter().map(|warning| format!(" Warning: {}.", warning.message));
        NOTICE.to_string() + &warnings.collect::<String>()
    }

    /// A UID for something of this source image and this model.
    pub fn uid(&self, parts: &[&str]) -> String {
        uid::derive(&[parts, &[self.sop_instance, &self.answer.model.sha256, self.answer.engine.version]].concat())
    }

    /// Name and version of the software.
    pub fn software(&self) -> String {
        format!("{MANUFACTURER} {}", self.answer.engine.version)
    }

    /// The model's version as its manifest has it.
    pub fn model_version(&self) -> &str {
        self.answer.model.version.as_deref().unwrap_or("unknown")
    }

    /// The reference to the source image; a frame is named where there are several.
    pub fn reference(&self) -> Object {
        let mut object = Object::new_empty();
        text(&mut object, tags::REFERENCED_SOP_CLASS_UID, VR::UI, self.sop_class);
        text(&mut object, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, self.sop_instance);
        if self.source.frames() > 1 {
            text(&mut object, tags::REFERENCED_FRAME_NUMBER, VR::IS, "1");
        }
        object
    }

    /// As [`Context::reference`], with what the source is there for.
    pub fn source_image(&self, purpose: &Concept) -> Object {
        let mut object = self.reference();
        items(&mut object, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose.object()]);
        object
    }

    /// The source's series with the reference to it.
    pub fn referenced_series(&self) -> Object {
        let mut instance = Object::new_empty();
        text(&mut instance, tags::REFERENCED_SOP_CLASS_UID, VR::UI, self.sop_class);
        text(&mut instance, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, self.sop_instance);
        let mut series = Object::new_empty();
        text(&mut series, tags::SERIES_INSTANCE_UID, VR::UI, self.series);
        items(&mut series, tags::REFERENCED_SOP_SEQUENCE, vec![instance]);
        series
    }

    /// The source's study with the reference to it.
    pub fn evidence(&self) -> Object {
        let mut study = Object::new_empty();
        text(&mut study, tags::STUDY_INSTANCE_UID, VR::UI, self.study);
        items(&mut study, tags::REFERENCED_SERIES_SEQUENCE, vec![self.referenced_series()]);
        study
    }

    /// The first date that is one, and the time that goes with it.
    fn moment(&self) -> (String, String) {
        const MOMENTS: [(u16, u16); 5] = [(0x22, 0x32), (0x23, 0x33), (0x21, 0x31), (0x20, 0x30), (0x12, 0x13)];
        let of = |element, vr| self.source.text((0x0008, element)).and_then(|value| moment(value, vr));
        let found = MOMENTS.into_iter().find_map(|(date, time)| Some((of(date, VR::DA)?, of(time, VR::TM))));
        let (date, time) = found.unwrap_or_else(|| ("19700101".into(), None));
        (date, time.unwrap_or_else(|| "000000".into()))
    }
}

/// One kind of object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub suffix: &'static str,
    pub sop_class: &'static str,
    pub modality: &'static str,
    pub series_number: &'static str,
    pub series_description: &'static str,
}

/// A date (DA) or time (TM) of today's form; ACR-NEMA's `1993.02.24` and `10:20:30` are brought into it.
fn moment(value: &str, vr: VR) -> Option<String> {
    let value = value.trim_matches([' ', '\0']);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if vr == VR::DA {
        let date = value.replace('.', "");
        let in_range = |at: usize, range: std::ops::RangeInclusive<u8>| {
            date.get(at..at + 2).and_then(|field| field.parse().ok()).is_some_and(|field: u8| range.contains(&field))
        };
        return (date.len() == 8 && digits(&date) && in_range(4, 1..=12) && in_range(6, 1..=31)).then_some(date);
    }
    let time = value.replace(':', "");
    let (whole, fraction) = time.split_once('.').unwrap_or((&time, "0"));
    let in_range = |at: usize, limit: u8| {
        whole.get(at..at + 2).is_none_or(|field| field.parse().is_ok_and(|field: u8| field < limit))
    };
    let is_time = matches!(whole.len(), 2 | 4 | 6) && (fraction == "0" || whole.len() == 6) && fraction.len() <= 6;
    (is_time && digits(whole) && digits(fraction) && in_range(0, 24) && in_range(2, 60) && in_range(4, 61))
        .then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_of_old_and_new_form() {
        for (value, expected) in [
            ("19930224", Some("19930224")),
            ("1993.02.24", Some("19930224")),
            ("19931324", None),
            ("1993", None),
            ("", None),
            ("1993022é", None),
        ] {
            assert_eq!(moment(value, VR::DA).as_deref(), expected, "{value}");
        }
        for (value, expected) in [
            ("102030 ", Some("102030")),
            ("10:20:30", Some("102030")),
            ("102030.123456", Some("102030.123456")),
            ("1020", Some("1020")),
            ("102", None),
            ("992030", None),
            ("1020.5", None),
            ("10é", None),
        ] {
            assert_eq!(moment(value, VR::TM).as_deref(), expected, "{value}");
        }
    }
}
