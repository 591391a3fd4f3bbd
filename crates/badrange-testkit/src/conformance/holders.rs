use core::cell::{Cell, RefCell};

use badrange_core::{
    Context, Corruption, Cover, Extent, Holder, Hop, MfFlags, Outcome, Piece, ReportOffset, Run,
    Space,
};

use super::{
    Case, Config, Law, Violation,
    case::{Names, RawRun},
    faults::{Checked, demand, guarded},
    ranges::{Rng, is_run, ranges, runs},
    shrink::shrink,
};

const FLAGS: [MfFlags; 8] = [
    MfFlags::COUNT_INCREASED,
    MfFlags::ACTION_REQUIRED,
    MfFlags::MUST_KILL,
    MfFlags::SOFT_OFFLINE,
    MfFlags::UNPOISON,
    MfFlags::SW_SIMULATED,
    MfFlags::NO_RETRY,
    MfFlags::MEM_PRE_REMOVE,
];

/// Checks a holder that registers on `on`, by telling it things and watching what it says.
///
/// It is called for extents and runs inside `on`, with no flag, each flag and all flags, each time
/// twice; and while it settles bytes it is called again from inside, as an engine may: it is told
/// of a further failure by the thread that is already in it. A holder that keeps a lock of its own
/// while it settles hangs here, instead of later. With [`Config::repeatable`] its answers are
/// compared too: again, and element by element.
///
/// The holder is really called: give it one whose effects do no harm.
///
/// # Errors
/// The first [`Violation`] found, made small.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent, Outcome};
/// use badrange_testkit::{conformance::{self, Config}, fake::{Panics, Recorder}};
/// let on = Extent::new(DevOffset::new(4096), 4096)?;
/// let recorder = Recorder::new(Outcome::Handled).settling(on.into(), Outcome::NotSupported);
/// conformance::holder(&recorder, on, &Config::default().with_repeatable(true))?;
/// let faulty = Panics::new(recorder, 20);
/// assert!(conformance::holder(&faulty, on, &Config::default()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn holder<S: Space>(
    holder: &dyn Holder<S>,
    on: Extent<S>,
    config: &Config,
) -> Result<(), Violation> {
    let tester = Tester { holder, config };
    for case in cases(on, config) {
        tester.check(case).map_err(|fault| {
            let (case, fault) =
                shrink(case, fault, config.shrink_steps, &|case| tester.check(case));
            Violation::new(fault.law, fault.detail, case, Names::of::<S, S>())
        })?;
    }
    Ok(())
}

/// Everything to tell a holder: whatever lies in its range, under all circumstances.
fn cases<S: Space>(on: Extent<S>, config: &Config) -> Vec<Case> {
    let (start, end) = (on.start().to_raw(), on.end().to_raw());
    let middle = start.saturating_add(on.len() / 2);
    let mut rng = Rng::new(config.seed);
    let edges = [start, middle, end];
    let extents = ranges(&edges, (start, end), config, &mut rng);
    let extents = extents.into_iter().map(|(start, len)| RawRun::extent(start, len));
    let inside = |run: &RawRun| {
        is_run(run) && run.start >= start && span_end(run).is_some_and(|last| last <= end)
    };
    let all: Vec<_> = extents.chain(runs(&edges, config, &mut rng)).filter(inside).collect();
    let every = FLAGS.into_iter().fold(MfFlags::NONE, MfFlags::with);
    let flags = [MfFlags::NONE, every].into_iter().chain(FLAGS);
    flags.flat_map(|flags| all.iter().map(move |run| Case::Notify { run: *run, flags })).collect()
}

fn span_end(run: &RawRun) -> Option<u64> {
    let last = run.stride.checked_mul(run.count.checked_sub(1)?)?;
    run.start.checked_add(last)?.checked_add(run.len)
}

/// What becomes of the bytes of a call: disjoint extents, ascending, as few as there can be.
type Verdict = Vec<(Extent<ReportOffset>, Option<Outcome>)>;

struct Tester<'h, S: Space> {
    holder: &'h dyn Holder<S>,
    config: &'h Config,
}

