//! The neural path of a frame, at the sizes flown: a query, the tiles it needs, the search, and reading the answer.
//!
//! `cargo bench -p smgeo-engine` measures the matched filter of the tests, which says what the engine itself costs. With
//! `SMGEO_BENCH_PACKAGE=models/nano` it measures that package.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smgeo_engine::{
    Backend, EncoderImage, FeatureCache, FeatureKey, Features, ImageryHash, LocateRequest, Maps, Mosaic, Package,
    RtenBackend, RtenConfig, View, decode,
};

fn package() -> Package {
    let matched = || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packages/matched").into();
    let given = std::env::var_os("SMGEO_BENCH_PACKAGE").map(PathBuf::from);
    // Benches run in the crate's folder; a path is meant from the workspace.
    let from_workspace = |path: PathBuf| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path);
    Package::open(given.map_or_else(matched, from_workspace)).expect("the package opens")
}

fn picture(seed: usize) -> impl FnMut(usize, usize) -> [u8; 3] {
    move |x, y| [(x * 7 + y * 3 + seed) as u8, (x * y / 5 + seed * 31) as u8, (x ^ (y + seed)) as u8]
}

struct Bench {
    package: Package,
    backend: RtenBackend,
    query: EncoderImage,
    tiles: Vec<EncoderImage>,
    query_features: Features,
    tile_features: Vec<Features>,
}

impl Bench {
    fn new() -> Bench {
        let package = package();
        let mut backend = RtenBackend::new(&package, &RtenConfig::default()).expect("the package runs");
        let query = EncoderImage::query_from((128.0, 128.0), picture(0)).expect("the click is inside");
        let tiles: Vec<EncoderImage> = (1..17).map(|seed| EncoderImage::tile_from(picture(seed))).collect();
        let query_features = backend.encode(&[(&query, View::Query)]).expect("the query encodes").remove(0);
        let batch: Vec<(&EncoderImage, View)> = tiles.iter().map(|tile| (tile, View::Tile)).collect();
        let tile_features = backend.encode(&batch).expect("the tiles encode");
        Bench { package, backend, query, tiles, query_features, tile_features }
    }

    fn mosaic(&self, edge: usize) -> Mosaic {
        let tiles: Vec<Features> = self.tile_features.iter().cycle().take(edge * edge).cloned().collect();
        Mosaic::of_tiles(edge, edge, &tiles).expect("the tiles fill the window")
    }
}

fn encode(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = criterion.benchmark_group("encode");
    group.bench_function("query", |b| {
        b.iter(|| bench.backend.encode(&[(black_box(&bench.query), View::Query)]).expect("the query encodes"))
    });
    for count in [1, 4, 16] {
        let batch: Vec<(&EncoderImage, View)> = bench.tiles[..count].iter().map(|tile| (tile, View::Tile)).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("tiles", count), &batch, |b, batch| {
            b.iter(|| bench.backend.encode(batch).expect("the tiles encode"))
        });
    }
    group.finish();
}

fn locate(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = criterion.benchmark_group("locate");
    for edge in [1, 2, 4, 6] {
        let mosaic = bench.mosaic(edge);
        let request = LocateRequest { query: &bench.query_features, click: [128.0, 128.0], reference: &mosaic };
        group.bench_function(BenchmarkId::new("window", format!("{edge}x{edge}")), |b| {
            b.iter(|| bench.backend.locate(&[request]).expect("the search runs"))
        });
    }
    let mosaic = bench.mosaic(4);
    for targets in [1, 2, 4, 8, 16] {
        let request = LocateRequest { query: &bench.query_features, click: [128.0, 128.0], reference: &mosaic };
        let requests = vec![request; targets];
        group.throughput(Throughput::Elements(targets as u64));
        group.bench_with_input(BenchmarkId::new("targets_4x4", targets), &requests, |b, requests| {
            b.iter(|| bench.backend.locate(requests).expect("the search runs"))
        });
    }
    group.finish();
}

fn around(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let mosaic = bench.mosaic(4);
    let request = LocateRequest { query: &bench.query_features, click: [128.0, 128.0], reference: &mosaic };
    let maps: Maps = bench.backend.locate(&[request]).expect("the search runs").remove(0);
    let manifest = bench.package.manifest().clone();
    let mut group = criterion.benchmark_group("around");
    group.bench_function("decode_4x4", |b| {
        b.iter(|| decode(black_box(&maps), manifest.stride_px, manifest.temperature).expect("the maps decode"))
    });
    group.bench_function("mosaic_4x4", |b| b.iter(|| bench.mosaic(4)));
    group.bench_function("query_image", |b| b.iter(|| EncoderImage::query_from((9.0, 200.0), picture(3))));
    let cache = FeatureCache::new(1 << 30);
    let encoder = bench.backend.info().encoder();
    let key = |tile: u64| FeatureKey { tile, imagery: ImageryHash([0; 32]), encoder };
    (0..1000).for_each(|tile| cache.put(key(tile), bench.tile_features[0].clone()));
    group.bench_function("cache_get", |b| b.iter(|| cache.get(black_box(&key(500)))));
    group.finish();
}

criterion_group!(benches, encode, locate, around);
criterion_main!(benches);
