//! One suite for every backend: the same cases, the same package, a stated tolerance. A backend that passes may stand in
//! for any other. [`check`] asks what must hold of a backend by itself, [`compare`] holds it against another one.

use std::fmt;

use crate::TILE_PX;
use crate::backend::{Backend, LocateRequest, Maps};
use crate::error::EngineError;
use crate::features::Features;
use crate::image::{EncoderImage, View};
use crate::mosaic::Mosaic;

/// How far numbers may differ, as a part of the largest magnitude in the tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Between batch shapes of one backend.
    pub batch: f32,
    /// Between two backends.
    pub backends: f32,
}

impl Tolerance {
    /// For backends that compute in f32.
    pub const F32: Tolerance = Tolerance { batch: 1e-6, backends: 1e-4 };
    /// For backends that compute in bf16, which has 8 bits of mantissa.
    pub const BF16: Tolerance = Tolerance { batch: 2e-2, backends: 6e-2 };
    /// For backends that compute the encoder's products in 8 bit with a scale for each image, and all else in f32.
    pub const INT8: Tolerance = Tolerance { batch: 1e-6, backends: 1e-1 };
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What must hold, as a sentence.
    pub name: &'static str,
    /// The largest difference seen, as a part of the largest magnitude.
    pub difference: f32,
    /// The largest difference allowed.
    pub limit: f32,
}

impl Case {
    /// Whether it held.
    pub fn holds(&self) -> bool {
        self.difference <= self.limit
    }
}

/// All cases of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The cases, in the order they ran.
    pub cases: Vec<Case>,
}

impl Report {
    /// Whether all cases held.
    pub fn holds(&self) -> bool {
        self.cases.iter().all(Case::holds)
    }

    fn add(&mut self, name: &'static str, limit: f32, difference: f32) {
        self.cases.push(Case { name, difference, limit });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            let verdict = if case.holds() { "holds" } else { "FAILS" };
            writeln!(f, "{verdict}  {:9.2e} of {:7.1e}  {}", case.difference, case.limit, case.name)?;
        }
        Ok(())
    }
}

/// Checks a backend by itself.
pub fn check(backend: &mut dyn Backend, tolerance: Tolerance) -> Result<Report, EngineError> {
    let mut report = Report::default();
    check_encoder(backend, tolerance, &mut report)?;
    check_locator(backend, tolerance, &mut report)?;
    check_refusals(backend, &mut report)?;
    Ok(report)
}

/// Holds a backend against another one that runs the same package.
pub fn compare(backend: &mut dyn Backend, other: &mut dyn Backend, limit: f32) -> Result<Report, EngineError> {
    let mut report = Report::default();
    let same = if backend.info().package == other.info().package { 0.0 } else { 1.0 };
    report.add("both run the same package", 0.0, same);
    let images: Vec<EncoderImage> = (0..5).map(scene).collect();
    let batch = batch_of(&images);
    let (ours, theirs) = (backend.encode(&batch)?, other.encode(&batch)?);
    report.add("features agree", limit, worst(&ours, &theirs));
    // Both locators see the same features, so that a difference is the locator's own.
    let windows = [Mosaic::of_tiles(2, 2, &theirs[1..5])?, Mosaic::of_tiles(1, 3, &theirs[1..4])?];
    let requests = requests_of(&theirs, &windows);
    let (ours, theirs) = (backend.locate(&requests)?, other.locate(&requests)?);
    let pairs = || ours.iter().zip(&theirs);
    report.add("heat agrees", limit, highest(pairs().map(|(a, b)| difference(&a.heat, &b.heat))));
    report.add("boxes agree", limit, highest(pairs().map(|(a, b)| difference(&a.boxes, &b.boxes))));
    report.add("attention agrees", limit, highest(pairs().map(|(a, b)| difference(&a.attention, &b.attention))));
    Ok(report)
}

