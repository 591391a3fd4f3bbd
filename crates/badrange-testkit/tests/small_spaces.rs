//! Instead of proofs: everything there is, in spaces small enough to try it all.
//!
//! The stripes are those of up to 4 legs, chunks of up to 4 sectors and up to 24 sectors in all;
//! extents and runs are all of a few units, at the beginning and at the end of the 64-bit scale.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use badrange_block::dm::Table;
use badrange_core::{DevOffset, Window};
use badrange_testkit::{
    case::{DrawnAnswer, DrawnExtent, DrawnRun, Ranges, TestCase},
    conformance::{self, Config},
    twin::{DrawnPlace, DrawnTarget, Twin},
};

fn extents(space: u64) -> Vec<DrawnExtent> {
    let of = |start| (1..=space - start).map(move |len| DrawnExtent { start, len });
    (0..space).flat_map(of).collect()
}

/// Runs of up to 3 units, 3 units apart, 3 times, from any of 3 places.
fn runs() -> Vec<DrawnRun> {
    let mut all = Vec::new();
    for start in 0..3 {
        for len in 1..=3 {
            for gap in 0..=3 {
                for count in 1..=3 {
                    all.push(DrawnRun { start, len, gap, count });
                }
            }
        }
    }
    all
}

const ONE: DrawnRun = DrawnRun { start: 0, len: 1, gap: 0, count: 1 };

#[test]
fn every_pair_of_small_extents() {
    for at_the_end in [false, true] {
        for a in extents(7) {
            for b in extents(7) {
                let runs = (ONE, ONE);
                Ranges { at_the_end, extents: (a, b), runs, said: Vec::new() }.check();
            }
        }
    }
}

#[test]
fn every_pair_of_small_runs() {
    let all = runs();
    for (i, a) in (0..).zip(&all) {
        for (j, b) in (0..).zip(&all) {
            // Windows and ends of the scale take turns: each run meets each of them often.
            let window = DrawnExtent { start: (i + j) % 5, len: 1 + (i * 7 + j) % 9 };
            let said = vec![
                (*a, DrawnAnswer::Handled),
                (*b, DrawnAnswer::Eio),
                (ONE, DrawnAnswer::NotSupported),
            ];
            let at_the_end = (i + j) % 2 == 1;
            Ranges { at_the_end, extents: (window, window), runs: (*a, *b), said }.check();
        }
    }
}

/// Every stripe with its legs apart, and the second leg right behind the first on one device.
fn stripes() -> Vec<DrawnTarget> {
    let mut all = Vec::new();
    for count in 1..=4_u64 {
        for chunk in 1..=4_u64 {
            for rows in 1..=24 / (count * chunk) {
                let width = chunk * rows;
                let place = |i| match i {
                    1 => DrawnPlace { device: 0, start: 1 + width },
                    _ => DrawnPlace { device: i, start: 1 + i },
                };
                all.push(DrawnTarget::Striped {
                    chunk,
                    rows,
                    legs: (0..count).map(place).collect(),
                });
            }
        }
    }
    all
}

#[test]
fn every_range_of_every_small_stripe() {
    let all = stripes();
    assert_eq!(all.len(), 24 + 12 + 8 + 6 + 12 + 6 + 4 + 3 + 8 + 4 + 2 + 2 + 6 + 3 + 2 + 1);
    for target in all {
        let table = DrawnTarget::build_table(core::slice::from_ref(&target)).unwrap();
        let twin = target.twin();
        for asked in extents(twin.len() + 2) {
            twin.check_map(&table, 512, asked.start, asked.len);
        }
        for leg in 0..=twin.legs() {
            for asked in extents(2 * target.width() + 4) {
                twin.check_rmap(&table, 512, leg, (asked.start, asked.len));
            }
        }
    }
}

#[test]
fn every_run_over_some_small_stripes() {
    let odd = |target: &DrawnTarget| matches!(target, DrawnTarget::Striped { chunk: 2 | 3, .. });
    for target in stripes().iter().filter(|target| odd(target) && target.width() > 4) {
        let table = DrawnTarget::build_table(core::slice::from_ref(target)).unwrap();
        let twin = target.twin();
        for run in runs() {
            let quad = (run.start, run.len, run.len + run.gap, run.count);
            twin.check_rmap_run(&table, 512, 0, quad);
            twin.check_rmap_run(&table, 512, 1, quad);
        }
    }
}

#[test]
fn every_small_partition() {
    for on in extents(6) {
        let partition = Window::new(on.build::<DevOffset>(512).unwrap());
        let twin = Twin::partition(on.start, on.len);
        for asked in extents(9) {
            twin.check_map(&partition, 512, asked.start, asked.len);
            twin.check_rmap(&partition, 512, 0, (asked.start, asked.len));
        }
    }
}

/// The kit on every stripe: what holds for sectors holds for the bytes at their edges.
#[test]
fn every_small_stripe_keeps_the_laws() {
    let config = Config::default().with_random_ranges(8).with_edges(9);
    for target in stripes() {
        let text = DrawnTarget::table_text(core::slice::from_ref(&target));
        let table = Table::parse(&text).unwrap();
        assert_eq!(conformance::mapping(&table, &config), Ok(()), "{text}");
    }
}
