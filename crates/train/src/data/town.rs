//! Made towns as ground: satellite pictures on two dates, and drone frames on others, in three dimensions.
//!
//! Rendering takes longer than reading, so towns are rendered once into a folder each. A frame carries the ground position
//! that each block of its pixels shows, so any pixel is a click with a known answer; roofs lean and hide what is behind them.

use nalgebra::{Matrix3, Rotation3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smgeo_geo::{Camera, Pose};
use smgeo_world::render::{DroneLook, Renderer, SatelliteLook};
use smgeo_world::truth::Spotter;
use smgeo_world::{Date, Day, Object, ObjectId, Town};

use super::camera::DroneCamera;
use super::ground::{DroneFrame, Ground, GroundBox, Source, Surface};
use super::skyline::{Skyline, ground_m};
use super::town_folder::BLOCK_PX;
use super::{DataError, Raster};

/// Ground resolution of the satellite pictures.
const GSD_M: f64 = 0.6;
/// Satellite dates a town.
const LAYERS: usize = 2;
/// Drone dates a town.
const DRONE_DAYS: usize = 3;
/// Smaller objects are no fair target at 0.6 m a pixel.
const SIDE_M_MIN: f64 = 5.0;
/// Largest side of an object: beyond, it fills the crop.
const SIDE_M_MAX: f64 = 140.0;
/// Least share of an object's upper side that has to be seen to click on it.
const VISIBLE_MIN: f64 = 0.35;

/// Renders the town of a seed with `frames` drone frames.
pub fn render(seed: u64, frames: usize) -> Result<Ground, DataError> {
    let town = Town::from_seed(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x746f_776e);
    let edge_px = (2.0 * town.half_m() / GSD_M) as u32;
    let mut renderer = Renderer::default();
    let mut layers = Vec::new();
    for _ in 0..LAYERS {
        let day = Day::new(&town, Date::from_seed(rng.random()));
        let look = SatelliteLook::from_seed(rng.random());
        let picture = renderer.crop(&town, &day, &look, [0.0, 0.0], GSD_M, edge_px);
        layers.push(Raster::from_rgb(edge_px as usize, edge_px as usize, picture.into_raw())?);
    }
    let plane = Plane { half_m: f64::from(edge_px) * GSD_M / 2.0 };
    let targets: Vec<&Object> = town.objects().iter().filter(|object| is_target(object)).collect();
    let boxes = targets.iter().map(|object| plane.box_of(object)).collect();
    let days: Vec<_> = (0..DRONE_DAYS).map(|_| Day::new(&town, Date::from_seed(rng.random()))).collect();
    let skyline = Skyline::new(&town, plane.half_m);
    let mut studio = Studio { town: &town, plane, skyline, targets, renderer, spotter: Spotter::default() };
    let taken = (0..frames).filter_map(|index| studio.frame(&mut rng, &days[index % DRONE_DAYS])).collect();
    let name = format!("town-{seed}");
    Ok(Ground { group: name.clone(), name, source: Source::Town, gsd_m: GSD_M, layers, boxes, frames: taken })
}

fn is_target(object: &Object) -> bool {
    let [east, north] = object.box_enu.size_m();
    east.min(north) >= SIDE_M_MIN && east.max(north) <= SIDE_M_MAX
}

/// The satellite picture's pixels over the town's tangent plane: its middle is the town's origin, north is up.
struct Plane {
    half_m: f64,
}

impl Plane {
    fn ground_px(&self, east_m: f64, north_m: f64) -> [f64; 2] {
        [(east_m + self.half_m) / GSD_M, (self.half_m - north_m) / GSD_M]
    }

    fn enu_m(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [x * GSD_M - self.half_m, self.half_m - y * GSD_M]
    }

    fn box_of(&self, object: &Object) -> GroundBox {
        let edges = &object.box_enu;
        let [x0, y0] = self.ground_px(edges.west_m, edges.north_m);
        let [x1, y1] = self.ground_px(edges.east_m, edges.south_m);
        GroundBox { xyxy: [x0, y0, x1, y1], class: object.kind.name().into() }
    }
}

/// A town with everything needed to photograph it.
struct Studio<'a> {
    town: &'a Town,
    plane: Plane,
    skyline: Skyline,
    targets: Vec<&'a Object>,
    renderer: Renderer,
    spotter: Spotter,
}

