//! The picture that shows an answer: on the left the query with its click, below it what the network was given of it and the
//! place that was found, on the right the whole reference with heat and box.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use smgeo_engine::image::CHANNELS;
use smgeo_engine::{EncoderImage, Located, TILE_PX};

// Wide enough to see a roof, small enough to mail.
const REFERENCE_EDGE_PX_MAX: u32 = 2048;
const MARGIN_PX: u32 = 8;
// The close view of the answer: one tile of the reference, enlarged.
const CLOSE_EDGE_PX: u32 = 256;
const CLOSE_ZOOM: u32 = 2;

const CLICK: Rgb<u8> = Rgb([255, 64, 64]);
const BOX: Rgb<u8> = Rgb([0, 255, 170]);
const HEAT: [f32; 3] = [255.0, 96.0, 0.0];
const HEAT_OPACITY_MAX: f32 = 0.75;

/// Draws the overlay; `asked` is what the network was given of the query.
pub fn draw(
    query: &RgbImage,
    click: [f64; 2],
    asked: &EncoderImage,
    reference: &RgbImage,
    located: &Located,
) -> RgbImage {
    let (whole, _) = fitted(reference, REFERENCE_EDGE_PX_MAX, REFERENCE_EDGE_PX_MAX);
    let zoom = f64::from(whole.width()) / f64::from(reference.width());
    let right = with_answer(whole, [0.0, 0.0], zoom, located);
    let close = close_panel(reference, located);
    let asked = asked_panel(asked);
    let photo = query_panel(query, click, asked.width());
    let left = [photo, asked, close];
    let column = left.iter().map(RgbImage::width).max().unwrap_or(0);
    let left_height: u32 = left.iter().map(|panel| panel.height() + MARGIN_PX).sum();
    let size = [column + MARGIN_PX + right.width(), (left_height - MARGIN_PX).max(right.height())];
    let mut canvas = RgbImage::from_pixel(size[0], size[1], Rgb([24, 24, 24]));
    let mut top = 0;
    for panel in &left {
        imageops::replace(&mut canvas, panel, 0, i64::from(top));
        top += panel.height() + MARGIN_PX;
    }
    imageops::replace(&mut canvas, &right, i64::from(column + MARGIN_PX), 0);
    canvas
}

fn query_panel(query: &RgbImage, click: [f64; 2], edge_max: u32) -> RgbImage {
    let (mut panel, zoom) = fitted(query, edge_max, edge_max);
    let [x, y] = click.map(|at| (at * zoom) as i64);
    for step in -12..=12 {
        for (dx, dy) in [(step, 0), (step, 1), (0, step), (1, step)] {
            put(&mut panel, x + dx, y + dy, CLICK);
        }
    }
    panel
}

/// What the network was given, as large as the close view of the answer.
fn asked_panel(asked: &EncoderImage) -> RgbImage {
    let edge = TILE_PX as u32;
    let pixel = |x: u32, y: u32| {
        let begin = (y as usize * TILE_PX + x as usize) * CHANNELS;
        let bytes = asked.bytes();
        Rgb([bytes[begin], bytes[begin + 1], bytes[begin + 2]])
    };
    let picture = RgbImage::from_fn(edge, edge, pixel);
    imageops::resize(&picture, edge * CLOSE_ZOOM, edge * CLOSE_ZOOM, FilterType::Triangle)
}

/// The reference around the answer, enlarged.
fn close_panel(reference: &RgbImage, located: &Located) -> RgbImage {
    let edge = CLOSE_EDGE_PX.min(reference.width()).min(reference.height());
    let start = |at: f64, extent: u32| (at - f64::from(edge) / 2.0).clamp(0.0, f64::from(extent - edge)) as u32;
    let (left, top) = (start(located.mean_px[0], reference.width()), start(located.mean_px[1], reference.height()));
    let part = imageops::crop_imm(reference, left, top, edge, edge);
    let part = imageops::resize(&*part, edge * CLOSE_ZOOM, edge * CLOSE_ZOOM, FilterType::Triangle);
    with_answer(part, [f64::from(left), f64::from(top)], f64::from(CLOSE_ZOOM), located)
}