impl<S: Space> Tester<'_, S> {
    fn check(&self, case: Case) -> Checked {
        let Case::Notify { run: raw, flags } = case else { return Ok(()) };
        let Some(piece) = piece(raw) else { return Ok(()) };
        let first = self.ask(&piece, flags)?;
        let second = self.ask(&piece, flags)?;
        if !self.config.repeatable {
            return Ok(());
        }
        let asked = piece.here();
        demand(Law::Repeats, first == second, || {
            format!("told of {asked} twice: first {first:?}, then {second:?}")
        })?;
        if asked.count() > self.config.elements {
            return Ok(());
        }
        let mut said = Cover::new();
        for (here, origin) in piece.elements() {
            let Ok(one) = Piece::new(here.into(), origin.into()) else { continue };
            for (part, outcome) in self.ask(&one, flags)? {
                outcome.into_iter().for_each(|outcome| said.add(part.into(), outcome));
            }
        }
        let by_element = self.verdict(&said, &piece);
        demand(Law::Repeats, first == by_element, || {
            format!("told of {asked}: {first:?}; of its elements: {by_element:?}")
        })
    }

    /// Tells the holder, and from inside tells it again.
    fn ask(&self, piece: &Piece<S>, flags: MfFlags) -> Checked<Verdict> {
        let inside = || {
            let _answer = self.holder.corrupted_range(&Corruption::new(*piece, flags, &()));
        };
        let call = Call { settled: RefCell::default(), again: Cell::new(true), inside: &inside };
        let what = Corruption::new(*piece, flags, &call);
        let answer = guarded(Law::Survives, || self.holder.corrupted_range(&what))?;
        let mut decided = Cover::new();
        let mut said = Cover::new();
        for (run, outcome) in call.settled.borrow().iter() {
            decided.add(*run, ());
            said.add(*run, *outcome);
        }
        for (rest, _) in decided.resolve(piece.origin().span()).iter().filter(|(_, d)| d.is_none())
        {
            said.add(*rest, answer);
        }
        Ok(self.verdict(&said, piece))
    }

    /// Where a strided answer has more elements than the kit looks at, the rest is left out.
    fn verdict(&self, said: &Cover<ReportOffset, Outcome>, piece: &Piece<S>) -> Verdict {
        let runs = said.resolve(piece.origin().span());
        let limit = self.config.parts;
        let elements = runs.iter().flat_map(|(run, v)| run.elements().take(limit).map(|e| (e, *v)));
        let mut all: Vec<_> = elements.collect();
        all.sort_unstable_by_key(|(e, _)| *e);
        let mut merged: Verdict = Vec::new();
        for (extent, said) in all {
            match merged.last_mut() {
                Some((last, v)) if *v == said && last.end() == extent.start() => {
                    *last = last.hull(extent);
                }
                _ => merged.push((extent, said)),
            }
        }
        merged
    }
}

/// The run as a piece whose bytes of the report follow one another.
fn piece<S: Space>(raw: RawRun) -> Option<Piece<S>> {
    let here = Extent::new(S::from_raw(raw.start), raw.len).ok()?;
    let here = Run::new(here, raw.stride, raw.count).ok()?;
    let origin = Extent::new(ReportOffset::new(0), raw.len).ok()?;
    Piece::new(here, Run::new(origin, raw.len, raw.count).ok()?).ok()
}

/// One call: collects what is settled, and at the first time calls in again.
struct Call<'c> {
    settled: RefCell<Vec<(Run<ReportOffset>, Outcome)>>,
    again: Cell<bool>,
    inside: &'c dyn Fn(),
}

impl Call<'_> {
    fn enter(&self) {
        if self.again.replace(false) {
            (self.inside)();
        }
    }
}

impl Context for Call<'_> {
    fn settle(&self, origin: Run<ReportOffset>, outcome: Outcome) {
        self.settled.borrow_mut().push((origin, outcome));
        self.enter();
    }

    fn trail(&self, _: Run<ReportOffset>, _: &mut dyn FnMut(Hop)) {
        self.enter();
    }
}
