//! Secondary Capture (PS3.3, A.8.1) of the heat map, with a band below it that says what it is.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use image::RgbImage;

use super::concept::dcm;
use super::dataset::{self, items, pixels, short, text, texts};
use super::modules::{Context, Kind};
use super::{NOTICE, font};
use crate::reader::HeatmapOf;
use crate::{Error, ErrorKind, Result};

const KIND: Kind = Kind {
    suffix: "sc",
    sop_class: uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    modality: "OT",
    series_number: "9102",
    series_description: "AI research output: heat map",
};

/// What is drawn into the picture first.
const MARK: &str = "AI research output, not for clinical use";

pub(super) fn write(context: &Context, picture: &RgbImage, of: Option<&HeatmapOf>) -> Result<Vec<u8>> {
    let model = &context.answer.model;
    let what = match of {
        Some(HeatmapOf::Finding(label)) => format!("evidence for {}", label.replace('_', " ")),
        Some(HeatmapOf::Attention) => "attention of the encoder".to_string(),
        None => "heat map".to_string(),
    };
    let mut lines = vec![MARK.to_string(), format!("{what}, {}", model.name)];
    lines.extend(context.answer.warnings.iter().map(|warning| format!("Warning: {}", warning.kind.replace('_', " "))));
    let picture = font::caption(picture, &lines);
    let side = |side: u32| {
        let message = "a heat map is too large for a DICOM image";
        u16::try_from(side).map_err(|_| Error::new(ErrorKind::Internal, message))
    };

    let mut object = context.object(KIND);
    context.like_the_source(&mut object);
    context.laterality(&mut object);
    text(&mut object, tags::CONVERSION_TYPE, VR::CS, "WSD");
    texts(&mut object, tags::IMAGE_TYPE, VR::CS, &["DERIVED", "SECONDARY"]);
    // Whether text that identifies the patient is in the pixels; none is added.
    if let Some(burned_in) = context.source.text((0x0028, 0x0301)) {
        text(&mut object, tags::BURNED_IN_ANNOTATION, VR::CS, burned_in);
    }
    let derivation = format!(
        "Heat map ({what}) of model {} {} (sha256 {}) drawn over the source image. {NOTICE}",
        model.name,
        context.model_version(),
        model.sha256
    );
    text(&mut object, tags::DERIVATION_DESCRIPTION, VR::ST, &derivation);
    let purpose = dcm("121322", "Source Image for Image Processing Operation");
    items(&mut object, tags::SOURCE_IMAGE_SEQUENCE, vec![context.source_image(&purpose)]);
    short(&mut object, tags::SAMPLES_PER_PIXEL, 3);
    text(&mut object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    short(&mut object, tags::PLANAR_CONFIGURATION, 0);
    short(&mut object, tags::ROWS, side(picture.height())?);
    short(&mut object, tags::COLUMNS, side(picture.width())?);
    short(&mut object, tags::BITS_ALLOCATED, 8);
    short(&mut object, tags::BITS_STORED, 8);
    short(&mut object, tags::HIGH_BIT, 7);
    short(&mut object, tags::PIXEL_REPRESENTATION, 0);
    pixels(&mut object, picture.into_raw());
    dataset::file(object, KIND.suffix)
}
