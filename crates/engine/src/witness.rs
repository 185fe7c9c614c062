//! What lies around the clicked object bears witness to its place: a roof has many look-alikes, a roof with these neighbours few.
//!
//! Witnesses are points of the same north-up picture, looked for as the object is, each by itself. Where the object is, they lie
//! about it in the window as they do in the picture; about a look-alike they are somewhere else or nowhere.

use crate::backend::Maps;
use crate::image::EncoderImage;
use crate::package::Fusion;

/// Where witnesses stand, pixels east and south of the object: far enough to show something else, near enough for a heading wrong by
/// ten degrees or a scale by a sixth to move them by less than a cell.
const PLACES_PX: [[f32; 2]; 4] = [[0.0, -64.0], [64.0, 0.0], [0.0, 64.0], [-64.0, 0.0]];

/// How probably a witness is found where it is. The rest bounds how much any one of them can say against a place. Less than how
/// often that is so, because neighbours err together.
const TRUST: f32 = 0.3;

/// Cells on each side of its place in which a witness counts as found: relief and a wrong pose move it.
const AROUND: usize = 2;

/// Half of the square of pixels that must be seen, at least in part, for a witness to be there.
const SEEN_PX: usize = 2;

/// Whether witnesses are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witnesses {
    /// They are asked where they are.
    Heard,
    /// The object stands alone.
    NotHeard,
}

impl Witnesses {
    /// Those of a network: one that does not look at the click can ask for nothing but the object.
    pub fn of(fusion: Fusion) -> Self {
        match fusion {
            Fusion::Template => Self::Heard,
            Fusion::Paper => Self::NotHeard,
        }
    }
}

/// Where a picture is clicked, pixels: first the object, then its witnesses, as far as the picture shows anything there. The picture
/// has to be north up at the window's scale.
pub fn clicks(witnesses: Witnesses, image: &EncoderImage, object: [f32; 2]) -> Vec<[f32; 2]> {
    let mut clicks = vec![object];
    if witnesses == Witnesses::Heard {
        let places = PLACES_PX.iter().map(|place| [object[0] + place[0], object[1] + place[1]]);
        clicks.extend(places.filter(|place| image.shows(*place, SEEN_PX)));
    }
    clicks
}

/// Adds what the witnesses say to the answer about the object: `answers` are to `clicks`, in order, on one window, whose cells are
/// `stride_px` pixels wide. The first answer becomes that of all.
pub fn hear(answers: &mut [Maps], clicks: &[[f32; 2]], stride_px: usize) {
    let (Some((object, witnesses)), Some((at, places))) = (answers.split_first_mut(), clicks.split_first()) else {
        return;
    };
    for (witness, place) in witnesses.iter().zip(places) {
        let cells = |axis: usize| ((place[axis] - at[axis]) / stride_px as f32).round() as isize;
        hear_one(object, witness, [cells(0), cells(1)]);
    }
}

/// A witness stands so many columns and rows from the object. Each place becomes as much more probable as the witness is found about
/// where it then has to be, or as little less as it may be missed.
fn hear_one(object: &mut Maps, witness: &Maps, [right, down]: [isize; 2]) {
    let (width, height) = (witness.width, witness.height);
    let found = around(&found(witness), width, height);
    let missed = (1.0 - TRUST).ln();
    // A witness that is not where it has to be may be anywhere that was looked at.
    let cells = witness.heat.iter().filter(|heat| **heat > f32::NEG_INFINITY).count() as f32;
    for (row, heats) in object.heat.chunks_exact_mut(width).enumerate() {
        let Some(row) = row.checked_add_signed(down).filter(|row| *row < height) else { continue };
        for (column, heat) in heats.iter_mut().enumerate() {
            let Some(column) = column.checked_add_signed(right).filter(|column| *column < width) else { continue };
            let at = row * width + column;
            // Where the window ends, or a tile is missing, nobody looked.
            if witness.heat[at] != f32::NEG_INFINITY {
                // Of a network that gives no numbers nothing can be made: the object's answer is none either.
                *heat += if found[at] == 0.0 { missed } else { (TRUST * cells * found[at] + 1.0 - TRUST).ln() };
            }
        }
    }
}

/// How probable each cell is to hold the witness; with absence they add up to 1.
fn found(maps: &Maps) -> Vec<f32> {
    /// The logarithm of what is nothing among as many cells as there can be.
    const NOTHING: f32 = -20.0;
    let highest = maps.heat.iter().copied().fold(0.0, f32::max);
    let weight = |heat: f32| if heat - highest < NOTHING { 0.0 } else { (heat - highest).exp() };
    let mut found: Vec<f32> = maps.heat.iter().map(|heat| weight(*heat)).collect();
    let total = found.iter().sum::<f32>() + (-highest).exp();
    found.iter_mut().for_each(|found| *found /= total);
    found
}

