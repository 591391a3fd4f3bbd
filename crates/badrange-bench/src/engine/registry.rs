//! The registry: looking up who is registered and calling them, against a slice that nobody
//! changes; registering; and readers beside a writer that never rests.

use core::{
    hint::black_box,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    thread,
    time::Instant,
};

use badrange_core::{Corruption, DevOffset, DeviceId, Extent, Holder, MfFlags, Outcome};
use badrange_stack::{At, Registration, Stack};

use super::{
    Rows, Target,
    world::{PAGE, add_memory},
};
use crate::{Options, Pair, Ratio};

/// Bytes of one holder.
const RANGE: u64 = 1 << 20;

/// A holder that notes what it was told.
#[derive(Debug, Default)]
struct Sum(AtomicU64);

impl Holder for Sum {
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        let start = what.range().first().start().get();
        self.0.store(self.0.load(Relaxed).wrapping_add(start), Relaxed);
        Outcome::Handled
    }
}

fn extent(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).expect("far from 2^64")
}

/// A holder's range, and the holder.
type Entry = (Extent, Arc<dyn Holder>);

/// The same holders in a stack, in a slice, and in what one would take without thinking.
struct Registries {
    stack: Stack,
    memory: DeviceId,
    _registrations: Vec<Registration>,
    slice: Vec<Entry>,
    locked: Arc<RwLock<BTreeMap<u64, Entry>>>,
    sums: Vec<Arc<Sum>>,
    pages: Vec<Extent>,
}

impl Registries {
    fn new(count: u64, queries: usize) -> Result<Self, String> {
        let stack = Stack::new();
        let memory = add_memory(&stack)?;
        let sums: Vec<_> = (0..count).map(|_| Arc::new(Sum::default())).collect();
        let mut slice: Vec<Entry> = Vec::new();
        for (i, sum) in (0..count).zip(&sums) {
            slice.push((extent(i * RANGE, RANGE), Arc::<Sum>::clone(sum)));
        }
        let mut registrations = Vec::new();
        for (range, holder) in &slice {
            let registration = stack.register(memory, *range, holder.clone());
            registrations.push(registration.map_err(|e| e.to_string())?);
        }
        let locked = slice.iter().map(|entry| (entry.0.start().get(), entry.clone())).collect();
        let mut rng = fastrand::Rng::with_seed(count);
        let page = |_| extent(rng.u64(0..count * RANGE / PAGE) * PAGE, PAGE);
        let pages = (0..queries).map(page).collect();
        let locked = Arc::new(RwLock::new(locked));
        Ok(Self { stack, memory, _registrations: registrations, slice, locked, sums, pages })
    }

    /// A lookup: whoever is registered at this moment is called.
    fn visit(&self, page: Extent) {
        let _ = self.stack.snapshot().up(self.memory, page.into(), &mut |visit| {
            if let At::Registered { holder, .. } = visit.at() {
                call(holder, visit.here().first());
            }
            ControlFlow::Continue(())
        });
    }

    /// A whole event.
    fn fail(&self, page: Extent) {
        let _ = black_box(self.stack.fail(self.memory, page, MfFlags::NONE));
    }

    fn total(&self) -> u64 {
        self.sums.iter().fold(0, |total, sum| total.wrapping_add(sum.0.swap(0, Relaxed)))
    }
}

/// The call that all of them make.
fn call(holder: &dyn Holder, part: Extent) {
    let what = Corruption::new(part.into(), MfFlags::NONE, &());
    let _ = black_box(holder.corrupted_range(&what));
}

fn slice(entries: &[Entry], page: Extent) {
    let first = entries.partition_point(|(range, _)| range.end() <= page.start());
    let rest = entries.get(first..).unwrap_or_default();
    for (range, holder) in rest.iter().take_while(|(range, _)| range.start() < page.end()) {
        if let Some(part) = range.intersect(page) {
            call(&**holder, part);
        }
    }
}

fn locked(map: &RwLock<BTreeMap<u64, Entry>>, page: Extent) {
    let Ok(map) = map.read() else { return };
    let before = map.range(..page.end().get()).rev();
    for (_, (range, holder)) in before.take_while(|(_, (range, _))| range.end() > page.start()) {
        if let Some(part) = range.intersect(page) {
            call(&**holder, part);
        }
    }
}

/// Measures the registry.
///
/// # Errors
/// Holders that were not told the same.
pub fn run(options: &Options, rows: &mut Rows) -> Result<(), String> {
    let queries = if options.quick { 1000 } else { 200_000 };
    for (count, most) in [(4, 1.8), (64, 1.3), (4096, 1.3)] {
        let all = Registries::new(count, queries)?;
        check(&all)?;
        let Registries { slice: entries, locked: map, pages, .. } = &all;
        let by_slice = || pages.iter().for_each(|page| slice(entries, *page));
        let by_visit = || pages.iter().for_each(|page| all.visit(*page));
        let pair = Pair::measure(options.rounds, by_visit, by_slice);
        let what =
            format!("registry, {count} holders: lookup + notify; a slice without synchronisation");
        rows.pair(&what, &pair, queries, Target::Within(most));
        let by_event = || pages.iter().for_each(|page| all.fail(*page));
        let pair = Pair::measure(options.rounds, by_event, by_slice);
        let what = format!("{count} holders: a whole event with its report; the slice");
        rows.pair(&what, &pair, queries, Target::None);
        let by_lock = || pages.iter().for_each(|page| locked(map, *page));
        let pair = Pair::measure(options.rounds, by_visit, by_lock);
        let what = format!("registry, {count} holders: lookup + notify; RwLock of a BTreeMap");
        rows.pair(&what, &pair, queries, Target::None);
        beside_a_writer(options, &all, count, rows)?;
    }
    registering(options, rows)
}

