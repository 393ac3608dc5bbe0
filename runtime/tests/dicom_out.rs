//! DICOM out: what a reading becomes, parsed back: references, values, pixels, the same bytes twice.
#![cfg(all(feature = "dicom", feature = "engine"))]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::meta::FileMetaTableBuilder;
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use proptest::prelude::*;
use proptest::sample::Index;
use rad_dino_edge::engine::Engine;
use rad_dino_edge::output::dicom::objects;
use rad_dino_edge::reader::{HeatmapOf, Reader, Reading, Wish};
use rad_dino_edge::scan::{Format, Limits, Options, Scan, decode};
use rad_dino_edge::{Error, ErrorKind};

const INSTANCE: &str = "1.2.3.4.5.6";
const SERIES: &str = "1.2.3.4.5";
const STUDY: &str = "1.2.3.4";
/// `Müller^Jörg` in ISO_IR 100: no UTF-8.
const NAME: &[u8] = b"M\xfcller^J\xf6rg ";

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let model = root().join("models/rad-dino-small.onnx");
    let engine = Engine::from_file(&model, 1).unwrap();
    Reader::new(engine, "rad-dino-small").unwrap()
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn wish() -> Wish {
    Wish { heatmap: Some(HeatmapOf::Finding("pneumonia".into())), masks: true, report: true, maps: false }
}

fn read(source: &[u8], wish: &Wish) -> (Scan, Reading) {
    let options = Options { force_photometric: true, ..Options::default() };
    let scan = options.decode(source).unwrap();
    let reading = READER.read("film.dcm", &scan, Duration::ZERO, wish).unwrap();
    (scan, reading)
}

/// A film of 300 × 200 pixels, 8 bits.
fn film(change: impl Fn(&mut InMemDicomObject)) -> Vec<u8> {
    let (columns, rows) = (300u16, 200u16);
    let pixels: Vec<u8> = (0..u32::from(rows) * 300).map(|i| (i % 300 / 2 + i / 300 / 4) as u8).collect();
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let raw = |tag, vr, value: &[u8]| DataElement::new(tag, vr, PrimitiveValue::U8(value.into()));
    let mut object = InMemDicomObject::from_element_iter([
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        text(tags::SOP_CLASS_UID, VR::UI, uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION),
        text(tags::SOP_INSTANCE_UID, VR::UI, INSTANCE),
        text(tags::STUDY_INSTANCE_UID, VR::UI, STUDY),
        text(tags::SERIES_INSTANCE_UID, VR::UI, SERIES),
        text(tags::STUDY_DATE, VR::DA, "2024.01.02"),
        text(tags::ACQUISITION_DATE, VR::DA, "20240103"),
        text(tags::ACQUISITION_TIME, VR::TM, "101112.5"),
        text(tags::MODALITY, VR::CS, "DX"),
        raw(tags::PATIENT_NAME, VR::PN, NAME),
        text(tags::PATIENT_ID, VR::LO, "SECRET-42"),
        text(tags::PATIENT_SEX, VR::CS, "F"),
        text(tags::PATIENT_AGE, VR::AS, "063Y"),
        text(tags::PATIENT_WEIGHT, VR::DS, "61.5"),
        text(tags::VIEW_POSITION, VR::CS, "PA"),
        number(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number(tags::ROWS, rows),
        number(tags::COLUMNS, columns),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into())),
    ]);
    change(&mut object);
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION)
        .media_storage_sop_instance_uid(INSTANCE);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

fn parse(bytes: &[u8]) -> DefaultDicomObject {
    dicom_object::from_reader(bytes).unwrap()
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().trim_matches(['\0', ' ']).to_string()
}

/// Calls `visit` for the object and every item below it.
fn each(object: &InMemDicomObject, visit: &mut impl FnMut(&InMemDicomObject)) {
    visit(object);
    for element in object {
        for item in element.items().unwrap_or_default() {
            each(item, visit);
        }
    }
}

