//! A leaf: some dozens of records in one block of memory, in order.

use core::{
    cmp::Ordering,
    ops::{ControlFlow, Range},
};

use badrange_core::SECTOR_SIZE;
use smallvec::SmallVec;

use super::{
    level::{compare, partition_point},
    raw::{Raw, TAG_BITS},
};

/// The most records of a leaf, and its cells: a narrow record takes one, a wide one two.
pub(super) const RECORDS: usize = 128;

/// A narrow record: start, tag and length less one in one word; id; file offset. The start is in
/// front, so that words compare as starts do.
type Cell = [u64; 3];

/// What stands behind the last record: a start that no record has.
const UNUSED: Cell = [u64::MAX; 3];

/// Room for the records of a leaf, and for those that make it too full.
pub(super) type Raws = SmallVec<[Raw; RECORDS]>;

/// How the records of a leaf are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A cell each: starts as distances from the base, lengths of 26 bits.
    Bytes,
    /// The same in sectors: what begins and ends at sectors.
    Sectors,
    /// Two cells each: any record.
    Wide,
}

/// Bits of a narrow length, which shares 32 bits with the tag.
const LEN_BITS: u32 = u32::BITS - TAG_BITS;
const LEN_MASK: u64 = (1 << LEN_BITS) - 1;
const START_SHIFT: u32 = u32::BITS;

const SECTOR_SHIFT: u32 = SECTOR_SIZE.ilog2();

/// Records in order, and what a query has to know of the records before them: all that is not a
/// record in one cache line.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Leaf {
    /// No record begins before it.
    base: u64,
    /// The greatest end of all records in earlier leaves of the level; 0 where that is not beyond
    /// the fence of this one. So every byte from a fence on knows by one comparison whether records
    /// of earlier leaves can cover it.
    reach: u64,
    form: Form,
    len: u16,
    /// How many records before the last one that begins at or before a byte can reach to that
    /// byte: 0 where nothing overlaps.
    back: u16,
    cells: [Cell; RECORDS],
}

impl Leaf {
    /// Packs the first of records in order: `most`, or half of that where they are wide, and half
    /// of what is more; at least one. The rest is for other leaves.
    pub(super) fn pack(raws: &[Raw], most: usize) -> (Self, &[Raw]) {
        let base = raws.first().map_or(0, |raw| raw.start);
        let window = raws.get(..most.min(RECORDS)).unwrap_or(raws);
        let room = Form::of(base, window).share(most.min(RECORDS)).max(1);
        let count = if raws.len() > room { raws.len().div_ceil(2).min(room) } else { raws.len() };
        let (part, rest) = raws.split_at(count);
        // Of fewer records it is the same form or a narrower one, so that they fit all the more.
        let form = Form::of(base, part);
        #[expect(clippy::cast_possible_truncation, reason = "not more than `RECORDS`")]
        let len = count as u16;
        let mut leaf = Self { base, reach: 0, form, len, back: 0, cells: [UNUSED; RECORDS] };
        leaf.write(0, part);
        leaf.back = leaf.reach_back();
        (leaf, rest)
    }

    /// Where the first record begins.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// See the field.
    #[inline]
    pub(super) fn reach(&self) -> u64 {
        self.reach
    }

    pub(super) fn set_reach(&mut self, reach: u64) {
        self.reach = reach;
    }

    /// The cells of narrow records.
    #[inline]
    fn used(&self) -> &[Cell] {
        debug_assert!(self.len() <= RECORDS, "a leaf has what it counts");
        self.cells.get(..self.len()).unwrap_or(&self.cells)
    }

    /// How many records begin at or before `at`.
    pub(super) fn rank(&self, at: u64) -> usize {
        let Some(shift) = self.form.shift() else { return self.rank_wide(at) };
        match self.above(at, shift) {
            Above::Key(key) => self.used().partition_point(|[word, ..]| *word < key),
            Above::All => self.len(),
            Above::None => 0,
        }
    }

    #[cold]
    fn rank_wide(&self, at: u64) -> usize {
        let begun = |index: usize| self.raw(index).is_some_and(|raw| raw.start <= at);
        partition_point(self.len(), begun)
    }

