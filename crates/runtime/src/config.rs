//! The configuration file: one table for each component, checked before anything starts.
//!
//! Configuration picks variants and numbers; the graph itself is code, in [`crate::wiring`]. Unknown keys are errors, and every error
//! names the file, the key and the way out. Relative paths are relative to the file they stand in.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use smgeo_engine::{EngineConfig, EngineError};

use crate::prompts::PromptsConfig;
use crate::publish::{CameraConfig, NdjsonConfig, ZenohConfig, key_prefix};
use crate::telemetry::{GpsFix, LinkAddress, PoseConfig, Signing};
use crate::tiles::{TileError, TilesConfig};
use crate::web::WebConfig;
use crate::{assemble, camera, follow, fuse, ingest, locate, terrain};

/// Is the whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this is.
    #[serde(default)]
    pub drone: DroneConfig,
    /// Where the video comes from.
    pub ingest: ingest::Config,
    /// Where telemetry comes from; without it the search is wide.
    #[serde(default)]
    pub telemetry: Option<TelemetryConfig>,
    /// How telemetry becomes poses.
    #[serde(default)]
    pub pose: PoseConfig,
    /// The lens.
    #[serde(default)]
    pub camera: camera::Config,
    /// The ground. With telemetry it has to be named: a wrong height moves every position by the ray.
    #[serde(default)]
    pub terrain: Option<terrain::Config>,
    /// The map.
    pub tiles: TilesConfig,
    /// The network.
    pub engine: EngineConfig,
    /// How pixels are followed from frame to frame.
    #[serde(default)]
    pub follow: follow::Config,
    /// How questions are put.
    #[serde(default)]
    pub assemble: assemble::Config,
    /// How answers are read.
    #[serde(default)]
    pub locate: locate::Config,
    /// How answers become tracks.
    #[serde(default)]
    pub fuse: fuse::Config,
    /// What operators may ask for.
    #[serde(default)]
    pub prompts: PromptsConfig,
    /// Where tracks go.
    #[serde(default)]
    pub publish: PublishConfig,
    /// The page and its interface.
    #[serde(default)]
    pub web: WebConfig,
}

const NO_TERRAIN: &str = "there is no [terrain] table, and rays of the camera have to meet the ground somewhere: write kind = \
                          \"terrarium\" and the path of an elevation model, or kind = \"flat\" and height_m_msl";

/// Says who this is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DroneConfig {
    /// The drone's name in everything that is published: letters, digits, `-` and `_`.
    pub name: String,
}

impl Default for DroneConfig {
    fn default() -> Self {
        Self { name: "drone-1".to_owned() }
    }
}

/// Says where telemetry comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TelemetryConfig {
    /// A MAVLink 2 link.
    Mavlink(MavlinkConfig),
    /// A recorded log beside a recorded video.
    Log {
        /// The NDJSON file.
        path: PathBuf,
    },
}

/// Describes a MAVLink link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MavlinkConfig {
    /// `udpin:HOST:PORT`, `udpout:HOST:PORT` or `serial:DEVICE:BAUD`.
    pub address: String,
    /// The vehicle's system id; the first one heard if not given.
    #[serde(default)]
    pub system_id: Option<u8>,
    /// What positions need of GPS_RAW_INT.
    #[serde(default)]
    pub gps_fix: GpsFix,
    /// From measurement to arrival, for messages whose clock is not known, milliseconds.
    #[serde(default = "delay_ms")]
    pub delay_ms: u64,
    /// One standard deviation of that, milliseconds.
    #[serde(default = "delay_ms")]
    pub delay_sigma_ms: u64,
    /// The one address that is listened to.
    #[serde(default)]
    pub only: Option<std::net::IpAddr>,
    /// How messages are signed.
    #[serde(default)]
    pub signing: Option<Signing>,
    /// Answers as a MAVLink camera, so that a ground control station can click.
    #[serde(default)]
    pub camera: Option<CameraConfig>,
}

fn delay_ms() -> u64 {
    20
}

impl MavlinkConfig {
    /// Checks the values with nothing opened.
    fn check(&self) -> Result<(), String> {
        LinkAddress::read(&self.address).map_err(|error| format!("telemetry.mavlink.address: {error}"))?;
        self.camera.as_ref().map_or(Ok(()), CameraConfig::check)
    }

    /// Returns the camera that we behave as, if we do: of the vehicle that is listened to, where no other is named.
    pub fn camera(&self) -> Option<CameraConfig> {
        let camera = self.camera.clone()?;
        Some(CameraConfig { system_id: camera.system_id.or(self.system_id), ..camera })
    }
}

/// Says where tracks go, besides the page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// The fleet bus.
    pub zenoh: Option<ZenohConfig>,
    /// A file.
    pub ndjson: Option<NdjsonConfig>,
}

/// Says what is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or has an unknown key or a wrong type.
    #[error("the configuration {} is wrong: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, and what would be right: part of the message, so it is no source.
        problem: Box<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("the configuration {} cannot be used: {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, its value and what it must be.
        problem: String,
    },
}