fn check(all: &Registries) -> Result<(), String> {
    let pages = &all.pages;
    pages.iter().for_each(|page| slice(&all.slice, *page));
    let expected = all.total();
    pages.iter().for_each(|page| locked(&all.locked, *page));
    let by_lock = all.total();
    pages.iter().for_each(|page| all.visit(*page));
    let by_visit = all.total();
    pages.iter().for_each(|page| all.fail(*page));
    let by_event = all.total();
    if [by_lock, by_visit, by_event] == [expected; 3] {
        return Ok(());
    }
    Err("registries told their holders different things".to_owned())
}

/// How long a lookup is watched beside a writer: over many turns of both threads, also where they
/// share processors with others.
const WATCHED: Duration = Duration::from_millis(400);

/// Latencies of single lookups, sorted, while another thread edits without end.
fn latencies(pages: &[Extent], edit: impl Fn() + Sync, mut look: impl FnMut(Extent)) -> Vec<u64> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                edit();
            }
        });
        let (begun, mut all) = (Instant::now(), Vec::with_capacity(1 << 22));
        for page in pages.iter().cycle() {
            let before = Instant::now();
            look(*page);
            let after = Instant::now();
            all.push(u64::try_from((after - before).as_nanos()).unwrap_or(u64::MAX));
            if after - begun > WATCHED {
                break;
            }
        }
        done.store(true, Relaxed);
        all.sort_unstable();
        all
    })
}

/// The lookup that one in a thousand is slower than.
fn slowest_permille(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len().saturating_sub(sorted.len() / 1000 + 1)).copied().unwrap_or(0)
}

fn beside_a_writer(
    options: &Options,
    all: &Registries,
    count: u64,
    rows: &mut Rows,
) -> Result<(), String> {
    let guest: Arc<dyn Holder> = Arc::new(Sum::default());
    let beyond = extent(count * RANGE, RANGE);
    let (stack, memory) = (&all.stack, all.memory);
    stack
        .register(memory, beyond, guest.clone())
        .map_err(|e| e.to_string())?
        .detach()
        .wait()
        .map_err(|e| e.to_string())?;
    let register = || {
        if let Ok(registration) = stack.register(memory, beyond, guest.clone()) {
            let _ = registration.unregister();
        }
    };
    let insert = || {
        let key = beyond.start().get();
        if let Ok(mut map) = all.locked.write() {
            map.insert(key, (beyond, guest.clone()));
        }
        if let Ok(mut map) = all.locked.write() {
            map.remove(&key);
        }
    };
    let mut pairs = Vec::new();
    for _ in 0..options.rounds {
        let ours = latencies(&all.pages, register, |page| all.visit(page));
        let rival = latencies(&all.pages, insert, |page| locked(&all.locked, page));
        pairs.push((slowest_permille(&ours), slowest_permille(&rival)));
    }
    let middle = |of: fn(&(u64, u64)) -> u64| {
        let median = Ratio::of(pairs.iter().map(|pair| of(pair) as f64).collect()).median;
        format!("{median:.0} ns")
    };
    let ratio = Ratio::of(pairs.iter().map(|(ours, rival)| *rival as f64 / *ours as f64).collect());
    let what = format!(
        "{count} holders, beside a writer that never rests: p99.9 of a lookup; RwLock of a BTreeMap"
    );
    rows.line(&what, [middle(|p| p.0), middle(|p| p.1)], ratio, Target::Faster(10.0));
    Ok(())
}

/// Registering one more holder beside 4096.
fn registering(options: &Options, rows: &mut Rows) -> Result<(), String> {
    for count in [4, 64, 4096] {
        let all = Registries::new(count, 1)?;
        let holder: Arc<dyn Holder> = Arc::new(Sum::default());
        let times = if options.quick { 10 } else { 256 };
        // At places all over, between those that are there.
        let places: Vec<Extent> =
            (0..times).map(|i| extent(i * (count * RANGE / times) + 1, PAGE)).collect();
        let mut pair = Pair::default();
        for _ in 0..options.rounds.max(5) {
            let registered = crate::measure::timed(|| {
                let register =
                    |place: &Extent| all.stack.register(all.memory, *place, holder.clone());
                places.iter().filter_map(|place| register(place).ok()).collect::<Vec<_>>()
            });
            let inserted = crate::measure::timed(|| {
                for place in &places {
                    if let Ok(mut map) = all.locked.write() {
                        map.insert(place.start().get(), (*place, holder.clone()));
                    }
                }
            });
            if let Ok(mut map) = all.locked.write() {
                places.iter().for_each(|place| drop(map.remove(&place.start().get())));
            }
            pair.rounds.push((registered.0, inserted.0));
        }
        let target = if count == 4096 { Target::Within(5.0) } else { Target::None };
        let what =
            format!("registering beside {count} holders; inserting into a BTreeMap under a lock");
        let inverse = Ratio::of(pair.rounds.iter().map(|(ours, rival)| ours / rival).collect());
        let nanos =
            |seconds| format!("{:.0} ns", crate::measure::nanos_each(seconds, places.len()));
        rows.line(&what, [nanos(pair.ours()), nanos(pair.rival())], inverse, target);
    }
    Ok(())
}
