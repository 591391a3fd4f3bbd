//! A leaf: a few dozen records in one block of memory, the starts in front.

use core::{
    cmp::Ordering,
    ops::{ControlFlow, Range},
};
use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    level::compare,
    raw::{Raw, TAG_BITS},
};

/// The most records of a leaf. Their starts are two cache lines.
pub(super) const RECORDS: usize = 32;

/// How the records of one level are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// 24 bytes: starts as distances from the first, lengths of 26 bits, both in units of
    /// `1 << shift` bytes.
    Narrow {
        /// 0, or 9 for what begins and ends at sectors.
        shift: u32,
    },
    /// 36 bytes: any record.
    Wide,
}

/// Bits of a narrow length, which shares 32 bits with the tag.
const LEN_BITS: u32 = u32::BITS - TAG_BITS;
const LEN_MASK: u32 = (1 << LEN_BITS) - 1;

/// The longest record that a narrow form of this shift can hold, in bytes.
pub(super) const fn longest(shift: u32) -> u64 {
    1 << LEN_BITS.saturating_add(shift)
}

/// Words of a record beside its start: length and tag, id, file offset.
const NARROW: usize = 5;
/// The same with a word for the tag and two for the length.
const WIDE: usize = 7;

/// The words of a leaf: `[back, starts.., payloads..]`.
///
/// `back` is how many records before the last one that begins at or before a byte can reach to
/// that byte: 0 where nothing overlaps.
#[derive(Debug, Clone)]
pub(super) struct Leaf(Arc<[u32]>);

impl Leaf {
    /// Packs records in order. They fit the form, and their starts lie between `base` and
    /// [`Form::reach`] after it.
    pub(super) fn pack(form: Form, base: u64, raws: &[Raw]) -> Self {
        let mut words = [0_u32; 1 + RECORDS * (2 + WIDE)];
        let (starts, payload) = match form {
            Form::Narrow { .. } => (raws.len(), NARROW),
            Form::Wide => (raws.len().saturating_mul(2), WIDE),
        };
        // NO-OVERFLOW: a leaf has at most `RECORDS` records.
        let len = raws.len().wrapping_mul(payload).wrapping_add(starts).wrapping_add(1);
        debug_assert!(len <= words.len());
        if let Some((back, rest)) = words.split_first_mut() {
            *back = reach_back(raws);
            let (heads, payloads) = rest.split_at_mut(starts.min(rest.len()));
            form.write(raws, base, heads, payloads);
        }
        Self(Arc::from(words.get(..len).unwrap_or_default()))
    }

    /// How to read it; `base` is that of [`Self::pack`].
    #[inline]
    pub(super) fn view(&self, form: Form, base: u64) -> View<'_> {
        View::new(form, base, &self.0)
    }

    /// Bytes of memory, with the counters and what an allocator adds.
    pub(super) fn memory(&self) -> usize {
        // NO-OVERFLOW: a leaf is small.
        size_of_val(&*self.0).wrapping_add(16 + 8).next_multiple_of(16)
    }
}

/// See [`Leaf`]: how far back a hit can lie, in records.
fn reach_back(raws: &[Raw]) -> u32 {
    let mut back = 0;
    for (i, raw) in raws.iter().enumerate() {
        let later = raws.get(i.wrapping_add(1)..).unwrap_or_default();
        back = later.iter().take_while(|next| next.start < raw.end).count().max(back);
    }
    u32::try_from(back).unwrap_or(u32::MAX)
}

/// The same of a narrow leaf's words, with the greatest end.
fn summary(base: u64, shift: u32, starts: &[u32], payloads: &[u32]) -> (u32, u64) {
    let (mut back, mut greatest) = (0, 0);
    let lens =
        payloads.chunks_exact(NARROW).map(|room| room.first().map_or(0, |len| len & LEN_MASK));
    for (i, (start, len)) in starts.iter().zip(lens).enumerate() {
        // NO-OVERFLOW: two numbers of 32 bits.
        let end = u64::from(*start).wrapping_add(u64::from(len)).wrapping_add(1);
        greatest = greatest.max(end);
        let later = starts.get(i.wrapping_add(1)..).unwrap_or_default();
        back = later.iter().take_while(|next| u64::from(**next) < end).count().max(back);
    }
    (u32::try_from(back).unwrap_or(u32::MAX), base.wrapping_add(greatest << shift))
}

impl Form {
    /// The greatest distance of a start from the first of its leaf, in bytes.
    pub(super) const fn reach(self) -> u64 {
        match self {
            Self::Narrow { shift } => (u32::MAX as u64) << shift,
            Self::Wide => u64::MAX,
        }
    }