    /// [`Self::rank`] for who has a guess of it: the last record that begins at or before `at`, or
    /// one a few positions before that. A wrong guess costs a search.
    #[inline(always)] // as `Directory::find_by`
    pub(super) fn rank_near(&self, guess: usize, at: u64) -> usize {
        #[cfg(test)]
        super::visits::add(NEAR);
        let Some(shift) = self.form.shift() else { return self.rank_wide(at) };
        let Above::Key(key) = self.above(at, shift) else { return self.rank(at) };
        let window = self.cells.get(guess..).and_then(<[Cell]>::first_chunk::<NEAR>);
        let Some(window) = window.filter(|[[first, ..], ..]| *first < key) else {
            return self.rank(at);
        };
        // Counted without a branch: one would have to wait for memory, and nothing could overtake.
        let more: usize = window.iter().map(|[word, ..]| usize::from(*word < key)).sum();
        // NO-OVERFLOW: indices of a small array.
        if more < NEAR { guess.wrapping_add(more) } else { self.rank(at) }
    }

    /// [`Self::rank_near`] for the usual case: of records of which no two overlap, the one that
    /// may end after `from`, if it is near the guess and the next one begins at `end` or later.
    #[inline(always)] // as `Directory::find_by`
    pub(super) fn lone(&self, guess: usize, from: u64, end: u64) -> Option<Raw> {
        let shift = self.form.shift().filter(|_| self.back == 0)?;
        let Above::Key(key) = self.above(from, shift) else { return None };
        let window: &[Cell; NEAR + 1] = self.cells.get(guess..)?.first_chunk()?;
        #[cfg(test)]
        super::visits::add(NEAR);
        let more: usize = window.iter().take(NEAR).map(|[word, ..]| usize::from(*word < key)).sum();
        let last = window.get(more.checked_sub(1)?)?;
        let [next, ..] = window.get(more)?;
        // NO-OVERFLOW: these were a record's bounds; what is not used is recognised by its word.
        let next_start = self.base.wrapping_add((next >> START_SHIFT) << shift);
        (*next != u64::MAX && next_start >= end).then(|| narrow(self.base, shift, last))
    }

    /// Words of records that begin at or before `at` are below the key.
    #[inline]
    fn above(&self, at: u64, shift: u32) -> Above {
        let Some(by) = at.checked_sub(self.base) else { return Above::None };
        let units = by >> shift;
        if units >= u64::from(u32::MAX) {
            return Above::All;
        }
        // NO-OVERFLOW: checked.
        Above::Key(units.wrapping_add(1) << START_SHIFT)
    }

    /// The first record that can reach beyond a byte, when so many begin at or before it.
    #[inline]
    pub(super) fn first_reaching(&self, rank: usize) -> usize {
        rank.saturating_sub(usize::from(self.back).saturating_add(1))
    }

    /// The record at an index, `None` past the last.
    #[inline]
    pub(super) fn raw(&self, index: usize) -> Option<Raw> {
        match self.form.shift() {
            Some(shift) => Some(narrow(self.base, shift, self.used().get(index)?)),
            None => self.wide(index..self.len()).next(),
        }
    }

