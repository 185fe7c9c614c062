//! What handing the newest item on costs: the producer alone, and from one thread to another.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use smgeo_flow::latest;

/// A consumer that sleeps longer than this has lost its producer.
const PATIENCE: Duration = Duration::from_secs(1);

fn put(criterion: &mut Criterion) {
    let (mut put, take) = latest::channel::<u64>();
    criterion.bench_function("latest: put, evicting the stale one", |bench| bench.iter(|| put.put(black_box(1))));
    criterion.bench_function("latest: put and take on one thread", |bench| {
        bench.iter(|| {
            put.put(black_box(1));
            take.try_take()
        });
    });
}

fn across(criterion: &mut Criterion) {
    let (mut there, far) = latest::channel::<u64>();
    let (mut back, near) = latest::channel::<u64>();
    let echo = std::thread::spawn(move || {
        while let Some(item) = far.take(PATIENCE) {
            back.put(item);
        }
    });
    criterion.bench_function("latest: to another thread and back", |bench| {
        bench.iter_custom(|rounds| {
            let begun = Instant::now();
            for round in 0..rounds {
                there.put(round);
                while near.take(PATIENCE) != Some(round) {}
            }
            begun.elapsed()
        });
    });
    drop(there);
    // It ends by itself a moment after its producer.
    let _ = echo.join();
}

criterion_group!(benches, put, across);
criterion_main!(benches);