fn check_encoder(backend: &mut dyn Backend, tolerance: Tolerance, report: &mut Report) -> Result<(), EngineError> {
    let (cells, channels) = (backend.info().cells(), backend.info().channels);
    let images: Vec<EncoderImage> = (0..5).map(scene).collect();
    let batch = batch_of(&images);
    report.add("nothing to encode gives nothing", 0.0, backend.encode(&[])?.len() as f32);
    let together = backend.encode(&batch)?;
    let shape_is_right = |one: &Features| (one.cells(), one.channels()) == (cells, channels);
    let right = together.len() == batch.len() && together.iter().all(shape_is_right);
    report.add("each image gives features of the stated shape", 0.0, if right { 0.0 } else { 1.0 });
    let again = backend.encode(&batch)?;
    report.add("the same batch gives the same bits", 0.0, worst(&again, &together));
    for size in 1..batch.len() {
        let mut parts = Vec::new();
        for part in batch.chunks(size) {
            parts.extend(backend.encode(part)?);
        }
        report.add("features do not depend on the batch", tolerance.batch, worst(&parts, &together));
    }
    let reversed: Vec<(&EncoderImage, View)> = batch.iter().rev().copied().collect();
    let mut turned = backend.encode(&reversed)?;
    turned.reverse();
    report.add("features come in the order of the images", tolerance.batch, worst(&turned, &together));
    Ok(())
}

fn check_locator(backend: &mut dyn Backend, tolerance: Tolerance, report: &mut Report) -> Result<(), EngineError> {
    let images: Vec<EncoderImage> = (0..5).map(scene).collect();
    let features = backend.encode(&batch_of(&images))?;
    report.add("nothing to locate gives nothing", 0.0, backend.locate(&[])?.len() as f32);
    let tiles = &features[1..];
    let grid = |count: usize| (0..count).map(|index| tiles[index % tiles.len()].clone()).collect::<Vec<_>>();
    let mut windows = Vec::new();
    for (rows, columns) in [(1, 1), (1, 3), (2, 2), (4, 4)] {
        windows.push(Mosaic::of_tiles(rows, columns, &grid(rows * columns))?);
    }
    windows.push(Mosaic::assemble(1, 2, &[None, Some(&tiles[0])])?);
    let requests = requests_of(&features, &windows);
    let together = backend.locate(&requests)?;
    let wrong = requests.iter().zip(&together).filter(|(request, maps)| !maps_fit(request, maps)).count();
    report.add("each request gives maps of its window's shape, masked where tiles are missing", 0.0, wrong as f32);
    let again = backend.locate(&requests)?;
    let bits = again.iter().zip(&together).map(|(a, b)| difference_of_maps(a, b));
    report.add("the same requests give the same bits", 0.0, highest(bits));
    let apart = difference_from_alone(backend, &requests, &together)?;
    report.add("an answer does not depend on the other requests", tolerance.batch, apart);
    // Sixteen targets with four witnesses each, in one window: more than a backend may take at once.
    let click = |at: usize| [3.0 * at as f32 + 0.5, 90.0];
    let many: Vec<LocateRequest> =
        (0..80).map(|at| LocateRequest { query: &features[0], click: click(at), reference: &windows[2] }).collect();
    let together = backend.locate(&many)?;
    let apart = difference_from_alone(backend, &many, &together)?;
    report.add("nor on how many there are", tolerance.batch, apart);
    Ok(())
}

fn difference_from_alone(
    backend: &mut dyn Backend,
    requests: &[LocateRequest],
    together: &[Maps],
) -> Result<f32, EngineError> {
    let mut alone = Vec::new();
    for request in requests {
        alone.extend(backend.locate(&[*request])?);
    }
    Ok(highest(alone.iter().zip(together).map(|(a, b)| difference_of_maps(a, b))))
}

