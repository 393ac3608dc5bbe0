use crate::scan::{Format, Pixels, Scan, Tags};

const WIDTH: u32 = 448;
const HEIGHT: u32 = 512;

/// The picture of the self-check: two dark ovals in a bright field with ribs and grain, integers only, so that it is the
/// same everywhere.
pub fn picture() -> Scan {
    let mut state = 1u32;
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT) as usize);
    for y in 0..i64::from(HEIGHT) {
        for x in 0..i64::from(WIDTH) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // (x − cx)²·a + (y − cy)²·b, 2²⁰ on the oval's edge
            let oval = |cx: i64| (x - cx) * (x - cx) * 110 + (y - 250) * (y - 250) * 36;
            let depth = (1_048_576 - oval(130).min(oval(318))).max(0) >> 13;
            let rib = i64::from((y + (x - 224).abs() / 3) % 48 < 12) * 14;
            let edge = (x.min(447 - x) * 2).min(60);
            let value = 130 + edge - depth + rib + i64::from(state >> 29);
            pixels.push(value.clamp(0, 255) as u8);
        }
    }
    Scan {
        width: WIDTH,
        height: HEIGHT,
        pixels: Pixels::Gray8(pixels),
        format: Format::Png,
        sha256: String::new(),
        tags: Tags::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_contrast() {
        let Pixels::Gray8(pixels) = picture().pixels else { panic!("grey") };
        assert_eq!(pixels.len(), (WIDTH * HEIGHT) as usize);
        let (low, high) = (pixels.iter().min().unwrap(), pixels.iter().max().unwrap());
        assert!(high - low > 120, "{low} to {high}");
    }
}
