//! What one training step eats: tiles encoded once, queries over them, and many clicks in each query.

use smgeo_engine::EncoderImage;
use smgeo_engine::image::IMAGE_BYTES;

/// A step's worth of samples. The window is the mosaic of all tiles.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Index of the step this batch belongs to.
    pub step: u64,
    /// Rows of tiles in the window.
    pub rows: usize,
    /// Columns of tiles in the window.
    pub columns: usize,
    /// `rows * columns` tiles, row by row.
    pub tiles: Vec<EncoderImage>,
    /// Query crops.
    pub queries: Vec<EncoderImage>,
    /// Clicks in the queries, in the order of the queries.
    pub clicks: Vec<Click>,
}

/// One click and what the network should say to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Click {
    /// Which query.
    pub query: usize,
    /// Query pixel.
    pub at: [f32; 2],
    /// Window pixel of the answer, an object's middle where one is meant; `None` if the window does not contain it.
    pub target: Option<[f32; 2]>,
    /// Window pixel of what the clicked pixel shows: beside the target where an object was not clicked in its middle. As the
    /// target where nobody knows it.
    pub shown: Option<[f32; 2]>,
    /// The object's box in the window: left, top, right, bottom; `None` where nobody knows one.
    pub box_xyxy: Option<[f32; 4]>,
    /// The object meant: index of the ground and of the box on it.
    pub object: Option<[usize; 2]>,
}

impl Batch {
    /// Bytes of all tiles, `[T, 256, 256, 4]`.
    pub fn tile_bytes(&self) -> Vec<u8> {
        concatenated(&self.tiles)
    }

    /// Bytes of all queries, `[Q, 256, 256, 4]`.
    pub fn query_bytes(&self) -> Vec<u8> {
        concatenated(&self.queries)
    }
}

fn concatenated(images: &[EncoderImage]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(images.len() * IMAGE_BYTES);
    images.iter().for_each(|image| bytes.extend_from_slice(image.bytes()));
    bytes
}
