//! The tilted view laid out as a map, against OpenCV and the rays themselves.

use nalgebra::{Matrix3, Vector3};
use smgeo_geo::{Camera, Euler, Geodetic, Homography, LocalFrame, MapCrop, Pixel, Pose};

use crate::reading::{all_near, number, numbers, parsed, rows, text};

const GOLDEN: &str = include_str!("homography.json");

#[test]
fn frames_are_laid_out_as_the_same_map() {
    for row in rows(&parsed(GOLDEN), "poses") {
        let name = text(row, "name");
        let height_m = number(row, "height_above_ground_m");
        let camera_ne = numbers(row, "camera_ne_m");
        let lens = numbers(row, "fx_fy_cx_cy");
        let size = numbers(row, "image_px");
        let camera = Camera {
            width_px: size[0] as u32,
            height_px: size[1] as u32,
            fx_px: lens[0],
            fy_px: lens[1],
            cx_px: lens[2],
            cy_px: lens[3],
            distortion: [0.0; 5],
        };
        // The golden ground is a plane below the camera, so the frame is the camera's own, moved aside.
        let ground_up_m = 12.5;
        let below = LocalFrame::new(Geodetic::new(25.2, 55.3, 30.0).unwrap());
        let position = below.geodetic_from(Vector3::new(0.0, 0.0, ground_up_m + height_m)).unwrap();
        let euler = Euler::new(number(row, "yaw_rad"), number(row, "pitch_rad"), number(row, "roll_rad"));
        let pose = Pose::from_euler(position, euler);
        let crop = MapCrop {
            left_east_m: number(row, "map_left_east_m") - camera_ne[1],
            top_north_m: number(row, "map_top_north_m") - camera_ne[0],
            east_m_px: number(row, "gsd_m"),
            north_m_px: number(row, "gsd_m"),
        };
        let map = Homography::map_from_image(&camera, &pose, &below, ground_up_m, &crop).unwrap();
        let want = Matrix3::from_row_slice(&numbers(row, "map_from_image"));
        all_near((map.matrix() / map.matrix().norm()).iter(), (want / want.norm()).as_slice(), 1e-9, name);

        let back = Homography::image_from_map(&camera, &pose, &below, ground_up_m, &crop).unwrap();
        for point in rows(row, "points") {
            let at = numbers(point, "pixel");
            let pixel = Pixel::new(at[0], at[1]);
            if point["map_px"].is_null() {
                assert_eq!(map.apply(pixel), None, "{name}: at or above the horizon");
                continue;
            }
            let there = map.apply(pixel).unwrap();
            let scale = 1.0 + there.x.abs().max(there.y.abs());
            // Far out a pixel is kilometres, and the last bits of the pose show.
            all_near(&[there.x, there.y], &numbers(point, "map_px"), 1e-7 * (scale / 1000.0).max(1.0), name);
            let slope = map.derivative(pixel).unwrap();
            let want = numbers(point, "d_map_d_pixel");
            let steepest = want.iter().fold(1.0_f64, |most, part| most.max(part.abs()));
            all_near(slope.transpose().iter(), &want, 1e-9 * steepest, name);
            let again = back.apply(there).unwrap();
            all_near(&[again.x, again.y], &at, 1e-7, name);
            let (east_m, north_m) = crop.east_north_m(there);
            let ground = numbers(point, "ground_ne_m");
            let moved = [north_m + camera_ne[0], east_m + camera_ne[1]];
            all_near(&moved, &ground, 1e-8 * scale, name);
        }
    }
}