impl Studio<'_> {
    /// A frame of something in the town, on a day.
    fn frame(&mut self, rng: &mut impl Rng, day: &Day) -> Option<DroneFrame> {
        let reach = self.plane.half_m - 40.0;
        let aim_enu = if rng.random_bool(0.7) && !self.targets.is_empty() {
            self.targets[rng.random_range(0..self.targets.len())].box_enu.centre()
        } else {
            [rng.random_range(-reach..reach), rng.random_range(-reach..reach)]
        };
        let drone = DroneCamera::draw(rng, self.plane.ground_px(aim_enu[0], aim_enu[1]));
        let ground_up_m = ground_m(self.town, aim_enu);
        let (camera, pose) = posed(&drone, self.town, &self.plane, ground_up_m)?;
        let look = DroneLook::from_seed(rng.random());
        let picture = self.renderer.drone(self.town, day, &camera, &pose, &look);
        let picture = Raster::from_rgb(drone.width, drone.height, picture.into_raw()).ok()?;
        let sightings = self.spotter.sightings(self.town, day, &camera, &pose);
        let seen = sightings.iter().filter(|sighting| sighting.visible >= VISIBLE_MIN);
        let target = |id: ObjectId| self.targets.iter().position(|object| object.id == id);
        let objects = seen.filter_map(|sighting| Some((target(sighting.id)?, [sighting.click.x, sighting.click.y])));
        Some(DroneFrame {
            objects: objects.collect(),
            surface: surface(&drone, &self.plane, &self.skyline, ground_up_m),
            picture,
            camera: drone,
        })
    }
}

/// The same camera on the Earth: ground axes are east, south, down in the town's tangent plane.
fn posed(drone: &DroneCamera, town: &Town, plane: &Plane, ground_up_m: f64) -> Option<(Camera, Pose)> {
    let fov_rad = 2.0 * (drone.width as f64 / 2.0 / drone.focal_px).atan();
    let camera = Camera::from_hfov(drone.width as u32, drone.height as u32, fov_rad);
    let [east, north] = plane.enu_m(drone.below);
    let position = town.geodetic([east, north, ground_up_m + drone.height_map_px * GSD_M])?;
    let ned_from_ground = Rotation3::from_matrix_unchecked(Matrix3::new(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0));
    let ned_from_camera = UnitQuaternion::from_rotation_matrix(&(ned_from_ground * drone.ground_from_camera()));
    Some((camera, Pose { position, ned_from_camera }))
}

/// The ground position that the middle of each block of frame pixels shows.
fn surface(drone: &DroneCamera, plane: &Plane, skyline: &Skyline, ground_up_m: f64) -> Surface {
    let (columns, rows) = (drone.width / BLOCK_PX, drone.height / BLOCK_PX);
    let [east, north] = plane.enu_m(drone.below);
    let eye = Vector3::new(east, north, ground_up_m + drone.height_map_px * GSD_M);
    let at = |index: usize| {
        let middle = |block: usize| (block as f64 + 0.5) * BLOCK_PX as f64;
        let ray = drone.ray([middle(index % columns), middle(index / columns)]);
        match skyline.meet(eye, Vector3::new(ray.x, -ray.y, -ray.z)) {
            Some([east, north]) => plane.ground_px(east, north).map(|place| place as f32),
            None => [f32::NAN; 2],
        }
    };
    Surface::Relief { block_px: BLOCK_PX, columns, ground: (0..rows * columns).map(at).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::town_folder::{read, write};

    #[test]
    fn a_rendered_town_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let ground = render(5, 2).unwrap();
        write(&ground, 5, folder.path()).unwrap();
        let again = read(folder.path()).unwrap().remove(0);
        // Decimal digits in JSON may move the last bit of a number.
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert_eq!(again.boxes.len(), ground.boxes.len());
        for (read, written) in again.boxes.iter().zip(&ground.boxes) {
            assert!(read.xyxy.iter().zip(written.xyxy).all(|(&a, b)| close(a, b)) && read.class == written.class);
        }
        assert_eq!(again.frames.len(), ground.frames.len());
        for (read, written) in again.frames.iter().zip(&ground.frames) {
            assert!(close(read.camera.tilt_rad, written.camera.tilt_rad));
            assert_eq!(read.objects.len(), written.objects.len());
        }
    }

    #[test]
    fn frames_of_a_town_show_the_ground_their_camera_is_aimed_at() {
        let ground = render(6, 4).unwrap();
        assert!(!ground.frames.is_empty());
        for frame in &ground.frames {
            let middle = [frame.picture.width() as f64 / 2.0, frame.picture.height() as f64 / 2.0];
            let (Some(shown), map_from_frame) = (frame.ground_at(middle), frame.camera.frame_from_map()) else {
                continue;
            };
            let seen = super::super::planar::map(&map_from_frame, shown).unwrap();
            // Relief and roofs move a point, but not across the frame.
            let distance = (seen[0] - middle[0]).hypot(seen[1] - middle[1]);
            assert!(distance < 60.0, "{distance} px at tilt {}", frame.camera.tilt_rad);
        }
    }
}
