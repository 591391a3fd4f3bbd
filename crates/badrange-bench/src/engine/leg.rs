//! One leg of a striped device: what its length costs.

use core::{hint::black_box, ops::ControlFlow};
use std::sync::Arc;

use badrange_core::{Corruption, DevOffset, Extent, HolderFn, Leg, Mapping, Outcome, Run};
use badrange_fs::ReverseMap;
use badrange_stack::Stack;

use super::{
    Rows, Target,
    world::{CHUNK, Design, LEGS, PAGE, World, files, striped},
};
use crate::{Options, Pair};

const TIB: u64 = 1 << 40;

/// A holder that handles everything and looks at nothing.
fn deaf(what: &Corruption<'_>) -> Outcome {
    let _ = black_box(what.range());
    Outcome::Handled
}

fn extent(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).expect("far from 2^64")
}

/// Measures a leg.
///
/// # Errors
/// A world that cannot be built.
pub fn run(options: &Options, rows: &mut Rows) -> Result<(), String> {
    translation(options, rows)?;
    events(options, rows)?;
    owners(options, rows)
}

fn translation(options: &Options, rows: &mut Rows) -> Result<(), String> {
    let table = striped(TIB)?;
    let times = if options.quick { 100 } else { 200_000 };
    let translate = |len| {
        let lower = Run::from(extent(0, len));
        move |table: &dyn Mapping| {
            for _ in 0..times {
                let _ = table.rmap(Leg::new(1), black_box(lower), &mut |above| {
                    let _ = black_box(above);
                    ControlFlow::Continue(())
                });
            }
        }
    };
    let (long, page) = (translate(TIB), translate(PAGE));
    let pair = Pair::measure(options.rounds, || long(&table), || page(&table));
    rows.pair("striped leg of 1 TiB, translated; one page", &pair, times, Target::Within(3.0));
    Ok(())
}

/// A whole event through two layers to a holder that handles it.
fn events(options: &Options, rows: &mut Rows) -> Result<(), String> {
    let world = World::new(TIB, Arc::new(ReverseMap::default()), Design::Runs)?;
    let stack: &Stack = &world.stack;
    let all = stack.device_extent(world.striped).ok_or("no striped device")?;
    let deaf = Arc::new(HolderFn(deaf));
    let _deaf = stack.register(world.striped, all, deaf).map_err(|e| e.to_string())?;
    let times = if options.quick { 100 } else { 100_000 };
    let fail = |len| {
        for _ in 0..times {
            let _ = black_box(world.fail(0, len));
        }
    };
    let pair = Pair::measure(options.rounds, || fail(TIB), || fail(PAGE));
    let what = "the whole event for 1 TiB of a leg, owners not looked up; for one page";
    rows.pair(what, &pair, times, Target::Within(3.0));
    Ok(())
}

/// 1 TiB of a leg to its owners, against one sweep of the index over the same span.
fn owners(options: &Options, rows: &mut Rows) -> Result<(), String> {
    let (leg, extents) = if options.quick { (TIB / 64, 10_000) } else { (TIB, 1_000_000) };
    let map: Arc<ReverseMap> = Arc::new(files(LEGS * leg, extents, 3).into_iter().collect());
    let count = map.len();
    let world = World::new(leg, map, Design::Runs)?;
    let report = world.fail(0, leg);
    let (calls, told) = world.told.take();
    if report.handled_bytes() != leg {
        return Err(format!("{} of {leg} bytes handled", report.handled_bytes()));
    }
    let span = extent(0, LEGS * leg);
    let sweep = || {
        let mut bytes = 0_u64;
        let _ = world.map.owners(span, &mut |owned| {
            bytes = bytes.wrapping_add(owned.device.len());
            ControlFlow::Continue(())
        });
        let _ = black_box(bytes);
    };
    let fail = || drop(black_box(world.fail(0, leg)));
    let pair = Pair::measure(options.rounds, fail, sweep);
    let what = format!(
        "a leg of {} GiB to its owners ({count} extents, {} call of the filesystem instead of {}, \
         {calls} of owners, {told} bytes); one sweep of the index",
        leg >> 30,
        report.counts().notified,
        leg / CHUNK,
    );
    rows.pair(&what, &pair, count, Target::Within(3.0));
    let strided =
        Run::new(extent(0, CHUNK), LEGS * CHUNK, leg / CHUNK).map_err(|e| e.to_string())?;
    let by_run = || {
        let mut bytes = 0_u64;
        let _ = world.map.owners_of_run(&strided, &mut |owned| {
            bytes = bytes.wrapping_add(owned.device.total_len());
            ControlFlow::Continue(())
        });
        let _ = black_box(bytes);
    };
    let pair = Pair::measure(options.rounds, fail, by_run);
    rows.pair("the same; the index asked for the run, nobody told", &pair, count, Target::None);
    Ok(())
}
