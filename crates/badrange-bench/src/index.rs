//! The reverse map beside other interval maps and the machine's own limits.

use badrange_core::DevOffset;
use badrange_fs::{LiveMap, OwnedRun, Record, ReverseMap};

mod limits;
mod memory;
mod plots;
mod rivals;
mod table;
mod updates;
mod work;

pub use memory::child;

use crate::{
    Options, Page, Pair, data,
    data::Shape,
    index::{
        limits::Chase,
        rivals::{Contender, Sum},
        table::Table,
        work::Work,
    },
    measure::{LIMIT_SECONDS, timed},
    say,
};

/// Measures the reverse map.
///
/// # Errors
/// An answer that differs from ours.
pub fn run(options: &Options, page: &mut Page) -> Result<(), String> {
    let mut table = Table::default();
    for &n in &options.sizes {
        for shape in Shape::ALL {
            measure(options, shape, n, &mut table)?;
        }
    }
    memory::measure(options, &mut table)?;
    page.section("index", table.markdown());
    plots::draw(&table, page)
}

/// One set: ours stays, rivals come and go.
struct Bench<'a> {
    options: &'a Options,
    shape: Shape,
    n: usize,
    records: Vec<Record>,
    work: Work,
    ours: ReverseMap,
    table: &'a mut Table,
}

fn measure(options: &Options, shape: Shape, n: usize, table: &mut Table) -> Result<(), String> {
    say(&format!("\n{} extents, {}", n, shape.name()));
    let records = data::records(shape, n, 1);
    let work = Work::new(&records, options.quick);
    let ours = ReverseMap::build(&records);
    let mut bench = Bench { options, shape, n, records, work, ours, table };
    bench.limits();
    bench.batches();
    bench.rival::<rivals::Ranges>()?;
    bench.rival::<rivals::SharedRanges>()?;
    bench.rival::<rivals::BTree>()?;
    bench.rival::<rivals::GrownBTree>()?;
    bench.rival::<rivals::LookBack>()?;
    bench.rival::<rivals::Coi>()?;
    bench.rival::<rivals::Super>()?;
    bench.rival::<rivals::Iset>()?;
    bench.rival::<rivals::Nodit>()?;
    bench.rival::<rivals::Centered>()?;
    bench.rival::<rivals::Lapped>()
}

