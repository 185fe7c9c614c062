//! SMGeo, written once: one layer a file, and beside each layer's forward its ONNX emission.
//!
//! The encoder turns one image of either view into features; the locator matches a query's features with a map of tile
//! features. Nothing before the locator sees both views, so all that concerns a tile can be cached.

mod batch_norm;
mod block;
mod config;
mod convolution;
mod encoder;
mod finer;
mod gmoe;
mod kernels;
mod linear;
mod locator_paper;
mod locator_template;
mod mlp;
mod norm;
mod pass;
mod patch_embed;
mod patch_merge;
mod pyramid;
mod smgeo;
mod stage;
mod token_order;
mod view;
mod window_attention;

pub use batch_norm::BatchNorm;
pub use block::Block;
pub use config::{Config, ConfigError, Fusion, MoeConfig, Pool, Router, TemplateConfig, within};
pub use convolution::Convolution;
pub use encoder::{Encoded, Encoder};
pub use finer::Finer;
pub use gmoe::{Gmoe, entropy};
pub use locator_paper::LocatorPaper;
pub(crate) use locator_template::FINE_REACH;
pub use locator_template::LocatorTemplate;
pub use mlp::Mlp;
pub use norm::Norm;
pub use pass::{Pass, Trace};
pub use patch_embed::{PatchEmbed, normalisation, normalised};
pub use patch_merge::PatchMerge;
pub use pyramid::Pyramid;
pub use smgeo::{FineMaps, Locator, LocatorMaps, SmGeo};
pub use stage::Stage;
pub use token_order::TokenOrder;
pub use view::{View, ViewPair};
pub use window_attention::{WindowAttention, bias_rows};
