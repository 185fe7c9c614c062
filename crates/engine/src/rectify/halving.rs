//! A picture of half the size.

use super::Level;
use crate::vector::{Vectorised, vectorised};

/// Of fewer rows another core would have the half sooner than it would wake up.
const SHARED_ROWS_MIN: usize = 128;

/// Averages 2 x 2 pixels, rounding half up; an odd last row or column is left out. What the fourth bytes hold means nothing.
/// Another core, where one is free, makes the southern half.
pub(super) fn halved<const BYTES: usize>(fine: Level<'_, BYTES>) -> Vec<u8> {
    let (width_px, height_px) = (fine.width_px / 2, fine.height_px / 2);
    let mut rgbx = vec![0; width_px * height_px * 4];
    let middle = if height_px < SHARED_ROWS_MIN { height_px } else { height_px / 2 };
    let (north, south) = rgbx.split_at_mut(middle * width_px * 4);
    let halve = |from: usize, rgbx: &mut [u8]| {
        let bytes = &fine.bytes[2 * from * fine.width_px * BYTES..];
        let means = &mut vec![0; 2 * width_px * BYTES];
        vectorised(Halving { fine: Level { bytes, ..fine }, means, rgbx });
    };
    if south.is_empty() {
        halve(0, north);
    } else {
        rayon::in_place_scope(|beside| {
            beside.spawn(|_| halve(middle, south));
            halve(0, north);
        });
    }
    rgbx
}

struct Halving<'a, const BYTES: usize> {
    fine: Level<'a, BYTES>,
    /// One row of means at every place, of which every second pixel is taken.
    means: &'a mut [u8],
    rgbx: &'a mut [u8],
}

impl<const BYTES: usize> Vectorised for Halving<'_, BYTES> {
    #[inline(always)]
    fn run(self) {
        let row_bytes = self.fine.width_px * BYTES;
        let used_bytes = self.means.len();
        let pairs = self.fine.bytes.chunks_exact(2 * row_bytes);
        for (rows, out) in pairs.zip(self.rgbx.chunks_exact_mut(used_bytes / BYTES * 2)) {
            let (north, south) = rows.split_at(row_bytes);
            average::<BYTES>(&north[..used_bytes], &south[..used_bytes], self.means);
            let (pixels, _) = out.as_chunks_mut::<4>();
            for (pixel, means) in pixels.iter_mut().zip(self.means.chunks_exact(2 * BYTES)) {
                *pixel = [means[0], means[1], means[2], means[3]];
            }
        }
    }
}

/// Averages each byte with those one pixel to the right and one below. Means that no pixel is made of are computed too: that
/// is faster than to pick the others out beforehand.
#[inline(always)]
fn average<const BYTES: usize>(north: &[u8], south: &[u8], means: &mut [u8]) {
    let count = means.len() - BYTES;
    let (nw, ne, sw, se) = (&north[..count], &north[BYTES..], &south[..count], &south[BYTES..]);
    for (at, mean) in means[..count].iter_mut().enumerate() {
        let sum = u16::from(nw[at]) + u16::from(ne[at]) + u16::from(sw[at]) + u16::from(se[at]);
        *mean = ((sum + 2) / 4) as u8;
    }
}
