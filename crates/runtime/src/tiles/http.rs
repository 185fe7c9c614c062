//! Tiles from a server (XYZ over HTTP), through an MBTiles file that caches them.
//!
//! The address is fixed by the configuration and redirects are off, so that no server can send us elsewhere. Only a 200
//! with a picture that decodes is taken and cached; a 404 is an answer (`Missing`), everything else is a failure, tried
//! again a few times with growing waits and then left to the circuit breaker. Meanwhile the cache goes on serving.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use smgeo_flow::SharedClock;
use smgeo_geo::TileId;
use tokio::runtime::Runtime;

use super::{Breaker, DiskCache, EncodedTile, TileError, TileSource, TilesInfo, decode};
use crate::control::Seldom;
use crate::ranges;

/// The most bytes of an answer.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
const TRIES: u32 = 3;
const WAIT_FIRST: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A try may take so long.
pub(super) const TIMEOUT_S: RangeInclusive<f64> = 0.1..=60.0;

/// Says which server to ask, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The address with `{z}`, `{x}`, `{y}` (or `{-y}` for rows from the south), and `{key}` where a key belongs.
    pub url: String,
    /// A file whose first line is the key; it appears in no log and no published record.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The MBTiles file that keeps what was fetched.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// Time for one try, from connecting to the last byte.
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
    /// The smallest zoom to ask for.
    #[serde(default)]
    pub zoom_min: u8,
    /// The largest zoom to ask for.
    #[serde(default = "zoom_max")]
    pub zoom_max: u8,
    /// The date of the imagery, where its owner states one.
    #[serde(default)]
    pub date: Option<String>,
    /// Who is to be credited.
    #[serde(default)]
    pub attribution: Option<String>,
}

impl HttpConfig {
    /// Asks `url` with the defaults.
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            key_file: None,
            cache: None,
            timeout_s: timeout_s(),
            zoom_min: 0,
            zoom_max: zoom_max(),
            date: None,
            attribution: None,
        }
    }
}

fn timeout_s() -> f64 {
    5.0
}

/// No server has tiles of a finer zoom: 4 cm a pixel.
pub(super) const ZOOM_MAX: u8 = 22;

fn zoom_max() -> u8 {
    ZOOM_MAX
}

/// Fetches tiles from a server and keeps them.
pub struct HttpTiles {
    info: TilesInfo,
    // The address with its key; never shown.
    template: String,
    client: Client,
    cache: Option<DiskCache>,
    // Why there is none although one was asked for.
    cache_trouble: Option<String>,
    breaker: Mutex<Breaker>,
    cache_errors: AtomicU64,
    cache_told: Mutex<Seldom>,
    clock: SharedClock,
    runtime: Option<Runtime>,
}

