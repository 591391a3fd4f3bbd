use core::cell::{Cell, RefCell};
use std::sync::Arc;

use badrange_core::{Context, Corruption, Cover, Extent, Holder, Hop, MfFlags, Outcome, Run};

use super::{
    Case, Config, Law, Violation,
    case::RawRun,
    faults::{Checked, Fault, demand, guarded},
    ranges::{Rng, ranges, runs},
    shrink::shrink,
    watchdog::{Progress, watched},
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

/// Checks a holder that registers on `on`, by notifying it and watching what it says.
///
/// It is called for extents and runs inside `on`, with no flag, each flag and all flags, each time
/// twice; and while it settles bytes it is called again from inside, as an engine may: it is notified
/// of a further failure by the thread that is already in it. Of the halves it is notified in one call
/// as well ([`Holder::corrupted_ranges`]). With [`Config::repeatable`] its answers
/// are compared too: again, element by element, and cut in pieces.
///
/// The calls are made on a thread of their own. A holder that keeps a lock of its own while it
/// settles never returns from such a call: that is [`Law::Returns`], after [`Config::timeout`]. The
/// thread and the holder are then left behind, and the case is not made smaller.
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
/// use std::sync::Arc;
/// let on = Extent::new(DevOffset::new(4096), 4096)?;
/// let recorder = Recorder::new(Outcome::Handled).settling(on.into(), Outcome::NotSupported);
/// let recorder = Arc::new(recorder);
/// conformance::holder(recorder.clone(), on, &Config::default().with_repeatable(true))?;
/// let faulty = Panics::new(recorder, 20);
/// assert!(conformance::holder(Arc::new(faulty), on, &Config::default()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn holder(holder: Arc<dyn Holder>, on: Extent, config: &Config) -> Result<(), Violation> {
    run(holder, config, move |config| cases(on, config))
}

/// Checks one case, and makes none smaller.
pub(super) fn check(case: Case, holder: Arc<dyn Holder>, config: &Config) -> Result<(), Violation> {
    run(holder, &Config { shrink_steps: 0, ..*config }, move |_| vec![case]).map_err(|found| {
        Violation::new(found.law(), found.detail().to_owned(), found.case(), *config)
    })
}

/// Checks cases on a thread that is watched.
fn run(
    holder: Arc<dyn Holder>,
    config: &Config,
    cases: impl FnOnce(&Config) -> Vec<Case> + Send + 'static,
) -> Result<(), Violation> {
    let config = *config;
    watched(&config, move |progress| {
        let tester = Tester { holder: &*holder, config: &config, progress };
        for case in cases(&config) {
            tester.check(case).map_err(|fault| {
                let again = |case| tester.check(case);
                let (case, fault) = shrink(case, fault, config.shrink_steps, &again);
                Violation::new(fault.law, fault.detail, case, config)
            })?;
        }
        Ok(())
    })
}

/// Everything to notify a holder of: whatever lies in its range, under all circumstances, the
/// smallest first.
fn cases(on: Extent, config: &Config) -> Vec<Case> {
    let (start, end) = (on.start().get(), on.end().get());
    let middle = start.saturating_add(on.len() / 2);
    let mut rng = Rng::new(config.seed);
    let edges = [start, middle, end];
    let extents = ranges(&edges, &[], (start, end), config, &mut rng);
    let extents = extents.into_iter().map(|(start, len)| RawRun::extent(start, len));
    let runs = runs(&edges, &[], config, &mut rng);
    let inside = |run: &RawRun| run.build().is_some_and(|run| on.contains_extent(run.span()));
    let all: Vec<_> = extents.chain(runs).filter(inside).collect();
    let every = FLAGS.into_iter().fold(MfFlags::NONE, MfFlags::with);
    let flags = [MfFlags::NONE, every].into_iter().chain(FLAGS);
    flags.flat_map(|flags| all.iter().map(move |run| Case::Notify { run: *run, flags })).collect()
}

/// What becomes of the bytes of a call: disjoint extents, ascending, as few as there can be.
type Verdict = Vec<(Extent, Outcome)>;

struct Tester<'h> {
    holder: &'h dyn Holder,
    config: &'h Config,
    progress: &'h Progress,
}

