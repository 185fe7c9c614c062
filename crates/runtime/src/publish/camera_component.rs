//! We, as a MAVLink camera: a ground station that can click on video needs no new software.
//!
//! It behaves as the camera protocol asks: heartbeat, description, acknowledgements at once, the target's place in the
//! picture and on the Earth while it is asked for. A click arrives as MAV_CMD_CAMERA_TRACK_POINT and says nothing of the
//! frame the operator saw: the one shown a configured latency ago is assumed, and the prompt says that it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use mavlink::dialects::ardupilotmega::{MavAutopilot, MavMessage};
use smgeo_flow::{Fault, SharedClock, Stage, Stamp};
use smgeo_messages::{TargetId, Track, TrackState};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::camera_commands::{Order, id};
use super::camera_config::COMPONENTS;
use super::camera_messages::{self, OwnState};
use super::{Answer, CameraCommand, CameraConfig, PromptPort};
use crate::prompts::ShownAgo;
use crate::telemetry::{Link, Received};

/// How long a step waits for a command.
const WAIT_MAX: Duration = Duration::from_millis(10);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// The others on the vehicle are listened to for so long before an id is taken, and the vehicle is waited for so long.
const LISTEN_FIRST: Duration = Duration::from_secs(3);
const LISTEN_ALONE: Duration = Duration::from_secs(15);
const TEXT_EVERY: Duration = Duration::from_secs(5);
/// A repeat of a command within this time is the same command.
const REPEAT: Duration = Duration::from_secs(3);
/// A track that did not come for so long is gone.
const TRACK_AGE_MAX: Duration = Duration::from_secs(2);
/// Tracking messages go out at 1 to 30 a second.
const INTERVAL_US: [f64; 2] = [33_333.0, 1_000_000.0];
const INTERVAL_US_DEFAULT: f64 = 200_000.0;

/// Counts what the component did.
#[derive(Debug, Default)]
pub struct CameraCounts {
    /// Commands taken.
    pub accepted: AtomicU64,
    /// Commands refused, as wrong or not ours.
    pub refused: AtomicU64,
    /// Tracks lost because the component was too slow.
    pub lagged: AtomicU64,
}

/// Is the camera component.
pub struct CameraComponent {
    config: CameraConfig,
    link: Arc<Link>,
    commands: Receiver<Received>,
    tracks: broadcast::Receiver<Arc<Track>>,
    prompts: Box<dyn PromptPort>,
    clock: SharedClock,
    started: Stamp,
    /// When the vehicle was first heard.
    listens_since: Option<Stamp>,
    system: Option<u8>,
    component: u8,
    taken: Vec<u8>,
    newest: BTreeMap<TargetId, Arc<Track>>,
    // The target that a ground station asked for last, and whether one ever did: then others' targets are none of its business.
    own_target: Option<TargetId>,
    has_asked: bool,
    image: Repeating,
    geo: Repeating,
    was_active: bool,
    // Whether a position was sent last, and whose lock was told last.
    was_placed: bool,
    told_locked: Option<TargetId>,
    heartbeat_at: Option<Stamp>,
    text_at: Option<Stamp>,
    last_order: Option<(Order, Stamp, Answer)>,
    counts: Arc<CameraCounts>,
}

/// Is a message that is sent again and again.
#[derive(Clone, Copy, Debug, Default)]
struct Repeating {
    every: Option<Duration>,
    sent: Option<Stamp>,
}

impl Repeating {
    fn set(&mut self, interval_us: f64) {
        self.every = match interval_us {
            us if us < 0.0 => None,
            0.0 => Some(Duration::from_micros(INTERVAL_US_DEFAULT as u64)),
            us => Some(Duration::from_micros(us.clamp(INTERVAL_US[0], INTERVAL_US[1]) as u64)),
        };
    }

    fn is_due(&mut self, now: Stamp) -> bool {
        let is_due = self.every.is_some_and(|every| self.sent.is_none_or(|sent| now.since(sent) >= every));
        if is_due {
            self.sent = Some(now);
        }
        is_due
    }
}

impl CameraComponent {
    /// Makes the component; the counts outlive it. `commands` is what the link's receiver hands on: commands and heartbeats.
    pub fn new(
        config: CameraConfig,
        link: Arc<Link>,
        commands: Receiver<Received>,
        tracks: broadcast::Receiver<Arc<Track>>,
        prompts: Box<dyn PromptPort>,
        clock: SharedClock,
        counts: Arc<CameraCounts>,
    ) -> Self {
        Self {
            system: config.system_id,
            component: config.component_id,
            started: clock.now(),
            listens_since: None,
            link,
            commands,
            tracks,
            prompts,
            clock,
            taken: Vec::new(),
            newest: BTreeMap::new(),
            own_target: None,
            has_asked: false,
            image: Repeating::default(),
            geo: Repeating::default(),
            was_active: false,
            was_placed: false,
            told_locked: None,
            heartbeat_at: None,
            text_at: None,
            last_order: None,
            counts,
            config,
        }
    }

