//! `smgeo-train`: trains SMGeo and produces engine packages.
fn main() {}
