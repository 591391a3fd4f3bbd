//! Pages into ranges, for watching one change at a time.

#![expect(missing_docs, reason = "criterion's macro writes a function without")]

use badrange_bench::engine::{
    coalescer::coalesced,
    storm::{Order, Storm},
};
use badrange_core::MfFlags;
use badrange_stack::Coalescer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn storms(c: &mut Criterion) {
    let mut group = c.benchmark_group("coalesce");
    for order in Order::ALL {
        let pages = Storm::of(100_000).pages(order);
        let mut coalescer = Coalescer::with_bound(order.bound(&pages), MfFlags::NONE);
        group.throughput(Throughput::Elements(pages.len() as u64));
        group.bench_function(order.name(), |b| b.iter(|| coalesced(&mut coalescer, &pages)));
    }
    group.finish();
}

criterion_group!(benches, storms);
criterion_main!(benches);
