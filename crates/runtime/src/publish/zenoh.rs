//! Tracks on the fleet bus.
//!
//! Each target has a key of its own, `smgeo/<drone>/track/<target>`, with the newest record as JSON. Who joins late asks
//! the same keys and gets the newest record of each target. A record is small and superseded soon, so the bus may drop it
//! rather than wait. By default the bus listens on loopback only and looks for nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::zenoh::bytes::Encoding;
use ::zenoh::pubsub::Publisher as BusPublisher;
use ::zenoh::qos::{CongestionControl, Priority};
use ::zenoh::query::{Query, Queryable};
use ::zenoh::{Config, Session, Wait};
use bytes::Bytes;
use serde::Deserialize;
use smgeo_flow::{SharedClock, Stamp};
use smgeo_messages::TargetId;

use super::{Numbered, PublishError, Sink};

/// A target that published nothing for so long was dropped: its key is deleted. Tracks are published twice a second at least.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Where a peer listens unless it is told otherwise: on loopback only.
const LISTEN: &str = "tcp/127.0.0.1:7447";

/// Says how the bus is joined. What is absent is taken from `config_file`, and what that does not say either is as
/// `configs/smgeo.toml` shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZenohConfig {
    /// Whether others connect to us directly (`peer`) or we only reach a router (`client`).
    pub mode: Option<ZenohMode>,
    /// Where to listen, as a zenoh endpoint.
    pub listen: Option<Vec<String>>,
    /// Whom to connect to.
    pub connect: Option<Vec<String>>,
    /// Whether others are looked for by multicast.
    pub multicast_scouting: Option<bool>,
    /// A zenoh configuration file (JSON5) to begin with: TLS, access control. The keys above are set on top of it.
    pub config_file: Option<std::path::PathBuf>,
}

/// Says how the bus is joined.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ZenohMode {
    /// Others connect to us directly.
    Peer,
    /// Everything goes through a router.
    Client,
}

impl ZenohMode {
    fn json(self) -> &'static str {
        match self {
            Self::Peer => "\"peer\"",
            Self::Client => "\"client\"",
        }
    }
}

impl ZenohConfig {
    /// Checks the keys with nothing opened; what a file adds is checked when the bus is joined.
    pub fn check(&self) -> Result<(), PublishError> {
        let own = Self { config_file: None, ..self.clone() };
        let bus = bus_config(&own).map_err(|error| self.failed(&error))?;
        if self.config_file.is_none() { self.check_way(&bus) } else { Ok(()) }
    }

    /// Refuses a client that nothing leads to a router.
    pub(super) fn check_way(&self, bus: &Config) -> Result<(), PublishError> {
        let says = |key: &str, value: &str| bus.get_json(key).is_ok_and(|said| said == value);
        let has_no_way = says("connect/endpoints", "[]") && says("scouting/multicast/enabled", "false");
        match says("mode", ZenohMode::Client.json()) && has_no_way {
            true => Err(PublishError::NoRouter),
            false => Ok(()),
        }
    }

    fn failed(&self, error: &::zenoh::Error) -> PublishError {
        let listen = match (&self.listen, &self.config_file) {
            (Some(endpoints), _) => endpoints.join(" "),
            (None, Some(file)) => format!("the endpoints of {}", file.display()),
            (None, None) => LISTEN.to_owned(),
        };
        let endpoints = [listen, self.connect.iter().flatten().cloned().collect::<Vec<_>>().join(" ")].join(" ");
        let endpoints = endpoints.trim().to_owned();
        PublishError::Bus { endpoints, reason: error.to_string() }
    }
}

/// Publishes tracks on the bus and answers late joiners.
pub struct ZenohSink {
    session: Session,
    prefix: String,
    publishers: BTreeMap<TargetId, (BusPublisher<'static>, Stamp)>,
    newest: Newest,
    clock: SharedClock,
    // Answers while it lives.
    _queryable: Queryable<()>,
}

/// The newest record of each key, and when its track was published.
type Newest = Arc<Mutex<BTreeMap<String, (Bytes, Stamp)>>>;

impl ZenohSink {
    /// Joins the bus. `drone` becomes a part of the keys.
    pub fn open(config: &ZenohConfig, drone: &str, clock: SharedClock) -> Result<Self, PublishError> {
        let prefix = key_prefix(drone)?;
        let failed = |error: ::zenoh::Error| config.failed(&error);
        let bus = bus_config(config).map_err(failed)?;
        config.check_way(&bus)?;
        let session = ::zenoh::open(bus).wait().map_err(failed)?;
        let newest = Newest::default();
        let (answering, now) = (newest.clone(), clock.clone());
        let queryable = session
            .declare_queryable(format!("{prefix}/*"))
            .complete(true)
            .callback(move |query| answer(&query, &answering, now.now()))
            .wait()
            .map_err(failed)?;
        Ok(Self { session, prefix, publishers: BTreeMap::new(), newest, clock, _queryable: queryable })
    }

