//! Earth, camera, tile and filter mathematics: typed units and datums. Pure.
//!
//! The way of a click through this crate: a [`Pixel`] of the frame becomes a ray by the [`Camera`] and its [`Pose`],
//! the ray meets the [`Terrain`] of a [`LocalFrame`] ([`RayGround`], with its [`Covariance2`]), the place lies in a
//! [`TileWindow`] of map tiles, and what is found there is filtered by a [`KalmanTrack`].
//!
//! ```
//! use smgeo_geo::*;
//!
//! let drone = Geodetic::from_msl(LatLon::new(25.1972, 55.2744)?, Altitude::from_m(130.0));
//! let pose = Pose::from_euler(drone, Euler::from_deg(40.0, -35.0, 0.0));
//! let camera = Camera::from_hfov(1280, 720, 1.1);
//! let below = Altitude::<Msl>::from_m(10.0).to_ellipsoid(drone.at);
//! let frame = LocalFrame::new(Geodetic { at: drone.at, height: below });
//!
//! let sight = Sight { frame: &frame, pose: &pose, camera: &camera, pixel: Pixel::new(700.0, 400.0) };
//! let pose_sigma =
//!     PoseSigma { yaw_rad: 0.03, pitch_rad: 0.01, roll_rad: 0.01, horizontal_m: 1.5, vertical_m: 2.5 };
//! let sigma = SightSigma { pose: pose_sigma, pixel_px: 1.5, terrain_m: 2.0 };
//! let seen = RayGround::cast(&sight, &sigma, &LevelGround::new(&frame, below)).expect("it looks down");
//!
//! let at = frame.geodetic_from(seen.point_enu)?.at;
//! assert_eq!(grid::Mgrs::of(at)?.truncated(4).to_string(), "40RCN26248801");
//! assert!(seen.covariance.circular_error_m(0.9) < 15.0);
//! # Ok::<(), EarthError>(())
//! ```
//!
//! # Conventions
//!
//! * Earth: WGS84. A height says in its type what it is above: [`Altitude<Msl>`] (EGM96) or [`Altitude<Ellipsoid>`].
//! * Local: east, north, up or north, east, down, tangent at an origin. Azimuths run clockwise from north.
//! * Body and gimbal: x forward, y right, z down. Camera: x right, y down, z forward. Yaw, pitch, roll are intrinsic
//!   Z-Y'-X''.
//! * Angles are radians unless the name ends in `_deg`; lengths are metres, times seconds.
//! * Pixels are continuous, (0, 0) the outer corner of the top-left one.
//!
//! # What is not finite
//!
//! Nothing here panics on a NaN. Vectors (rays, offsets) carry it along; **a place, a covariance or a track is never
//! made of it**: whatever returns one of those refuses with an error or with `None`.

pub mod attitude;
pub mod chi_square;
pub mod earth_ray;
pub mod geodesic;
pub mod geodetic;
pub mod geoid;
pub mod grid;
pub mod ground;
pub mod homography;
pub mod local_frame;
pub mod mercator;
pub mod terrain;
pub mod track;

mod altitude;
mod camera;
mod covariance;
mod error;
mod footprint;
mod grid_terrain;
mod lat_lon;
mod level_ground;
mod march;
mod pixel;
mod pose;
mod ray_spread;
mod tile;
mod tile_window;
mod view;

pub use altitude::{Altitude, Datum, Ellipsoid, Msl};
pub use attitude::{Euler, GimbalAttitude};
pub use camera::Camera;
pub use covariance::{Covariance2, Ellipse};
pub use error::EarthError;
pub use geodetic::Geodetic;
pub use grid_terrain::{GridShape, GridTerrain};
pub use ground::{FirstOrder, GroundPoint, RayGround, Sight, SightSigma, intersect};
pub use homography::{Homography, MapCrop};
pub use lat_lon::LatLon;
pub use level_ground::LevelGround;
pub use local_frame::LocalFrame;
pub use pixel::{Frame, Pixel, Query, Reference};
pub use pose::{Pose, PoseSigma};
pub use ray_spread::RaySpread;
pub use terrain::{FlatGround, PlaneGround, Terrain};
pub use tile::{TILE_PX, TileBounds, TileId, ZOOM_MAX};
pub use tile_window::TileWindow;
pub use track::{Gate, KalmanTrack, Motion};
pub use view::View;
