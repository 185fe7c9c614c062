//! What a predictor said, beside the truth: the query with its click, the window with heat, true box and predicted box.

use smgeo_engine::TILE_PX;

use super::pen;
use crate::data::pair_set::PairSet;
use crate::data::{DataError, Raster};
use crate::eval::answer::Answer;

/// Draws one answer: the query on the left, the window with its posterior in the middle, the window plain on the right.
pub fn of_answer(set: &PairSet, answer: &Answer, stride_px: usize) -> Result<Raster, DataError> {
    let pair = &set.pairs[answer.pair];
    let (image, click) = set.query(pair)?;
    let mut query = crate::data::pair_set::picture_of(&image);
    pen::cross(&mut query, click.map(f64::from), pen::CLICK);
    let window = set.reference(pair)?;
    let mut hot = window.clone();
    pen::heat(&mut hot, &posterior(&answer.logits), answer.columns, stride_px);
    pen::outline(&mut hot, pair.box_xyxy, pen::TRUTH);
    pen::outline(&mut hot, answer.box_xyxy, pen::GUESS);
    let mut plain = window;
    pen::outline(&mut plain, pair.box_xyxy, pen::TRUTH);
    let (width, height) = (plain.width(), plain.height());
    let mut sheet = Raster::filled(TILE_PX + 2 * width, height.max(TILE_PX), [0; 3]);
    sheet.paste_offset(&query, 0, 0);
    sheet.paste_offset(&hot, TILE_PX as i64, 0);
    sheet.paste_offset(&plain, (TILE_PX + width) as i64, 0);
    Ok(sheet)
}

/// Probabilities of the cells, stretched so that the highest is 1 and faint ones stay visible.
fn posterior(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(0.0, f32::max);
    logits.iter().map(|logit| ((logit - highest) / 2.0).exp()).collect()
}
