//! A made world with known truth: towns, satellite renders, drone flights with video and telemetry.

mod blocks;
mod building;
mod car;
mod day;
mod dice;
mod draft;
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
mod town;
mod tree;

pub use day::{Date, Day};
pub use object::{BoxEnu, Object, ObjectId, ObjectKind};
pub use relief::Relief;
pub use town::Town;
