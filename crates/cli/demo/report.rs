//! What a demo measured.

use std::collections::BTreeMap;

use serde::Serialize;
use smgeo_runtime::ingest::Counts;

/// Is the report of one flight, as JSON.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The town and the flight.
    pub seed: u64,
    /// Seconds flown.
    pub duration_s: f64,
    /// Frames decoded.
    pub frames_in: u64,
    /// Frames and items that were lost, each in one count. A superseded one is one that a newer one replaced.
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
    pub latency_ms: Option<Latency>,
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
    pub median: f64,
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
        Some(Self { count: values.len(), median: at(0.5)?, p90: at(0.9)?, p99: at(0.99)?, max: *values.last()? })
    }
}

/// Are order statistics of a time, where the middle one is called as the others are.
#[derive(Debug, Serialize)]
pub struct Latency {
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

impl From<Quantiles> for Latency {
    fn from(Quantiles { count, median, p90, p99, max }: Quantiles) -> Self {
        Self { count, p50: median, p90, p99, max }
    }
}

/// Lists what was lost at the source and what newer items replaced, so that no loss is in two counts.
pub fn dropped(
    source: &BTreeMap<String, u64>,
    superseded: impl IntoIterator<Item = (String, u64)>,
) -> BTreeMap<String, u64> {
    let at_source = source.iter().filter(|(name, _)| Counts::DROPS.contains(&name.as_str()));
    at_source.map(|(name, count)| (name.clone(), *count)).chain(superseded).collect()
}

/// Returns the largest resident memory of this process, MB, as Linux tells it.
pub fn rss_mb_max() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_a_median_and_latencies_a_p50() {
        let of = || Quantiles::of(vec![3.0, 1.0, 2.0]).unwrap();
        let json = [serde_json::to_value(of()).unwrap(), serde_json::to_value(Latency::from(of())).unwrap()];
        assert_eq!([&json[0]["median"], &json[1]["p50"]], [2.0, 2.0]);
        assert!(json[0].get("p50").is_none() && json[1].get("median").is_none());
    }

    #[test]
    fn a_lost_frame_is_in_one_count_and_what_was_not_lost_in_none() {
        let source = Counts::default().all().map(|(name, _)| (name.to_owned(), 7));
        let dropped = dropped(&source.into(), [("superseded_before_follow".to_owned(), 7)]);
        let names: Vec<&str> = dropped.keys().map(String::as_str).collect();
        let lost =
            ["frames_corrupt", "frames_refused", "frames_unmatched", "superseded_before_follow", "units_overload"];
        assert_eq!(names, lost);
    }
}
