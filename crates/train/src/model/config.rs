//! Every knob of the network, with the four presets.

use serde::{Deserialize, Serialize};

/// Why a configuration cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is not a preset.
    #[error("no preset is called {0:?}; take nano, small, tiny or released")]
    UnknownPreset(String),
    /// A number lies outside of its range.
    #[error("{key} = {value} has to lie between {low} and {high}")]
    Range {
        /// The offending key.
        key: &'static str,
        /// What it is.
        value: f64,
        /// The least that is allowed.
        low: f64,
        /// The most that is allowed.
        high: f64,
    },
    /// A value breaks a rule.
    #[error("{key}: {reason}")]
    Invalid {
        /// The offending key.
        key: &'static str,
        /// What it has to be.
        reason: String,
    },
}

/// Checks that a number lies in its range, both ends included.
pub fn within(key: &'static str, value: f64, low: f64, high: f64) -> Result<(), ConfigError> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(ConfigError::Range { key, value, low, high }),
    }
}

/// How query and reference meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// A template of query cells around the click is correlated with a stride-16 map.
    Template,
    /// The paper's: a sigmoid of the scaled cosine with the mean query gates the stride-32 map.
    Paper,
    /// The released module: a softmax over positions of the cosine gates the map.
    Softmax,
    /// The released training script: the query is not used at all.
    None,
}

impl From<Fusion> for smgeo_engine::Fusion {
    fn from(fusion: Fusion) -> Self {
        match fusion {
            Fusion::Template => Self::Template,
            Fusion::Paper | Fusion::Softmax | Fusion::None => Self::Paper,
        }
    }
}

/// Whose router a GMoE block asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// One router per view.
    PerView,
    /// One router for both views.
    Shared,
}

/// Which blocks share a pool of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// All GMoE blocks of a stage.
    Stage,
    /// Each block has its own.
    Block,
}

/// The grid-level mixture of experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoeConfig {
    /// Blocks of each stage whose MLP is replaced.
    pub blocks: [Vec<usize>; 4],
    /// Experts in a pool (the paper's table II: 2 to 8).
    pub experts: usize,
    /// Experts that a cell is sent to (table III: 1 to 5).
    pub top_k: usize,
    /// Edge of a routing cell in tokens, per stage; 1 routes single tokens.
    pub cells: [usize; 4],
    /// Hidden width of an expert over the stage's width.
    pub hidden_ratio: f64,
    /// Whose router is asked.
    pub router: Router,
    /// Which blocks share experts.
    pub pool: Pool,
    /// Standard deviation of the noise on the router's logits while training.
    pub noise_sigma: f64,
}

/// The template locator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateConfig {
    /// Channels C of the features that leave the encoder.
    pub channels: usize,
    /// Width of the normalised projections that are correlated.
    pub projection: usize,
    /// Edge of the template in cells; odd.
    pub cells: usize,
    /// Distance of neighbouring template cells in the query, in feature cells.
    pub spacing_cells: f64,
    /// Number of gate heads.
    pub gate_heads: usize,
    /// Width of each gate head's projection.
    pub gate_channels: usize,
    /// Reference channels that the gates modulate; a multiple of `gate_heads`.
    pub head_channels: usize,
    /// Hidden channels of the convolution head.
    pub head_hidden: usize,
    /// Channels of the stride-8 vectors that a second template of 3 x 3 is correlated in; 0 for none.
    #[serde(default)]
    pub fine_channels: usize,
    /// Hidden width of what reads the box's size and place from the query alone; 0 for none.
    #[serde(default)]
    pub extent_hidden: usize,
}

/// Wider layers than any known network's are a slip of the pen.
const WIDTH_MAX: f64 = 8192.0;