    fn publisher(&mut self, target: TargetId, key: &str) -> Result<&BusPublisher<'static>, PublishError> {
        let now = self.clock.now();
        if !self.publishers.contains_key(&target) {
            let publisher = self
                .session
                .declare_publisher(key.to_owned())
                .congestion_control(CongestionControl::Drop)
                .priority(Priority::RealTime)
                .express(true)
                .encoding(Encoding::APPLICATION_JSON.with_schema("smgeo.TrackV1"))
                .wait()
                .map_err(|error| put_failed(key, &error))?;
            self.publishers.insert(target, (publisher, now));
        }
        let (publisher, last) = self.publishers.get_mut(&target).expect("inserted above");
        *last = now;
        Ok(publisher)
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Bytes, Stamp)>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for ZenohSink {
    fn name(&self) -> &'static str {
        "publish_zenoh"
    }

    fn publish(&mut self, track: &Numbered) -> Result<(), PublishError> {
        let target = track.track.target;
        let key = format!("{}/{target}", self.prefix);
        self.newest().insert(key.clone(), (track.json.clone(), track.track.published));
        let publisher = self.publisher(target, &key)?;
        publisher.put(track.json.as_ref()).wait().map_err(|error| put_failed(&key, &error))
    }

    /// Deletes the keys of targets that were dropped.
    fn idle(&mut self) -> Result<(), PublishError> {
        let now = self.clock.now();
        let is_silent = |last: &Stamp| now.since(*last) > SILENCE_MAX;
        let silent: Vec<TargetId> =
            self.publishers.iter().filter(|(_, (_, last))| is_silent(last)).map(|(target, _)| *target).collect();
        for target in silent {
            let key = format!("{}/{target}", self.prefix);
            self.newest().remove(&key);
            if let Some((publisher, _)) = self.publishers.remove(&target) {
                publisher.delete().wait().map_err(|error| put_failed(&key, &error))?;
            }
        }
        Ok(())
    }
}

/// Returns `smgeo/<drone>/track`, or refuses a name that zenoh would read as a pattern or as several parts.
pub(crate) fn key_prefix(drone: &str) -> Result<String, PublishError> {
    let is_sound = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-');
    if drone.is_empty() || drone.len() > 32 || !drone.chars().all(is_sound) {
        return Err(PublishError::Name { name: drone.to_owned() });
    }
    Ok(format!("smgeo/{drone}/track"))
}

pub(super) fn bus_config(config: &ZenohConfig) -> ::zenoh::Result<Config> {
    let mut bus = match &config.config_file {
        Some(file) => Config::from_file(file)?,
        None => Config::default(),
    };
    let zenohs = Config::default();
    // A key counts before the file, and the file before our default. What is as zenoh itself has it, the file did not say.
    let mut set = |key: &str, given: Option<String>, default: &str| {
        let is_said = bus.get_json(key).ok() != zenohs.get_json(key).ok();
        match given {
            Some(given) => bus.insert_json5(key, &given),
            None if is_said => Ok(()),
            None => bus.insert_json5(key, default),
        }
    };
    let json = |endpoints: &Option<Vec<String>>| endpoints.as_ref().map(serde_json::to_string).transpose();
    set("mode", config.mode.map(|mode| mode.json().to_owned()), ZenohMode::Peer.json())?;
    set("connect/endpoints", json(&config.connect)?, "[]")?;
    set("scouting/multicast/enabled", config.multicast_scouting.map(|is_on| is_on.to_string()), "false")?;
    set("listen/endpoints", json(&config.listen)?, &format!("[\"{LISTEN}\"]"))?;
    // A client listens to nobody.
    if bus.get_json("mode")? == ZenohMode::Client.json() {
        bus.insert_json5("listen/endpoints", "[]")?;
    }
    // A peer tries in the background for ever. A client that has no router fails at once, and the stage is made anew.
    bus.insert_json5("connect/exit_on_failure", "false")?;
    bus.insert_json5("connect/timeout_ms", r#"{ "peer": -1, "client": 0 }"#)?;
    Ok(bus)
}

/// Answers with what is of the present: a record that nothing followed may say `locked` for ever.
fn answer(query: &Query, newest: &Newest, now: Stamp) {
    let records: Vec<(String, Bytes)> = newest
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter(|(_, (_, published))| now.since(*published) <= SILENCE_MAX)
        .filter(|(key, _)| {
            ::zenoh::key_expr::KeyExpr::try_from(key.as_str()).is_ok_and(|key| query.key_expr().intersects(&key))
        })
        .map(|(key, (record, _))| (key.clone(), record.clone()))
        .collect();
    for (key, record) in records {
        let reply = query.reply(key, record.as_ref()).encoding(Encoding::APPLICATION_JSON.with_schema("smgeo.TrackV1"));
        // The asker may be gone already.
        let _ = reply.wait();
    }
}

fn put_failed(key: &str, error: &::zenoh::Error) -> PublishError {
    PublishError::Put { key: key.to_owned(), reason: error.to_string() }
}