/// The content items below `object` whose name has this meaning.
fn named(object: &InMemDicomObject, meaning: &str) -> Vec<InMemDicomObject> {
    let mut found = vec![];
    each(object, &mut |item| {
        let name = item.get(tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(|e| e.items()?.first());
        if name.is_some_and(|name| text(name, tags::CODE_MEANING) == meaning) {
            found.push(item.clone());
        }
    });
    found
}

fn first(object: &InMemDicomObject, sequence: Tag) -> InMemDicomObject {
    object.element(sequence).unwrap().items().unwrap()[0].clone()
}

fn number(item: &InMemDicomObject) -> f64 {
    text(&first(item, tags::MEASURED_VALUE_SEQUENCE), tags::NUMERIC_VALUE).parse().unwrap()
}

fn by_suffix(objects: &[(&'static str, Vec<u8>)], suffix: &str) -> DefaultDicomObject {
    parse(&objects.iter().find(|(s, _)| *s == suffix).unwrap().1)
}

#[test]
fn same_input_same_bytes() {
    let source = film(|_| {});
    let (scan, reading) = read(&source, &wish());
    let once = objects(&source, &scan, &reading).unwrap();
    assert_eq!(once.iter().map(|(suffix, _)| *suffix).collect::<Vec<_>>(), ["sr", "sc", "seg"]);
    let (scan, mut reading) = read(&source, &wish());
    reading.answer.timing_ms.total = 1e9;
    reading.answer.engine.threads = 99;
    assert_eq!(objects(&source, &scan, &reading).unwrap(), once);
    // Another content is another instance of the same series.
    reading.answer.findings.as_mut().unwrap()[0].probability = 0.123456;
    let other = by_suffix(&objects(&source, &scan, &reading).unwrap(), "sr");
    let sr = by_suffix(&once, "sr");
    assert_eq!(text(&other, tags::SERIES_INSTANCE_UID), text(&sr, tags::SERIES_INSTANCE_UID));
    assert_ne!(text(&other, tags::SOP_INSTANCE_UID), text(&sr, tags::SOP_INSTANCE_UID));
}

#[test]
fn only_what_was_wished_for_is_written() {
    let source = film(|_| {});
    let (scan, reading) = read(&source, &Wish::default());
    let objects = objects(&source, &scan, &reading).unwrap();
    assert_eq!(objects.iter().map(|(suffix, _)| *suffix).collect::<Vec<_>>(), ["sr"]);
    assert!(named(&by_suffix(&objects, "sr"), "Report written by the model, not by a radiologist").is_empty());
}

#[test]
fn every_object_belongs_to_the_study_and_refers_to_the_source() {
    let source = film(|_| {});
    let (scan, reading) = read(&source, &wish());
    let mut identifiers = vec![INSTANCE.to_string(), SERIES.into(), STUDY.into()];
    for (suffix, bytes) in objects(&source, &scan, &reading).unwrap() {
        let object = parse(&bytes);
        assert_eq!(text(&object, tags::STUDY_INSTANCE_UID), STUDY, "{suffix}");
        assert_eq!(text(&object, tags::PATIENT_NAME), "Müller^Jörg", "{suffix}");
        assert!(bytes.windows(NAME.len()).any(|bytes| bytes == NAME), "{suffix}");
        for (tag, value) in [
            (tags::PATIENT_ID, "SECRET-42"),
            (tags::PATIENT_AGE, "063Y"),
            (tags::PATIENT_WEIGHT, "61.5"),
            (tags::SPECIFIC_CHARACTER_SET, "ISO_IR 100"),
            (tags::STUDY_DATE, "20240102"),
            (tags::CONTENT_DATE, "20240103"),
            (tags::CONTENT_TIME, "101112.5"),
            (tags::ACCESSION_NUMBER, ""),
            (tags::MANUFACTURER_MODEL_NAME, "rad-dino-small"),
        ] {
            assert_eq!(text(&object, tag), value, "{suffix} {tag}");
        }
        assert_eq!(text(&object, tags::DEVICE_SERIAL_NUMBER), reading.answer.model.sha256);
        let meta = object.meta();
        assert_eq!(meta.media_storage_sop_instance_uid(), text(&object, tags::SOP_INSTANCE_UID));
        assert_eq!(meta.media_storage_sop_class_uid(), text(&object, tags::SOP_CLASS_UID));
        let mut references = 0;
        each(&object, &mut |item| {
            if item.get(tags::REFERENCED_SOP_INSTANCE_UID).is_some() {
                references += 1;
                assert_eq!(text(item, tags::REFERENCED_SOP_INSTANCE_UID), INSTANCE);
                let class = text(item, tags::REFERENCED_SOP_CLASS_UID);
                assert_eq!(class, uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION);
            }
            for series in item.get(tags::REFERENCED_SERIES_SEQUENCE).and_then(|e| e.items()).unwrap_or_default() {
                assert_eq!(text(series, tags::SERIES_INSTANCE_UID), SERIES);
            }
        });
        assert!(references >= 1, "{suffix}");
        identifiers.extend([text(&object, tags::SERIES_INSTANCE_UID), text(&object, tags::SOP_INSTANCE_UID)]);
    }
    assert_eq!(identifiers.len(), 9);
    for (i, uid) in identifiers.iter().enumerate() {
        assert!(uid.len() <= 64 && identifiers[i + 1..].iter().all(|other| other != uid), "{uid}");
    }
}

#[test]
fn the_report_says_what_the_answer_says() {
    let source = film(|_| {});
    let (scan, reading) = read(&source, &wish());
    let sr = by_suffix(&objects(&source, &scan, &reading).unwrap(), "sr");
    assert_eq!(text(&sr, tags::SOP_CLASS_UID), uids::COMPREHENSIVE_SR_STORAGE);
    assert_eq!(text(&first(&sr, tags::CONTENT_TEMPLATE_SEQUENCE), tags::TEMPLATE_IDENTIFIER), "1500");
    assert_eq!(text(&sr, tags::VERIFICATION_FLAG), "UNVERIFIED");

    let groups = named(&sr, "Measurement Group");
    let answer = &reading.answer;
    let (findings, regions) = (answer.findings.as_ref().unwrap(), answer.segmentation.as_ref().unwrap());
    assert_eq!(groups.len(), findings.len() + 1 + regions.len());
    for (finding, group) in findings.iter().zip(&groups) {
        assert_eq!(text(&named(group, "Tracking Identifier")[0], tags::TEXT_VALUE), finding.label);
        assert_eq!(number(&named(group, "Probability")[0]), finding.probability);
        assert_eq!(number(&named(group, "Threshold of the decision")[0]), finding.threshold);
        let decision = first(&named(group, "Probability at or above the threshold")[0], tags::CONCEPT_CODE_SEQUENCE);
        let word = if finding.positive { "Positive" } else { "Negative" };
        assert_eq!(text(&decision, tags::CODE_MEANING), word);
        let unit = first(
            &first(&named(group, "Probability")[0], tags::MEASURED_VALUE_SEQUENCE),
            tags::MEASUREMENT_UNITS_CODE_SEQUENCE,
        );
        assert_eq!(
            (text(&unit, tags::CODE_VALUE), text(&unit, tags::CODING_SCHEME_DESIGNATOR)),
            ("1".into(), "UCUM".into())
        );
    }
    let age = number(&named(&sr, "Age estimated from the image")[0]);
    assert_eq!(age, answer.attributes.age_years.unwrap());
    assert_eq!(number(&named(&sr, "Share of the image's area")[0]), (regions[0].area_fraction * 1e6).round() / 1e6);
    let device = text(&named(&sr, "Device Observer Name")[0], tags::TEXT_VALUE);
    assert!(device.contains("rad-dino-small") && device.contains(env!("CARGO_PKG_VERSION")), "{device}");
    assert!(text(&named(&sr, "Comment")[0], tags::TEXT_VALUE).contains("Not a medical device"));
    // A picture of a ramp is no chest film.
    let warnings = named(&sr, "Warning");
    assert_eq!(warnings.len(), answer.warnings.len());
    if let Some(report) = &answer.report {
        let written = named(&sr, "Report written by the model, not by a radiologist");
        assert!(text(&written[0], tags::TEXT_VALUE).starts_with(&report.text));
    }
}

#[test]
fn the_capture_holds_the_heat_map_and_no_patient() {
    let source = film(|_| {});
    let (scan, reading) = read(&source, &wish());
    let sc = by_suffix(&objects(&source, &scan, &reading).unwrap(), "sc");
    let heatmap = reading.heatmap.as_ref().unwrap();
    let side = |tag| sc.element(tag).unwrap().to_int::<usize>().unwrap();
    let (rows, columns) = (side(tags::ROWS), side(tags::COLUMNS));
    let pixels = sc.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    assert_eq!((columns, pixels.len()), (300, rows * columns * 3));
    assert_eq!(pixels[..heatmap.as_raw().len()], **heatmap.as_raw());
    assert!(rows > 200 && text(&sc, tags::DERIVATION_DESCRIPTION).contains("evidence for pneumonia"));
    assert!(sc.get(tags::BURNED_IN_ANNOTATION).is_none());
    // Neither name nor number has any influence on the pixels.
    let other = film(|object| {
        object.put(DataElement::new(tags::PATIENT_NAME, VR::PN, PrimitiveValue::from("Doe^Jane")));
        object.put(DataElement::new(tags::PATIENT_ID, VR::LO, PrimitiveValue::from("7")));
        object.put(DataElement::new(tags::BURNED_IN_ANNOTATION, VR::CS, PrimitiveValue::from("YES")));
    });
    let (scan, reading) = read(&other, &wish());
    let other = by_suffix(&objects(&other, &scan, &reading).unwrap(), "sc");
    assert_eq!(other.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap(), pixels);
    assert_eq!(text(&other, tags::BURNED_IN_ANNOTATION), "YES");
}

#[test]
fn the_segmentation_holds_the_masks() {
    let source = film(|_| {});
    let (scan, mut reading) = read(&source, &wish());
    // A second region, whose frame does not begin at a byte.
    let mut other = reading.masks[0].1.clone();
    other.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    reading.masks.push(("a_region_without_any_code".into(), other));
    let seg = by_suffix(&objects(&source, &scan, &reading).unwrap(), "seg");
    let frames: usize = seg.element(tags::NUMBER_OF_FRAMES).unwrap().to_int().unwrap();
    let bits = seg.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    assert_eq!((frames, bits.len()), (2, 300 * 200 * 2 / 8));
    let marked = reading.masks.iter().flat_map(|(_, mask)| mask.as_raw()).map(|value| *value > 0);
    assert!((0..).zip(marked).all(|(at, marked): (usize, bool)| (bits[at / 8] >> (at % 8) & 1 == 1) == marked));
    let segments = seg.element(tags::SEGMENT_SEQUENCE).unwrap().items().unwrap().to_vec();
    let labels: Vec<_> = segments.iter().map(|segment| text(segment, tags::SEGMENT_LABEL)).collect();
    assert_eq!(labels, ["lung", "a_region_without_any_code"]);
    assert!(segments.iter().all(|segment| text(segment, tags::SEGMENT_ALGORITHM_TYPE) == "AUTOMATIC"));
    let groups = seg.element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap().items().unwrap().to_vec();
    let numbers = groups.iter().map(|group| {
        let identification = first(group, tags::SEGMENT_IDENTIFICATION_SEQUENCE);
        identification.element(tags::REFERENCED_SEGMENT_NUMBER).unwrap().to_int::<u16>().unwrap()
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn frames_of_a_forced_source_are_named() {
    let source = film(|object| {
        object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from("2")));
        let mut pixels = object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().to_vec();
        pixels.extend_from_within(..);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into())));
    });
    let (scan, reading) = read(&source, &Wish::default());
    let sr = by_suffix(&objects(&source, &scan, &reading).unwrap(), "sr");
    let source = first(&named(&sr, "Source")[0], tags::REFERENCED_SOP_SEQUENCE);
    assert_eq!(text(&source, tags::REFERENCED_FRAME_NUMBER), "1");
}

#[test]
fn what_cannot_be_referred_to_is_refused_without_naming_the_patient() {
    let source = film(|_| {});
    let (scan, reading) = read(&source, &Wish::default());
    let refused = |source: &[u8], scan: &Scan| -> Error { objects(source, scan, &reading).unwrap_err() };
    assert_eq!(refused(b"other bytes", &scan).kind(), ErrorKind::Usage);

    for (tag, name) in [
        (tags::SOP_INSTANCE_UID, "SOPInstanceUID"),
        (tags::SERIES_INSTANCE_UID, "SeriesInstanceUID"),
        (tags::STUDY_INSTANCE_UID, "StudyInstanceUID"),
    ] {
        for value in [None, Some("SECRET-42"), Some("")] {
            let source = film(|object| {
                object.remove_element(tag);
                if let Some(value) = value {
                    object.put(DataElement::new(tag, VR::UI, PrimitiveValue::from(value)));
                }
            });
            let error = refused(&source, &decode(&source, &Limits::default()).unwrap());
            let message = error.to_string();
            assert!(error.kind() == ErrorKind::Malformed && message.contains(name), "{message}");
            assert!(!message.contains("SECRET") && error.remedy().is_some(), "{message}");
        }
    }

    let png = std::fs::read(root().join("models/demo.png")).unwrap();
    let error = refused(&png, &decode(&png, &Limits::default()).unwrap());
    assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
}

#[test]
fn senseless_dates_and_texts_do_no_harm() {
    let source = film(|object| {
        let mut put = |tag, vr, value: &str| object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
        put(tags::ACQUISITION_DATE, VR::DA, "tomorrow");
        put(tags::STUDY_DATE, VR::DA, "99999999");
        put(tags::PATIENT_WEIGHT, VR::DS, "1\\2\\3");
    });
    let (scan, reading) = read(&source, &Wish::default());
    let sr = by_suffix(&objects(&source, &scan, &reading).unwrap(), "sr");
    assert_eq!((text(&sr, tags::CONTENT_DATE), text(&sr, tags::STUDY_DATE)), ("19700101".into(), String::new()));
    assert_eq!(text(&sr, tags::PATIENT_WEIGHT), "1\\2\\3");
}

#[test]
fn real_films_in_every_transfer_syntax() {
    let shared = std::env::var_os("RDE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let Ok(folder) = std::fs::read_dir(shared.join("data/dicom")) else {
        eprintln!("skipped: {} holds no data/dicom; set RDE_SHARED", shared.display());
        return;
    };
    let small = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("chest_RG1quarter") || name.starts_with("chest_gdcm")
    };
    let mut films: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).filter(small).collect();
    films.sort();
    assert!(films.len() >= 8);
    for film in films {
        let source = std::fs::read(&film).unwrap();
        let (scan, reading) = read(&source, &wish());
        assert_eq!(scan.format, Format::Dicom);
        let objects = objects(&source, &scan, &reading).unwrap();
        let original = text(&by_suffix(&objects, "sr"), tags::STUDY_INSTANCE_UID);
        for (suffix, bytes) in objects {
            let object = parse(&bytes);
            assert_eq!(text(&object, tags::STUDY_INSTANCE_UID), original, "{suffix} of {}", film.display());
        }
    }
}

/// A plain film and what was read from it, for damaged copies whose pixels are the same.
static PLAIN: LazyLock<(Vec<u8>, Reading)> = LazyLock::new(|| {
    let source = film(|_| {});
    let reading = read(&source, &Wish::default()).1;
    (source, reading)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is in a header: an error, or objects that can be read back and name a source.
    #[test]
    fn damaged_headers_never_panic(edits in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..5)) {
        let (source, reading) = &*PLAIN;
        let mut source = source.clone();
        let header = source.len() - 300 * 200;
        for (at, value) in edits {
            source[132 + at.index(header - 132)] = value;
        }
        let options = Options { force_photometric: true, ..Options::default() };
        if let Ok(scan) = options.decode(&source)
            && let Ok(objects) = objects(&source, &scan, reading)
        {
            let sr = parse(&objects[0].1);
            prop_assert_eq!(named(&sr, "Measurement Group").len(), named(&sr, "Algorithm Version").len());
            let uid = text(&first(&named(&sr, "Source")[0], tags::REFERENCED_SOP_SEQUENCE), tags::REFERENCED_SOP_INSTANCE_UID);
            prop_assert!(uid.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{}", uid);
        }
    }
}
