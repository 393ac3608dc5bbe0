//! Text in a picture: capital letters of 5 × 7 dots, enlarged with the picture.

use image::{Rgb, RgbImage};

const WIDTH: u32 = 5;
const HEIGHT: u32 = 7;
/// Free dots around a line, and between two letters one.
const MARGIN: u32 = 3;
const PAPER: Rgb<u8> = Rgb([0, 0, 0]);
const INK: Rgb<u8> = Rgb([255, 255, 255]);
/// Letters that a line should have room for before it is broken.
const LINE: u32 = 44;

/// `picture` with a black band below it that holds `lines`, broken where they are too long. A picture narrower than a
/// short line gets a black margin at its right.
pub(super) fn caption(picture: &RgbImage, lines: &[String]) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (width / (LINE * (WIDTH + 1) + 2 * MARGIN)).max(1);
    let letters = (width / scale).saturating_sub(2 * MARGIN) / (WIDTH + 1);
    let letters = letters.max(20) as usize;
    let lines: Vec<String> = lines.iter().flat_map(|line| broken(line, letters)).collect();
    let longest = lines.iter().map(|line| line.chars().count() as u32).max().unwrap_or(0);
    let needed = (longest * (WIDTH + 1) + 2 * MARGIN) * scale;
    let pitch = (HEIGHT + MARGIN) * scale;
    let band = lines.len() as u32 * pitch + MARGIN * scale;
    let mut canvas = RgbImage::from_pixel(width.max(needed), height + band, PAPER);
    let rows = picture.chunks_exact(3 * width.max(1) as usize);
    let across = 3 * canvas.width() as usize;
    canvas.chunks_exact_mut(across).zip(rows).for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
    for (row, line) in (0..).zip(&lines) {
        for (column, letter) in (0..).zip(line.chars()) {
            let (left, top) = ((column * (WIDTH + 1) + MARGIN) * scale, height + row * pitch + MARGIN * scale);
            draw(&mut canvas, letter, left, top, scale);
        }
    }
    canvas
}

fn draw(canvas: &mut RgbImage, letter: char, left: u32, top: u32, scale: u32) {
    for (column, dots) in (0..).zip(glyph(letter)) {
        for row in (0..HEIGHT).filter(|row| dots >> row & 1 == 1) {
            for (dx, dy) in (0..scale).flat_map(|dy| (0..scale).map(move |dx| (dx, dy))) {
                if let Some(pixel) = canvas.get_pixel_mut_checked(left + column * scale + dx, top + row * scale + dy) {
                    *pixel = INK;
                }
            }
        }
    }
}

