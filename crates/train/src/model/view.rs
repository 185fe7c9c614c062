//! The two views share one encoder; what is a view's own comes in a pair.

use burn::module::Module;
use serde::{Deserialize, Serialize};

/// Which kind of image the encoder looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// A crop of the drone's frame with the operator's click in the fourth channel.
    Query,
    /// A satellite tile; its fourth channel is zero.
    Tile,
}

impl View {
    /// The number that stands for the view in the ONNX input `view`.
    pub fn index(self) -> i64 {
        match self {
            View::Query => 0,
            View::Tile => 1,
        }
    }
}

/// A layer of each view, or one layer for both.
#[derive(Module, Debug)]
pub struct ViewPair<M> {
    /// The query's layer, and the tile's where `tile` is absent.
    pub query: M,
    /// The tile's own layer.
    pub tile: Option<M>,
}

impl<M: Module> ViewPair<M> {
    /// The layer that a view uses.
    pub fn of(&self, view: View) -> &M {
        match view {
            View::Query => &self.query,
            View::Tile => self.tile.as_ref().unwrap_or(&self.query),
        }
    }
}
