//! Pictures inside JSON: PNG as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::preprocess::{Window, resize};
use crate::reader::Reading;
use crate::scan::{Pixels, Scan};

/// Long side of the film for display, at most, in pixels.
const LONG_SIDE: u32 = 2048;

/// The pictures that were asked for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Pictures {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<Picture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heatmap: Option<Picture>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Mask>,
}

/// One picture.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    width: u32,
    height: u32,
    /// Base64.
    png: String,
}

/// A region as a picture, 0 and 255.
#[derive(Debug, Serialize)]
pub(super) struct Mask {
    label: String,
    #[serde(flatten)]
    picture: Picture,
}

impl Pictures {
    /// Those of `reading`, and the film itself where `display`; None when there are none.
    pub fn of(scan: &Scan, reading: &Reading, display: bool) -> Result<Option<Pictures>> {
        let heatmap = reading.heatmap.as_ref();
        let heatmap = heatmap.map(|p| picture(p.as_raw(), p.width(), p.height(), ExtendedColorType::Rgb8));
        let masks = reading.masks.iter().map(|(label, mask)| {
            let picture = picture(mask.as_raw(), mask.width(), mask.height(), ExtendedColorType::L8)?;
            Ok(Mask { label: label.clone(), picture })
        });
        let pictures = Pictures {
            display: display.then(|| film(scan)).transpose()?,
            heatmap: heatmap.transpose()?,
            masks: masks.collect::<Result<_>>()?,
        };
        let none = pictures.display.is_none() && pictures.heatmap.is_none() && pictures.masks.is_empty();
        Ok((!none).then_some(pictures))
    }
}

/// The film's 8-bit pixels as the model was given them, made smaller where it is large.
fn film(scan: &Scan) -> Result<Picture> {
    let long = scan.width.max(scan.height);
    if long <= LONG_SIDE {
        return picture(scan.pixels.samples(), scan.width, scan.height, color(&scan.pixels));
    }
    let side = |s: u32| ((f64::from(s) * f64::from(LONG_SIDE) / f64::from(long)).round() as u32).max(1);
    let (width, height) = (side(scan.width), side(scan.height));
    let window = Window { left: 0, top: 0, width: width as usize, height: height as usize };
    let size = (scan.width as usize, scan.height as usize);
    let pixels = resize(&scan.pixels, size, (window.width, window.height), window);
    picture(pixels.samples(), width, height, color(&pixels))
}

fn color(pixels: &Pixels) -> ExtendedColorType {
    match pixels {
        Pixels::Gray8(_) => ExtendedColorType::L8,
        Pixels::Rgb8(_) => ExtendedColorType::Rgb8,
    }
}

fn picture(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Result<Picture> {
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
        .write_image(pixels, width, height, color)
        .map_err(|e| Error::new(ErrorKind::Internal, "a picture could not be made").source(e))?;
    Ok(Picture { width, height, png: STANDARD.encode(png) })
}