/// The means over each cell and those around it; nothing is found beyond the window.
fn around(found: &[f32], width: usize, height: usize) -> Vec<f32> {
    const CELLS: f32 = ((2 * AROUND + 1) * (2 * AROUND + 1)) as f32;
    let near = |at: usize, limit: usize| at.saturating_sub(AROUND)..(at + AROUND + 1).min(limit);
    let mut along = Vec::with_capacity(found.len());
    for row in found.chunks_exact(width) {
        along.extend((0..width).map(|column| row[near(column, width)].iter().sum::<f32>() / CELLS));
    }
    let mut means = vec![0.0; found.len()];
    for (row, means) in means.chunks_exact_mut(width).enumerate() {
        for near in near(row, height) {
            means.iter_mut().zip(&along[near * width..]).for_each(|(mean, sum)| *mean += sum);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TILE_PX;

    const SIDE: usize = 16;

    /// Found with these heats at these cells (column, row), and nowhere else.
    fn maps(peaks: &[([usize; 2], f32)]) -> Maps {
        let mut heat = vec![-30.0; SIDE * SIDE];
        peaks.iter().for_each(|([column, row], peak)| heat[row * SIDE + column] = *peak);
        Maps { width: SIDE, height: SIDE, heat, boxes: vec![0.0; 4 * SIDE * SIDE], attention: vec![0.0; SIDE * SIDE] }
    }

    fn heat(maps: &Maps, [column, row]: [usize; 2]) -> f32 {
        maps.heat[row * SIDE + column]
    }

    #[test]
    fn of_two_look_alikes_the_one_with_the_right_neighbour_is_meant() {
        let clicks = [[128.0, 128.0], [192.0, 128.0]];
        let look_alikes = maps(&[([3, 5], 4.0), ([8, 11], 4.0)]);
        // Four cells east of the second, a cell off.
        let mut answers = [look_alikes, maps(&[([12, 10], 9.0)])];
        hear(&mut answers, &clicks, 16);
        let found = (0.3 * 256.0 / 25.0 + 0.7_f32).ln();
        assert!((heat(&answers[0], [8, 11]) - 4.0 - found).abs() < 1e-3);
        assert!((heat(&answers[0], [3, 5]) - 4.0 - 0.7_f32.ln()).abs() < 1e-3);
    }

    #[test]
    fn where_the_window_ends_or_a_tile_is_missing_a_witness_says_nothing() {
        let clicks = [[128.0, 128.0], [128.0, 64.0]];
        let missing = ([11, 5], f32::NEG_INFINITY);
        let mut answers = [maps(&[([7, 2], 3.0), ([7, 9], 3.0), ([11, 9], 3.0)]), maps(&[missing])];
        hear(&mut answers, &clicks, 16);
        for (cell, said) in [([7, 2], 0.0), ([11, 9], 0.0), ([7, 9], 0.7_f32.ln())] {
            assert!((heat(&answers[0], cell) - 3.0 - said).abs() < 1e-6, "{cell:?}: {}", heat(&answers[0], cell));
        }
    }

    #[test]
    fn the_less_was_looked_at_the_less_a_witness_that_is_found_says() {
        let clicks = [[128.0, 128.0], [192.0, 128.0]];
        let mut witness = maps(&[([12, 11], 9.0)]);
        // The western half is missing.
        witness.heat.chunks_exact_mut(SIDE).for_each(|row| row[..SIDE / 2].fill(f32::NEG_INFINITY));
        let mut answers = [maps(&[([8, 11], 4.0)]), witness];
        hear(&mut answers, &clicks, 16);
        let found = (0.3 * 128.0 / 25.0 + 0.7_f32).ln();
        assert!((heat(&answers[0], [8, 11]) - 4.0 - found).abs() < 1e-3, "{}", heat(&answers[0], [8, 11]));
    }

    #[test]
    fn a_witness_that_is_no_number_makes_none_of_the_answer() {
        let clicks = [[128.0, 128.0], [192.0, 128.0]];
        let mut answers = [maps(&[([8, 11], 4.0)]), maps(&[([2, 2], f32::NAN)])];
        hear(&mut answers, &clicks, 16);
        assert!(crate::Posterior::new(&answers[0], 16, 1.0).is_err());
    }

    #[test]
    fn no_witness_stands_where_the_camera_saw_nothing() {
        let is_seen = |x: usize, y: usize| x >= 100 && y < 180;
        let rgb: Vec<u8> = (0..TILE_PX * TILE_PX)
            .flat_map(|at| [if is_seen(at % TILE_PX, at / TILE_PX) { 90 } else { 0 }; 3])
            .collect();
        let image = EncoderImage::query(&rgb, (128.0, 128.0)).unwrap();
        let clicks = |object| clicks(Witnesses::Heard, &image, object);
        assert_eq!(clicks([128.0, 128.0]), [[128.0, 128.0], [128.0, 64.0], [192.0, 128.0]]);
        assert_eq!(clicks([220.0, 40.0]), [[220.0, 40.0], [220.0, 104.0], [156.0, 40.0]]);
    }
}