fn check_refusals(backend: &mut dyn Backend, report: &mut Report) -> Result<(), EngineError> {
    let (cells, channels) = (backend.info().cells(), backend.info().channels);
    let features = |channels: usize| Features::new(vec![0.5; cells * cells * channels].into(), cells, channels);
    let (right, wide) = (features(channels)?, features(channels + 1)?);
    let (window, wide_window) =
        (Mosaic::of_tiles(1, 1, std::slice::from_ref(&right))?, Mosaic::of_tiles(1, 1, std::slice::from_ref(&wide))?);
    let requests = [
        LocateRequest { query: &wide, click: [1.0, 1.0], reference: &window },
        LocateRequest { query: &right, click: [1.0, 1.0], reference: &wide_window },
        LocateRequest { query: &right, click: [f32::NAN, 1.0], reference: &window },
        LocateRequest { query: &right, click: [1.0, -3.0], reference: &window },
        LocateRequest { query: &right, click: [1.0, 1e9], reference: &window },
    ];
    let accepted = requests.iter().filter(|request| backend.locate(&[**request]).is_ok()).count();
    report.add("foreign features and clicks outside of the query are refused", 0.0, accepted as f32);
    Ok(())
}

/// A made picture: waves and blocks that differ with the seed. The first is a query with a click, the others are tiles.
fn scene(seed: usize) -> EncoderImage {
    let phase = seed as f32 * 1.7;
    let colour = move |x: usize, y: usize| {
        let wave = |scale: f32, turn: f32| ((x as f32 * scale + y as f32 * turn + phase).sin() * 60.0 + 120.0) as u8;
        let block = ((x / 24 * 7 + y / 40 * 13 + seed * 29) % 5 * 12) as u8;
        [wave(0.05, 0.02) + block, wave(0.11, 0.07) + block, wave(0.02, 0.17) + block]
    };
    match seed {
        0 => EncoderImage::query_from((130.0, 90.0), colour).expect("the click is inside of the image"),
        _ => EncoderImage::tile_from(colour),
    }
}

fn batch_of(images: &[EncoderImage]) -> Vec<(&EncoderImage, View)> {
    let view = |index: usize| if index == 0 { View::Query } else { View::Tile };
    images.iter().enumerate().map(|(index, image)| (image, view(index))).collect()
}

/// Two clicks in each window, windows alternating, so that a backend has to sort them and put the answers back.
fn requests_of<'a>(features: &'a [Features], windows: &'a [Mosaic]) -> Vec<LocateRequest<'a>> {
    let last = TILE_PX as f32 - 0.5;
    let clicks = [[130.0, 90.0], [0.0, last], [last, 3.0]];
    let ask =
        |click: [f32; 2]| windows.iter().map(move |reference| LocateRequest { query: &features[0], click, reference });
    clicks.into_iter().flat_map(ask).collect()
}

fn maps_fit(request: &LocateRequest, maps: &Maps) -> bool {
    let (width, height) = (request.reference.width(), request.reference.height());
    let cells = width * height;
    let sizes = (maps.width, maps.height, maps.heat.len(), maps.boxes.len(), maps.attention.len());
    let heat_is_right = |(at, logit): (usize, &f32)| match request.reference.is_masked(at) {
        true => *logit == f32::NEG_INFINITY,
        false => logit.is_finite(),
    };
    sizes == (width, height, cells, 4 * cells, cells)
        && maps.heat.iter().enumerate().all(heat_is_right)
        && maps.boxes.iter().chain(&maps.attention).all(|number| number.is_finite())
}

fn difference_of_maps(a: &Maps, b: &Maps) -> f32 {
    difference(&a.heat, &b.heat).max(difference(&a.boxes, &b.boxes)).max(difference(&a.attention, &b.attention))
}

fn worst(a: &[Features], b: &[Features]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    highest(a.iter().zip(b).map(|(a, b)| difference(a.values(), b.values())))
}

fn highest(values: impl Iterator<Item = f32>) -> f32 {
    // `f32::max` would drop what is not a number.
    values.fold(0.0, |highest, value| if value > highest || value.is_nan() { value } else { highest })
}

/// Largest difference as a part of the largest magnitude of `b`; masked cells must be masked in both.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let largest =
        b.iter().filter(|value| value.is_finite()).fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    highest(a.iter().zip(b).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / largest }))
}