    /// The identity it speaks with, once it has listened for others on its vehicle: system and component.
    pub fn identity(&self) -> Option<(u8, u8)> {
        let now = self.clock.now();
        let has_listened = match self.listens_since {
            Some(since) => now.since(since) >= LISTEN_FIRST,
            // The vehicle may be on another link.
            None => now.since(self.started) >= LISTEN_ALONE,
        };
        self.system.filter(|_| has_listened).map(|system| (system, self.component))
    }

    fn take_in(&mut self, received: &Received) {
        if let MavMessage::HEARTBEAT(data) = &received.message {
            self.heard(received, data.autopilot);
            return;
        }
        let (Some((system, component)), Some(order)) = (self.identity(), Order::read(&received.message)) else {
            return;
        };
        if !order.is_for(system, component) {
            return;
        }
        let answer = self.answered(&order, received.from);
        // To a command for everyone, silence says no; a refusal would speak for others.
        if order.target_component == 0 && answer == Answer::Unsupported {
            return;
        }
        let to_system = u8::try_from(received.header.system_id).unwrap_or(0);
        let command = match &received.message {
            MavMessage::COMMAND_LONG(data) => data.command,
            MavMessage::COMMAND_INT(data) => data.command,
            _ => return,
        };
        let ack = camera_messages::acknowledgement(command, answer, to_system, received.header.component_id);
        self.send(&ack, received.from);
        if answer == Answer::Accepted
            && let Ok(CameraCommand::Request { message }) = order.understood(self.prompts.frame_px())
        {
            self.send_requested(message, received.from);
        }
    }

    /// Learns the vehicle's system id and which camera ids are taken.
    fn heard(&mut self, received: &Received, autopilot: MavAutopilot) {
        let system = u8::try_from(received.header.system_id).ok();
        if autopilot != MavAutopilot::MAV_AUTOPILOT_INVALID && self.system.is_none() {
            self.system = system;
        }
        if self.system.is_some() && system == self.system {
            self.listens_since.get_or_insert(self.clock.now());
        }
        let component = received.header.component_id;
        if system == self.system && COMPONENTS.contains(&component) && self.identity().is_none() {
            self.taken.push(component);
            let mut free = COMPONENTS.filter(|id| *id >= self.component && !self.taken.contains(id));
            self.component = free.next().unwrap_or(self.component);
        }
    }

