//! Elements into data sets, and a data set into a Part 10 file.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::meta::FileMetaTableBuilder;
use dicom_transfer_syntax_registry::entries;
use sha2::{Digest, Sha256};

use super::uid;
use crate::{Error, ErrorKind, Result};

/// A data set or an item of a sequence, its elements in order of their tags.
pub(super) type Object = InMemDicomObject;

/// Puts text of ours: plain ASCII whatever character set the patient's data are in (other characters become `?`), no
/// longer than `vr` allows, without what would make it several values.
pub(super) fn text(object: &mut Object, tag: Tag, vr: VR, value: &str) {
    let paragraphs = matches!(vr, VR::ST | VR::LT | VR::UT);
    let limit = match vr {
        VR::AE | VR::CS | VR::DS | VR::SH => 16,
        VR::LO | VR::PN | VR::UI => 64,
        VR::ST => 1024,
        VR::LT => 10_240,
        _ => usize::MAX,
    };
    let plain = |c: char| match c {
        '\n' if paragraphs => c,
        '\\' if !paragraphs => '/',
        '≥' => '>',
        '–' | '—' => '-',
        ' '..='~' => c,
        _ => '?',
    };
    let value: String = value.chars().map(plain).take(limit).collect();
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

/// Puts several values, each as [`text`] would.
pub(super) fn texts(object: &mut Object, tag: Tag, vr: VR, values: &[&str]) {
    let mut single = Object::new_empty();
    let values = values.iter().filter_map(|value| {
        text(&mut single, tag, vr, value);
        Some(single.get(tag)?.to_str().ok()?.into_owned())
    });
    let values = PrimitiveValue::Strs(values.collect());
    object.put(DataElement::new(tag, vr, values));
}

/// Puts a text element's bytes as they are in another file.
pub(super) fn raw(object: &mut Object, tag: Tag, vr: VR, value: &[u8]) {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == VR::UI { 0 } else { b' ' });
    }
    // Numbers as text must not be taken for a list of numbers.
    let value = match (vr, String::from_utf8(value)) {
        (VR::DS | VR::IS, Ok(value)) if value.is_ascii() => PrimitiveValue::from(value),
        (VR::DS | VR::IS, _) => PrimitiveValue::Empty,
        (_, Ok(value)) => PrimitiveValue::U8(value.into_bytes().into()),
        (_, Err(error)) => PrimitiveValue::U8(error.into_bytes().into()),
    };
    object.put(DataElement::new(tag, vr, value));
}

/// Puts an element without a value.
pub(super) fn empty(object: &mut Object, tag: Tag, vr: VR) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::Empty));
}

/// Puts a 16-bit number.
pub(super) fn short(object: &mut Object, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

/// Puts 32-bit numbers.
pub(super) fn longs(object: &mut Object, tag: Tag, values: &[u32]) {
    object.put(DataElement::new(tag, VR::UL, PrimitiveValue::U32(values.iter().copied().collect())));
}

/// Puts the tag of another element.
pub(super) fn pointer(object: &mut Object, tag: Tag, to: Tag) {
    object.put(DataElement::new(tag, VR::AT, PrimitiveValue::Tags([to].into_iter().collect())));
}

/// Puts 8-bit pixels, padded to an even length.
pub(super) fn pixels(object: &mut Object, mut bytes: Vec<u8>) {
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into())));
}

/// Puts a sequence.
pub(super) fn items(object: &mut Object, tag: Tag, items: Vec<Object>) {
    object.put(DataElement::new(tag, VR::SQ, dicom_core::value::DataSetSequence::from(items)));
}

/// Names the instance after its content, and writes the file: explicit VR, little endian.
///
/// # Errors
/// `Internal`.
pub(super) fn file(mut object: Object, kind: &str) -> Result<Vec<u8>> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Internal, format!("a DICOM object ({kind}) could not be written")).source(e)
    };
    let mut content = Vec::new();
    let syntax = entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
    object.write_dataset_with_ts(&mut content, &syntax).map_err(|e| failed(e.into()))?;
    let digest: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    text(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &uid::derive(&["instance", kind, &digest]));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(uid::derive(&["implementation", "rad-dino-edge"]))
        .implementation_version_name("RAD_DINO_EDGE");
    let file = object.with_meta(meta).map_err(|e| failed(e.into()))?;
    let mut bytes = Vec::with_capacity(content.len() + 1024);
    file.write_all(&mut bytes).map_err(|e| failed(e.into()))?;
    Ok(bytes)
}
