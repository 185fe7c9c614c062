//! A picture of half the size.

use super::Picture;
use crate::vector::{Vectorised, vectorised};

/// Averages 2 x 2 pixels, rounding half up; an odd last row or column is left out.
pub(super) fn halved(fine: Picture<'_>) -> Vec<u8> {
    let (width_px, height_px) = (fine.width_px / 2, fine.height_px / 2);
    let mut rgb = vec![0; width_px * height_px * 3];
    vectorised(Halving { fine, means: &mut vec![0; width_px * 6], rgb: &mut rgb });
    rgb
}

struct Halving<'a> {
    fine: Picture<'a>,
    /// One row of means at every place, of which every second pixel is taken.
    means: &'a mut [u8],
    rgb: &'a mut [u8],
}

impl Vectorised for Halving<'_> {
    #[inline(always)]
    fn run(self) {
        let row_bytes = self.fine.width_px * 3;
        let used_bytes = self.means.len();
        let pairs = self.fine.rgb.chunks_exact(2 * row_bytes);
        for (rows, out) in pairs.zip(self.rgb.chunks_exact_mut(used_bytes / 2)) {
            let (north, south) = rows.split_at(row_bytes);
            average(&north[..used_bytes], &south[..used_bytes], self.means);
            let (means, _) = self.means.as_chunks::<6>();
            let (pixels, _) = out.as_chunks_mut::<3>();
            for (pixel, &[red, green, blue, ..]) in pixels.iter_mut().zip(means) {
                *pixel = [red, green, blue];
            }
        }
    }
}

/// Averages each byte with those one pixel to the right and one below. Means that no pixel is made of are computed too: that
/// is faster than to pick the others out beforehand.
#[inline(always)]
fn average(north: &[u8], south: &[u8], means: &mut [u8]) {
    let count = means.len() - 3;
    let (nw, ne, sw, se) = (&north[..count], &north[3..], &south[..count], &south[3..]);
    for (at, mean) in means[..count].iter_mut().enumerate() {
        let sum = u16::from(nw[at]) + u16::from(ne[at]) + u16::from(sw[at]) + u16::from(se[at]);
        *mean = ((sum + 2) / 4) as u8;
    }
}