/// The network's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the architecture, for people.
    pub architecture: String,
    /// Width of stage 0; it doubles with each stage.
    pub embed: usize,
    /// Blocks per stage.
    pub depths: [usize; 4],
    /// Attention heads per stage.
    pub heads: [usize; 4],
    /// Edge of an attention window in tokens; a power of two.
    pub window: usize,
    /// Whether odd blocks shift their windows by half a window.
    pub shift: bool,
    /// Whether attention adds a relative position bias.
    pub position_bias: bool,
    /// Hidden width of an MLP over the stage's width.
    pub mlp_ratio: f64,
    /// Whether a LayerNorm follows the last stage.
    pub final_norm: bool,
    /// Drop probability of the last block's branches; it rises linearly from 0 in the first.
    pub drop_path: f64,
    /// The mixture of experts.
    pub moe: MoeConfig,
    /// How query and reference meet.
    pub fusion: Fusion,
    /// Hidden channels of the paper's head.
    pub head_channels: usize,
    /// The template locator.
    pub template: TemplateConfig,
}

impl Config {
    /// Stride of the patch embedding in px.
    pub const PATCH_PX: usize = 4;

    /// The preset of a name: `nano`, `small`, `tiny` or `released`.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        match name {
            "nano" => Ok(Self::nano()),
            "small" => Ok(Self::small()),
            "tiny" => Ok(Self::tiny()),
            "released" => Ok(Self::released()),
            other => Err(ConfigError::UnknownPreset(other.to_owned())),
        }
    }

    /// For CPUs: embed 32, depths 2-2-4-2.
    pub fn nano() -> Self {
        Self {
            architecture: "nano".into(),
            embed: 32,
            depths: [2, 2, 4, 2],
            heads: [1, 2, 4, 8],
            moe: MoeConfig { blocks: [vec![], vec![0], vec![0, 2], vec![0]], hidden_ratio: 2.0, ..Self::tiny().moe },
            drop_path: 0.0,
            template: TemplateConfig { channels: 96, fine_channels: 16, ..Self::tiny().template },
            ..Self::tiny()
        }
    }

    /// Between: embed 48, depths 2-2-4-2. Head width 24, since 48 is no multiple of 32.
    pub fn small() -> Self {
        Self {
            architecture: "small".into(),
            embed: 48,
            heads: [2, 4, 8, 16],
            template: TemplateConfig { channels: 128, fine_channels: 16, ..Self::tiny().template },
            ..Self::nano()
        }
    }

    /// The paper's: Swin-T, embed 96, depths 2-2-6-2, window 8, with the default locator.
    pub fn tiny() -> Self {
        Self {
            architecture: "tiny".into(),
            embed: 96,
            depths: [2, 2, 6, 2],
            heads: [3, 6, 12, 24],
            window: 8,
            shift: true,
            position_bias: true,
            mlp_ratio: 4.0,
            final_norm: true,
            drop_path: 0.1,
            moe: MoeConfig {
                blocks: [vec![], vec![0], vec![0, 2, 4], vec![0]],
                experts: 6,
                top_k: 2,
                cells: [16, 8, 4, 2],
                hidden_ratio: 4.0,
                router: Router::PerView,
                pool: Pool::Stage,
                noise_sigma: 0.1,
            },
            fusion: Fusion::Template,
            head_channels: 256,
            template: TemplateConfig {
                channels: 192,
                projection: 64,
                cells: 5,
                spacing_cells: 1.0,
                gate_heads: 8,
                gate_channels: 8,
                head_channels: 32,
                head_hidden: 32,
                fine_channels: 0,
                extent_hidden: 0,
            },
        }
    }

    /// The released architecture: no shift, no position bias, token routing, one router, softmax fusion. It is trained on tiles as all
    /// are; its own reference of 1024 px is one image.
    pub fn released() -> Self {
        let tiny = Self::tiny();
        Self {
            architecture: "released".into(),
            shift: false,
            position_bias: false,
            final_norm: false,
            moe: MoeConfig {
                blocks: [vec![], vec![0, 1], vec![0, 2, 4], vec![0, 1]],
                cells: [1; 4],
                router: Router::Shared,
                ..tiny.moe
            },
            fusion: Fusion::Softmax,
            ..tiny
        }
    }

    /// Width of a stage.
    pub fn width(&self, stage: usize) -> usize {
        self.embed << stage
    }

    /// Channels C of the features that leave the encoder.
    pub fn channels(&self) -> usize {
        match self.fusion {
            Fusion::Template => self.template.channels + 4 * self.template.fine_channels,
            Fusion::Paper | Fusion::Softmax | Fusion::None => self.width(3),
        }
    }

    /// Whether a LayerNorm ends the encoder: where features are not the last stage's map, there is none.
    pub fn ends_in_norm(&self) -> bool {
        self.final_norm && self.fusion != Fusion::Template
    }

    /// Stride of the features in px.
    pub fn stride_px(&self) -> usize {
        match self.fusion {
            Fusion::Template => 16,
            Fusion::Paper | Fusion::Softmax | Fusion::None => 32,
        }
    }

    /// Checks what the layers rely on.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.ranges()?;
        let rule = |holds: bool, key, reason: &str| match holds {
            true => Ok(()),
            false => Err(ConfigError::Invalid { key, reason: reason.to_owned() }),
        };
        rule(self.window.is_power_of_two() && self.window >= 2, "window", "has to be a power of two, 2 or more")?;
        let divides = (0..4).all(|s| self.heads[s] > 0 && self.width(s).is_multiple_of(self.heads[s]));
        rule(divides, "heads", "have to divide each stage's width")?;
        let hidden = |ratio: f64| (self.embed as f64 * ratio) as usize > 0;
        rule(hidden(self.mlp_ratio), "mlp_ratio", "has to give a hidden width of 1 or more")?;
        rule(hidden(self.moe.hidden_ratio), "moe.hidden_ratio", "has to give a hidden width of 1 or more")?;
        rule(self.depths.iter().all(|&depth| depth > 0), "depths", "have to be 1 or more")?;
        let moe = &self.moe;
        rule(
            moe.top_k >= 1 && moe.top_k <= moe.experts,
            "moe.top_k",
            "has to lie between 1 and the number of experts",
        )?;
        let placed = (0..4).all(|s| moe.blocks[s].iter().all(|&block| block < self.depths[s]));
        rule(placed, "moe.blocks", "name a block beyond the stage's depth")?;
        rule(moe.cells.iter().all(|cell| cell.is_power_of_two()), "moe.cells", "have to be powers of two")?;
        rule(self.template.cells % 2 == 1, "template.cells", "has to be odd, so that the click has a cell")?;
        rule(
            self.template.head_channels.is_multiple_of(self.template.gate_heads),
            "template.head_channels",
            "has to be a multiple of template.gate_heads",
        )
    }

    fn ranges(&self) -> Result<(), ConfigError> {
        let (moe, template) = (&self.moe, &self.template);
        let widths = [
            ("embed", self.embed),
            ("head_channels", self.head_channels),
            ("template.channels", template.channels),
            ("template.projection", template.projection),
            ("template.cells", template.cells),
            ("template.gate_heads", template.gate_heads),
            ("template.gate_channels", template.gate_channels),
            ("template.head_channels", template.head_channels),
            ("template.head_hidden", template.head_hidden),
        ];
        widths.into_iter().try_for_each(|(key, width)| within(key, width as f64, 1.0, WIDTH_MAX))?;
        within("template.fine_channels", template.fine_channels as f64, 0.0, WIDTH_MAX)?;
        within("template.extent_hidden", template.extent_hidden as f64, 0.0, WIDTH_MAX)?;
        within("template.spacing_cells", template.spacing_cells, 0.1, 16.0)?;
        within("mlp_ratio", self.mlp_ratio, 0.01, 64.0)?;
        within("moe.hidden_ratio", moe.hidden_ratio, 0.01, 64.0)?;
        within("moe.noise_sigma", moe.noise_sigma, 0.0, 100.0)?;
        within("drop_path", self.drop_path, 0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_survives_toml() {
        for name in ["nano", "small", "tiny", "released"] {
            let config = Config::preset(name).unwrap();
            config.validate().unwrap();
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
        }
    }

    #[test]
    fn a_window_of_seven_is_refused_with_its_key() {
        let config = Config { window: 7, ..Config::tiny() };
        let error = config.validate().unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { key: "window", .. }));
    }
}