impl HttpTiles {
    /// Checks the configuration and makes ready; asks the server nothing yet.
    pub fn new(config: HttpConfig, clock: SharedClock) -> Result<Self, TileError> {
        let name: Arc<str> = config.url.as_str().into();
        let refused = |reason: &str| TileError::NotAStore { store: name.clone(), reason: reason.to_owned() };
        let template = checked_template(&config, &refused)?;
        ranges::within(TIMEOUT_S, &[("timeout_s", config.timeout_s)]).map_err(|why| refused(&why))?;
        // Another part of the program may have chosen the provider already: then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("smgeo/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_secs_f64(config.timeout_s))
            .build()
            .map_err(|error| refused(&format!("the HTTP client cannot start: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tiles-http")
            .enable_all()
            .build()
            .map_err(|error| TileError::io(&name, &error))?;
        let (cache, cache_trouble) = match open_cache(&config, &name)? {
            Some(Ok(cache)) => (Some(cache), None),
            Some(Err(trouble)) => (None, Some(trouble)),
            None => (None, None),
        };
        let info = TilesInfo {
            imagery: hex::encode(Sha256::digest(format!("{name} {:?}", config.date))).into(),
            name,
            date: config.date.map(Into::into),
            attribution: config.attribution.map(Into::into),
            bounds: None,
            zoom_min: config.zoom_min,
            zoom_max: config.zoom_max,
        };
        let breaker = Mutex::new(Breaker::default());
        let cache_errors = AtomicU64::new(0);
        let (cache_told, runtime) = (Mutex::default(), Some(runtime));
        Ok(Self { info, template, client, cache, cache_trouble, breaker, cache_errors, cache_told, clock, runtime })
    }

    /// Counts the failures of the server in a row.
    pub fn failures_in_a_row(&self) -> u32 {
        self.breaker().failures()
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, tile: TileId) -> Option<EncodedTile> {
        self.cache.as_ref()?.get(tile).unwrap_or_else(|error| {
            self.cache_failed(&error);
            None
        })
    }

    fn keep(&self, tile: TileId, encoded: &EncodedTile) {
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.put(tile, encoded)) {
            self.cache_failed(&error);
        }
    }

    fn cache_failed(&self, error: &TileError) {
        self.cache_errors.fetch_add(1, Ordering::Relaxed);
        let told = self.cache_told.lock().unwrap_or_else(PoisonError::into_inner).note(self.clock.now());
        if let Some(untold) = told {
            tracing::warn!(%error, untold, "tile cache not used");
        }
    }

    fn fetched(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        // Bound first: in the scrutinee the lock would be held through the branch, which asks for it again.
        let asked = self.breaker().ask(self.clock.now());
        if let Err(wait) = asked {
            let (store, failures) = (self.info.name.clone(), self.failures_in_a_row());
            return Err(TileError::LeftAlone { tile, store, failures, wait_s: wait.as_secs_f64() });
        }
        let request =
            Request { client: self.client.clone(), url: filled(&self.template, tile), tile, info: self.info.clone() };
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().expect("the runtime lives until drop");
        runtime.spawn(async move { done.send(request.answer_with_retries().await) });
        let store = self.info.name.clone();
        let cut_off = |_| TileError::Unreachable { tile, store, reason: "the request was cut off".to_owned() };
        let result = answer.recv().map_err(cut_off).and_then(|result| result);
        match &result {
            Ok(_) | Err(TileError::Missing { .. }) => self.breaker().succeeded(),
            Err(error) if is_of_this_tile(error) => self.breaker().succeeded(),
            Err(_) => self.breaker().failed(self.clock.now()),
        }
        result
    }
}

impl Drop for HttpTiles {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its tasks, and panics when dropped inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl TileSource for HttpTiles {
    fn info(&self) -> &TilesInfo {
        &self.info
    }

    fn encoded(&self, tile: TileId) -> Result<EncodedTile, TileError> {
        if tile.z < self.info.zoom_min || tile.z > self.info.zoom_max {
            return Err(TileError::Missing { tile, store: self.info.name.clone() });
        }
        if let Some(encoded) = self.cached(tile) {
            return Ok(encoded);
        }
        let encoded = self.fetched(tile)?;
        self.keep(tile, &encoded);
        Ok(encoded)
    }

    fn cache_errors(&self) -> u64 {
        self.cache_errors.load(Ordering::Relaxed)
    }

    fn cache_trouble(&self) -> Option<String> {
        self.cache_trouble.clone()
    }
}

/// Opens the cache that is asked for, or says why it goes without. A cache of other imagery is an error: the setting is wrong.
fn open_cache(config: &HttpConfig, address: &Arc<str>) -> Result<Option<Result<DiskCache, String>>, TileError> {
    let Some(file) = &config.cache else { return Ok(None) };
    match DiskCache::open(file, address, config.date.as_deref()) {
        Ok(cache) => Ok(Some(Ok(cache))),
        Err(error @ TileError::OtherImagery { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "tile cache not opened, tiles are not kept on disk");
            Ok(Some(Err(format!("tiles.cache: {error}; what is fetched is not kept for the next run"))))
        }
    }
}

struct Request {
    client: Client,
    url: String,
    tile: TileId,
    info: TilesInfo,
}

impl Request {
    async fn answer_with_retries(self) -> Result<EncodedTile, TileError> {
        let mut wait = WAIT_FIRST;
        for _ in 1..TRIES {
            match self.answer().await {
                Err(error) if is_worth_another_try(&error) => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                result => return result,
            }
        }
        self.answer().await
    }

