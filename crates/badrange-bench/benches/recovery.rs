//! What a reader pays for poison where there is none: a read of a ranged device against a plain copy
//! of the same bytes, and what it pays near a hole.
//!
//! Beside what criterion says, the fastest of many alternating batches is printed: on a machine that
//! has other work, that is the number to compare.

#![expect(missing_docs, reason = "criterion's macro writes a function without")]

use badrange_core::{DevOffset, Extent};
use badrange_pmem::{Memory, RangedPmem, Repair};
use core::{hint::black_box, time::Duration};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{
    io::{Write, stdout},
    time::Instant,
};

/// Memory that is only read, at the speed of the machine's copy.
struct Plain(Vec<u8>);

impl Plain {
    fn part(&self, at: DevOffset, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(at.get()).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

impl Memory for Plain {
    fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }
    fn granule(&self) -> u64 {
        256
    }
    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
        let Some(part) = self.part(at, buf.len()) else { return 0 };
        buf.copy_from_slice(part);
        buf.len()
    }
    fn copy_in(&self, _: DevOffset, _: &[u8]) {}
    fn clear_poison(&self, range: Extent) -> u64 {
        range.len()
    }
    fn write_and_clear(&self, _: DevOffset, data: &[u8]) -> u64 {
        u64::try_from(data.len()).unwrap_or(0)
    }
}

const SIZE: usize = 64 << 20;
/// Begins a zone of 2 MiB of the fast path.
const START: u64 = 16 << 20;

/// A device, with a hole of one granule at `hole`.
fn device(hole: Option<u64>) -> RangedPmem<Plain> {
    let pmem = RangedPmem::new(Plain(vec![1; SIZE]), Repair::WriteAndClear);
    if let Some(hole) = hole.and_then(|at| Extent::new(DevOffset::new(at), 1).ok()) {
        pmem.report(hole);
    }
    pmem
}

fn reads(c: &mut Criterion) {
    let (clean, far, near) = (device(None), device(Some(0)), device(Some(START + (1 << 20))));
    for (name, len) in [("4KiB", 4096_usize), ("2MiB", 2 << 20)] {
        let mut group = c.benchmark_group(format!("recovery/{name}"));
        group.throughput(Throughput::Bytes(u64::try_from(len).unwrap_or(0)));
        group.measurement_time(Duration::from_secs(5));
        let mut buf = vec![0; len];
        group.bench_function("plain copy", |b| {
            let memory = clean.memory();
            b.iter(|| {
                black_box(memory.copy_out(black_box(DevOffset::new(START)), black_box(&mut buf)))
            });
        });
        for (what, pmem) in
            [("no hole", &clean), ("hole elsewhere", &far), ("hole in the zone", &near)]
        {
            group.bench_function(what, |b| {
                let Ok(range) = Extent::new(DevOffset::new(START), u64::try_from(len).unwrap_or(0))
                else {
                    return;
                };
                b.iter(|| black_box(pmem.read(black_box(range), black_box(&mut buf))));
            });
        }
    }
}

/// The fastest of many batches, in nanoseconds per call.
fn fastest(batches: usize, calls: u32, measured: &mut [(&str, &mut dyn FnMut())]) {
    let mut best = vec![f64::INFINITY; measured.len()];
    for _ in 0..batches {
        for ((_, call), best) in measured.iter_mut().zip(&mut best) {
            let began = Instant::now();
            (0..calls).for_each(|_| call());
            *best = best.min(began.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
        }
    }
    for ((name, _), best) in measured.iter().zip(&best) {
        let _ = writeln!(stdout(), "fastest of {batches} batches: {name:<28} {best:>12.1} ns");
    }
}

fn floor(_: &mut Criterion) {
    let (clean, far) = (device(None), device(Some(0)));
    for (len, batches, calls) in [(4096_u64, 20_000, 50), (2 << 20, 3000, 1)] {
        let Ok(range) = Extent::new(DevOffset::new(START), len) else { return };
        let (mut a, mut b, mut c) = {
            let buf = || vec![0; usize::try_from(len).unwrap_or(0)];
            (buf(), buf(), buf())
        };
        let mut plain = || {
            black_box(clean.memory().copy_out(black_box(range.start()), black_box(&mut a)));
        };
        let mut none = || {
            let _ = black_box(clean.read(black_box(range), black_box(&mut b)));
        };
        let mut elsewhere = || {
            let _ = black_box(far.read(black_box(range), black_box(&mut c)));
        };
        let kib = len / 1024;
        let names =
            ["plain copy", "no hole", "hole elsewhere"].map(|name| format!("{kib} KiB, {name}"));
        let calls_of: [&mut dyn FnMut(); 3] = [&mut plain, &mut none, &mut elsewhere];
        let mut measured: Vec<_> = names.iter().map(String::as_str).zip(calls_of).collect();
        fastest(batches, calls, &mut measured);
    }
}

criterion_group!(benches, floor, reads);
criterion_main!(benches);