impl Bench<'_> {
    fn note(&mut self, rival: &str, what: &'static str, count: usize, pair: &Pair) {
        self.table.note(self.shape, self.n, rival, what, count, pair);
    }

    fn pair(&self, ours: impl FnMut(), rival: impl FnMut()) -> Pair {
        Pair::measure(self.options.rounds, ours, rival)
    }

    /// Ours beside the machine: how much slower we are than nothing but the loads.
    fn limits(&mut self) {
        let (work, ours, points) = (&self.work, &self.ours, self.work.points.len());
        let chase = Chase::new(ours.memory());
        let pair =
            self.pair(|| drop_sum(work.dependent(ours)), || assert!(chase.walk(points) < u64::MAX));
        self.note("two dependent misses", "dependent point", points, &pair);
        if self.shape == Shape::Disjoint {
            let (work, ours, ranges) = (&self.work, &self.ours, self.work.ranges.len());
            let scan = rivals::Scan::build(&self.records);
            let pair = self.pair(|| drop_sum(work.ranges(ours)), || drop_sum(work.ranges(&scan)));
            self.note("plain scan", "1 GiB", ranges, &pair);
        }
    }

    /// Ours one at a time beside ours in batches, and in the small form.
    fn batches(&mut self) {
        let (work, ours, points) = (&self.work, &self.ours, self.work.points.len());
        let mut ascending: Vec<DevOffset> =
            work.points.iter().copied().map(DevOffset::new).collect();
        ascending.sort_unstable();
        let batch = self.pair(|| drop_sum(work.batch(ours)), || drop_sum(work.points(ours)));
        let sorted = self
            .pair(|| drop_sum(work::batch_of(ours, &ascending)), || drop_sum(work.points(ours)));
        let packed = ours.packed();
        let small = self.pair(|| drop_sum(work.points(ours)), || drop_sum(work.points(&packed)));
        let long = self.pair(|| drop_sum(work.ranges(ours)), || drop_sum(work.ranges(&packed)));
        self.note("badrange, one at a time", "batch of points", points, &batch);
        self.note("badrange, one at a time", "sorted batch", points, &sorted);
        self.note("badrange, packed", "point", points, &small);
        self.note("badrange, packed", "1 GiB", self.work.ranges.len(), &long);
    }

    fn rival<C: Contender>(&mut self) -> Result<(), String> {
        if !rivals::holds::<C>(self.shape) {
            return Ok(());
        }
        let build = self.build_pair::<C>();
        self.note(C::NAME, "bulk build", self.records.len(), &build);
        let mut rival = C::build(&self.records);
        if !self.queries(&rival)? {
            return Ok(());
        }
        if C::CHANGES && self.shape == Shape::Disjoint {
            self.changes(&mut rival);
        }
        Ok(())
    }

    /// Rivals that take their time are built once.
    fn build_pair<C: Contender>(&self) -> Pair {
        let mut pair = Pair::default();
        for _ in 0..self.options.rounds.min(3) {
            let (ours, _) = timed(|| drop(ReverseMap::build(&self.records)));
            let (rival, _) = timed(|| drop(C::build(&self.records)));
            pair.rounds.push((ours, rival));
            if rival > LIMIT_SECONDS / 4.0 {
                break;
            }
        }
        pair
    }

    /// `false` when the rival is too slow to go on with.
    fn queries<C: Contender>(&mut self, rival: &C) -> Result<bool, String> {
        let (work, ours, points) = (&self.work, &self.ours, self.work.points.len());
        let (seconds, ()) = timed(|| {
            for asked in work.sample().take(20) {
                rival.visit(asked, &mut Sum::default());
            }
        });
        if seconds * points as f64 / 20.0 > LIMIT_SECONDS {
            let pair = Pair { rounds: vec![(f64::NAN, seconds * points as f64 / 20.0)] };
            self.note(C::NAME, "point", points, &pair);
            return Ok(false);
        }
        for asked in work.sample() {
            let (mut mine, mut theirs) = (Sum::default(), Sum::default());
            ours.visit(asked.clone(), &mut mine);
            rival.visit(asked.clone(), &mut theirs);
            if mine != theirs {
                return Err(format!(
                    "{} differs over {asked:?}: {theirs:?}, not {mine:?}",
                    C::NAME
                ));
            }
        }
        let each = self.pair(|| drop_sum(work.points(ours)), || drop_sum(work.points(rival)));
        let next = self.pair(|| drop_sum(work.dependent(ours)), || drop_sum(work.dependent(rival)));
        let batch = self.pair(|| drop_sum(work.batch(ours)), || drop_sum(work.points(rival)));
        let long = self.pair(|| drop_sum(work.ranges(ours)), || drop_sum(work.ranges(rival)));
        let ranges = work.ranges.len();
        let legs = if self.options.quick { 1 } else { 20 };
        let leg = self
            .pair(|| drop_sum(work.legs(ours, legs)), || drop_sum(work.legs_by_chunk(rival, legs)));
        self.note(C::NAME, "point", points, &each);
        self.note(C::NAME, "dependent point", points, &next);
        self.note(C::NAME, "batch of points", points, &batch);
        self.note(C::NAME, "1 GiB", ranges, &long);
        self.note(C::NAME, "1 GiB of a leg", legs, &leg);
        Ok(true)
    }

    fn changes<C: Contender>(&mut self, rival: &mut C) {
        let count = if self.options.quick { 1_000 } else { 100_000 };
        let victims = updates::victims(&self.records, count);
        let mut live = LiveMap::from(ReverseMap::build(&self.records));
        let swap = Pair::measure(
            self.options.rounds,
            || updates::churn_live(&mut live, &victims),
            || updates::churn(rival, &victims),
        );
        let cut = Pair::measure(
            self.options.rounds,
            || updates::cut_live(&mut live, &victims),
            || updates::cut(rival, &victims),
        );
        self.note(C::NAME, "remove and insert", count, &swap);
        self.note(C::NAME, "split and merge", count, &cut);
        let (work, live) = (&self.work, live.snapshot());
        let point = self.pair(|| drop_sum(work.points(&live)), || drop_sum(work.points(rival)));
        let long = self.pair(|| drop_sum(work.ranges(&live)), || drop_sum(work.ranges(rival)));
        self.note(C::NAME, "point, after changes", work.points.len(), &point);
        self.note(C::NAME, "1 GiB, after changes", self.work.ranges.len(), &long);
    }
}

impl Sum {
    #[inline]
    fn run(&mut self, owned: &OwnedRun) {
        let word = rivals::word_of(&owned.record);
        let bytes = owned.device.total_len();
        self.bytes = self.bytes.wrapping_add(bytes);
        self.mixed = self.mixed.wrapping_add(bytes.wrapping_mul(word));
    }
}

fn drop_sum(_: Sum) {}
