//! Brightness of a colour picture, and pictures of half the size.

use crate::level::Level;
use crate::vector::{Vectorised, vectorised};

/// Weighs the colours as ITU-R BT.601 does, in 256ths. `rgb` holds three bytes a pixel; `level` takes its size, and keeps its
/// memory.
///
/// # Panics
/// When there are fewer bytes than `width * height * 3`.
pub fn brightness_of_rgb(rgb: &[u8], width: usize, height: usize, level: &mut Level) {
    (level.width, level.height) = (width, height);
    level.luma.resize(width * height, 0);
    vectorised(Weighing { rgb: &rgb[..width * height * 3], luma: &mut level.luma });
}

/// The same of a picture that holds four bytes a pixel, of which the last means nothing.
///
/// # Panics
/// When there are fewer bytes than `width * height * 4`.
pub fn brightness_of_rgbx(rgbx: &[u8], width: usize, height: usize) -> Level {
    let mut luma = vec![0; width * height];
    vectorised(WeighingFour { rgbx: &rgbx[..width * height * 4], luma: &mut luma });
    Level { width, height, luma }
}

/// Returns the picture at half the size; an odd last row or column is left out. Each pixel is the mean of 4 x 4 with the weights
/// 1 3 3 1 both ways (a triangle of two pixels to each side), so that what is too fine to be seen does not flicker.
pub fn halved(fine: &Level) -> Level {
    let (width, height) = (fine.width / 2, fine.height / 2);
    let mut coarse = Level { width, height, luma: vec![0; width * height] };
    vectorised(Halving { fine, sums: &mut vec![0; 2 * width + 2], luma: &mut coarse.luma });
    coarse
}

struct Weighing<'a> {
    rgb: &'a [u8],
    luma: &'a mut [u8],
}

impl Vectorised for Weighing<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        weigh(self.rgb, self.luma);
    }
}

#[inline(always)]
fn weigh(rgb: &[u8], luma: &mut [u8]) {
    for (luma, &[red, green, blue]) in luma.iter_mut().zip(rgb.as_chunks::<3>().0) {
        let weighed = 77 * u16::from(red) + 150 * u16::from(green) + 29 * u16::from(blue);
        *luma = (weighed >> 8) as u8;
    }
}

struct WeighingFour<'a> {
    rgbx: &'a [u8],
    luma: &'a mut [u8],
}

impl Vectorised for WeighingFour<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (luma, &pixel) in self.luma.iter_mut().zip(self.rgbx.as_chunks::<4>().0) {
            // Each colour of a pixel from one number: no shuffling of bytes.
            let pixel = u32::from_le_bytes(pixel);
            let [red, green, blue] = [pixel & 0xFF, pixel >> 8 & 0xFF, pixel >> 16 & 0xFF];
            *luma = ((77 * red + 150 * green + 29 * blue) >> 8) as u8;
        }
    }
}

/// Rows that a row of half the size is made of.
const TAPS: usize = 4;

/// Returns the rows of the fine picture, of so many, that a row of half the size is made of.
#[inline(always)]
fn rows_around(row: usize, height: usize) -> [usize; TAPS] {
    let last = height / 2 * 2 - 1;
    [(2 * row).saturating_sub(1), 2 * row, 2 * row + 1, (2 * row + 2).min(last)]
}

/// Makes a row of half the size of four. `sums` has one column more on each side.
#[inline(always)]
fn halve(rows: [&[u8]; TAPS], sums: &mut [u16], out: &mut [u8]) {
    let width = sums.len() - 2;
    sum_rows(rows, &mut sums[1..=width]);
    // Beyond the edge the picture goes on with its last column.
    (sums[0], sums[width + 1]) = (sums[1], sums[width]);
    sum_columns(sums, out);
}

struct Halving<'a> {
    fine: &'a Level,
    /// The weighed sums of four rows, with one column more on each side.
    sums: &'a mut [u16],
    luma: &'a mut [u8],
}

impl Vectorised for Halving<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { fine, sums, luma } = self;
        let width = sums.len() - 2;
        for (row, out) in luma.chunks_exact_mut(width / 2).enumerate() {
            halve(rows_around(row, fine.height).map(|row| &fine.row(row)[..width]), sums, out);
        }
    }
}

#[inline(always)]
fn sum_rows([north, upper, lower, south]: [&[u8]; 4], sums: &mut [u16]) {
    let outer = north.iter().zip(south);
    for ((sum, (north, south)), (upper, lower)) in sums.iter_mut().zip(outer).zip(upper.iter().zip(lower)) {
        *sum = u16::from(*north) + 3 * (u16::from(*upper) + u16::from(*lower)) + u16::from(*south);
    }
}

#[inline(always)]
fn sum_columns(sums: &[u16], out: &mut [u8]) {
    let ((left, _), (right, _)) = (sums.as_chunks::<2>(), sums[2..].as_chunks::<2>());
    for ((out, &[west, left]), &[right, east]) in out.iter_mut().zip(left).zip(right) {
        // No more than 64 times 255; wrapping, because that is not known here.
        let sum = west.wrapping_add(east).wrapping_add(left.wrapping_add(right).wrapping_mul(3));
        *out = (sum.wrapping_add(32) >> 6) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Level {
        let byte = |at: usize| ((at as u32).wrapping_mul(0x9E37_79B9) >> 24) as u8;
        Level { width, height, luma: (0..width * height).map(byte).collect() }
    }

    #[test]
    fn brightness_is_the_weighed_colour() {
        let rgb = [255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30];
        let mut level = Level::default();
        brightness_of_rgb(&rgb, 3, 2, &mut level);
        assert_eq!(level, Level { width: 3, height: 2, luma: vec![255, 0, 76, 149, 28, 18] });
    }

    #[test]
    fn a_fourth_byte_changes_nothing() {
        let (width, height) = (37, 5);
        let rgb = noise(3 * width, height).luma;
        let rgbx: Vec<u8> =
            rgb.as_chunks::<3>().0.iter().flat_map(|&[red, green, blue]| [red, green, blue, 0xA5]).collect();
        let mut level = Level::default();
        brightness_of_rgb(&rgb, width, height, &mut level);
        assert_eq!(brightness_of_rgbx(&rgbx, width, height), level);
    }

    #[test]
    fn half_a_picture_is_its_definition_but_for_rounding() {
        for (width, height) in [(64, 48), (75, 31), (2, 2)] {
            let fine = noise(width, height);
            let coarse = halved(&fine);
            assert_eq!((coarse.width, coarse.height), (width / 2, height / 2));
            let weights = [1.0, 3.0, 3.0, 1.0];
            for at in 0..coarse.luma.len() {
                let (column, row) = (at % coarse.width, at / coarse.width);
                let tap = |middle: usize, step: usize, count: usize| (2 * middle + step).clamp(1, count / 2 * 2) - 1;
                let mut sum = 0.0;
                for (dy, down) in weights.iter().enumerate() {
                    for (dx, across) in weights.iter().enumerate() {
                        let (x, y) = (tap(column, dx, width), tap(row, dy, height));
                        sum += down * across * f64::from(fine.luma[y * width + x]);
                    }
                }
                let off = (f64::from(coarse.luma[at]) - sum / 64.0).abs();
                assert!(off <= 0.5, "{width} x {height}, pixel {column}, {row}: {off}");
            }
        }
    }
}