/// Lays heat and box over a part of the reference that begins at `origin_px` and is enlarged by `zoom`.
fn with_answer(mut panel: RgbImage, origin_px: [f64; 2], zoom: f64, located: &Located) -> RgbImage {
    let posterior = &located.posterior;
    let highest = posterior.probabilities()[posterior.peak()].max(f32::MIN_POSITIVE);
    let stride = posterior.stride_px() as f64;
    for (x, y, pixel) in panel.enumerate_pixels_mut() {
        let at = |pixel: u32, origin: f64| ((f64::from(pixel) + 0.5) / zoom + origin) / stride;
        // The square root keeps the flanks visible.
        let heat =
            (interpolated(located, at(x, origin_px[0]), at(y, origin_px[1])) / highest).sqrt() * HEAT_OPACITY_MAX;
        for (value, hot) in pixel.0.iter_mut().zip(HEAT) {
            *value = (f32::from(*value) * (1.0 - heat) + hot * heat) as u8;
        }
    }
    let [left, top, right, bottom] = located.box_xyxy_px.map(f64::from);
    let edges = [left - origin_px[0], top - origin_px[1], right - origin_px[0], bottom - origin_px[1]];
    outline(&mut panel, edges.map(|edge| edge * zoom), BOX);
    panel
}

/// Probability between the middles of four cells; `x` and `y` in cells.
fn interpolated(located: &Located, x: f64, y: f64) -> f32 {
    let posterior = &located.posterior;
    let axis = |at: f64, extent: usize| {
        let middle = (at - 0.5).clamp(0.0, (extent - 1) as f64);
        let first = middle as usize;
        (first, (first + 1).min(extent - 1), (middle - first as f64) as f32)
    };
    let ((x0, x1, across), (y0, y1, down)) = (axis(x, posterior.width()), axis(y, posterior.height()));
    let p = |column: usize, row: usize| posterior.probabilities()[row * posterior.width() + column];
    let blend = |first: f32, second: f32, share: f32| first + (second - first) * share;
    blend(blend(p(x0, y0), p(x1, y0), across), blend(p(x0, y1), p(x1, y1), across), down)
}

/// The picture scaled down to fit, and by how much.
fn fitted(picture: &RgbImage, width_max: u32, height_max: u32) -> (RgbImage, f64) {
    let zoom = (f64::from(width_max) / f64::from(picture.width()))
        .min(f64::from(height_max) / f64::from(picture.height()))
        .min(1.0);
    if zoom >= 1.0 {
        return (picture.clone(), 1.0);
    }
    let size = |edge: u32| ((f64::from(edge) * zoom).round() as u32).max(1);
    (imageops::resize(picture, size(picture.width()), size(picture.height()), FilterType::Triangle), zoom)
}

fn outline(panel: &mut RgbImage, edges: [f64; 4], colour: Rgb<u8>) {
    let [left, top, right, bottom] = edges.map(|edge| edge.round() as i64);
    for thickness in 0..2 {
        for x in left.max(0)..=right.min(i64::from(panel.width())) {
            put(panel, x, top + thickness, colour);
            put(panel, x, bottom - thickness, colour);
        }
        for y in top.max(0)..=bottom.min(i64::from(panel.height())) {
            put(panel, left + thickness, y, colour);
            put(panel, right - thickness, y, colour);
        }
    }
}

fn put(panel: &mut RgbImage, x: i64, y: i64, colour: Rgb<u8>) {
    if (0..i64::from(panel.width())).contains(&x) && (0..i64::from(panel.height())).contains(&y) {
        panel.put_pixel(x as u32, y as u32, colour);
    }
}