/// Lines of at most `letters` letters, broken at spaces where there are any.
fn broken(line: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let mut word = word;
        let fits = lines
            .last()
            .is_some_and(|last| last.is_empty() || last.chars().count() + 1 + word.chars().count() <= letters);
        if !fits {
            lines.push(String::new());
        }
        loop {
            let end = word.char_indices().nth(letters).map_or(word.len(), |(at, _)| at);
            if let Some(last) = lines.last_mut() {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(&word[..end]);
            }
            word = &word[end..];
            if word.is_empty() {
                break;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// The letter's columns from left to right, the lowest bit on top; what has no letter is a box.
fn glyph(letter: char) -> [u8; WIDTH as usize] {
    match letter.to_ascii_uppercase() {
        ' ' => [0x00, 0x00, 0x00, 0x00, 0x00],
        '%' => [0x23, 0x13, 0x08, 0x64, 0x62],
        '(' => [0x00, 0x1c, 0x22, 0x41, 0x00],
        ')' => [0x00, 0x41, 0x22, 0x1c, 0x00],
        ',' => [0x00, 0x50, 0x30, 0x00, 0x00],
        '-' => [0x08, 0x08, 0x08, 0x08, 0x08],
        '.' => [0x00, 0x60, 0x60, 0x00, 0x00],
        '/' => [0x20, 0x10, 0x08, 0x04, 0x02],
        '0' => [0x3e, 0x51, 0x49, 0x45, 0x3e],
        '1' => [0x00, 0x42, 0x7f, 0x40, 0x00],
        '2' => [0x42, 0x61, 0x51, 0x49, 0x46],
        '3' => [0x21, 0x41, 0x45, 0x4b, 0x31],
        '4' => [0x18, 0x14, 0x12, 0x7f, 0x10],
        '5' => [0x27, 0x45, 0x45, 0x45, 0x39],
        '6' => [0x3c, 0x4a, 0x49, 0x49, 0x30],
        '7' => [0x01, 0x71, 0x09, 0x05, 0x03],
        '8' => [0x36, 0x49, 0x49, 0x49, 0x36],
        '9' => [0x06, 0x49, 0x49, 0x29, 0x1e],
        ':' => [0x00, 0x36, 0x36, 0x00, 0x00],
        'A' => [0x7e, 0x11, 0x11, 0x11, 0x7e],
        'B' => [0x7f, 0x49, 0x49, 0x49, 0x36],
        'C' => [0x3e, 0x41, 0x41, 0x41, 0x22],
        'D' => [0x7f, 0x41, 0x41, 0x22, 0x1c],
        'E' => [0x7f, 0x49, 0x49, 0x49, 0x41],
        'F' => [0x7f, 0x09, 0x09, 0x09, 0x01],
        'G' => [0x3e, 0x41, 0x49, 0x49, 0x7a],
        'H' => [0x7f, 0x08, 0x08, 0x08, 0x7f],
        'I' => [0x00, 0x41, 0x7f, 0x41, 0x00],
        'J' => [0x20, 0x40, 0x41, 0x3f, 0x01],
        'K' => [0x7f, 0x08, 0x14, 0x22, 0x41],
        'L' => [0x7f, 0x40, 0x40, 0x40, 0x40],
        'M' => [0x7f, 0x02, 0x0c, 0x02, 0x7f],
        'N' => [0x7f, 0x04, 0x08, 0x10, 0x7f],
        'O' => [0x3e, 0x41, 0x41, 0x41, 0x3e],
        'P' => [0x7f, 0x09, 0x09, 0x09, 0x06],
        'Q' => [0x3e, 0x41, 0x51, 0x21, 0x5e],
        'R' => [0x7f, 0x09, 0x19, 0x29, 0x46],
        'S' => [0x46, 0x49, 0x49, 0x49, 0x31],
        'T' => [0x01, 0x01, 0x7f, 0x01, 0x01],
        'U' => [0x3f, 0x40, 0x40, 0x40, 0x3f],
        'V' => [0x1f, 0x20, 0x40, 0x20, 0x1f],
        'W' => [0x3f, 0x40, 0x38, 0x40, 0x3f],
        'X' => [0x63, 0x14, 0x08, 0x14, 0x63],
        'Y' => [0x07, 0x08, 0x70, 0x08, 0x07],
        'Z' => [0x61, 0x51, 0x49, 0x45, 0x43],
        '_' => [0x40, 0x40, 0x40, 0x40, 0x40],
        _ => [0x7f, 0x41, 0x41, 0x41, 0x7f],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_words_where_they_must() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(broken("", 4), [""]);
    }

    #[test]
    fn the_picture_stays_and_the_text_is_below_it() {
        for (width, height) in [(1, 1), (64, 64), (300, 200), (1024, 900)] {
            let picture = RgbImage::from_pixel(width, height, Rgb([9, 8, 7]));
            let canvas = caption(&picture, &["AI research output, not for clinical use".into()]);
            assert!(canvas.width() >= width && canvas.height() > height);
            for (x, y, pixel) in canvas.enumerate_pixels() {
                let inside = x < width && y < height;
                assert_eq!(inside, *pixel == Rgb([9, 8, 7]), "{x} {y}");
            }
            let ink = canvas.pixels().filter(|pixel| **pixel == INK).count() as u32;
            let scale = (width / 270).max(1);
            assert!(ink > 300 * scale * scale, "{ink}");
        }
    }
}