    fn write(self, raws: &[Raw], base: u64, heads: &mut [u32], payloads: &mut [u32]) {
        match self {
            Self::Narrow { shift } => {
                let rooms = heads.iter_mut().zip(payloads.chunks_exact_mut(NARROW));
                for (raw, (head, room)) in raws.iter().zip(rooms) {
                    *head = low(raw.start.wrapping_sub(base) >> shift);
                    // NO-OVERFLOW: a record is not empty, and a multiple of the unit.
                    let units = (raw.end.wrapping_sub(raw.start) >> shift).wrapping_sub(1);
                    let [id, file] = [raw.id, raw.file].map(halves);
                    let len = low(units) | (u32::from(raw.tag) << LEN_BITS);
                    room.copy_from_slice(&[len, id[0], id[1], file[0], file[1]]);
                }
            }
            Self::Wide => {
                let rooms = heads.chunks_exact_mut(2).zip(payloads.chunks_exact_mut(WIDE));
                for (raw, (head, room)) in raws.iter().zip(rooms) {
                    head.copy_from_slice(&halves(raw.start));
                    let [end, id, file] = [raw.end, raw.id, raw.file].map(halves);
                    let tag = u32::from(raw.tag);
                    room.copy_from_slice(&[tag, end[0], end[1], id[0], id[1], file[0], file[1]]);
                }
            }
        }
    }
}

/// The low half of a number whose high half is known to be zero.
fn low(wide: u64) -> u32 {
    debug_assert!(u32::try_from(wide).is_ok());
    u32::try_from(wide).unwrap_or(u32::MAX)
}

fn halves(wide: u64) -> [u32; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "that is what a half is")]
    [wide as u32, (wide >> 32) as u32]
}

#[inline]
fn whole(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

/// A leaf's words, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    form: Form,
    base: u64,
    back: u32,
    starts: &'a [u32],
    payloads: &'a [u32],
}

impl<'a> View<'a> {
    #[inline]
    fn new(form: Form, base: u64, words: &'a [u32]) -> Self {
        let (back, rest) = words.split_first().map_or((0, words), |(back, rest)| (*back, rest));
        let starts = match form {
            Form::Narrow { .. } => rest.len() / (1 + NARROW),
            // NO-OVERFLOW: less than it is divided by.
            Form::Wide => (rest.len() / (2 + WIDE)).wrapping_mul(2),
        };
        let (starts, payloads) = rest.split_at_checked(starts).unwrap_or((rest, &[]));
        Self { form, base, back, starts, payloads }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self.form {
            Form::Narrow { .. } => self.starts.len(),
            Form::Wide => self.starts.len() / 2,
        }
    }

    /// How many records begin at or before `at`.
    #[inline]
    pub(super) fn rank(&self, at: u64) -> usize {
        let Some(by) = at.checked_sub(self.base) else { return 0 };
        match self.form {
            Form::Narrow { shift } => match u32::try_from(by >> shift) {
                // Counted without a branch: several comparisons at a time.
                Ok(by) => {
                    self.starts.iter().map(|start| u32::from(*start <= by)).sum::<u32>() as usize
                }
                Err(_) => self.starts.len(),
            },
            Form::Wide => (0..self.len()).take_while(|i| self.start(*i) <= at).count(),
        }
    }

    /// The first record that can reach beyond `from`.
    #[inline]
    pub(super) fn first_reaching(&self, from: u64) -> usize {
        let behind = usize::try_from(self.back).unwrap_or(usize::MAX).saturating_add(1);
        self.rank(from).saturating_sub(behind)
    }

    #[inline]
    fn start(&self, index: usize) -> u64 {
        match self.form {
            Form::Narrow { shift } => {
                let by = self.starts.get(index).copied().unwrap_or(u32::MAX);
                // NO-OVERFLOW: it was a start.
                self.base.wrapping_add(u64::from(by) << shift)
            }
            Form::Wide => match self.starts.get(index.wrapping_mul(2)..) {
                Some([low, high, ..]) => whole(*low, *high),
                _ => u64::MAX,
            },
        }
    }

    /// The record at an index, `None` past the last.
    #[inline]
    pub(super) fn raw(&self, index: usize) -> Option<Raw> {
        match self.form {
            Form::Narrow { shift } => {
                let by = *self.starts.get(index)?;
                let room = self.payloads.get(index.wrapping_mul(NARROW)..)?.first_chunk()?;
                Some(narrow(self.base, shift, by, room))
            }
            Form::Wide => {
                let start = self.start(index);
                let room = self.payloads.get(index.wrapping_mul(WIDE)..)?.first_chunk()?;
                Some(wide(start, room))
            }
        }
    }

    /// Where a record is, or would have to be.
    pub(super) fn find(&self, raw: &Raw) -> Result<usize, usize> {
        let mut at = self.rank(raw.start);
        while let Some((before, probe)) = at.checked_sub(1).and_then(|i| Some((i, self.raw(i)?))) {
            match compare(&probe, raw) {
                Ordering::Less => return Err(at),
                Ordering::Equal => return Ok(before),
                Ordering::Greater => at = before,
            }
        }
        Err(at)
    }

