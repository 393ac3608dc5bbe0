//! Segmentation (PS3.3, A.51): binary, one segment and one frame a mask, of the source's own size.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use image::GrayImage;

use super::concept::{dcm, identify_schemes, region, region_category};
use super::dataset::{self, Object, empty, items, longs, pixels, pointer, short, text, texts};
use super::modules::{Context, Kind};
use crate::{Error, ErrorKind, Result};

const KIND: Kind = Kind {
    suffix: "seg",
    sop_class: uids::SEGMENTATION_STORAGE,
    modality: "SEG",
    series_number: "9103",
    series_description: "AI research output: segmentation",
};

pub(super) fn write(context: &Context, masks: &[(String, GrayImage)]) -> Result<Vec<u8>> {
    let size = (context.scan.width, context.scan.height);
    let sides = u16::try_from(size.0).ok().zip(u16::try_from(size.1).ok()).zip(u16::try_from(masks.len()).ok());
    let (Some(((columns, rows), frames)), true) = (sides, masks.iter().all(|(_, mask)| mask.dimensions() == size))
    else {
        return Err(Error::new(ErrorKind::Internal, "a mask does not fit a DICOM image of its scan"));
    };
    let mut object = context.object(KIND);
    context.like_the_source(&mut object);
    identify_schemes(&mut object);
    texts(&mut object, tags::IMAGE_TYPE, VR::CS, &["DERIVED", "PRIMARY"]);
    short(&mut object, tags::SAMPLES_PER_PIXEL, 1);
    text(&mut object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    short(&mut object, tags::ROWS, rows);
    short(&mut object, tags::COLUMNS, columns);
    short(&mut object, tags::BITS_ALLOCATED, 1);
    short(&mut object, tags::BITS_STORED, 1);
    short(&mut object, tags::HIGH_BIT, 0);
    short(&mut object, tags::PIXEL_REPRESENTATION, 0);
    text(&mut object, tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
    text(&mut object, tags::SEGMENTS_OVERLAP, VR::CS, if masks.len() > 1 { "UNDEFINED" } else { "NO" });
    text(&mut object, tags::CONTENT_LABEL, VR::CS, "AI_RESEARCH");
    text(&mut object, tags::CONTENT_DESCRIPTION, VR::LO, "AI research output, not for clinical use");
    empty(&mut object, tags::CONTENT_CREATOR_NAME, VR::PN);
    text(&mut object, tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string());
    items(&mut object, tags::REFERENCED_SERIES_SEQUENCE, vec![referenced_series(context)]);
    let segments = (1..=frames).zip(masks).map(|(number, (label, _))| segment(context, number, label));
    items(&mut object, tags::SEGMENT_SEQUENCE, segments.collect());
    dimensions(context, &mut object);
    items(&mut object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![Object::new_empty()]);
    let groups = (1..=frames).map(|segment| frame(context, segment));
    items(&mut object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups.collect());
    pixels(&mut object, pack(masks));
    dataset::file(object, KIND.suffix)
}

/// Common Instance Reference wants instances by another name than a report's evidence does.
fn referenced_series(context: &Context) -> Object {
    let mut series = context.referenced_series();
    if let Some(instances) = series.take(tags::REFERENCED_SOP_SEQUENCE).and_then(|e| e.into_value().into_items()) {
        items(&mut series, tags::REFERENCED_INSTANCE_SEQUENCE, instances.into_vec());
    }
    series
}

fn segment(context: &Context, number: u16, label: &str) -> Object {
    let model = &context.answer.model;
    let name = format!("{} {} ({})", model.name, context.model_version(), context.software());
    let mut segment = Object::new_empty();
    short(&mut segment, tags::SEGMENT_NUMBER, number);
    text(&mut segment, tags::SEGMENT_LABEL, VR::LO, label);
    text(&mut segment, tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC");
    text(&mut segment, tags::SEGMENT_ALGORITHM_NAME, VR::LO, &name);
    let category = region_category(label).object();
    items(&mut segment, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![category]);
    items(&mut segment, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![region(label).object()]);
    text(&mut segment, tags::TRACKING_ID, VR::UT, label);
    text(&mut segment, tags::TRACKING_UID, VR::UI, &context.uid(&["tracking", label]));
    segment
}

/// Frames are told apart by their segment alone.
fn dimensions(context: &Context, object: &mut Object) {
    let organization = context.uid(&["dimensions"]);
    let mut item = Object::new_empty();
    text(&mut item, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization);
    items(object, tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![item.clone()]);
    pointer(&mut item, tags::DIMENSION_INDEX_POINTER, tags::REFERENCED_SEGMENT_NUMBER);
    pointer(&mut item, tags::FUNCTIONAL_GROUP_POINTER, tags::SEGMENT_IDENTIFICATION_SEQUENCE);
    text(&mut item, tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, "Segment Number");
    items(object, tags::DIMENSION_INDEX_SEQUENCE, vec![item]);
}

/// What a frame was derived from; readers look for it in each frame, though it is the same.
fn derivation(context: &Context) -> Object {
    let mut source = context.source_image(&dcm("121322", "Source Image for Image Processing Operation"));
    text(&mut source, tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
    let mut derivation = Object::new_empty();
    items(&mut derivation, tags::DERIVATION_CODE_SEQUENCE, vec![dcm("113076", "Segmentation").object()]);
    items(&mut derivation, tags::SOURCE_IMAGE_SEQUENCE, vec![source]);
    derivation
}

fn frame(context: &Context, segment: u16) -> Object {
    let mut content = Object::new_empty();
    longs(&mut content, tags::DIMENSION_INDEX_VALUES, &[segment.into()]);
    let mut identification = Object::new_empty();
    short(&mut identification, tags::REFERENCED_SEGMENT_NUMBER, segment);
    let mut frame = Object::new_empty();
    items(&mut frame, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
    items(&mut frame, tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation(context)]);
    items(&mut frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![identification]);
    frame
}

/// One bit a pixel, the first in the lowest bit, frame after frame without a gap (PS3.5, 8.1.1).
fn pack(masks: &[(String, GrayImage)]) -> Vec<u8> {
    let count: usize = masks.iter().map(|(_, mask)| mask.as_raw().len()).sum();
    let mut bytes = vec![0u8; count.div_ceil(8)];
    let mut at = 0;
    for (_, mask) in masks {
        for &value in mask.as_raw() {
            bytes[at / 8] |= u8::from(value > 0) << (at % 8);
            at += 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_run_on_from_frame_to_frame() {
        let mask = |values: &[u8]| ("lung".to_string(), GrayImage::from_raw(5, 1, values.to_vec()).unwrap());
        let masks = [mask(&[255, 0, 0, 0, 255]), mask(&[255, 255, 0, 0, 255])];
        assert_eq!(pack(&masks), [0b0111_0001, 0b10]);
    }
}
