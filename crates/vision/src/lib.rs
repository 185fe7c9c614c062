//! What is computed on the pixels of a picture: its brightness at halving sizes, and where a piece of one picture is in another.
//!
//! A crate of its own, because these loops are worth compiling for each generation of vectors and the glue of the runtime is
//! not. It knows pictures and nothing else: which frame a picture is of, what is followed in it and when to give up is
//! decided in the runtime's `follow`.

pub mod brightness;
pub mod level;
pub mod lucas_kanade;
pub mod matching;
pub mod patch;
pub mod similarity;
mod vector;

pub use brightness::{brightness_of_rgb, brightness_of_rgbx, halved};
pub use level::Level;
pub use lucas_kanade::{Found, LucasKanade};
pub use matching::Matching;