    /// The leaf with `news` in the place of the records `cut`, its base moved, and the greatest end
    /// of all its records. `None` where they do not fit.
    pub(super) fn edit(&self, base: u64, cut: &Range<usize>, news: &[Raw]) -> Option<(Leaf, u64)> {
        let Form::Narrow { shift } = self.form else { return self.edit_wide(base, cut, news) };
        let last =
            news.last().map(|raw| raw.start).max(self.len().checked_sub(1).map(|i| self.start(i)));
        if last?.checked_sub(base)? > self.form.reach() {
            return None;
        }
        let moved = low(self.base.abs_diff(base) >> shift);
        let kept = |start: &u32| {
            if base <= self.base { start.wrapping_add(moved) } else { start.wrapping_sub(moved) }
        };
        let scaled = |cut: usize| cut.wrapping_mul(NARROW);
        let (head, tail) = (self.starts.get(..cut.start)?, self.starts.get(cut.end..)?);
        let front = self.payloads.get(..scaled(cut.start))?;
        let back = self.payloads.get(scaled(cut.end)..)?;
        // NO-OVERFLOW: a leaf has at most `RECORDS` records.
        let len = head.len().wrapping_add(tail.len()).wrapping_add(news.len());
        let mut words = [0_u32; 1 + RECORDS * (1 + NARROW)];
        let used = len.wrapping_mul(1 + NARROW).wrapping_add(1);
        let (first, rest) = words.get_mut(..used)?.split_first_mut()?;
        let (starts, payloads) = rest.split_at_mut_checked(len)?;
        let (a, b) = (cut.start, cut.start.wrapping_add(news.len()));
        starts.iter_mut().zip(head.iter().map(kept)).for_each(|(to, from)| *to = from);
        let after = starts.get_mut(b..)?;
        after.iter_mut().zip(tail.iter().map(kept)).for_each(|(to, from)| *to = from);
        payloads.get_mut(..front.len())?.copy_from_slice(front);
        payloads.get_mut(scaled(b)..)?.copy_from_slice(back);
        let rooms = (starts.get_mut(a..b)?, payloads.get_mut(scaled(a)..scaled(b))?);
        self.form.write(news, base, rooms.0, rooms.1);
        let (back, end) = summary(base, shift, starts, payloads);
        *first = back;
        Some((Leaf(Arc::from(words.get(..used)?)), end))
    }

    fn edit_wide(&self, base: u64, cut: &Range<usize>, news: &[Raw]) -> Option<(Leaf, u64)> {
        let kept = |at: &usize| !cut.contains(at);
        let old = (0..self.len()).filter(kept).filter_map(|at| self.raw(at));
        let mut raws: SmallVec<[Raw; 36]> = old.collect();
        raws.insert_many(cut.start, news.iter().copied());
        let end = raws.iter().map(|raw| raw.end).fold(0, u64::max);
        Some((Leaf::pack(self.form, base, &raws), end))
    }

    /// A word of the record at an index.
    #[inline]
    pub(super) fn touch(&self, index: usize) -> u32 {
        let words = match self.form {
            Form::Narrow { .. } => NARROW,
            Form::Wide => WIDE,
        };
        self.payloads.get(index.wrapping_mul(words)).copied().unwrap_or(0)
    }

    /// The records from `index` on.
    #[inline]
    pub(super) fn from(self, index: usize) -> impl Iterator<Item = Raw> + 'a {
        (index..self.len()).map_while(move |i| self.raw(i))
    }

    /// Calls `each` with the records from `index` on until it breaks: one loop per form.
    #[inline]
    pub(super) fn try_each<B>(
        &self,
        index: usize,
        mut each: impl FnMut(Raw) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self.form {
            Form::Narrow { shift } => {
                let starts = self.starts.get(index..).unwrap_or_default();
                let rooms = self.payloads.get(index.wrapping_mul(NARROW)..).unwrap_or_default();
                let rooms = rooms.chunks_exact(NARROW).filter_map(<[u32]>::first_chunk);
                for (by, room) in starts.iter().zip(rooms) {
                    each(narrow(self.base, shift, *by, room))?;
                }
                ControlFlow::Continue(())
            }
            Form::Wide => self.from(index).try_for_each(each),
        }
    }
}

#[inline]
fn narrow(base: u64, shift: u32, by: u32, room: &[u32; NARROW]) -> Raw {
    let [len, id_low, id_high, file_low, file_high] = *room;
    // NO-OVERFLOW: these were a record's bounds.
    let start = base.wrapping_add(u64::from(by) << shift);
    let units = u64::from(len & LEN_MASK).wrapping_add(1);
    let tag = (len >> LEN_BITS) as u8;
    Raw {
        start,
        end: start.wrapping_add(units << shift),
        id: whole(id_low, id_high),
        file: whole(file_low, file_high),
        tag,
    }
}

#[inline]
fn wide(start: u64, room: &[u32; WIDE]) -> Raw {
    let [tag, end_low, end_high, id_low, id_high, file_low, file_high] = *room;
    Raw {
        start,
        end: whole(end_low, end_high),
        id: whole(id_low, id_high),
        file: whole(file_low, file_high),
        tag: u8::try_from(tag).unwrap_or(u8::MAX),
    }
}
