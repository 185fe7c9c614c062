//! Opens the store that a configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use smgeo_flow::SharedClock;

use super::http::{TIMEOUT_S, ZOOM_MAX, check_address};
use super::{FolderTiles, HttpConfig, HttpTiles, MbTiles, PmTiles, RamTiles, TileError, TileSource};
use crate::ranges;

/// Says where tiles come from and how much RAM their pictures may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TilesConfig {
    /// An MBTiles file, a PMTiles file, a folder of z/x/y pictures, or an address with {z}, {x} and {y}.
    pub source: String,
    /// For an address: the MBTiles file that keeps what was fetched.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// For an address with {key}: a file whose first line is the key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// For an address: the time for one try.
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
    /// For an address: the least and the greatest zoom that its server has. Others are not asked for.
    #[serde(default = "zooms")]
    pub zooms: [u8; 2],
    /// The date of the imagery, where its owner states one; it goes into every fix.
    #[serde(default)]
    pub imagery_date: Option<String>,
    /// For an address: who is to be credited, as its owner wants it said.
    #[serde(default)]
    pub attribution: Option<String>,
    /// RAM for decoded pictures: 0.19 MiB each.
    #[serde(default = "ram_mib_max")]
    pub ram_mib_max: u32,
}

impl TilesConfig {
    /// Reads `source` with the defaults.
    pub fn of(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            cache: None,
            key_file: None,
            timeout_s: timeout_s(),
            zooms: zooms(),
            imagery_date: None,
            attribution: None,
            ram_mib_max: ram_mib_max(),
        }
    }

    /// Checks what can be checked with nothing opened. The sentence says which key to change.
    pub fn check(&self) -> Result<(), String> {
        if self.ram_mib_max == 0 {
            return Err("tiles.ram_mib_max is 0, so no tile could be read; give at least 1".to_owned());
        }
        ranges::within(TIMEOUT_S, &[("tiles.timeout_s", self.timeout_s)])?;
        let [least, greatest] = self.zooms;
        if least > greatest || greatest > ZOOM_MAX {
            return Err(format!(
                "tiles.zooms is [{least}, {greatest}]; give the least and the greatest zoom, {ZOOM_MAX} at most"
            ));
        }
        match self.source.contains("://") {
            true => check_address(&self.source, self.key_file.is_some()).map_err(|why| format!("tiles.source: {why}")),
            false => Ok(()),
        }
    }
}

fn timeout_s() -> f64 {
    5.0
}

fn zooms() -> [u8; 2] {
    [0, ZOOM_MAX]
}

fn ram_mib_max() -> u32 {
    128
}

/// Opens the store and puts RAM before it.
pub fn open(config: &TilesConfig, clock: SharedClock) -> Result<Arc<RamTiles>, TileError> {
    let bytes_max = u64::from(config.ram_mib_max) * 1024 * 1024;
    Ok(Arc::new(RamTiles::new(open_source(config, clock)?, bytes_max)))
}

/// Opens the store alone.
pub fn open_source(config: &TilesConfig, clock: SharedClock) -> Result<Box<dyn TileSource>, TileError> {
    let source = config.source.as_str();
    let date: Option<Arc<str>> = config.imagery_date.as_deref().map(Into::into);
    if source.contains("://") {
        let http = HttpConfig {
            key_file: config.key_file.clone(),
            cache: config.cache.clone(),
            timeout_s: config.timeout_s,
            date: config.imagery_date.clone(),
            attribution: config.attribution.clone(),
            zoom_min: config.zooms[0],
            zoom_max: config.zooms[1],
            ..HttpConfig::of(source)
        };
        return Ok(Box::new(HttpTiles::new(http, clock)?));
    }
    let path = Path::new(source);
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        _ if path.is_dir() => Ok(Box::new(FolderTiles::open(path, date)?)),
        Some("pmtiles") => Ok(Box::new(PmTiles::open(path, date)?)),
        _ => Ok(Box::new(MbTiles::open(path, date)?)),
    }
}