    fn wide(&self, range: Range<usize>) -> impl Iterator<Item = Raw> + '_ {
        let pairs = self.cells.chunks_exact(2).take(range.end).skip(range.start);
        pairs.filter_map(<[Cell]>::first_chunk).map(widened)
    }

    /// All records.
    pub(super) fn raws(&self) -> impl Iterator<Item = Raw> + '_ {
        (0..self.len()).map_while(|index| self.raw(index))
    }

    /// The greatest end of all records.
    pub(super) fn end(&self) -> u64 {
        let last = self.len().checked_sub(1).and_then(|last| self.raw(last));
        match last {
            Some(last) if self.back == 0 => last.end,
            _ => self.raws().map(|raw| raw.end).fold(0, u64::max),
        }
    }

    /// Calls `each` with the records of a range until it breaks: one loop per form.
    #[inline]
    pub(super) fn try_each<B>(
        &self,
        range: Range<usize>,
        mut each: impl FnMut(Raw) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self.form {
            Form::Bytes => self.narrow::<0>(range).try_for_each(each),
            Form::Sectors => self.narrow::<SECTOR_SHIFT>(range).try_for_each(each),
            Form::Wide => self.wide(range).try_for_each(&mut each),
        }
    }

    #[inline]
    fn narrow<const SHIFT: u32>(&self, range: Range<usize>) -> impl Iterator<Item = Raw> + '_ {
        debug_assert!(range.end <= self.len(), "a leaf has what is asked of it");
        // A range is empty, too, where nothing begins before the end that ends after the beginning.
        let (base, cells) = (self.base, self.cells.get(range).unwrap_or_default());
        cells.iter().map(move |cell| narrow(base, SHIFT, cell))
    }

    /// How many records begin before `end`; quick where that is all of them.
    pub(super) fn begun(&self, end: u64) -> usize {
        let last = self.len().checked_sub(1).and_then(|last| self.raw(last));
        if last.is_some_and(|last| last.start < end) {
            return self.len();
        }
        end.checked_sub(1).map_or(0, |last| self.rank(last))
    }

    /// [`Self::begun`] for who knows that so many begin early enough, and expects no more.
    #[inline(always)] // as `Directory::find_by`
    pub(super) fn begun_after(&self, rank: usize, end: u64) -> usize {
        if self.start(rank) < end { self.begun(end) } else { rank }
    }

    /// Where a record begins; the end of the scale past the last.
    #[inline]
    fn start(&self, index: usize) -> u64 {
        let cells = self.used();
        match self.form.shift() {
            // NO-OVERFLOW: these were a record's bounds.
            Some(shift) => cells.get(index).map_or(u64::MAX, |[word, ..]| {
                self.base.wrapping_add((word >> START_SHIFT) << shift)
            }),
            None => self.raw(index).map_or(u64::MAX, |raw| raw.start),
        }
    }

    /// Words of the lines that a query near an index looks at, for their memory to be read.
    #[inline]
    pub(super) fn touch(&self, index: usize) -> u64 {
        let last = index.saturating_add(NEAR.saturating_sub(1));
        let word = |index: usize| self.cells.get(index).map_or(0, |[word, ..]| *word);
        self.reach ^ word(index) ^ word(usize::midpoint(index, last)) ^ word(last)
    }

    /// Where a record is, or would have to be, when so many begin where it does or before.
    pub(super) fn find(&self, rank: usize, raw: &Raw) -> Result<usize, usize> {
        let mut at = rank;
        while let Some((before, probe)) = at.checked_sub(1).and_then(|i| Some((i, self.raw(i)?))) {
            match compare(&probe, raw) {
                Ordering::Less => return Err(at),
                Ordering::Equal => return Ok(before),
                Ordering::Greater => at = before,
            }
        }
        Err(at)
    }

    /// Replaces the records `cut` by `news`, in order; `false`, and nothing changed, where
    /// they do not fit.
    pub(super) fn edit(&mut self, cut: &Range<usize>, news: &[Raw]) -> bool {
        let len = self.len().saturating_sub(cut.len()).saturating_add(news.len());
        if len > self.form.share(RECORDS) || !self.form.holds(self.base, news) {
            return self.repack(cut, news);
        }
        let Ok(count) = u16::try_from(len) else { return false };
        let cells = |index: usize| index.saturating_mul(self.form.cells());
        let (from, to) =
            (cells(cut.end)..cells(self.len()), cells(cut.start.saturating_add(news.len())));
        let unused = cells(len)..cells(self.len());
        self.cells.copy_within(from, to);
        // There are none where the leaf has grown.
        self.cells.get_mut(unused).unwrap_or_default().fill(UNUSED);
        self.len = count;
        self.write(cut.start, news);
        let beside = cut.start.saturating_sub(1)..=cut.start.saturating_add(news.len());
        if self.back > 0 || !self.apart(beside) {
            self.back = self.reach_back();
        }
        true
    }

    /// The same with a form and a base that suit all of them.
    #[cold]
    fn repack(&mut self, cut: &Range<usize>, news: &[Raw]) -> bool {
        let kept = |range: Range<usize>| range.filter_map(|index| self.raw(index));
        let (front, tail) = (kept(0..cut.start), kept(cut.end..self.len()));
        let raws: Raws = front.chain(news.iter().copied()).chain(tail).collect();
        let (packed, rest) = Self::pack(&raws, RECORDS);
        let fit = rest.is_empty();
        if fit {
            *self = Self { reach: self.reach, ..packed };
        }
        fit
    }

    /// Writes records of the leaf's form from an index on.
    fn write(&mut self, index: usize, raws: &[Raw]) {
        let end = index.saturating_add(raws.len());
        debug_assert!(end <= self.form.share(RECORDS), "records fit the leaf they are for");
        let first = index.saturating_mul(self.form.cells());
        let cells = self.cells.get_mut(first..).unwrap_or_default();
        let Some(shift) = self.form.shift() else {
            let pairs = cells.chunks_exact_mut(2).zip(raws);
            return pairs.for_each(|(pair, raw)| pair.copy_from_slice(&widen(raw)));
        };
        for (cell, raw) in cells.iter_mut().zip(raws) {
            *cell = narrowed(self.base, shift, raw);
        }
    }

    /// Whether each record of these ends before the next one begins.
    fn apart(&self, mut indices: impl Iterator<Item = usize>) -> bool {
        let mut end = indices.next().and_then(|i| self.raw(i)).map_or(0, |raw| raw.end);
        indices
            .map_while(|i| self.raw(i))
            .all(|raw| raw.start >= core::mem::replace(&mut end, raw.end))
    }

    /// See [`Self::back`].
    fn reach_back(&self) -> u16 {
        if self.apart(0..self.len()) {
            return 0;
        }
        let begun = |raw: Raw| self.rank(raw.end.saturating_sub(1));
        let back =
            self.raws().enumerate().map(|(i, raw)| begun(raw).saturating_sub(i.saturating_add(1)));
        // Too far back is right for any record, and slower.
        u16::try_from(back.max().unwrap_or(0)).unwrap_or(u16::MAX)
    }
}

