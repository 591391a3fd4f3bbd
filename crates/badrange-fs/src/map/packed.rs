//! The small form: blocks of records, every column in as few bytes as it takes.

use std::sync::Arc;

use super::{
    level::compare,
    raw::Raw,
    tree::{self},
};

/// Records of a block.
const BLOCK: usize = 32;
/// Entries under one entry of the level above.
const FANOUT: usize = 16;
/// Start, length less one, id, file offset, tag.
const COLUMNS: usize = 5;

/// Records in order, and a tree of greatest ends above them. Read only; copies share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    len: usize,
    blocks: Vec<Block>,
    /// The columns of all blocks, and eight bytes so that every one can be read as a word.
    bytes: Vec<u8>,
    /// Level 0 has the greatest end of each block; level `k` those of `FANOUT` entries of the one
    /// below. The last level is one group.
    maxima: Vec<Vec<u64>>,
}

/// Where the columns of a block are and what was taken off their values.
#[derive(Debug, Clone)]
struct Block {
    at: usize,
    least: [u64; COLUMNS],
    shifts: [u8; COLUMNS],
    widths: [u8; COLUMNS],
}

impl Packed {
    /// Packs the records of a sweep.
    pub(super) fn new(mut records: tree::Sweep<'_>) -> Self {
        let mut inner = Inner::default();
        let mut ends = Vec::new();
        loop {
            let raws: Vec<Raw> = core::iter::from_fn(|| records.next()).take(BLOCK).collect();
            if raws.is_empty() {
                break;
            }
            debug_assert!(raws.is_sorted_by(|a, b| compare(a, b).is_lt()));
            inner.len = inner.len.saturating_add(raws.len());
            ends.push(raws.iter().map(|raw| raw.end).fold(0, u64::max));
            let block = Block::pack(&raws, &mut inner.bytes);
            inner.blocks.push(block);
        }
        inner.bytes.extend([0; 8]);
        inner.bytes.shrink_to_fit();
        inner.blocks.shrink_to_fit();
        inner.maxima = maxima_of(ends);
        Self(Arc::new(inner))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        let Inner { blocks, bytes, maxima, .. } = &*self.0;
        let rows = maxima.iter().map(|row| row.capacity().saturating_mul(8));
        let blocks = blocks.capacity().saturating_mul(size_of::<Block>());
        rows.fold(blocks.saturating_add(bytes.capacity()), usize::saturating_add)
    }

    /// The records that end after `from` and begin before `end`, in order.
    pub(super) fn sweep(&self, from: u64, end: u64) -> Sweep<'_> {
        let mut sweep = Sweep { packed: &self.0, block: 0, at: 0, from, end };
        sweep.enter(0);
        sweep
    }
}

impl Block {
    fn pack(raws: &[Raw], bytes: &mut Vec<u8>) -> Self {
        let at = bytes.len();
        let (mut least, mut shifts, mut widths) = ([0; COLUMNS], [0; COLUMNS], [0; COLUMNS]);
        let about = least.iter_mut().zip(&mut shifts).zip(&mut widths);
        for (value, ((least, shift), width)) in VALUES.into_iter().zip(about) {
            *least = raws.iter().map(value).min().unwrap_or(0); // no block is empty
            // NO-OVERFLOW: nothing is less than the least.
            let above = |raw: &Raw| value(raw).wrapping_sub(*least);
            let all = raws.iter().fold(0, |all, raw| all | above(raw));
            let zeros = if all == 0 { 0 } else { all.trailing_zeros() };
            let used = u64::BITS.saturating_sub((all >> zeros).leading_zeros()).div_ceil(8);
            for raw in raws {
                let word = (above(raw) >> zeros).to_le_bytes();
                bytes.extend(word.iter().take(used as usize));
            }
            (*shift, *width) = (small(zeros), small(used));
        }
        Self { at, least, shifts, widths }
    }

    /// Record `index` of the `count` that the block holds.
    #[inline]
    fn raw(&self, bytes: &[u8], count: usize, index: usize) -> Option<Raw> {
        let mut at = self.at;
        let mut values = self.least;
        let columns = values.iter_mut().zip(self.shifts.iter().zip(&self.widths));
        for (value, (shift, width)) in columns {
            let width = usize::from(*width);
            // NO-OVERFLOW: offsets into the bytes.
            let position = at.wrapping_add(index.wrapping_mul(width));
            let word = u64::from_le_bytes(*bytes.get(position..)?.first_chunk()?);
            let unused = u64::BITS.wrapping_sub(u32::try_from(width).ok()?.wrapping_mul(8));
            let word = word & u64::MAX.checked_shr(unused).unwrap_or(0);
            *value = value.wrapping_add(word << shift);
            at = at.wrapping_add(count.wrapping_mul(width));
        }
        let [start, less_one, id, file, tag] = values;
        // NO-OVERFLOW: a record's own numbers.
        let end = start.wrapping_add(less_one).wrapping_add(1);
        Some(Raw { start, end, id, file, tag: u8::try_from(tag).ok()? })
    }
}

