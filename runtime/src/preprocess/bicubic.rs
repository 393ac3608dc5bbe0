//! Pillow's 8-bit bicubic resize, bit for bit, of a window of the result.

use rayon::prelude::*;

use super::coefficients::{Coefficients, LOW_BITS, PRECISION_BITS, Taps};
use crate::scan::Pixels;

/// Rows handled by one task.
const ROWS: usize = 32;

/// A part of the resized picture, in its pixels; must lie inside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// Resizes `pixels` ([height, width] or [height, width, 3]) to `out_width`×`out_height` and returns the window of it.
/// Only what the window needs is computed: rows first, rounded to 8 bits, then columns, as Pillow does.
pub(crate) fn resize(
    pixels: &Pixels,
    (width, height): (usize, usize),
    (out_width, out_height): (usize, usize),
    window: Window,
) -> Pixels {
    if window.width == 0 || window.height == 0 {
        return match pixels {
            Pixels::Gray8(_) => Pixels::Gray8(Vec::new()),
            Pixels::Rgb8(_) => Pixels::Rgb8(Vec::new()),
        };
    }
    let vertical = Coefficients::new(height, out_height, window.top, window.height);
    let rows = if height == out_height { window.top..window.top + window.height } else { vertical.input_range() };
    let horizontal = Coefficients::new(width, out_width, window.left, window.width);
    let channels = pixels.channels();
    let line = width * channels;
    let source = &pixels.samples()[rows.start * line..rows.end * line];
    // [rows, channels, window width]: channels apart, so that sums run over neighbours
    let mut narrow = vec![0u8; rows.len() * channels * window.width];
    narrow.par_chunks_mut(ROWS * channels * window.width).zip(source.par_chunks(ROWS * line)).for_each(
        |(out, input)| {
            let mut plane = vec![0i16; width + horizontal.taps];
            for (out, input) in out.chunks_exact_mut(channels * window.width).zip(input.chunks_exact(line)) {
                for (channel, out) in out.chunks_exact_mut(window.width).enumerate() {
                    if width == out_width {
                        let from = &input[window.left * channels..];
                        out.iter_mut().zip(from.chunks_exact(channels)).for_each(|(o, p)| *o = p[channel]);
                        continue;
                    }
                    for (sample, pixel) in plane.iter_mut().zip(input.chunks_exact(channels)) {
                        *sample = i16::from(pixel[channel]);
                    }
                    for (o, taps) in out.iter_mut().zip(horizontal.iter()) {
                        *o = weighted_sum(&plane[taps.start..taps.start + taps.low.len()], taps);
                    }
                }
            }
        },
    );
    // [window height, channels, window width]
    let planar = if height == out_height {
        narrow
    } else {
        reduce_rows(&narrow, channels * window.width, rows.start, &vertical, window.height)
    };
    match pixels {
        Pixels::Gray8(_) => Pixels::Gray8(planar),
        Pixels::Rgb8(_) => Pixels::Rgb8(interleave(&planar, window.width)),
    }
}

/// Σ weight · sample over one output's taps, padding included, rounded and clipped to 8 bits.
fn weighted_sum(samples: &[i16], taps: Taps) -> u8 {
    let (mut low, mut high) = (0i32, 0i32);
    for ((&s, &l), &h) in samples.iter().zip(taps.low).zip(taps.high) {
        low = low.wrapping_add(i32::from(s) * i32::from(l));
        high = high.wrapping_add(i32::from(s) * i32::from(h));
    }
    round(low, high)
}

