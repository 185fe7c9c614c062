//! A made world with known truth: towns, satellite renders, drone flights with video and telemetry.
//!
//! A [`Town`] follows from a seed: streets, buildings, courts, water, trees, and the truth about its [`Object`]s. A [`Day`]
//! is the light, the season and the traffic of one [`Date`] in it. [`render`] draws both the satellite's and the drone's
//! view of the same triangles, so the two pictures cannot disagree about the town; only the date differs.
//!
//! ```
//! use smgeo_geo::Camera;
//! use smgeo_world::{Date, Day, Town, flight::Flight, render, truth};
//!
//! let town = Town::with_texel(7, 1.0);
//! let (photographed, flown) = (Day::new(&town, Date::from_seed(1)), Day::new(&town, Date::from_seed(2)));
//! let satellite = render::satellite_crop(&town, &photographed, &Default::default(), [0.0, 0.0], 0.6, 256);
//! let camera = Camera::from_hfov(640, 360, 1.1);
//! let pose = Flight::new(&town, 1, 60.0).pose(12.0);
//! let frame = render::drone(&town, &flown, &camera, &pose, &Default::default());
//! let seen = truth::visible_objects(&town, &flown, &camera, &pose);
//! assert!(!seen.is_empty() && satellite.width() == 256 && frame.width() == 640);
//! ```
//!
//! How a picture is made: [`render`] projects triangles and leaf balls (`project`, `raster`) into a buffer of surface ids,
//! then colours each pixel once (`shade`, `ground`) from the painted ground (`paint`), the faces (`mesh`) and the shadows
//! (`shadow`). How a town is made: `style` chooses, `streets` lays out, `roads`, `houses`, `blocks`, `sports` and `nature`
//! fill a `draft`, and `town` makes it final.
//!
//! What is not here: weather other than haze, night, moving cars, people, and trees on the satellite's far country.

mod block_order;
mod blocks;
mod building;
mod car;
mod day;
mod dice;
mod draft;
pub mod elevation;
mod error;
pub mod flight;
mod ground;
mod houses;
mod material;
mod mesh;
mod nature;
mod noise;
mod object;
mod paint;
mod place;
mod project;
mod raster;
mod relief;
pub mod render;
mod roads;
mod shade;
mod shadow;
mod sports;
mod streets;
mod style;
pub mod telemetry;
pub mod tiles;
mod tops;
mod town;
mod tree;
pub mod truth;

pub use day::{Date, Day};
pub use error::WorldError;
pub use object::{BoxEnu, Object, ObjectId, ObjectKind};
pub use relief::Relief;
pub use town::Town;
