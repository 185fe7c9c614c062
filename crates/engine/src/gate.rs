//! Whether a faster arithmetic may fly. It runs beside the trusted one on sets of held-out pairs and has to give the same answers;
//! what it gave on each is kept in the package folder. A configuration that asks for an arithmetic that was not checked, or that
//! failed on any of the sets, is refused; so is one whose checks cannot be read, because a failed one may be among them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, LocateRequest};
use crate::decode::{Located, decode};
use crate::error::EngineError;
use crate::image::{EncoderImage, View};
use crate::package::{Manifest, Package};
use crate::pairs::{Pair, PairSet};
use crate::stills::{QueryCrop, TiledReference};
use crate::witness::{self, Witnesses};

/// Name of the file in the package folder that keeps what was found.
pub const CHECKS: &str = "checks.toml";

/// Least share of pairs whose most probable cell is the same.
pub const SAME_CELL_SHARE_MIN: f64 = 0.99;
/// Largest median shift of the position, px of the reference.
pub const SHIFT_PX_MEDIAN_MAX: f64 = 0.5;
/// Largest loss of the share of boxes that overlap the truth by more than a quarter.
pub const ACCURACY_LOSS_MAX: f64 = 0.005;
/// Fewer pairs cannot show one in a hundred.
pub const PAIRS_MIN: usize = 100;

// Digits of a set's hash in its key: enough for people, and for the sets that one package is checked on.
const KEY_DIGITS: usize = 12;

/// What two backends gave on the same pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Identity of the package, hexadecimal.
    pub package: String,
    /// Backend and arithmetic that was checked, such as `openvino-bf16`.
    pub candidate: String,
    /// Backend and arithmetic it was held against.
    pub trusted: String,
    /// Name of the set of pairs.
    pub set: String,
    /// SHA-256 of the set's list, hexadecimal. Empty in reports from before it was kept: those are held against the arithmetic
    /// until they are deleted by hand, because nobody can say which set they were made on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub set_sha256: String,
    /// Pairs compared.
    pub pairs: usize,
    /// Share of pairs whose most probable cell is the same.
    pub same_cell_share: f64,
    /// Median shift of the position, px of the reference.
    pub shift_px_median: f64,
    /// Share of boxes of the trusted backend with an intersection over union of more than 0.25 with the truth.
    pub accuracy_trusted: f64,
    /// The same of the candidate.
    pub accuracy_candidate: f64,
}

impl GateReport {
    /// Whether the candidate may fly.
    pub fn passes(&self) -> bool {
        self.pairs >= PAIRS_MIN
            && self.same_cell_share >= SAME_CELL_SHARE_MIN
            && self.shift_px_median <= SHIFT_PX_MEDIAN_MAX
            // Shares of whole pairs: a loss of just as much is no more than that, however its difference is rounded.
            && self.accuracy_trusted - self.accuracy_candidate <= ACCURACY_LOSS_MAX + 1e-9
    }

    /// Keeps this report in the package's folder, beside those on other sets. Reports of other packages are given up.
    pub fn keep(&self, package: &Package) -> Result<(), EngineError> {
        let path = package.folder().join(CHECKS);
        let mut reports: Reports = BTreeMap::new();
        for report in kept(package)?.into_iter().chain([self.clone()]) {
            reports.entry(report.candidate.clone()).or_default().insert(report.key(), report);
        }
        let text = toml::to_string_pretty(&reports)
            .map_err(|error| EngineError::Manifest { path: path.clone(), problem: error.to_string() })?;
        // Renamed when it is whole, so that a crash leaves the checks as they were.
        let partial = package.folder().join(format!("{CHECKS}.partial"));
        std::fs::write(&partial, text).map_err(|source| EngineError::File { path: partial.clone(), source })?;
        std::fs::rename(&partial, &path).map_err(|source| EngineError::File { path, source })
    }

    /// What it is kept under: sets in folders of the same name are told apart by what they list.
    fn key(&self) -> String {
        match self.set_sha256.get(..KEY_DIGITS) {
            Some(digits) => format!("{}-{digits}", self.set),
            None => self.set.clone(),
        }
    }
}

impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passes() { "passes" } else { "FAILS" };
        writeln!(f, "{} against {} on {} pairs of {}: {verdict}", self.candidate, self.trusted, self.pairs, self.set)?;
        let per_cent = |share: f64| 100.0 * share;
        writeln!(
            f,
            "  same cell    {:6.2} % (at least {} %)",
            per_cent(self.same_cell_share),
            per_cent(SAME_CELL_SHARE_MIN)
        )?;
        writeln!(f, "  median shift {:6.3} px (at most {SHIFT_PX_MEDIAN_MAX} px)", self.shift_px_median)?;
        let (trusted, candidate) = (per_cent(self.accuracy_trusted), per_cent(self.accuracy_candidate));
        writeln!(
            f,
            "  acc@0.25     {candidate:6.2} % against {trusted:.2} % (at most {} % less)",
            per_cent(ACCURACY_LOSS_MAX)
        )
    }
}

