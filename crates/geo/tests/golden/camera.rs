//! Pixels, rays and attitudes against OpenCV, scipy and pymavlink.

use nalgebra::{UnitQuaternion, Vector3};
use serde_json::Value;
use smgeo_geo::attitude::frd_from_camera;
use smgeo_geo::local_frame::{ned_from_ecef, swap_ned_enu};
use smgeo_geo::{Camera, Euler, Frame, Geodetic, GimbalAttitude, Pixel, Pose};

use crate::reading::{all_near, count, holds, near, number, numbers, parsed, rows, text};

const GOLDEN: &str = include_str!("camera.json");

fn camera(golden: &Value, name: &str) -> Camera {
    let lens = rows(golden, "lenses").iter().find(|lens| text(lens, "name") == name).unwrap();
    Camera {
        width_px: count(lens, "width") as u32,
        height_px: count(lens, "height") as u32,
        fx_px: number(lens, "fx"),
        fy_px: number(lens, "fy"),
        cx_px: number(lens, "cx"),
        cy_px: number(lens, "cy"),
        distortion: ["k1", "k2", "p1", "p2", "k3"].map(|key| number(lens, key)),
    }
}

fn euler(value: &Value) -> Euler {
    Euler::new(number(value, "yaw"), number(value, "pitch"), number(value, "roll"))
}

fn pose(row: &Value) -> Pose {
    let position = Geodetic::new(number(row, "lat_deg"), number(row, "lon_deg"), number(row, "h_m")).unwrap();
    match text(row, "kind") {
        "euler_earth" => Pose::from_euler(position, euler(&row["gimbal_euler_rad"])),
        "strapdown" => Pose::from_strapdown(position, euler(&row["attitude_rad"]), euler(&row["mount_euler_rad"])),
        _ => {
            let gimbal = GimbalAttitude {
                q_wxyz: numbers(row, "q_wxyz").try_into().unwrap(),
                flags: count(row, "flags") as u32,
                delta_yaw_rad: row["delta_yaw_rad"].as_f64(),
                vehicle_yaw_rad: Some(number(&row["attitude_rad"], "yaw")),
            };
            Pose::from_gimbal(position, &gimbal).unwrap()
        }
    }
}

fn frame_pixel(row: &Value) -> Pixel<Frame> {
    let at = numbers(row, "pixel");
    Pixel::new(at[0], at[1])
}

#[test]
fn pixels_become_the_same_rays() {
    let golden = parsed(GOLDEN);
    for row in rows(&golden, "cases") {
        let name = text(row, "name");
        let camera = camera(&golden, text(row, "lens"));
        let tolerance = if camera.distortion == [0.0; 5] { 1e-12 } else { 1e-9 };
        let (pose, pixel) = (pose(row), frame_pixel(row));
        let slopes = camera.slopes(pixel).unwrap();
        all_near(slopes.iter(), &numbers(row, "undistorted_xy"), tolerance, name);
        all_near(camera.unproject(pixel).iter(), &numbers(row, "ray_camera"), tolerance, name);
        let matrix = pose.ned_from_camera.to_rotation_matrix().into_inner();
        all_near(matrix.transpose().iter(), &numbers(row, "ned_from_camera"), 1e-12, name);
        let ray_ned = pose.ray_ned(&camera, pixel);
        all_near(ray_ned.iter(), &numbers(row, "ray_ned"), tolerance, name);
        assert_eq!(pose.ray_enu(&camera, pixel), swap_ned_enu(ray_ned));
        let ray_ecef = ned_from_ecef(pose.position.at).transpose() * ray_ned;
        all_near(ray_ecef.iter(), &numbers(row, "ray_ecef"), tolerance, name);
    }
}

#[test]
fn attitudes_come_back_as_quaternion_and_angles() {
    for row in rows(&parsed(GOLDEN), "cases") {
        let name = text(row, "name");
        let pose = pose(row);
        let gimbal: UnitQuaternion<f64> = pose.ned_from_camera * frd_from_camera().inverse();
        let want = numbers(row, "q_earth_wxyz");
        let sign = if gimbal.w < 0.0 { -1.0 } else { 1.0 };
        let got = [gimbal.w, gimbal.i, gimbal.j, gimbal.k].map(|part| part * sign);
        // With w at zero both signs are the same attitude.
        let flip = if want[0].abs() < 1e-12 && got[1] * want[1] + got[2] * want[2] + got[3] * want[3] < 0.0 {
            -1.0
        } else {
            1.0
        };
        all_near(&got.map(|part| part * flip), &want, 1e-12, name);
        let (angles, want) = (pose.euler(), &row["euler_earth_rad"]);
        near(angles.pitch_rad, number(want, "pitch"), 1e-7, name);
        if !holds(row, "euler_singular") {
            near(angles.yaw_rad, number(want, "yaw"), 1e-12, name);
            near(angles.pitch_rad, number(want, "pitch"), 1e-12, name);
            near(angles.roll_rad, number(want, "roll"), 1e-12, name);
        }
        let again = Pose::from_euler(pose.position, angles);
        assert!(again.ned_from_camera.angle_to(&pose.ned_from_camera) < 1e-7, "{name}");
    }
}

#[test]
fn points_become_the_same_pixels() {
    let golden = parsed(GOLDEN);
    let anywhere = Geodetic::new(0.0, 0.0, 0.0).unwrap();
    for row in rows(&golden, "project") {
        let camera = camera(&golden, text(row, "lens"));
        let pose = Pose::from_euler(anywhere, euler(&row["gimbal_euler_rad"]));
        let point = Vector3::from_vec(numbers(row, "point_from_camera_ned_m"));
        let in_camera = pose.ned_from_camera.inverse() * point;
        near(in_camera.z, number(row, "depth_m"), 1e-9, "depth");
        let got = camera.project(in_camera);
        if row["pixel"].is_null() {
            assert_eq!(got, None, "behind the camera");
            continue;
        }
        let want = numbers(row, "pixel");
        let pixel = got.unwrap();
        all_near(&[pixel.x, pixel.y], &want, 1e-6, text(row, "lens"));
        assert_eq!(pixel.is_inside(camera.width_px, camera.height_px), holds(row, "inside"));
        if holds(row, "inside") {
            let again = camera.unproject(pixel) * in_camera.norm();
            assert!((again - in_camera).norm() < 1e-9 * in_camera.norm());
        }
    }
}