/// A number of bits or bytes of a word.
#[expect(clippy::cast_possible_truncation, reason = "not more than 64")]
fn small(number: u32) -> u8 {
    debug_assert!(number <= u64::BITS);
    number as u8
}

/// What stands in the columns of a record.
const VALUES: [fn(&Raw) -> u64; COLUMNS] = [
    |raw| raw.start,
    // NO-OVERFLOW: a record ends after it begins.
    |raw| raw.end.wrapping_sub(raw.start).wrapping_sub(1),
    |raw| raw.id,
    |raw| raw.file,
    |raw| u64::from(raw.tag),
];

impl Inner {
    /// How many records a block holds.
    fn count(&self, block: usize) -> usize {
        self.len.saturating_sub(block.saturating_mul(BLOCK)).min(BLOCK)
    }

    /// The first block from `from` on with a record that ends after `after`.
    ///
    /// Climbs from `from` and then descends: of each level at most one group on the way up and one
    /// on the way down, whatever lies between.
    fn next_ending_after(&self, from: usize, after: u64) -> Option<usize> {
        let (mut level, mut at) = (0, from);
        let mut found = loop {
            // NO-OVERFLOW: an index is far from the end of the scale; `from` may be past the last.
            let stop = (at / FANOUT).saturating_add(1).saturating_mul(FANOUT);
            match first_above(self.maxima.get(level)?, at, stop, after) {
                Some(found) => break found,
                None => at = stop / FANOUT,
            }
            // NO-OVERFLOW: there are not more levels than bits.
            level = level.wrapping_add(1);
        };
        while level > 0 {
            // NO-OVERFLOW: checked; and the groups of one level are the entries of the next.
            level = level.wrapping_sub(1);
            let group = found.wrapping_mul(FANOUT);
            let row = self.maxima.get(level)?;
            found = first_above(row, group, group.wrapping_add(FANOUT), after)?;
        }
        Some(found)
    }
}

fn maxima_of(ends: Vec<u64>) -> Vec<Vec<u64>> {
    let mut levels = vec![ends];
    while let Some(row) = levels.last().filter(|row| row.len() > FANOUT) {
        let greatest = |group: &[u64]| group.iter().copied().fold(0, u64::max);
        levels.push(row.chunks(FANOUT).map(greatest).collect());
    }
    levels
}

/// The first index in `[from, to)` of a row whose value is greater than `after`.
fn first_above(row: &[u64], from: usize, to: usize, after: u64) -> Option<usize> {
    let group = row.get(from..to.min(row.len()))?;
    let found = group.iter().position(|end| *end > after);
    #[cfg(test)]
    super::visits::add(found.map_or(group.len(), |i| i.saturating_add(1)));
    // NO-OVERFLOW: an index into the row.
    found.map(|i| from.wrapping_add(i))
}

/// The records that end after `from` and begin before `end`, in order.
#[derive(Debug, Clone)]
pub(super) struct Sweep<'a> {
    packed: &'a Inner,
    block: usize,
    at: usize,
    from: u64,
    end: u64,
}

impl Sweep<'_> {
    /// From now on leaves out records that end before or at `from`, which only goes up.
    pub(super) fn skip_to(&mut self, from: u64) {
        self.from = self.from.max(from);
    }

    /// Goes to the first block from `block` on that has something.
    fn enter(&mut self, block: usize) {
        let found = self.packed.next_ending_after(block, self.from);
        (self.block, self.at) = (found.unwrap_or(self.packed.blocks.len()), 0);
    }

    pub(super) fn next(&mut self) -> Option<Raw> {
        loop {
            let block = self.packed.blocks.get(self.block)?;
            let count = self.packed.count(self.block);
            while self.at < count {
                #[cfg(test)]
                super::visits::add(1);
                let raw = block.raw(&self.packed.bytes, count, self.at);
                let raw = raw.unwrap_or_else(|| Raw::unreadable("a block has what it counts"));
                if raw.start >= self.end {
                    return None;
                }
                // NO-OVERFLOW: an index of a small block.
                self.at = self.at.wrapping_add(1);
                if raw.end > self.from {
                    return Some(raw);
                }
            }
            self.enter(self.block.saturating_add(1));
        }
    }
}