/// Cells that are looked at beside a guess.
const NEAR: usize = 4;

/// Which words of a leaf begin at or before a byte.
enum Above {
    /// Those below this.
    Key(u64),
    All,
    None,
}

impl Form {
    /// The first form that records in order that begin at `base` fit.
    fn of(base: u64, raws: &[Raw]) -> Self {
        let forms = [Self::Bytes, Self::Sectors];
        forms.into_iter().find(|form| form.holds(base, raws)).unwrap_or(Self::Wide)
    }

    /// Narrow forms count in units of `1 << shift` bytes.
    #[inline]
    fn shift(self) -> Option<u32> {
        match self {
            Self::Bytes => Some(0),
            Self::Sectors => Some(SECTOR_SHIFT),
            Self::Wide => None,
        }
    }

    fn holds(self, base: u64, raws: &[Raw]) -> bool {
        let Some(shift) = self.shift() else { return true };
        raws.iter().all(|raw| {
            let Some(by) = raw.start.checked_sub(base) else { return false };
            // NO-OVERFLOW: a record ends after it begins.
            let len = raw.end.wrapping_sub(raw.start);
            // The last of all distances stands for no record.
            (by | len).trailing_zeros() >= shift
                && by >> shift < u64::from(u32::MAX)
                && len.wrapping_sub(1) >> shift <= LEN_MASK
        })
    }

    fn cells(self) -> usize {
        if self == Self::Wide { 2 } else { 1 }
    }

    /// How many records take as many cells.
    fn share(self, cells: usize) -> usize {
        if self == Self::Wide { cells / 2 } else { cells }
    }
}

fn narrowed(base: u64, shift: u32, raw: &Raw) -> Cell {
    debug_assert!(raw.tag >> TAG_BITS == 0, "a tag leaves the bits beside it alone");
    let start = raw.start.wrapping_sub(base) >> shift;
    // NO-OVERFLOW: a record is not empty.
    let units = raw.end.wrapping_sub(raw.start).wrapping_sub(1) >> shift;
    let word = (start << START_SHIFT) | (u64::from(raw.tag) << LEN_BITS) | units;
    [word, raw.id, raw.file]
}

#[inline]
fn narrow(base: u64, shift: u32, cell: &Cell) -> Raw {
    let [word, id, file] = *cell;
    // NO-OVERFLOW: these were a record's bounds.
    let start = base.wrapping_add((word >> START_SHIFT) << shift);
    let units = (word & LEN_MASK).wrapping_add(1);
    #[expect(clippy::cast_possible_truncation, reason = "the bits above are the start")]
    let tag = (word as u32 >> LEN_BITS) as u8;
    Raw { start, end: start.wrapping_add(units << shift), id, file, tag }
}

fn widen(raw: &Raw) -> [Cell; 2] {
    [[raw.start, raw.end, u64::from(raw.tag)], [raw.id, raw.file, 0]]
}

#[inline]
fn widened(pair: &[Cell; 2]) -> Raw {
    let [[start, end, tag], [id, file, _]] = *pair;
    // A tag that is none stays one that is none.
    Raw { start, end, id, file, tag: u8::try_from(tag).unwrap_or(u8::MAX) }
}
