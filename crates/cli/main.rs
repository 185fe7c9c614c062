//! `smgeo`: click an object in live drone video; get its position on the Earth, continuously, and how sure it is.

fn main() {}
