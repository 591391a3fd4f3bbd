//! The reverse map alone, for watching one change at a time.

#![expect(missing_docs, reason = "criterion's macro writes a function without")]

use badrange_bench::data::{Shape, extent, queries, records};
use badrange_fs::ReverseMap;
use core::{hint::black_box, ops::ControlFlow};
use criterion::{Criterion, criterion_group, criterion_main};

fn points(c: &mut Criterion) {
    let set = records(Shape::Disjoint, 100_000, 1);
    let asked = queries(&set, 1, 1024, 2);
    let map: ReverseMap = set.into_iter().collect();
    c.bench_function("index/point", |b| {
        b.iter(|| {
            for start in &asked {
                let _ = map.owners(extent(start / 4096, 1), &mut |owned| {
                    black_box(owned);
                    ControlFlow::Continue(())
                });
            }
        });
    });
}

criterion_group!(benches, points);
criterion_main!(benches);
