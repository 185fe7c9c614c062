//! The numbers of independent peers (PROJ, GeographicLib, GEOTRANS, OpenCV, scipy, filterpy and others), matched at
//! stated tolerances.
//!
//! The JSON files beside this one say what they hold; one module reads one file.

mod camera;
mod estimate;
mod geodesy;
mod geoid;
mod grids;
mod ground;
mod homography;
mod reading;
mod tiles;
