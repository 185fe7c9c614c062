//! Which experts each grid cell was sent to (the paper's figure 13): for each GMoE block the query and the window, every cell
//! in the colour of its best expert, with the second best in its middle.

use burn::module::Module;
use burn::tensor::TensorData;
use smgeo_engine::TILE_PX;

use super::{glyphs, pen};
use crate::data::pair_set::{Pair, PairSet, picture_of};
use crate::data::sampler::tiles_of;
use crate::data::{DataError, Raster};
use crate::model::{Pass, SmGeo, TokenOrder, Trace, View};
use crate::training::trainer::images;

/// Colours of the experts, 8 at most in the paper's tables.
const EXPERTS: [pen::Colour; 8] = [
    [230, 60, 60],
    [60, 120, 255],
    [250, 210, 50],
    [60, 200, 90],
    [200, 80, 230],
    [50, 215, 220],
    [255, 145, 40],
    [240, 240, 240],
];
/// Rows above the pictures for the block's name and the colours.
const TITLE_PX: usize = 16;
/// Edge of the window's picture on the sheet.
const WINDOW_PX: usize = 512;

/// Experts of every cell of one block for a batch of images: `chosen[image][cell]`, best first, cells in Z-order.
struct Choices {
    block: String,
    chosen: Vec<Vec<Vec<usize>>>,
}

/// Draws the experts of all GMoE blocks for one pair; nothing for a network without such blocks.
pub fn of_pair(model: &SmGeo, set: &PairSet, pair: &Pair) -> Result<Option<Raster>, DataError> {
    let model = model.valid();
    let (query, _) = set.query(pair)?;
    let window = set.reference(pair)?;
    let (rows, columns) = (window.height().div_ceil(TILE_PX), window.width().div_ceil(TILE_PX));
    let window = window.crop(0, 0, columns * TILE_PX, rows * TILE_PX, [0; 3]);
    let tiles = tiles_of(&window).iter().flat_map(|tile| tile.bytes()).copied().collect();
    let of_query = choices(&model, query.bytes().to_vec(), View::Query);
    let of_tiles = choices(&model, tiles, View::Tile);
    let query = picture_of(&query);
    let longest = rows.max(columns);
    let shrunk = |cells: usize| (cells * WINDOW_PX / longest).max(1);
    let small = window.resized(shrunk(columns), shrunk(rows));
    let panel_height = TITLE_PX + small.height().max(TILE_PX);
    let mut sheet = Raster::filled(TILE_PX + small.width(), panel_height * of_query.len().max(1), [0; 3]);
    for (index, (of_query, of_tiles)) in of_query.iter().zip(&of_tiles).enumerate() {
        let top = index * panel_height;
        title(&mut sheet, &of_query.block, top);
        let mut left = query.clone();
        of_query.chosen.iter().for_each(|cells| tint(&mut left, cells, [0, 0], TILE_PX));
        sheet.paste_offset(&left, 0, (top + TITLE_PX) as i64);
        let mut right = small.clone();
        let edge = small.width() / columns;
        for (tile, cells) in of_tiles.chosen.iter().enumerate() {
            tint(&mut right, cells, [tile % columns * edge, tile / columns * edge], edge);
        }
        sheet.paste_offset(&right, TILE_PX as i64, (top + TITLE_PX) as i64);
    }
    Ok((!of_query.is_empty()).then_some(sheet))
}

fn choices(model: &SmGeo, bytes: Vec<u8>, view: View) -> Vec<Choices> {
    let mut trace = Trace::new();
    let device = burn::tensor::Device::default();
    model.encode(images(bytes, &device), view, &mut Pass::traced(&mut trace));
    let of_block = |(name, data): &(String, TensorData)| {
        let block = name.strip_suffix(".gate.idx")?.split_once('.')?.1.to_owned();
        let [_, cells, top_k] = data.shape().dims::<3>();
        let experts: Vec<usize> = data.iter::<i64>().map(|expert| expert as usize).collect();
        let image = |cells: &[usize]| cells.chunks(top_k).map(<[usize]>::to_vec).collect();
        Some(Choices { block, chosen: experts.chunks(cells * top_k).map(image).collect() })
    };
    trace.iter().filter_map(of_block).collect()
}

fn title(sheet: &mut Raster, block: &str, top: usize) {
    let words = format!("{block}  experts");
    glyphs::text(sheet, [4.0, top as f64 + 3.0], &words, [255; 3]);
    for (expert, &colour) in EXPERTS.iter().enumerate() {
        let left = (glyphs::width_px(&words) + 12 + expert * 20) as f64;
        glyphs::text(sheet, [left, top as f64 + 3.0], &expert.to_string(), colour);
    }
}

/// Colours the cells of one square image that lies at `corner` of the picture and is `edge_px` wide.
fn tint(picture: &mut Raster, cells: &[Vec<usize>], corner: [usize; 2], edge_px: usize) {
    let edge = cells.len().isqrt().max(1);
    let size = edge_px as f64 / edge as f64;
    for ((row, column), experts) in TokenOrder::new(edge, edge).places().into_iter().zip(cells) {
        let [left, top] = [corner[0] as f64 + column as f64 * size, corner[1] as f64 + row as f64 * size];
        let whole = [left, top, left + size, top + size];
        let third = size / 3.0;
        let middle = [left + third, top + third, left + 2.0 * third, top + 2.0 * third];
        for (&expert, area) in experts.iter().zip([whole, middle]) {
            pen::wash(picture, area, EXPERTS[expert % EXPERTS.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_coloured_where_they_lie_on_the_picture() {
        let mut picture = Raster::filled(64, 64, [0; 3]);
        // Four cells in Z-order: y is in the even bits, so the second cell lies below the first.
        tint(&mut picture, &[vec![0, 1], vec![1, 0], vec![2, 2], vec![3, 3]], [0, 0], 64);
        let strongest = |x: usize, y: usize| {
            let pixel = picture.pixel(x, y).map(f64::from);
            let nearest = |colour: &pen::Colour| -> f64 {
                pixel.iter().zip(colour).map(|(a, b)| (a - f64::from(*b) * 0.5).abs()).sum()
            };
            (0..4).min_by(|&a, &b| nearest(&EXPERTS[a]).total_cmp(&nearest(&EXPERTS[b]))).unwrap()
        };
        assert_eq!([strongest(3, 3), strongest(3, 35), strongest(35, 3), strongest(35, 35)], [0, 1, 2, 3]);
    }
}
