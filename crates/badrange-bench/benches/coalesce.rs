//! Pages into ranges, for watching one change at a time.

#![expect(missing_docs, reason = "criterion's macro writes a function without")]

use badrange_bench::engine::{
    coalescer::{coalesced, coalescer},
    storm::{Order, Storm},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn storms(c: &mut Criterion) {
    let mut group = c.benchmark_group("coalesce");
    for order in Order::ALL {
        let pages = Storm::of(100_000).pages(order);
        let mut coalescer = coalescer(order, &pages);
        group.throughput(Throughput::Elements(pages.len() as u64));
        group.bench_function(order.name(), |b| b.iter(|| coalesced(&mut coalescer, &pages)));
    }
    group.finish();
}

criterion_group!(benches, storms);
criterion_main!(benches);