    async fn answer(&self) -> Result<EncodedTile, TileError> {
        let mut response = self.client.get(&self.url).send().await.map_err(|error| self.unreachable(error))?;
        let refused = |answer: String| TileError::Refused { tile: self.tile, store: self.info.name.clone(), answer };
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NO_CONTENT => {
                return Err(TileError::Missing { tile: self.tile, store: self.info.name.clone() });
            }
            status => return Err(refused(status.to_string())),
        }
        let media_type =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        if !media_type.starts_with("image/") {
            return Err(refused(format!("with {media_type} instead of a picture")));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                let store = self.info.name.clone();
                return Err(TileError::TooLarge { tile: self.tile, store, bytes_max: BODY_BYTES_MAX });
            }
            body.extend_from_slice(&chunk);
        }
        self.proven(body.freeze())
    }

    /// Decodes once before anything is cached: what was cut short or is no picture must not come back from the disk.
    fn proven(&self, body: Bytes) -> Result<EncodedTile, TileError> {
        let encoded = EncodedTile::new(body, self.tile, &self.info.name)?;
        decode(&encoded, self.tile, &self.info)?;
        Ok(encoded)
    }

    fn unreachable(&self, error: reqwest::Error) -> TileError {
        // The address in the error may hold the key.
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            reason = format!("{reason}: {inner}");
            cause = inner.source();
        }
        TileError::Unreachable { tile: self.tile, store: self.info.name.clone(), reason }
    }
}

/// Says whether a refusal is of the tile, as one beyond the server's own area or zooms: it says nothing against the server.
fn is_of_this_tile(error: &TileError) -> bool {
    let answers = ["400", "416", "422"];
    matches!(error, TileError::Refused { answer, .. } if answers.iter().any(|status| answer.starts_with(status)))
}

fn is_worth_another_try(error: &TileError) -> bool {
    match error {
        TileError::Unreachable { .. } => true,
        TileError::Refused { answer, .. } => answer.starts_with('5') || answer.starts_with("429"),
        _ => false,
    }
}

/// Checks an address with nothing opened.
pub(super) fn check_address(url: &str, has_key: bool) -> Result<(), &'static str> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err("the address must begin with https:// or http://");
    }
    let has_place =
        ["{z}", "{x}"].iter().all(|part| url.contains(part)) && (url.contains("{y}") || url.contains("{-y}"));
    if !has_place {
        return Err("the address must contain {z}, {x} and {y} (or {-y} where rows count from the south)");
    }
    if url.contains("{key}") && !has_key { Err("{key} needs key_file") } else { Ok(()) }
}

/// Returns the address with its key.
fn checked_template(config: &HttpConfig, refused: &dyn Fn(&str) -> TileError) -> Result<String, TileError> {
    let url = &config.url;
    check_address(url, config.key_file.is_some()).map_err(refused)?;
    let Some(file) = &config.key_file else { return Ok(url.clone()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| refused(&format!("key_file {} cannot be read: {error}", file.display())))?;
    Ok(url.replace("{key}", text.lines().next().unwrap_or_default().trim()))
}

fn filled(template: &str, tile: TileId) -> String {
    template
        .replace("{z}", &tile.z.to_string())
        .replace("{x}", &tile.x.to_string())
        .replace("{-y}", &tile.row_from_south().to_string())
        .replace("{y}", &tile.y.to_string())
}