/// The whole sum fits 32 bits; its low half alone may wrap, which cancels when the halves are joined.
fn round(low: i32, high: i32) -> u8 {
    let sum = (high << LOW_BITS).wrapping_add(low).wrapping_add(1 << (PRECISION_BITS - 1));
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Sums rows of `line` samples; `first` is the picture's row that `narrow` starts with.
fn reduce_rows(narrow: &[u8], line: usize, first: usize, vertical: &Coefficients, height: usize) -> Vec<u8> {
    let mut result = vec![0u8; height * line];
    result.par_chunks_mut(ROWS * line).enumerate().for_each(|(task, out)| {
        let (mut low, mut high) = (vec![0i32; line], vec![0i32; line]);
        for (i, out) in out.chunks_exact_mut(line).enumerate() {
            low.fill(0);
            high.fill(0);
            let taps = vertical.get(task * ROWS + i);
            let rows = narrow[(taps.start - first) * line..].chunks_exact(line);
            for ((row, &l), &h) in rows.zip(taps.low).zip(taps.high).take(taps.length) {
                for ((low, high), &s) in low.iter_mut().zip(&mut high).zip(row) {
                    *low = low.wrapping_add(i32::from(l) * i32::from(s));
                    *high = high.wrapping_add(i32::from(h) * i32::from(s));
                }
            }
            for ((o, &l), &h) in out.iter_mut().zip(&low).zip(&high) {
                *o = round(l, h);
            }
        }
    });
    result
}

/// [rows, 3, width] → [rows, width, 3]
fn interleave(planar: &[u8], width: usize) -> Vec<u8> {
    let mut result = Vec::with_capacity(planar.len());
    for row in planar.chunks_exact(3 * width) {
        let (r, gb) = row.split_at(width);
        let (g, b) = gb.split_at(width);
        result.extend(r.iter().zip(g).zip(b).flat_map(|((&r, &g), &b)| [r, g, b]));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(count: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    }

    fn whole(width: usize, height: usize) -> Window {
        Window { left: 0, top: 0, width, height }
    }

    proptest! {
        #[test]
        fn a_window_is_cut_from_the_whole(w in 1usize..90, h in 1usize..90, ow in 1usize..90, oh in 1usize..90,
                                          cut in any::<[f64; 4]>(), seed: u64) {
            let cut = cut.map(|c| if c.is_finite() { c.abs().fract() } else { 0.3 });
            let (left, top) = ((cut[0] * ow as f64) as usize, (cut[1] * oh as f64) as usize);
            let (width, height) = (((ow - left) as f64 * cut[2]) as usize, ((oh - top) as f64 * cut[3]) as usize);
            let pixels = Pixels::Rgb8(noise(w * h * 3, seed));
            let all = resize(&pixels, (w, h), (ow, oh), whole(ow, oh));
            let part = resize(&pixels, (w, h), (ow, oh), Window { left, top, width, height });
            for y in 0..height {
                let (from, to) = (((top + y) * ow + left) * 3, y * width * 3);
                prop_assert_eq!(&all.samples()[from..from + width * 3], &part.samples()[to..to + width * 3]);
            }
        }

        #[test]
        fn constant_stays_constant(w in 1usize..200, h in 1usize..200, ow in 1usize..90, oh in 1usize..90, v: u8) {
            let out = resize(&Pixels::Gray8(vec![v; w * h]), (w, h), (ow, oh), whole(ow, oh));
            prop_assert!(out.samples().iter().all(|&o| o == v));
        }

        #[test]
        fn channels_do_not_mix(w in 1usize..60, h in 1usize..60, ow in 1usize..60, oh in 1usize..60, seed: u64) {
            let rgb = noise(w * h * 3, seed);
            let colour = resize(&Pixels::Rgb8(rgb.clone()), (w, h), (ow, oh), whole(ow, oh));
            for c in 0..3 {
                let plane = Pixels::Gray8(rgb.iter().skip(c).step_by(3).copied().collect());
                let grey = resize(&plane, (w, h), (ow, oh), whole(ow, oh));
                let channel: Vec<u8> = colour.samples().iter().skip(c).step_by(3).copied().collect();
                prop_assert_eq!(grey.samples(), &channel[..]);
            }
        }
    }

    #[test]
    fn same_size_copies() {
        let pixels = Pixels::Rgb8(noise(7 * 5 * 3, 1));
        assert_eq!(resize(&pixels, (7, 5), (7, 5), whole(7, 5)), pixels);
    }
}
