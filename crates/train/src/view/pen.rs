//! Draws lines, boxes, crosses and heat on a picture.

use crate::data::Raster;

/// A colour.
pub type Colour = [u8; 3];

/// Where the truth is.
pub const TRUTH: Colour = [40, 255, 60];
/// Where somebody clicked.
pub const CLICK: Colour = [255, 60, 200];
/// What the network says.
pub const GUESS: Colour = [255, 210, 0];

/// Sets one pixel, if it lies inside.
pub fn dot(picture: &mut Raster, x: f64, y: f64, colour: Colour) {
    if !picture.contains(x, y) {
        return;
    }
    let at = (y as usize * picture.width() + x as usize) * 3;
    picture.rgb_mut()[at..at + 3].copy_from_slice(&colour);
}

/// Draws a straight line one pixel wide.
pub fn line(picture: &mut Raster, from: [f64; 2], to: [f64; 2], colour: Colour) {
    // Two steps a pixel, so that rounding leaves no gap.
    let steps = (2.0 * (to[0] - from[0]).abs().max((to[1] - from[1]).abs())).ceil().clamp(1.0, 1e4) as usize;
    for step in 0..=steps {
        let share = step as f64 / steps as f64;
        dot(picture, from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share, colour);
    }
}

/// Draws a box's outline.
pub fn outline(picture: &mut Raster, [x0, y0, x1, y1]: [f64; 4], colour: Colour) {
    let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
    for corner in 0..4 {
        line(picture, corners[corner], corners[(corner + 1) % 4], colour);
    }
}

/// Draws a cross with an open middle, so that the pixel meant stays visible.
pub fn cross(picture: &mut Raster, [x, y]: [f64; 2], colour: Colour) {
    for (dx, dy) in [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)] {
        line(picture, [x + 2.0 * dx, y + 2.0 * dy], [x + 6.0 * dx, y + 6.0 * dy], colour);
    }
}

/// Lays a colour over an area [x0, y0, x1, y1], half transparent.
pub fn wash(picture: &mut Raster, [x0, y0, x1, y1]: [f64; 4], colour: Colour) {
    let (width, height) = (picture.width(), picture.height());
    let span = |from: f64, to: f64, end: usize| from.max(0.0).round() as usize..(to.max(0.0).round() as usize).min(end);
    for y in span(y0, y1, height) {
        for x in span(x0, x1, width) {
            let at = (y * width + x) * 3;
            let pixel = picture.rgb_mut()[at..at + 3].iter_mut();
            pixel.zip(colour).for_each(|(level, wanted)| *level = (*level / 2) + wanted / 2);
        }
    }
}

/// Lays a map of values 0 to 1 over a picture, red where it is high; each value covers a square of `cell_px`.
pub fn heat(picture: &mut Raster, values: &[f32], columns: usize, cell_px: usize) {
    let width = picture.width();
    for (at, pixel) in picture.rgb_mut().chunks_exact_mut(3).enumerate() {
        let (column, row) = (at % width / cell_px, at / width / cell_px);
        let Some(&value) = (column < columns).then(|| values.get(row * columns + column)).flatten() else { continue };
        let share = value.clamp(0.0, 1.0) * 0.7;
        for (level, hot) in pixel.iter_mut().zip([255.0, 30.0, 0.0]) {
            *level = (f32::from(*level) * (1.0 - share) + hot * share) as u8;
        }
    }
}
