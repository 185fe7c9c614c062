//! The numbers a running machine shows at `/metrics`, in the Prometheus text format.
//!
//! A part asks once for a handle and keeps it; counting is then one atomic addition, cheap enough for the frame path.
//! Labels come from the code (names of stages, edges and causes), never from input, so their number is bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

/// Upper bounds of the latency buckets, in seconds: from below a millisecond (the runtime's own overhead) to the age at
/// which a fix is lost.
const LATENCY_BUCKETS_S: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Counts events.
pub type Count = IntCounter;

/// Holds a value that goes up and down.
pub type Gauge = prometheus::Gauge;

/// Is the one registry of the process; clones share it.
#[derive(Clone)]
pub struct Metrics {
    families: Arc<Families>,
}

struct Families {
    registry: Registry,
    followed: Mutex<Vec<Followed>>,
    steps: IntCounterVec,
    faults: IntCounterVec,
    starts: IntCounterVec,
    items: IntCounterVec,
    drops: IntCounterVec,
    errors: IntCounterVec,
    latency: HistogramVec,
    gauges: GaugeVec,
}

/// A count and the number it follows.
struct Followed {
    count: Count,
    read: Box<dyn Fn() -> u64 + Send>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes an empty registry.
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families {
            steps: counters(&registry, "smgeo_stage_steps_total", "Steps a stage has done.", &["stage"]),
            faults: counters(&registry, "smgeo_stage_faults_total", "Steps that failed.", &["stage", "verdict"]),
            starts: counters(&registry, "smgeo_stage_starts_total", "Times a stage was built.", &["stage"]),
            items: counters(&registry, "smgeo_items_total", "Items that a part made or handled.", &["part", "item"]),
            drops: counters(&registry, "smgeo_drops_total", "Items lost on an edge.", &["edge", "cause"]),
            errors: counters(&registry, "smgeo_errors_total", "Inputs refused.", &["part", "cause"]),
            latency: latencies(&registry),
            gauges: gauges(&registry),
            followed: Mutex::default(),
            registry,
        };
        Self { families: Arc::new(families) }
    }

    /// Returns the counters every stage has.
    pub fn stage(&self, stage: &str) -> StageMetrics {
        let fault = |verdict| self.families.faults.with_label_values(&[stage, verdict]);
        StageMetrics {
            steps: self.families.steps.with_label_values(&[stage]),
            starts: self.families.starts.with_label_values(&[stage]),
            skipped: fault("skip"),
            restarted: fault("restart"),
            escalated: fault("escalate"),
            panicked: fault("panic"),
        }
    }

    /// Returns the count of one kind of item that a part makes or handles (`"ingest", "frames"`).
    pub fn items(&self, part: &str, item: &str) -> Count {
        self.families.items.with_label_values(&[part, item])
    }

    /// Returns the count of items lost on an edge for one cause (`"frames", "superseded"`).
    pub fn drops(&self, edge: &str, cause: &str) -> Count {
        self.families.drops.with_label_values(&[edge, cause])
    }

    /// Returns the count of inputs that a part refused for one cause (`"prompts", "outside_frame"`).
    pub fn errors(&self, part: &str, cause: &str) -> Count {
        self.families.errors.with_label_values(&[part, cause])
    }

    /// Returns the histogram of the time one span of the path takes (`"capture_to_publish"`).
    pub fn latency(&self, span: &str) -> Latency {
        Latency { histogram: self.families.latency.with_label_values(&[span]) }
    }

    /// Returns a value that goes up and down, by a name that ends in its unit (`"telemetry_age_s"`).
    pub fn gauge(&self, name: &str) -> Gauge {
        self.families.gauges.with_label_values(&[name])
    }

    /// Lets a count follow a number that another part keeps for itself and that only grows; it is read when the metrics are.
    pub fn follow(&self, count: Count, read: impl Fn() -> u64 + Send + 'static) {
        self.followed().push(Followed { count, read: Box::new(read) });
    }

    fn followed(&self) -> MutexGuard<'_, Vec<Followed>> {
        // A panic while reading leaves the list whole.
        self.families.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything in the Prometheus text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Followed { count, read } in self.followed().iter() {
            count.inc_by(read().saturating_sub(count.get()));
        }
        if let Some(resident_mb) = resident_mb() {
            self.gauge("rss_mb").set(resident_mb);
        }
        // The encoder fails only on families that are empty or malformed, and ours are fixed.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.families.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics not encoded");
        }
        text
    }
}

/// Is what the conductor counts for one stage.
#[derive(Clone)]
pub struct StageMetrics {
    /// Steps done, with or without work.
    pub steps: Count,
    /// Times built.
    pub starts: Count,
    /// Items lost by an error.
    pub skipped: Count,
    /// Faults after which the stage was built anew.
    pub restarted: Count,
    /// Faults that ended the process.
    pub escalated: Count,
    /// Panics, after which the stage was built anew.
    pub panicked: Count,
}

/// Records how long something took.
#[derive(Clone)]
pub struct Latency {
    histogram: Histogram,
}

impl Latency {
    /// Records one duration.
    pub fn observe(&self, took: Duration) {
        self.histogram.observe(took.as_secs_f64());
    }
}

/// Returns the memory of the process that is in RAM, MiB, as the kernel counts it; none on a system without `/proc`.
pub fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let family = IntCounterVec::new(Opts::new(name, help), labels).expect("the name and labels are constants");
    registry.register(Box::new(family.clone())).expect("each family is registered once");
    family
}

fn latencies(registry: &Registry) -> HistogramVec {
    let options = HistogramOpts::new("smgeo_latency_seconds", "Time that a span of the path takes.")
        .buckets(LATENCY_BUCKETS_S.to_vec());
    let family = HistogramVec::new(options, &["span"]).expect("the name and labels are constants");
    registry.register(Box::new(family.clone())).expect("each family is registered once");
    family
}

fn gauges(registry: &Registry) -> GaugeVec {
    let options = Opts::new("smgeo_value", "The present value of something; its unit ends the name.");
    let family = GaugeVec::new(options, &["name"]).expect("the name and labels are constants");
    registry.register(Box::new(family.clone())).expect("each family is registered once");
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_in_the_text() {
        let metrics = Metrics::new();
        metrics.stage("locate").steps.inc();
        metrics.drops("frames", "superseded").inc_by(3);
        metrics.latency("capture_to_publish").observe(Duration::from_millis(40));
        metrics.gauge("telemetry_age_s").set(12.5);
        let text = metrics.text();
        for line in [
            "smgeo_stage_steps_total{stage=\"locate\"} 1",
            "smgeo_drops_total{cause=\"superseded\",edge=\"frames\"} 3",
            "smgeo_latency_seconds_bucket{span=\"capture_to_publish\",le=\"0.05\"} 1",
            "smgeo_value{name=\"telemetry_age_s\"} 12.5",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_count_follows_the_number_of_another_part() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let (metrics, number) = (Metrics::new(), Arc::new(AtomicU64::new(2)));
        let kept = Arc::clone(&number);
        metrics.follow(metrics.drops("frames", "superseded"), move || kept.load(Ordering::Relaxed));
        for shown in [2, 7] {
            number.store(shown, Ordering::Relaxed);
            assert!(metrics.text().contains(&format!("edge=\"frames\"}} {shown}")));
        }
    }

    #[test]
    fn two_handles_of_one_name_share_the_count() {
        let metrics = Metrics::new();
        metrics.items("ingest", "frames").inc();
        assert_eq!(metrics.clone().items("ingest", "frames").get(), 1);
    }
}
