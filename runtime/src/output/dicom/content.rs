//! Content items of a structured report (PS3.3, C.17.3).

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::concept::Concept;
use super::dataset::{Object, items, text};

/// How an item belongs to the one it is in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Relationship {
    Contains,
    HasConceptModifier,
    HasObservationContext,
    HasAcquisitionContext,
}

fn item(relationship: Option<Relationship>, value_type: &str, name: Option<&Concept>) -> Object {
    let mut object = Object::new_empty();
    let relationship = relationship.map(|relationship| match relationship {
        Relationship::Contains => "CONTAINS",
        Relationship::HasConceptModifier => "HAS CONCEPT MOD",
        Relationship::HasObservationContext => "HAS OBS CONTEXT",
        Relationship::HasAcquisitionContext => "HAS ACQ CONTEXT",
    });
    if let Some(relationship) = relationship {
        text(&mut object, tags::RELATIONSHIP_TYPE, VR::CS, relationship);
    }
    text(&mut object, tags::VALUE_TYPE, VR::CS, value_type);
    if let Some(name) = name {
        items(&mut object, tags::CONCEPT_NAME_CODE_SEQUENCE, vec![name.object()]);
    }
    object
}

/// A heading with what is below it; the document itself has no relationship.
pub(super) fn container(relationship: Option<Relationship>, name: &Concept, content: Vec<Object>) -> Object {
    let mut object = item(relationship, "CONTAINER", Some(name));
    text(&mut object, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    items(&mut object, tags::CONTENT_SEQUENCE, content);
    object
}

/// Says which template of the standard (PS3.16) a container follows.
pub(super) fn template(object: &mut Object, identifier: &str) {
    let mut template = Object::new_empty();
    text(&mut template, tags::MAPPING_RESOURCE, VR::CS, "DCMR");
    text(&mut template, tags::TEMPLATE_IDENTIFIER, VR::CS, identifier);
    items(object, tags::CONTENT_TEMPLATE_SEQUENCE, vec![template]);
}

pub(super) fn code(relationship: Relationship, name: &Concept, value: &Concept) -> Object {
    let mut object = item(Some(relationship), "CODE", Some(name));
    items(&mut object, tags::CONCEPT_CODE_SEQUENCE, vec![value.object()]);
    object
}

pub(super) fn words(relationship: Relationship, name: &Concept, value: &str) -> Object {
    let mut object = item(Some(relationship), "TEXT", Some(name));
    text(&mut object, tags::TEXT_VALUE, VR::UT, value);
    object
}

pub(super) fn identifier(relationship: Relationship, name: &Concept, uid: &str) -> Object {
    let mut object = item(Some(relationship), "UIDREF", Some(name));
    text(&mut object, tags::UID, VR::UI, uid);
    object
}

/// A number to six decimals; one that is not finite has no value.
pub(super) fn number(relationship: Relationship, name: &Concept, value: f64, unit: &Concept) -> Object {
    let mut object = item(Some(relationship), "NUM", Some(name));
    let mut measured = Object::new_empty();
    text(&mut measured, tags::NUMERIC_VALUE, VR::DS, &format!("{}", (value * 1e6).round() / 1e6));
    items(&mut measured, tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit.object()]);
    let measured = if value.is_finite() && value.abs() < 1e8 { vec![measured] } else { vec![] };
    items(&mut object, tags::MEASURED_VALUE_SEQUENCE, measured);
    object
}

pub(super) fn image(relationship: Relationship, name: &Concept, reference: Object) -> Object {
    let mut object = item(Some(relationship), "IMAGE", Some(name));
    items(&mut object, tags::REFERENCED_SOP_SEQUENCE, vec![reference]);
    object
}
