//! Contact sheets: queries with their clicks beside the window with the answers, so that a person can judge the data.

use smgeo_engine::{EncoderImage, TILE_PX};

use super::pen;
use crate::data::Raster;
use crate::data::batch::{Batch, Click};
use crate::data::pair_set::picture_of;

/// Colours that tell the queries of a batch apart.
const PALETTE: [pen::Colour; 8] = [
    [255, 60, 200],
    [60, 220, 255],
    [255, 220, 40],
    [90, 255, 90],
    [255, 130, 40],
    [170, 120, 255],
    [255, 255, 255],
    [255, 70, 70],
];

/// Draws a batch: the window on the left with the target of every click and the known boxes, the queries on the right with
/// their clicks, one colour a query. The first click of a query and its target are boxed.
pub fn of_batch(batch: &Batch) -> Raster {
    let columns = batch.columns + batch.queries.len().div_ceil(batch.rows.max(1));
    let mut sheet = Raster::filled(columns * TILE_PX, batch.rows * TILE_PX, [0; 3]);
    for (index, tile) in batch.tiles.iter().enumerate() {
        paste(&mut sheet, tile, index / batch.columns, index % batch.columns);
    }
    let place = |query: usize| (query % batch.rows, batch.columns + query / batch.rows);
    for (index, query) in batch.queries.iter().enumerate() {
        let (row, column) = place(index);
        paste(&mut sheet, query, row, column);
    }
    let mut last = usize::MAX;
    for click in &batch.clicks {
        let colour = PALETTE[click.query % PALETTE.len()];
        let (row, column) = place(click.query);
        let at = [f64::from(click.at[0]) + (column * TILE_PX) as f64, f64::from(click.at[1]) + (row * TILE_PX) as f64];
        draw_click(&mut sheet, click, at, colour, click.query != last);
        last = click.query;
    }
    sheet
}

fn draw_click(sheet: &mut Raster, click: &Click, at: [f64; 2], colour: pen::Colour, first: bool) {
    let square = |[x, y]: [f64; 2]| [x - 8.0, y - 8.0, x + 8.0, y + 8.0];
    pen::cross(sheet, at, colour);
    if first {
        pen::outline(sheet, square(at), colour);
    }
    if let Some(target) = click.target {
        let target = target.map(f64::from);
        pen::cross(sheet, target, colour);
        if first {
            pen::outline(sheet, square(target), colour);
        }
    }
    if let Some(bounds) = click.box_xyxy {
        pen::outline(sheet, bounds.map(f64::from), colour);
    }
}

fn paste(sheet: &mut Raster, image: &EncoderImage, row: usize, column: usize) {
    sheet.paste_offset(&picture_of(image), (column * TILE_PX) as i64, (row * TILE_PX) as i64);
}