/// Runs both backends over the pairs, and tells `step` of each. Both must run `package`.
pub fn check(
    package: &Package,
    trusted: &mut dyn Backend,
    candidate: &mut dyn Backend,
    set: &PairSet,
    step: &mut dyn FnMut(),
) -> Result<GateReport, EngineError> {
    let (mut same, mut shifts, mut hits) = (0, Vec::with_capacity(set.pairs.len()), [0, 0]);
    for pair in &set.pairs {
        let question = Question::read(set, pair)?;
        let answers = [question.answer(package, trusted)?, question.answer(package, candidate)?];
        same += usize::from(answers[0].cell == answers[1].cell);
        let [[x0, y0], [x1, y1]] = [answers[0].mean_px, answers[1].mean_px];
        shifts.push((x1 - x0).hypot(y1 - y0));
        for (hits, answer) in hits.iter_mut().zip(&answers) {
            *hits += usize::from(overlap(answer.box_xyxy_px, pair.box_xyxy_px) > 0.25);
        }
        step();
    }
    shifts.sort_by(f64::total_cmp);
    let share = |count: usize| if set.pairs.is_empty() { 0.0 } else { count as f64 / set.pairs.len() as f64 };
    Ok(GateReport {
        package: package.hash().to_string(),
        candidate: label(candidate),
        trusted: label(trusted),
        set: set.name(),
        set_sha256: set.sha256().into(),
        pairs: set.pairs.len(),
        same_cell_share: share(same),
        shift_px_median: shifts.get(shifts.len() / 2).copied().unwrap_or(f64::INFINITY),
        accuracy_trusted: share(hits[0]),
        accuracy_candidate: share(hits[1]),
    })
}

/// Whether this backend and arithmetic passed on every set of pairs on which it was checked with this very package, and was
/// checked at all. An error where the checks cannot be read.
pub fn is_admitted(package: &Package, backend: &str, precision: &str) -> Result<bool, EngineError> {
    let candidate = format!("{backend}-{precision}");
    let mut reports = kept(package)?.into_iter().filter(|report| report.candidate == candidate).peekable();
    Ok(reports.peek().is_some() && reports.all(|report| report.passes()))
}

/// The reports that the package's folder keeps of this very package; none where it has no file of them.
pub fn kept(package: &Package) -> Result<Vec<GateReport>, EngineError> {
    let path = package.folder().join(CHECKS);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(EngineError::File { path, source }),
    };
    let reports: Reports = toml::from_str(&text).map_err(|error| {
        let problem = format!(
            "this is no list of checks ({}); copy the file again, or delete it and run `smgeo engine check` on every set anew",
            error.message()
        );
        EngineError::Manifest { path, problem }
    })?;
    let hash = package.hash().to_string();
    let of_candidates = reports.into_values();
    Ok(of_candidates.flat_map(BTreeMap::into_values).filter(|report| report.package == hash).collect())
}

/// By candidate, then by set.
type Reports = BTreeMap<String, BTreeMap<String, GateReport>>;

fn label(backend: &dyn Backend) -> String {
    format!("{}-{}", backend.info().name, backend.info().precision)
}

/// Intersection over union of two boxes, px: left, top, right, bottom.
pub fn overlap(a: [f32; 4], b: [f32; 4]) -> f64 {
    let area =
        |[left, top, right, bottom]: [f32; 4]| f64::from((right - left).max(0.0)) * f64::from((bottom - top).max(0.0));
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

struct Question {
    crop: QueryCrop,
    tiled: TiledReference,
    is_rectified: bool,
}

impl Question {
    fn read(set: &PairSet, pair: &Pair) -> Result<Question, EngineError> {
        let crop = QueryCrop::cut(&set.picture(&pair.query)?, (pair.click[0], pair.click[1]))?;
        let tiled = TiledReference::cut(&set.picture(&pair.reference)?)?;
        Ok(Question { crop, tiled, is_rectified: pair.rectified })
    }

    // Each backend works from its own features, and hears witnesses, as it would in flight.
    fn answer(&self, package: &Package, backend: &mut dyn Backend) -> Result<Located, EngineError> {
        let images: Vec<(&EncoderImage, View)> = self.tiled.tiles.iter().map(|tile| (tile, View::Tile)).collect();
        let reference = self.tiled.mosaic(&backend.encode(&images)?)?;
        let query = backend.encode(&[(&self.crop.image, View::Query)])?.remove(0);
        let Manifest { fusion, stride_px, temperature, .. } = *package.manifest();
        let witnesses = if self.is_rectified { Witnesses::of(fusion) } else { Witnesses::NotHeard };
        let clicks = witness::clicks(witnesses, &self.crop.image, self.crop.click);
        let request = |click: &[f32; 2]| LocateRequest { query: &query, click: *click, reference: &reference };
        let mut answers = backend.locate(&clicks.iter().map(request).collect::<Vec<_>>())?;
        witness::hear(&mut answers, &clicks, stride_px);
        decode(&answers[0], stride_px, temperature)
    }
}
