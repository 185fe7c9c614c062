//! The tops of a made town: ground with the objects' heights on it, so that a ray meets roofs before what they hide.

use nalgebra::Vector3;
use smgeo_world::Town;

/// Edge of a cell.
const CELL_M: f64 = 0.75;
/// Objects lower than this are part of the ground.
const HEIGHT_M_MIN: f64 = 1.5;
/// Share of an object's greatest height at which its roof is taken to be flat.
const ROOF_SHARE: f64 = 0.85;
/// Longest way that is followed.
const STEPS_MAX: usize = 4000;

/// Heights over a square about the town's origin.
pub struct Skyline {
    half_m: f64,
    edge: usize,
    up_m: Vec<f32>,
    highest_m: f64,
}

impl Skyline {
    /// Builds the tops of a town within `half_m` metres of its origin.
    pub fn new(town: &Town, half_m: f64) -> Self {
        let edge = (2.0 * half_m / CELL_M) as usize;
        let place = |cell: usize| (cell as f64 + 0.5) * CELL_M - half_m;
        let ground = |index: usize| ground_m(town, [place(index % edge), place(index / edge)]) as f32;
        let mut up_m: Vec<f32> = (0..edge * edge).map(ground).collect();
        for object in town.objects().iter().filter(|object| object.height_m >= HEIGHT_M_MIN) {
            let roof_m = (object.centre_enu[2] + ROOF_SHARE * object.height_m) as f32;
            let bounds = &object.box_enu;
            let cell = |metres: f64| (((metres + half_m) / CELL_M).max(0.0) as usize).min(edge - 1);
            for row in cell(bounds.south_m)..=cell(bounds.north_m) {
                for column in cell(bounds.west_m)..=cell(bounds.east_m) {
                    if is_inside(&object.footprint, [place(column), place(row)]) {
                        let top = &mut up_m[row * edge + column];
                        *top = top.max(roof_m);
                    }
                }
            }
        }
        let highest_m = f64::from(up_m.iter().copied().fold(f32::MIN, f32::max));
        Self { half_m, edge, up_m, highest_m }
    }

    /// Where a ray (east, north, up; metres) first meets a top; `None` if it leaves the square or never comes down.
    pub fn meet(&self, eye: Vector3<f64>, direction: Vector3<f64>) -> Option<[f64; 2]> {
        if direction.z >= -1e-3 {
            return None;
        }
        let start = ((self.highest_m - eye.z) / direction.z).max(0.0);
        let step = 0.5 * CELL_M;
        for index in 0..STEPS_MAX {
            let at = eye + direction * (start + step * index as f64);
            let top = self.top_m(at.x, at.y)?;
            if at.z <= top {
                return Some([at.x, at.y]);
            }
        }
        None
    }

    fn top_m(&self, east_m: f64, north_m: f64) -> Option<f64> {
        let cell = |metres: f64| (metres + self.half_m) / CELL_M;
        let (column, row) = (cell(east_m), cell(north_m));
        let inside = |cell: f64| cell >= 0.0 && cell < self.edge as f64;
        (inside(column) && inside(row)).then(|| f64::from(self.up_m[row as usize * self.edge + column as usize]))
    }
}

/// Height of the bare ground above the town's origin, metres.
pub fn ground_m(town: &Town, [east_m, north_m]: [f64; 2]) -> f64 {
    use smgeo_geo::Terrain;
    town.terrain().height_m(east_m, north_m).unwrap_or(0.0)
}

/// Whether a point lies in a polygon: an odd number of edges to its right.
fn is_inside(outline: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let edges = outline.iter().zip(outline.iter().cycle().skip(1));
    let crosses = |&(a, b): &(&[f64; 2], &[f64; 2])| {
        (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
    };
    edges.filter(crosses).count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_inside_a_concave_outline_or_not() {
        let bracket = [[0.0, 0.0], [4.0, 0.0], [4.0, 1.0], [1.0, 1.0], [1.0, 3.0], [0.0, 3.0]];
        assert!(is_inside(&bracket, [3.0, 0.5]));
        assert!(is_inside(&bracket, [0.5, 2.0]));
        assert!(!is_inside(&bracket, [3.0, 2.0]));
    }

    #[test]
    fn a_ray_meets_the_wall_that_hides_the_ground() {
        let mut up_m = vec![0.0f32; 100 * 100];
        for row in 0..100 {
            up_m[row * 100 + 60] = 10.0;
        }
        let skyline = Skyline { half_m: 37.5, edge: 100, up_m, highest_m: 10.0 };
        let down = Vector3::new(1.0, 0.0, -1.0).normalize();
        // From the west at 45 degrees: the wall at 7.5 m east hides what lies behind.
        let [east, _] = skyline.meet(Vector3::new(-20.0, 0.0, 35.0), down).unwrap();
        assert!((7.0..8.5).contains(&east), "{east}");
        let [east, _] = skyline.meet(Vector3::new(-30.0, 0.0, 20.0), down).unwrap();
        assert!((-10.5..-9.0).contains(&east), "{east}");
        assert!(skyline.meet(Vector3::new(0.0, 0.0, 20.0), Vector3::new(1.0, 0.0, 0.0)).is_none());
    }
}
