//! Outputs against real peers: a zenoh session, MAVLink over UDP, files and a full device.

mod ground_station;
mod zenoh_peer;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::zenoh::{Config, Session, Wait};
use crossbeam_channel::bounded;
use mavlink::dialects::ardupilotmega as dialect;
use mavlink::dialects::ardupilotmega::{CameraTrackingStatusFlags, MavCmd, MavMessage, MavResult};
use smgeo_flow::{Clock, HandClock, SharedClock, Stage, SystemClock};
use smgeo_geo::{Covariance2, LatLon, Pixel};
use smgeo_messages::wire::{Publisher, TrackV1};
use smgeo_messages::{Basis, Estimate, FrameId, Prompt, PromptSource, TargetId, Track, TrackState};
use tokio::sync::broadcast;

use super::camera_commands::Order;
use super::zenoh::{ZenohMode, bus_config, key_prefix};
use super::*;
use crate::telemetry::{GpsFix, Link, LinkReader, MavlinkDecoder, PoseBuffer, PoseConfig, Received};

fn publisher() -> Publisher {
    Publisher { drone: "uav1".to_owned(), boot_id: "boot".to_owned() }
}

fn track(target: u32, state: TrackState, clock: &dyn Clock) -> Track {
    let estimate = Estimate {
        at: LatLon::new(47.12, 8.22).unwrap(),
        velocity_ne_mps: [3.0, 4.0],
        covariance: Covariance2::new(4.0, 0.0, 4.0).unwrap(),
        ce90_m: 2.0 * 2.145_966,
        basis: Basis::Map,
        bounds_deg: None,
        score: Some(0.8),
    };
    Track {
        target: TargetId(target),
        revision: 1,
        label: Some("van".into()),
        click: PromptSource::Exact,
        state,
        reason: None,
        frame: FrameId(17),
        captured: clock.now().minus(Duration::from_millis(80)),
        published: clock.now(),
        estimate: (state != TrackState::Lost).then_some(estimate),
        pixel: Some(Pixel::new(320.0, 90.0)),
        ray: None,
        confirmation_age: None,
        telemetry_age: None,
        fixes: 3,
        provenance: None,
    }
}

fn stage(sink: impl Sink + 'static, room: usize, clock: &SharedClock) -> (SinkStage, broadcast::Sender<Arc<Track>>) {
    let (tracks, receiver) = broadcast::channel(room);
    (SinkStage::new(Box::new(sink), receiver, publisher(), clock.clone(), Arc::default()).unwrap(), tracks)
}

#[test]
fn the_schema_is_the_one_that_is_published() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(TrackV1)).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/track_v1.json");
    let published = std::fs::read_to_string(file).unwrap_or_default();
    if published != schema {
        let fresh = std::env::temp_dir().join("track_v1.json");
        std::fs::write(&fresh, schema).unwrap();
        panic!("schemas/track_v1.json is not the schema of TrackV1; the current one is {}", fresh.display());
    }
}

#[test]
fn every_key_of_a_record_is_explained_in_the_wire_document() {
    let clock = HandClock::shared();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/wire.md")).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(TrackV1)).unwrap();
    let definitions = schema["$defs"].as_object().unwrap().values();
    let keys = std::iter::once(&schema)
        .chain(definitions)
        .filter_map(|part| part["properties"].as_object())
        .flat_map(|keys| keys.keys());
    for key in keys {
        assert!(document.contains(&format!("`{key}`")), "docs/wire.md does not explain {key}");
    }
    let numbered =
        Numbered::new(Arc::new(track(1, TrackState::Locked, clock.as_ref())), &publisher(), 1, &(clock as SharedClock))
            .unwrap();
    assert_eq!(serde_json::from_slice::<TrackV1>(&numbered.json).unwrap(), numbered.wire);
}

#[test]
fn a_click_whose_frame_was_assumed_stays_marked_in_every_record() {
    let clock = HandClock::shared();
    for (click, marked) in [(PromptSource::Exact, false), (PromptSource::AssumedFrame, true)] {
        let track = Track { click, ..track(1, TrackState::Locked, clock.as_ref()) };
        let numbered = Numbered::new(Arc::new(track), &publisher(), 1, &(clock.clone() as SharedClock)).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&numbered.json).unwrap();
        assert_eq!(record.get("click"), marked.then(|| "assumed_frame".into()).as_ref());
    }
}

#[test]
fn a_slow_output_loses_the_oldest_and_shows_the_gap_in_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracks.ndjson");
    let clock = SystemClock::shared();
    let sink = NdjsonSink::new(NdjsonConfig { file: file.clone() }, clock.clone()).unwrap();
    let (mut stage, tracks) = stage(sink, 4, &clock);
    (1..=10).for_each(|target| drop(tracks.send(Arc::new(track(target, TrackState::Locked, clock.as_ref())))));
    (0..5).for_each(|_| stage.step().unwrap());
    let records = records(&file);
    assert_eq!(
        records.iter().map(|record| (record.sequence, record.target)).collect::<Vec<_>>(),
        [(7, 7), (8, 8), (9, 9), (10, 10)]
    );
    assert_eq!(stage.counts().lagged.load(Ordering::Relaxed), 6);
}

#[test]
fn an_output_that_is_built_anew_goes_on_numbering() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracks.ndjson");
    let clock = SystemClock::shared();
    let (tracks, _) = broadcast::channel(16);
    let counts = Arc::default();
    for target in 1..=3 {
        let sink = Box::new(NdjsonSink::new(NdjsonConfig { file: file.clone() }, clock.clone()).unwrap());
        let mut stage =
            SinkStage::new(sink, tracks.subscribe(), publisher(), clock.clone(), Arc::clone(&counts)).unwrap();
        tracks.send(Arc::new(track(target, TrackState::Locked, clock.as_ref()))).unwrap();
        stage.step().unwrap();
    }
    assert_eq!(records(&file).iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2, 3]);
}

fn records(file: &std::path::Path) -> Vec<TrackV1> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.is_empty()).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_full_disk_costs_counted_records_and_writing_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracks.ndjson");
    // The kernel's own full device.
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let clock = HandClock::shared();
    let shared: SharedClock = clock.clone();
    let sink = NdjsonSink::new(NdjsonConfig { file: file.clone() }, shared.clone()).unwrap();
    let (mut stage, tracks) = stage(sink, 16, &shared);
    let mut publish = |target| {
        tracks.send(Arc::new(track(target, TrackState::Locked, clock.as_ref()))).unwrap();
        stage.step().map_err(|fault| fault.to_string())
    };
    let error = publish(1).unwrap_err();
    assert!(error.contains("No space left") && error.contains("tracks.ndjson"), "{error}");
    assert_eq!(publish(2).unwrap_err(), error, "left alone for a moment, for the same reason");
    std::fs::remove_file(&file).unwrap();
    clock.advance(Duration::from_secs(2));
    publish(3).unwrap();
    publish(4).unwrap();
    assert_eq!(stage.counts().failed.load(Ordering::Relaxed), 2);
    assert_eq!(records(&file).iter().map(|record| record.sequence).collect::<Vec<_>>(), [3, 4]);
}

/// Says whether a Python with `module` is on the path.
fn has_python_with(module: &str) -> bool {
    let import = format!("import {module}");
    let tried =
        std::process::Command::new("python3").args(["-c", &import]).stderr(std::process::Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}
