//! The records of a map by length: a few levels, so that long ones are not in the way of short.

use core::ops::ControlFlow;

use badrange_core::{Flow, Stop};
use smallvec::SmallVec;

use super::{
    cursor::Cursor,
    level::{Level, compare},
    raw::Raw,
};

pub(super) const LEVELS: usize = 4;

/// Lengths up to these, in bytes, are in the first levels: as much as one page of page-table entries
/// maps, as much as one page of those does, and as much as a short record of whole sectors can be.
const LENGTHS: [u64; LEVELS - 1] = [1 << 21, 1 << 30, 1 << 35];

/// Which level a record is in.
pub(super) fn level_of(raw: &Raw) -> usize {
    // NO-OVERFLOW: a record ends after it begins.
    let len = raw.end.wrapping_sub(raw.start);
    LENGTHS.iter().take_while(|most| len > **most).count()
}

/// One of as many things as there are levels, by the number of its level.
#[inline]
pub(super) fn of_level<T>(things: &[T; LEVELS], level: usize) -> &T {
    let [first, second, third, last] = things;
    match level {
        0 => first,
        1 => second,
        2 => third,
        _ => last,
    }
}

/// The same, to change.
#[inline]
pub(super) fn of_level_mut<T>(things: &mut [T; LEVELS], level: usize) -> &mut T {
    let [first, second, third, last] = things;
    match level {
        0 => first,
        1 => second,
        2 => third,
        _ => last,
    }
}

/// All records of a map. Copies share everything until one of them changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    levels: [Level; LEVELS],
    /// The level that holds everything, if one does.
    only: Option<usize>,
    /// The level that has most.
    main: usize,
}

impl Tree {
    pub(super) fn levels_mut(&mut self) -> &mut [Level; LEVELS] {
        &mut self.levels
    }

    pub(super) fn len(&self) -> usize {
        self.levels.iter().map(Level::len).fold(0, usize::saturating_add)
    }

    /// Adds a record; `false` if there is an equal one.
    pub(super) fn insert(&mut self, raw: Raw) -> bool {
        let added = of_level_mut(&mut self.levels, level_of(&raw)).insert(raw);
        self.note();
        added
    }

    /// To be called after a level grew or shrank: notes which one has most, and whether it is the
    /// only one.
    pub(super) fn note(&mut self) {
        let len = |i: &usize| of_level(&self.levels, *i).len();
        let mut used = (0..LEVELS).filter(|i| len(i) > 0);
        self.only = used.next().filter(|_| used.next().is_none());
        self.main = (0..LEVELS).max_by_key(len).unwrap_or(0); // there are some
    }

    /// Takes a record out; `false` if there is none.
    pub(super) fn remove(&mut self, raw: &Raw) -> bool {
        let taken = of_level_mut(&mut self.levels, level_of(raw)).remove(raw);
        self.note();
        taken
    }

    /// Replaces records by others where that is a change of one leaf; `false`, and nothing
    /// changed, where it is not.
    pub(super) fn swap(&mut self, olds: &[Raw], news: &[Raw]) -> bool {
        let mut levels = olds.iter().chain(news).map(level_of);
        let Some(level) = levels.next().filter(|level| levels.all(|other| other == *level)) else {
            return false;
        };
        of_level_mut(&mut self.levels, level).swap(olds, news)
    }

    pub(super) fn contains(&self, raw: &Raw) -> bool {
        of_level(&self.levels, level_of(raw)).contains(raw)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.levels.iter().map(Level::memory).fold(0, usize::saturating_add)
    }

    /// The level that holds everything, if one does.
    #[inline]
    pub(super) fn only(&self) -> Option<&Level> {
        self.only.map(|only| of_level(&self.levels, only))
    }

    pub(super) fn used(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter().filter(|level| level.len() > 0)
    }

    /// The records that end after `from` and begin before `end`, in order.
    pub(super) fn sweep(&self, from: u64, end: u64) -> Sweep<'_> {
        Sweep { heads: self.used().map(|level| Head::new(level.sweep(from, end))).collect() }
    }

    /// Calls `each` with the records that end after `from` and begin before `end`, in order.
    /// `from` may go up on the way.
    #[inline]
    pub(super) fn try_each(
        &self,
        from: impl Fn() -> u64,
        end: u64,
        each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        if let Some(level) = self.only() {
            return level.try_each_by(level.directory().guess(from()), from, end, each);
        }
        self.try_each_of_levels(from, end, each)
    }

    /// The same, where several levels have records.
    #[inline(never)]
    fn try_each_of_levels(
        &self,
        from: impl Fn() -> u64,
        end: u64,
        mut each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        let main = of_level(&self.levels, self.main);
        let mut few = Few::default();
        if few.find(self.others(main), &from, end).is_break() {
            return self.try_each_of_many(main, from, end, each);
        }
        if few.precede(self.main, from()) {
            for raw in &few.raws {
                if raw.end > from() {
                    each(*raw)?;
                }
            }
            return main.try_each_by(main.directory().guess(from()), from, end, each);
        }
        self.try_each_between(main, few, from, end, each)
    }

    /// The same, where records of other levels come between those of the main one.
    #[inline(never)]
    fn try_each_between(
        &self,
        main: &Level,
        mut few: Few,
        from: impl Fn() -> u64,
        end: u64,
        mut each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        main.try_each(main.directory().find(from()), &from, end, |raw| {
            if few.due <= raw.start {
                few.give(Some(&raw), &from, &mut each)?;
            }
            if raw.end > from() { each(raw) } else { ControlFlow::Continue(()) }
        })?;
        few.give(None, from, &mut each)
    }

    /// The same, where other levels have many records too.
    #[inline(never)]
    fn try_each_of_many(
        &self,
        main: &Level,
        from: impl Fn() -> u64,
        end: u64,
        mut each: impl FnMut(Raw) -> Flow,
    ) -> Flow {
        let heads = self.others(main).map(|level| Head::new(level.sweep(from(), end)));
        let mut others = Sweep { heads: heads.collect() };
        let mut waiting = others.next();
        main.try_each(main.directory().find(from()), &from, end, |raw| {
            while let Some(other) = waiting.filter(|other| comes_first(other, &raw)) {
                if other.end > from() {
                    each(other)?;
                }
                others.skip_to(from());
                waiting = others.next();
            }
            if raw.end > from() { each(raw) } else { ControlFlow::Continue(()) }
        })?;
        while let Some(other) = waiting {
            if other.end > from() {
                each(other)?;
            }
            others.skip_to(from());
            waiting = others.next();
        }
        ControlFlow::Continue(())
    }

    /// All used levels but one.
    fn others(&self, main: &Level) -> impl Iterator<Item = &Level> {
        self.used().filter(move |level| !core::ptr::eq(*level, main))
    }
}

