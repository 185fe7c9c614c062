//! Letters of 3 x 5 dots, for names and numbers on pictures: no font file, and legible at twice their size.

use super::pen::{Colour, dot};
use crate::data::Raster;

/// Dots a letter takes with the gap behind it.
const ADVANCE: usize = 4;
/// Pixels a dot.
const SCALE: usize = 2;

/// Rows of each letter from the top, five times three bits, the left dot first.
const GLYPHS: [(char, u16); 42] = [
    ('0', 0b111_101_101_101_111),
    ('1', 0b010_110_010_010_111),
    ('2', 0b111_001_111_100_111),
    ('3', 0b111_001_111_001_111),
    ('4', 0b101_101_111_001_001),
    ('5', 0b111_100_111_001_111),
    ('6', 0b111_100_111_101_111),
    ('7', 0b111_001_010_010_010),
    ('8', 0b111_101_111_101_111),
    ('9', 0b111_101_111_001_111),
    ('a', 0b010_101_111_101_101),
    ('b', 0b110_101_110_101_110),
    ('c', 0b011_100_100_100_011),
    ('d', 0b110_101_101_101_110),
    ('e', 0b111_100_110_100_111),
    ('f', 0b111_100_110_100_100),
    ('g', 0b011_100_101_101_011),
    ('h', 0b101_101_111_101_101),
    ('i', 0b111_010_010_010_111),
    ('j', 0b001_001_001_101_010),
    ('k', 0b101_101_110_101_101),
    ('l', 0b100_100_100_100_111),
    ('m', 0b101_111_111_101_101),
    ('n', 0b110_101_101_101_101),
    ('o', 0b010_101_101_101_010),
    ('p', 0b110_101_110_100_100),
    ('q', 0b010_101_101_011_001),
    ('r', 0b110_101_110_101_101),
    ('s', 0b011_100_010_001_110),
    ('t', 0b111_010_010_010_010),
    ('u', 0b101_101_101_101_111),
    ('v', 0b101_101_101_101_010),
    ('w', 0b101_101_111_111_101),
    ('x', 0b101_101_010_101_101),
    ('y', 0b101_101_010_010_010),
    ('z', 0b111_001_010_100_111),
    ('.', 0b000_000_000_000_010),
    ('-', 0b000_000_111_000_000),
    ('_', 0b000_000_000_000_111),
    (':', 0b000_010_000_010_000),
    ('%', 0b101_001_010_100_101),
    ('/', 0b001_001_010_100_100),
];

/// Writes text with its upper left corner at a place; letters of either case look the same, unknown ones stay empty.
pub fn text(picture: &mut Raster, [x, y]: [f64; 2], words: &str, colour: Colour) {
    for (index, letter) in words.chars().enumerate() {
        let known = GLYPHS.iter().find(|(glyph, _)| *glyph == letter.to_ascii_lowercase());
        let Some((_, bits)) = known else { continue };
        for at in (0..15).filter(|at| bits >> (14 - at) & 1 == 1) {
            let (column, row) = ((index * ADVANCE + at % 3) * SCALE, at / 3 * SCALE);
            for step in 0..SCALE * SCALE {
                let (right, down) = (column + step % SCALE, row + step / SCALE);
                dot(picture, x + right as f64, y + down as f64, colour);
            }
        }
    }
}

/// Width of a text, px.
pub fn width_px(words: &str) -> usize {
    words.chars().count() * ADVANCE * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_drawn_where_they_belong_and_differ() {
        let drawn = |words: &str| {
            let mut picture = Raster::filled(40, 12, [0; 3]);
            text(&mut picture, [0.0, 0.0], words, [255; 3]);
            picture.rgb().to_vec()
        };
        let lit = |rgb: &[u8]| rgb.chunks_exact(3).filter(|pixel| pixel[0] > 0).count();
        // A 1 has 8 dots of 4 pixels.
        assert_eq!(lit(&drawn("1")), 32);
        assert_eq!(drawn("A"), drawn("a"));
        for (index, (glyph, bits)) in GLYPHS.iter().enumerate() {
            assert!(GLYPHS[index + 1..].iter().all(|(_, other)| other != bits), "{glyph} looks like another");
        }
    }
}