    fn answered(&mut self, order: &Order, from: Option<SocketAddr>) -> Answer {
        let now = self.clock.now();
        if let Some((last, at, answer)) = &self.last_order {
            let repeats = order.confirmation > 0 && Order { confirmation: last.confirmation, ..*order } == *last;
            if repeats && now.since(*at) < REPEAT {
                return *answer;
            }
        }
        let answer = match order.understood(self.prompts.frame_px()) {
            Ok(command) => self.done(command, from),
            Err(refusal) => refusal,
        };
        let count = if answer == Answer::Accepted { &self.counts.accepted } else { &self.counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        self.last_order = Some((*order, now, answer));
        answer
    }

    fn done(&mut self, command: CameraCommand, _from: Option<SocketAddr>) -> Answer {
        match command {
            CameraCommand::Nothing | CameraCommand::Request { .. } => Answer::Accepted,
            CameraCommand::Interval { message, interval_us } => self.repeat(message, interval_us),
            CameraCommand::TrackPoint { fraction } => self.follow(fraction),
            // The network takes a point: the middle of the box.
            CameraCommand::TrackBox { fractions: [left, top, right, bottom] } => {
                self.follow([(left + right) / 2.0, (top + bottom) / 2.0])
            }
            CameraCommand::StopTracking => {
                self.own_target.take().into_iter().for_each(|target| self.prompts.stop(target));
                Answer::Accepted
            }
        }
    }

    fn repeat(&mut self, message: u32, interval_us: f64) -> Answer {
        match message {
            id::CAMERA_TRACKING_IMAGE_STATUS => self.image.set(interval_us),
            id::CAMERA_TRACKING_GEO_STATUS => self.geo.set(interval_us),
            // The others are never repeated, which is also their default.
            _ if interval_us > 0.0 => return Answer::Unsupported,
            _ => {}
        }
        Answer::Accepted
    }

    /// A ground station follows one target: the new one takes the place of the old.
    fn follow(&mut self, fraction: [f64; 2]) -> Answer {
        let duration = |ms: f64| Duration::from_secs_f64(ms * 1e-3);
        let CameraConfig { shown_ago_ms, shown_ago_sigma_ms, .. } = self.config;
        let shown_ago = ShownAgo { mean: duration(shown_ago_ms), sigma: duration(shown_ago_sigma_ms) };
        match self.prompts.follow(fraction, shown_ago, self.own_target) {
            Ok(prompt) => {
                tracing::info!(target_id = %prompt.target, frame_id = %prompt.frame, "click taken over mavlink, frame assumed");
                self.has_asked = true;
                self.own_target = Some(prompt.target);
                Answer::Accepted
            }
            Err(reason) => {
                tracing::warn!(reason, "click over mavlink refused");
                Answer::Denied
            }
        }
    }

    fn own_state(&self) -> OwnState {
        let since_ms = self.clock.now().since(self.started).as_millis();
        OwnState {
            time_boot_ms: since_ms as u32,
            frame_px: self.prompts.frame_px(),
            video_uri: self.config.video_uri.clone(),
            gimbal_device_id: self.config.gimbal_device_id,
        }
    }

    fn send_requested(&mut self, message: u32, to: Option<SocketAddr>) {
        let own = self.own_state();
        let answer = match message {
            id::CAMERA_INFORMATION => Some(camera_messages::information(&own)),
            id::CAMERA_SETTINGS => Some(camera_messages::settings(&own)),
            id::STORAGE_INFORMATION => Some(camera_messages::storage(&own)),
            id::CAMERA_CAPTURE_STATUS => Some(camera_messages::capture_status(&own)),
            id::VIDEO_STREAM_INFORMATION => camera_messages::stream_information(&own),
            id::VIDEO_STREAM_STATUS => camera_messages::stream_status(&own),
            id::CAMERA_TRACKING_IMAGE_STATUS => {
                Some(camera_messages::image_status(self.shown().as_deref(), own.frame_px))
            }
            _ => self.shown().and_then(|track| camera_messages::geo_status(&track)),
        };
        answer.into_iter().for_each(|answer| self.send(&answer, to));
    }

    /// The track that is reported: that of the target a ground station asked for, and nothing once that is gone, since the messages do
    /// not say which target they are about; the newest target where no ground station ever asked for one.
    fn shown(&self) -> Option<Arc<Track>> {
        let shown = match self.has_asked {
            true => self.own_target.and_then(|target| self.newest.get(&target)),
            false => self.newest.values().next_back(),
        };
        shown.cloned()
    }

    fn drain_tracks(&mut self) {
        loop {
            match self.tracks.try_recv() {
                Ok(track) => {
                    self.newest.insert(track.target, track);
                }
                Err(TryRecvError::Lagged(lost)) => {
                    self.counts.lagged.fetch_add(lost, Ordering::Relaxed);
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let now = self.clock.now();
        self.newest.retain(|_, track| now.since(track.published) < TRACK_AGE_MAX);
    }

    fn send_regular(&mut self) {
        let now = self.clock.now();
        let is_due = |last: Option<Stamp>, every| last.is_none_or(|last| now.since(last) >= every);
        if is_due(self.heartbeat_at, HEARTBEAT_EVERY) {
            self.heartbeat_at = Some(now);
            self.send(&camera_messages::heartbeat(), None);
        }
        let shown = self.shown();
        let is_active = shown.as_ref().is_some_and(|track| track.state != TrackState::Lost);
        // The end of tracking is told once more: with its error, then as idle.
        if self.image.is_due(now) && (is_active || self.was_active) {
            self.send(&camera_messages::image_status(shown.as_deref(), self.prompts.frame_px()), None);
            self.was_active = shown.is_some();
        }
        if self.geo.is_due(now) {
            let place = shown.as_ref().and_then(|track| camera_messages::geo_status(track));
            // These messages carry no time: a position that holds no longer is taken back.
            let withdrawn = (place.is_none() && self.was_placed).then(camera_messages::geo_withdrawn);
            self.was_placed = place.is_some();
            place.or(withdrawn).into_iter().for_each(|message| self.send(&message, None));
        }
        if self.config.status_text {
            self.send_text(shown.as_deref().filter(|track| track.state == TrackState::Locked), now);
        }
    }

    /// Sends a line about the target that is locked, now and then, and one at once when it is so no longer.
    fn send_text(&mut self, locked: Option<&Track>, now: Stamp) {
        if let Some(told) = self.told_locked.filter(|told| locked.is_none_or(|track| track.target != *told)) {
            self.told_locked = None;
            self.send(&camera_messages::text_withdrawn(told, self.newest.get(&told).map(|track| track.state)), None);
        }
        let is_due = self.text_at.is_none_or(|last| now.since(last) >= TEXT_EVERY);
        if let Some((track, estimate)) = locked.and_then(|track| Some((track, track.estimate.as_ref()?)))
            && is_due
        {
            (self.text_at, self.told_locked) = (Some(now), Some(track.target));
            self.send(&camera_messages::status_text(track, estimate), None);
        }
    }

    fn send(&self, message: &MavMessage, to: Option<SocketAddr>) {
        let Some((system, component)) = self.identity() else { return };
        self.link.send(system, component, message, to);
    }
}

impl Stage for CameraComponent {
    fn name(&self) -> &'static str {
        "publish_mavlink"
    }

    fn step(&mut self) -> Result<(), Fault> {
        match self.commands.recv_timeout(WAIT_MAX) {
            Ok(received) => self.take_in(&received),
            Err(RecvTimeoutError::Timeout) => {}
            // The receiver may be restarted with a new channel; tracks go out meanwhile.
            Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(WAIT_MAX),
        }
        self.drain_tracks();
        if self.identity().is_some() {
            self.send_regular();
        }
        Ok(())
    }
}
