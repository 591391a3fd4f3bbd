//! One event, for watching one change at a time.

#![expect(missing_docs, reason = "criterion's macro writes a function without")]

use std::sync::Arc;

use badrange_bench::engine::world::{Design, PAGE, World, files};
use badrange_fs::ReverseMap;
use core::hint::black_box;
use criterion::{Criterion, criterion_group, criterion_main};

const LEG: u64 = 1 << 34;

fn events(c: &mut Criterion) {
    let map: Arc<ReverseMap> = Arc::new(files(8 * LEG, 100_000, 1).into_iter().collect());
    let world = World::new(LEG, map, Design::Runs).expect("the stack of the comparisons");
    let mut group = c.benchmark_group("dispatch");
    for (name, len) in [("page", PAGE), ("2 MiB", 2 << 20), ("1 GiB", 1 << 30)] {
        group.bench_function(name, |b| b.iter(|| black_box(world.fail(0, len))));
    }
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
