//! What a demo measured.

use std::collections::BTreeMap;

use serde::Serialize;

/// Is the report of one flight, as JSON.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The town and the flight.
    pub seed: u64,
    /// Seconds flown.
    pub duration_s: f64,
    /// Frames decoded.
    pub frames_in: u64,
    /// Frames and items that were lost, by cause. A superseded frame is one that a newer one replaced.
    pub frames_dropped: BTreeMap<String, u64>,
    /// Objects clicked.
    pub prompts: u64,
    /// Kinds of objects clicked, with how many of each.
    pub kinds: BTreeMap<String, u64>,
    /// Confirmations by the network, over all targets.
    pub fixes: u64,
    /// Confirmations a second, over all targets.
    pub fixes_per_s: f64,
    /// From capture to publication, milliseconds.
    pub latency_ms: Option<Quantiles>,
    /// Locked positions against the truth, metres.
    pub error_m: Option<Quantiles>,
    /// The ray alone against the truth, for the same tracks, metres.
    pub error_ray_only_m: Option<Quantiles>,
    /// Answers to shuffled questions against the truth, metres.
    pub error_shuffled_query_m: Option<Quantiles>,
    /// Locked positions whose error is within the published CE90: 0.9 is calibrated.
    pub within_ce90: Option<f64>,
    /// Published tracks that were locked, as share.
    pub locked_fraction: f64,
    /// Targets that were ever locked.
    pub targets_locked: u64,
    /// Locked positions that were published later than they may be without a flag.
    pub stale_fixes: u64,
    /// Locked positions more than 30 m off.
    pub gross_fixes: u64,
    /// The same, target by target, in the order they were clicked.
    pub targets: Vec<TargetReport>,
    /// Largest resident memory of the process that runs the daemon (and keeps the score), MB.
    pub rss_mb_max: Option<f64>,
}

/// Is what was measured of one target while it was locked.
#[derive(Debug, Serialize)]
pub struct TargetReport {
    /// What it truly is.
    pub kind: String,
    /// How high it truly stands over the ground, metres.
    pub height_m: f64,
    /// Tracks published of it.
    pub published: u64,
    /// Confirmations by the network.
    pub fixes: u64,
    /// Locked positions against the truth, metres.
    pub error_m: Option<Quantiles>,
    /// The ray alone against the truth, for the same tracks, metres.
    pub error_ray_only_m: Option<Quantiles>,
    /// The published CE90 of the same tracks, metres.
    pub ce90_m: Option<Quantiles>,
    /// Locked positions whose error is within the published CE90.
    pub within_ce90: Option<f64>,
}

/// Are order statistics.
#[derive(Debug, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: usize,
    /// Half are below.
    pub p50: f64,
    /// Nine in ten are below.
    pub p90: f64,
    /// Ninety-nine in a hundred are below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// Orders values; none of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values.get(((values.len() as f64 - 1.0) * part).round() as usize).copied();
        Some(Self { count: values.len(), p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)?, max: *values.last()? })
    }
}

/// Returns the largest resident memory of this process, MB, as Linux tells it.
pub fn rss_mb_max() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