impl Tester<'_> {
    /// Cases that cannot be, as shrinking makes them, are in order.
    fn check(&self, case: Case) -> Checked {
        let Case::Notify { run: raw, flags } = case else { return Ok(()) };
        let Some(asked) = raw.build() else { return Ok(()) };
        self.progress.at(case);
        let first = self.ask(asked, flags)?;
        let second = self.ask(asked, flags)?;
        let cuts = cuts(asked, self.config.elements);
        let batch = cuts.first().map(|parts| self.ask_batch(asked, parts, flags)).transpose()?;
        if !self.config.repeatable {
            return Ok(());
        }
        demand(Law::Repeats, first == second, || {
            format!("notified of {asked} twice: first {first:?}, then {second:?}")
        })?;
        demand(Law::Repeats, batch.as_ref().is_none_or(|batch| *batch == first), || {
            format!("notified of {asked}: {first:?}; of {:?} in one call: {batch:?}", cuts.first())
        })?;
        cuts.into_iter().try_for_each(|parts| {
            let mut said = Cover::new();
            for part in &parts {
                for (part, outcome) in self.ask(*part, flags)? {
                    said.add(part.into(), outcome);
                }
            }
            let in_parts = self.verdict(&said, asked);
            if first == in_parts {
                return Ok(());
            }
            let detail = format!("notified of {asked}: {first:?}; of {parts:?}: {in_parts:?}");
            Err(Fault { law: Law::Repeats, detail })
        })
    }

    /// Notifies the holder, and from inside notifies it again.
    fn ask(&self, asked: Run, flags: MfFlags) -> Checked<Verdict> {
        let inside = || self.ask_inside(asked, flags);
        let call = Call { settled: RefCell::default(), again: Cell::new(true), inside: &inside };
        let what = Corruption::new(asked, flags, &call);
        self.progress.call();
        let answer = guarded(Law::Survives, || self.holder.corrupted_range(&what))?;
        let mut said = Cover::new();
        call.says(asked, answer, &mut said);
        Ok(self.verdict(&said, asked))
    }

    fn ask_inside(&self, asked: Run, flags: MfFlags) {
        self.progress.enter();
        let _answer = self.holder.corrupted_range(&Corruption::new(asked, flags, &()));
        self.progress.leave();
    }

    /// Notifies the holder of several ranges in one call, as of the parts of a run: it has to answer
    /// each.
    fn ask_batch(&self, asked: Run, parts: &[Run], flags: MfFlags) -> Checked<Verdict> {
        let inside = || self.ask_inside(asked, flags);
        let call =
            |_: &Run| Call { settled: RefCell::default(), again: Cell::new(true), inside: &inside };
        let calls: Vec<Call<'_>> = parts.iter().map(call).collect();
        let each = parts.iter().zip(&calls);
        let what: Vec<_> = each.map(|(part, call)| Corruption::new(*part, flags, call)).collect();
        let mut answers = Vec::new();
        self.progress.call();
        guarded(Law::Survives, || {
            self.holder.corrupted_ranges(&what, &mut |answer| answers.push(answer));
        })?;
        demand(Law::Answers, answers.len() == parts.len(), || {
            format!("notified of {parts:?} in one call it gives {} answers", answers.len())
        })?;
        let mut said = Cover::new();
        for ((part, call), answer) in parts.iter().zip(&calls).zip(answers) {
            call.says(*part, answer, &mut said);
        }
        Ok(self.verdict(&said, asked))
    }

    /// Where a strided answer has more elements than the kit looks at, the rest is left out.
    fn verdict(&self, said: &Cover<Outcome>, asked: Run) -> Verdict {
        let limit = self.config.parts;
        let mut all: Verdict = Vec::new();
        said.resolve(asked.span(), &mut |run, outcome| {
            let said = outcome.into_iter();
            all.extend(said.flat_map(|said| run.elements().take(limit).map(move |e| (e, said))));
        });
        all.sort_unstable_by_key(|(e, _)| *e);
        let mut merged: Verdict = Vec::new();
        for (extent, said) in all {
            let last = merged.last_mut().filter(|(_, before)| *before == said);
            match last.and_then(|(last, _)| Some((last.union(extent)?, last))) {
                Some((both, last)) => *last = both,
                None => merged.push((extent, said)),
            }
        }
        merged
    }
}

/// Ways to notify of the same bytes in pieces: both halves, and the first byte and the last one by
/// themselves; of a run its elements, and the halves of every element.
fn cuts(asked: Run, elements: u64) -> Vec<Vec<Run>> {
    let len = asked.element_len();
    let mut at = vec![len / 2, 1, len.saturating_sub(1)];
    at.retain(|by| 0 < *by && *by < len);
    at.dedup();
    let part = |skip: u64, keep: u64| {
        let start = asked.first().start().get().checked_add(skip)?;
        let len = keep.checked_sub(skip)?;
        RawRun { start, len, stride: asked.stride(), count: asked.count() }.build()
    };
    let halves =
        at.into_iter().map(|by| [part(0, by), part(by, len)].into_iter().flatten().collect());
    let whole = (1 < asked.count() && asked.count() <= elements)
        .then(|| asked.elements().map(Run::from).collect());
    halves.chain(whole).collect()
}

/// One call: collects what is settled, and at the first time calls in again.
struct Call<'c> {
    settled: RefCell<Vec<(Run, Outcome)>>,
    again: Cell<bool>,
    inside: &'c dyn Fn(),
}

impl Call<'_> {
    /// Adds what was settled, and the answer for every byte besides.
    fn says(&self, asked: Run, answer: Outcome, said: &mut Cover<Outcome>) {
        let mut decided = Cover::new();
        for (run, outcome) in self.settled.borrow().iter() {
            decided.add(*run, ());
            said.add(*run, *outcome);
        }
        let mut rest = Vec::new();
        decided.resolve(asked.span(), &mut |run, said| rest.extend(said.is_none().then_some(run)));
        rest.iter().for_each(|gap| gap.overlaps(&asked).for_each(|run| said.add(run, answer)));
    }

    fn enter(&self) {
        if self.again.replace(false) {
            (self.inside)();
        }
    }
}

impl Context for Call<'_> {
    fn settle(&self, part: Run, outcome: Outcome) {
        self.settled.borrow_mut().push((part, outcome));
        self.enter();
    }

    fn trail(&self, _: Run, _: &mut dyn FnMut(Hop)) {
        self.enter();
    }
}
