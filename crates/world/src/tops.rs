//! Points on the upper side of every object, roof or ground: what a camera above must see of it. Whether an object is
//! visible, and where, is decided by these points.

use crate::mesh::{NO_OBJECT, Scene};
use crate::object::Object;
use crate::place::inside;
use crate::raster::scan;
use crate::relief::Relief;

/// Cells along each side of an object's box.
const CELLS: usize = 16;

/// For each object, points on its upper side, ENU metres.
pub(crate) fn tops(objects: &[Object], scene: &Scene, relief: &Relief) -> Vec<Vec<[f32; 3]>> {
    let mut grids: Vec<Vec<f32>> = objects.iter().map(|_| vec![f32::MIN; CELLS * CELLS]).collect();
    for chunk in &scene.chunks {
        for &[a, b, c, surface] in &chunk.triangles {
            let surface = &scene.surfaces[surface as usize];
            if surface.object == NO_OBJECT || surface.normal[2] < 0.05 {
                continue;
            }
            let number = surface.object as usize;
            let local = |corner: u32| to_cells(&objects[number], chunk.corners[corner as usize]);
            // Seen from above with rows growing north, counter-clockwise corners are what `scan` takes.
            scan(&[local(a), local(b), local(c)], CELLS as i32, (0, CELLS as i32), |row, from, to, height, step| {
                for (k, x) in (from..to).enumerate() {
                    let cell = &mut grids[number][row as usize * CELLS + x as usize];
                    *cell = cell.max(height + step * k as f32);
                }
            });
        }
    }
    objects.iter().zip(grids).map(|(object, grid)| points(object, &grid, relief)).collect()
}

fn to_cells(object: &Object, [e, n, z]: [f32; 3]) -> [f32; 3] {
    let bounds = &object.box_enu;
    let [width, depth] = bounds.size_m();
    let scale = |value: f32, low: f64, size: f64| ((f64::from(value) - low) / size.max(1e-3)) as f32 * CELLS as f32;
    [scale(e, bounds.west_m, width), scale(n, bounds.south_m, depth), z]
}

fn points(object: &Object, grid: &[f32], relief: &Relief) -> Vec<[f32; 3]> {
    let outline: Vec<[f32; 2]> = object.footprint.iter().map(|p| p.map(|c| c as f32)).collect();
    let bounds = &object.box_enu;
    let [width, depth] = bounds.size_m();
    let painted = object.height_m == 0.0;
    let mut points = Vec::new();
    for (index, &height) in grid.iter().enumerate() {
        let (x, y) = ((index % CELLS) as f64 + 0.5, (index / CELLS) as f64 + 0.5);
        let e = (bounds.west_m + width * x / CELLS as f64) as f32;
        let n = (bounds.south_m + depth * y / CELLS as f64) as f32;
        if painted && inside(&outline, [e, n]) {
            points.push([e, n, relief.height(e, n)]);
        } else if !painted && height > f32::MIN {
            points.push([e, n, height]);
        }
    }
    points
}
