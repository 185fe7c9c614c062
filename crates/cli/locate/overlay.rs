//! The picture that shows an answer: on the left the query with its click, on the right the reference with heat and box.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use smgeo_engine::Located;
use smgeo_engine::stills::QueryCrop;

// Wide enough to see a roof, small enough to mail.
const REFERENCE_EDGE_PX_MAX: u32 = 2048;
const QUERY_EDGE_PX_MIN: u32 = 256;
const MARGIN_PX: u32 = 8;

const CLICK: Rgb<u8> = Rgb([255, 64, 64]);
const SQUARE: Rgb<u8> = Rgb([255, 220, 0]);
const BOX: Rgb<u8> = Rgb([0, 255, 170]);
const HEAT: [f32; 3] = [255.0, 96.0, 0.0];
const HEAT_OPACITY_MAX: f32 = 0.75;

/// Draws the overlay.
pub fn draw(query: &RgbImage, click: [f64; 2], crop: &QueryCrop, reference: &RgbImage, located: &Located) -> RgbImage {
    let right = reference_panel(reference, located);
    let left_width = (right.width() / 2).max(QUERY_EDGE_PX_MIN);
    let left = query_panel(query, click, crop, left_width, right.height().max(QUERY_EDGE_PX_MIN));
    let (width, height) = (left.width() + MARGIN_PX + right.width(), left.height().max(right.height()));
    let mut canvas = RgbImage::from_pixel(width, height, Rgb([24, 24, 24]));
    imageops::replace(&mut canvas, &left, 0, 0);
    imageops::replace(&mut canvas, &right, i64::from(left.width() + MARGIN_PX), 0);
    canvas
}

fn query_panel(query: &RgbImage, click: [f64; 2], crop: &QueryCrop, width_max: u32, height_max: u32) -> RgbImage {
    let (mut panel, zoom) = fitted(query, width_max, height_max);
    let edges = [crop.left_px, crop.top_px, crop.left_px + crop.side_px, crop.top_px + crop.side_px];
    outline(&mut panel, edges.map(|edge| edge * zoom), SQUARE);
    let [x, y] = click.map(|at| (at * zoom) as i64);
    for step in -12..=12 {
        for (dx, dy) in [(step, 0), (step, 1), (0, step), (1, step)] {
            put(&mut panel, x + dx, y + dy, CLICK);
        }
    }
    panel
}

fn reference_panel(reference: &RgbImage, located: &Located) -> RgbImage {
    let (mut panel, zoom) = fitted(reference, REFERENCE_EDGE_PX_MAX, REFERENCE_EDGE_PX_MAX);
    let posterior = &located.posterior;
    let highest = posterior.probabilities()[posterior.peak()].max(f32::MIN_POSITIVE);
    let cells_per_px = 1.0 / (zoom * posterior.stride_px() as f64);
    for (x, y, pixel) in panel.enumerate_pixels_mut() {
        let at = |pixel: u32| (f64::from(pixel) + 0.5) * cells_per_px;
        // The square root keeps the flanks visible.
        let heat = (interpolated(located, at(x), at(y)) / highest).sqrt() * HEAT_OPACITY_MAX;
        for (value, hot) in pixel.0.iter_mut().zip(HEAT) {
            *value = (f32::from(*value) * (1.0 - heat) + hot * heat) as u8;
        }
    }
    outline(&mut panel, located.box_xyxy_px.map(|edge| f64::from(edge) * zoom), BOX);
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