/// Is a value of the configuration that does not go with a file it names. Starting again would fail in the same way.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl ConfigError {
    /// Returns the error of a start, as one of the configuration at `path` where it is one.
    pub fn of_start(error: anyhow::Error, path: &Path) -> anyhow::Error {
        let is_setting = matches!(
            error.downcast_ref::<EngineError>(),
            Some(EngineError::Setting(_) | EngineError::NotACache { .. })
        ) || matches!(error.downcast_ref::<TileError>(), Some(TileError::OtherImagery { .. }))
            || error.is::<Unfit>();
        match is_setting {
            true => Self::Value { path: path.to_owned(), problem: format!("{error:#}") }.into(),
            false => error.context(format!("starting with {}", path.display())),
        }
    }
}

impl Config {
    /// Reads and checks a file. Nothing is opened but the file itself.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|problem| ConfigError::Parse { path: path.to_owned(), problem: Box::new(problem) })?;
        config.anchor(path.parent().unwrap_or(Path::new(".")));
        config.check().map_err(|problem| ConfigError::Value { path: path.to_owned(), problem })?;
        Ok(config)
    }

    /// Makes relative paths relative to the file's folder.
    fn anchor(&mut self, folder: &Path) {
        let anchor = |path: &mut PathBuf| *path = folder.join(&*path);
        anchor(&mut self.engine.package);
        self.engine.features_file.iter_mut().for_each(anchor);
        self.engine.openvino_folder.iter_mut().for_each(anchor);
        self.engine.tensorrt_folders.iter_mut().for_each(anchor);
        self.tiles.key_file.iter_mut().for_each(anchor);
        if let ingest::Source::File(file) = &mut self.ingest.source {
            anchor(&mut file.path);
        }
        if let Some(terrain::Config::Terrarium { path, .. }) = &mut self.terrain {
            anchor(path);
        }
        if let Some(TelemetryConfig::Log { path }) = &mut self.telemetry {
            anchor(path);
        }
        if let Some(TelemetryConfig::Mavlink(MavlinkConfig { signing: Some(signing), .. })) = &mut self.telemetry {
            anchor(&mut signing.key_file);
        }
        if let Some(ZenohConfig { config_file: Some(file), .. }) = &mut self.publish.zenoh {
            anchor(file);
        }
        if let Some(ndjson) = &mut self.publish.ndjson {
            anchor(&mut ndjson.file);
        }
        if !self.tiles.source.contains("://") {
            self.tiles.source = folder.join(&self.tiles.source).display().to_string();
        }
        if let Some(cache) = &mut self.tiles.cache {
            anchor(cache);
        }
    }

    /// Returns the ground: as it is named, or at sea level where there is no telemetry and so no ray to meet it.
    pub fn ground(&self) -> terrain::Config {
        self.terrain.clone().unwrap_or_default()
    }

    /// Checks every number that can be checked with nothing opened.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.drone.name;
        let sound = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(sound) {
            return Err(format!("drone.name is {name:?}; it must be 1 to 64 letters, digits, '-' and '_'"));
        }
        if let Some(zenoh) = &self.publish.zenoh {
            key_prefix(name).map_err(|error| format!("drone.name: {error}"))?;
            zenoh.check().map_err(|error| format!("publish.zenoh: {error}"))?;
        }
        self.ingest.check().map_err(|error| format!("ingest: {error}"))?;
        if let Some(TelemetryConfig::Mavlink(mavlink)) = &self.telemetry {
            mavlink.check()?;
        }
        self.pose.check()?;
        self.camera.build()?;
        match &self.terrain {
            Some(terrain) => terrain.check().map_err(|error| error.to_string())?,
            None if self.telemetry.is_some() => return Err(NO_TERRAIN.to_owned()),
            None => {}
        }
        self.tiles.check()?;
        self.engine.check().map_err(|error| error.to_string())?;
        self.follow.check()?;
        self.prompts.check(self.follow.ring_ms)?;
        self.assemble.check()?;
        self.locate.check()?;
        self.fuse.check()?;
        self.web.check().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_camera_is_of_the_vehicle_that_is_listened_to_unless_it_names_another() {
        let system_of = |text: &str| toml::from_str::<MavlinkConfig>(text).unwrap().camera().unwrap().system_id;
        let link = "address = \"udpin:0.0.0.0:14550\"\n";
        assert_eq!(system_of(&format!("{link}system_id = 7\ncamera = {{}}")), Some(7));
        assert_eq!(system_of(&format!("{link}system_id = 7\ncamera = {{ system_id = 9 }}")), Some(9));
        assert_eq!(system_of(&format!("{link}camera = {{}}")), None);
    }

    #[test]
    fn an_error_of_the_start_is_one_of_the_configuration_where_another_start_would_not_help() {
        let missing = || EngineError::Missing { path: "encoder.onnx".into() };
        let errors = [
            (Err::<(), _>(EngineError::Setting("precision".into())).context("the engine").unwrap_err(), true),
            (Unfit("assemble.zoom is 3".into()).into(), true),
            (TileError::OtherImagery { store: "cache.mbtiles".into(), reason: "of no date".into() }.into(), true),
            (missing().into(), false),
            (std::io::Error::other("no such device").into(), false),
        ];
        for (error, is_config) in errors {
            let words = error.to_string();
            let error = ConfigError::of_start(error, Path::new("smgeo.toml"));
            assert_eq!(error.is::<ConfigError>(), is_config, "{error:#}");
            assert!(format!("{error:#}").contains(&words) && error.to_string().contains("smgeo.toml"), "{error:#}");
        }
    }
}
