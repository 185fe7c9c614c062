//! What the parts count for themselves, shown among the metrics: the source's counters and the losses of the slots.

use smgeo_flow::latest::Take;

use crate::control::Metrics;
use crate::ingest::IngestView;

/// Shows every counter of the video source.
pub fn source(metrics: &Metrics, video: &IngestView) {
    for (index, (name, _)) in video.counts.all().into_iter().enumerate() {
        let count = match name {
            "units_in" | "frames_in" | "connects" | "size_changes" => metrics.items("ingest", name),
            _ => metrics.drops("ingest", name),
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
