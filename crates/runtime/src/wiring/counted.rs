//! What the parts count for themselves, shown among the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smgeo_engine::FeatureCache;
use smgeo_flow::latest::Take;

use crate::control::{Count, Metrics};
use crate::ingest::{Counts, IngestView};
use crate::publish::{CameraCounts, SinkCounts};
use crate::telemetry::{LinkCounts, LogCounts, MavlinkDecoder};
use crate::tiles::{TileError, TileKeeper, TileSource};

/// Shows every counter of the video source.
pub fn source(metrics: &Metrics, video: &IngestView) {
    for (index, (name, _)) in video.counts.all().into_iter().enumerate() {
        let count = match name {
            // The slot of frames shows the same number.
            "frames_superseded" => continue,
            _ if Counts::DROPS.contains(&name) => metrics.drops("ingest", name),
            _ if name.starts_with("lost_") => metrics.errors("ingest", name),
            _ => metrics.items("ingest", name),
        };
        let counts = video.counts.clone();
        metrics.follow(count, move || counts.all()[index].1);
    }
}

/// Shows what newer items replaced in a slot before anyone took them.
pub fn slot<T: Send + 'static>(metrics: &Metrics, edge: &str, slot: &Take<T>) {
    let slot = slot.clone();
    metrics.follow(metrics.drops(edge, "superseded"), move || slot.superseded());
}

/// Shows what a MAVLink link carried and lost.
pub fn link(metrics: &Metrics, counts: &Arc<LinkCounts>) {
    let drops = |cause| metrics.drops("mavlink", cause);
    follow(metrics, metrics.items("mavlink", "received"), counts, |counts| &counts.received);
    follow(metrics, metrics.items("mavlink", "sent"), counts, |counts| &counts.sent);
    follow(metrics, drops("not_mavlink"), counts, |counts| &counts.not_mavlink);
    follow(metrics, drops("unsigned"), counts, |counts| &counts.unsigned);
    follow(metrics, drops("unknown"), counts, |counts| &counts.unknown);
    follow(metrics, drops("stranger"), counts, |counts| &counts.stranger);
    follow(metrics, metrics.errors("mavlink", "read"), counts, |counts| &counts.read_errors);
    follow(metrics, metrics.errors("mavlink", "send"), counts, |counts| &counts.send_errors);
}

/// Returns what shows, after each step of a receiver, what became of the messages it decoded.
pub fn messages(metrics: &Metrics) -> Box<dyn FnMut(&MavlinkDecoder) + Send> {
    let metrics = metrics.clone();
    let mut shown = BTreeMap::<&'static str, u64>::new();
    Box::new(move |decoder| {
        let counts = decoder.counts();
        let mut show = |name: &'static str, total: u64, count: Count| {
            let before = shown.entry(name).or_default();
            count.inc_by(total - *before);
            *before = total;
        };
        show("samples", counts.samples, metrics.items("telemetry", "samples"));
        show("channel_full", counts.channel_full, metrics.drops("telemetry", "channel_full"));
        counts.refused.iter().for_each(|(cause, total)| show(cause, *total, metrics.drops("telemetry", cause)));
    })
}

/// Shows what a recorded log told and lost.
pub fn log(metrics: &Metrics, counts: &Arc<LogCounts>) {
    follow(metrics, metrics.items("telemetry", "samples"), counts, |counts| &counts.samples);
    follow(metrics, metrics.drops("telemetry", "lines_refused"), counts, |counts| &counts.lines_refused);
    follow(metrics, metrics.drops("telemetry", "channel_full"), counts, |counts| &counts.channel_full);
}

/// Shows what the camera component was asked.
pub fn camera(metrics: &Metrics, counts: &Arc<CameraCounts>) {
    follow(metrics, metrics.items("mavlink_camera", "accepted"), counts, |counts| &counts.accepted);
    follow(metrics, metrics.drops("mavlink_camera", "refused"), counts, |counts| &counts.refused);
    follow(metrics, metrics.drops("mavlink_camera", "lagged"), counts, |counts| &counts.lagged);
}

/// Shows what became of the tracks in an output.
pub fn sink(metrics: &Metrics, name: &str, counts: &Arc<SinkCounts>) {
    follow(metrics, metrics.items(name, "sent"), counts, |counts| &counts.sent);
    follow(metrics, metrics.drops(name, "lagged"), counts, |counts| &counts.lagged);
    follow(metrics, metrics.drops(name, "failed"), counts, |counts| &counts.failed);
}

/// Shows where tiles and their features came from, and which could not be had.
pub fn map(metrics: &Metrics, keeper: &Arc<TileKeeper>, features: &Arc<FeatureCache>) {
    let tiles = |count: Count, read: fn(&TileKeeper) -> u64| {
        let keeper = keeper.clone();
        metrics.follow(count, move || read(&keeper));
    };
    tiles(metrics.items("tiles", "from_ram"), |keeper| keeper.tiles().counts().from_ram);
    tiles(metrics.items("tiles", "from_store"), |keeper| keeper.tiles().counts().from_store);
    tiles(metrics.errors("tiles", "cache"), |keeper| keeper.tiles().cache_errors());
    for cause in TileError::CAUSES {
        let keeper = keeper.clone();
        let failed = move || keeper.tiles().counts().failed.get(cause).copied().unwrap_or(0);
        metrics.follow(metrics.drops("tiles", cause), failed);
    }
    let cached = |count: Count, read: fn(&FeatureCache) -> u64| {
        let features = features.clone();
        metrics.follow(count, move || read(&features));
    };
    cached(metrics.items("features", "hits"), |features| features.counts().hits);
    cached(metrics.items("features", "misses"), |features| features.counts().misses);
    cached(metrics.items("features", "disk_hits"), |features| features.counts().disk_hits);
    cached(metrics.errors("features", "disk"), |features| features.counts().disk_faults);
}

fn follow<T: Send + Sync + 'static>(
    metrics: &Metrics,
    count: Count,
    counts: &Arc<T>,
    which: impl Fn(&T) -> &AtomicU64 + Send + 'static,
) {
    let counts = counts.clone();
    metrics.follow(count, move || which(&counts).load(Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::IngestBoard;

    #[test]
    fn what_came_what_was_dropped_and_what_failed_at_the_source_are_told_apart() {
        let metrics = Metrics::new();
        source(&metrics, &IngestBoard::default().view());
        let text = metrics.text();
        for line in Counts::DROPS.map(|name| format!("smgeo_drops_total{{cause=\"{name}\",edge=\"ingest\"}} 0")) {
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        for line in [
            "smgeo_items_total{item=\"frames_frozen\",part=\"ingest\"} 0",
            "smgeo_items_total{item=\"sender_time_refused\",part=\"ingest\"} 0",
            "smgeo_errors_total{cause=\"lost_silent\",part=\"ingest\"} 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("edge=\"ingest\"").count(), Counts::DROPS.len(), "{text}");
    }
}