/// A few records of other levels than the one that has most, looked up in advance.
struct Few {
    raws: SmallVec<[Raw; FEW]>,
    /// The next one, and where it begins: the end of the scale when there is none.
    next: usize,
    due: u64,
}

const FEW: usize = 4;

impl Default for Few {
    fn default() -> Self {
        Self { raws: SmallVec::new(), next: 0, due: u64::MAX }
    }
}

impl Few {
    /// Breaks where they are not few.
    fn find<'a>(
        &mut self,
        levels: impl Iterator<Item = &'a Level>,
        from: impl Fn() -> u64,
        end: u64,
    ) -> Flow {
        for level in levels {
            let mut push = |raw| {
                if self.raws.len() == FEW {
                    return ControlFlow::Break(Stop::Enough);
                }
                self.raws.push(raw);
                ControlFlow::Continue(())
            };
            match level.whole().filter(|_| level.len() <= FEW) {
                // A look at all of them is quicker than to find the first.
                Some(leaf) => leaf
                    .raws()
                    .filter(|raw| raw.start < end && raw.end > from())
                    .try_for_each(&mut push)?,
                None => level.try_each(level.directory().find(from()), &from, end, push)?,
            }
        }
        if self.raws.len() > 1 {
            self.raws.sort_unstable_by(compare);
        }
        self.due = self.raws.first().map_or(u64::MAX, |raw| raw.start);
        ControlFlow::Continue(())
    }

    /// Whether all of them come before whatever of a level ends after `from`, which is plain to see
    /// where they begin further back than a record of that level is long.
    #[inline]
    fn precede(&self, level: usize, from: u64) -> bool {
        let Some(last) = self.raws.last() else { return true };
        let back = LENGTHS.get(level).and_then(|longest| from.checked_sub(*longest));
        back.is_some_and(|back| last.start <= back)
    }

    /// Calls `each` with those that come before a record; with all that are left, without one.
    #[inline(never)]
    fn give(
        &mut self,
        before: Option<&Raw>,
        from: impl Fn() -> u64,
        each: &mut impl FnMut(Raw) -> Flow,
    ) -> Flow {
        let comes = |raw: &Raw| before.is_none_or(|before| comes_first(raw, before));
        while let Some(raw) = self.raws.get(self.next).copied().filter(comes) {
            self.next = self.next.saturating_add(1);
            self.due = self.raws.get(self.next).map_or(u64::MAX, |raw| raw.start);
            if raw.end > from() {
                each(raw)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a record comes before another one in the order of the map.
#[inline]
fn comes_first(a: &Raw, b: &Raw) -> bool {
    compare(a, b).is_lt()
}

/// The records of all levels that overlap a window, in order.
#[derive(Debug, Clone)]
pub(super) struct Sweep<'a> {
    heads: SmallVec<[Head<'a>; LEVELS]>,
}

/// A level's next record, and the sweep over those after it.
#[derive(Debug, Clone)]
struct Head<'a> {
    next: Option<Raw>,
    cursor: Cursor<'a>,
}

impl<'a> Head<'a> {
    fn new(mut cursor: Cursor<'a>) -> Self {
        Self { next: cursor.next(), cursor }
    }
}

impl Sweep<'_> {
    /// From now on leaves out records that end before or at `from`, which only goes up.
    pub(super) fn skip_to(&mut self, from: u64) {
        for head in &mut self.heads {
            head.cursor.skip_to(from);
            if head.next.is_some_and(|raw| raw.end <= from) {
                head.next = head.cursor.next();
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<Raw> {
        let mut heads = self.heads.iter_mut().filter(|head| head.next.is_some());
        let mut first = heads.next()?;
        for head in heads {
            let before = |a: &Head<'_>, b: &Head<'_>| match (&a.next, &b.next) {
                (Some(a), Some(b)) => comes_first(a, b),
                _ => false,
            };
            if before(head, first) {
                first = head;
            }
        }
        let next = first.next;
        first.next = first.cursor.next();
        next
    }
}
