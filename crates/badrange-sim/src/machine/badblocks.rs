//! KERNEL: `block/badblocks.c`: a table of bad sectors with a fixed number of records.
//!
//! pmem acknowledges every bad sector it records, so records never differ in anything but place.

// NO-OVERFLOW: saturation is a cap where it can happen: what would end beyond 64 bits has no end in
// the table either.

use crate::kernel::Quirks;

/// Sectors of one record at most.
///
/// KERNEL: `BB_MAX_LEN`.
const LONGEST: u64 = 512;

/// Records of one table at most.
///
/// KERNEL: `MAX_BADBLOCKS`, one page of 64-bit words.
const MOST: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    start: u64,
    end: u64,
}

/// A table: rows ascending, never overlapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Badblocks {
    rows: Vec<Row>,
    quirks: Quirks,
}

impl Badblocks {
    pub(crate) fn new(quirks: Quirks, known: &[(u64, u64)]) -> Self {
        let mut table = Self { rows: Vec::new(), quirks };
        for (start, len) in known {
            table.set(*start, *len);
        }
        table
    }

    /// The rows as sysfs prints them.
    pub(crate) fn rows(&self) -> Vec<(u64, u64)> {
        // NO-OVERFLOW: the end of a row is not before its start.
        self.rows.iter().map(|row| (row.start, row.end.wrapping_sub(row.start))).collect()
    }

    /// Where the first row that touches these sectors begins: not clipped to them.
    pub(crate) fn first_bad(&self, start: u64, sectors: u64) -> Option<u64> {
        let end = start.saturating_add(sectors);
        let at = self.rows.partition_point(|row| row.end <= start);
        self.rows.get(at).filter(|row| row.start < end).map(|row| row.start)
    }

    /// Records bad sectors; false when not all of them could be.
    pub(crate) fn set(&mut self, start: u64, sectors: u64) -> bool {
        let Some(end) = start.checked_add(sectors).filter(|_| sectors > 0) else { return false };
        if self.is_full() && self.quirks.full_badblocks_refuse_all() {
            return false;
        }
        let (mut at, mut whole) = (start, true);
        while at < end {
            at = self.set_some(at, end, &mut whole);
        }
        self.join_right_of(end);
        whole
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= MOST
    }

    /// One step of `set`: returns where the next one begins.
    fn set_some(&mut self, at: u64, end: u64, whole: &mut bool) -> u64 {
        self.join_left_of(at);
        let next = self.rows.partition_point(|row| row.start <= at);
        let limit = self.rows.get(next).map_or(end, |row| row.start.min(end));
        let full = self.is_full();
        let longest = |from: u64| from.saturating_add(LONGEST).min(limit);
        match next.checked_sub(1).and_then(|before| self.rows.get_mut(before)) {
            Some(row) if at < row.end => row.end.min(end),
            Some(row) if at == row.end && longest(row.start) > at => {
                row.end = longest(row.start);
                row.end
            }
            Some(_) | None if full => {
                *whole = false;
                limit
            }
            Some(_) | None => {
                self.rows.insert(next, Row { start: at, end: longest(at) });
                longest(at)
            }
        }
    }

    /// Joins the row at `at` with its left neighbour, as every step does first.
    fn join_left_of(&mut self, at: u64) {
        let next = self.rows.partition_point(|row| row.start <= at);
        if let Some(left) = next.checked_sub(2) {
            self.join(left);
        }
    }

    /// Joins the last row that was set with its right neighbour, as the last step does.
    fn join_right_of(&mut self, end: u64) {
        let next = self.rows.partition_point(|row| row.start < end);
        if let Some(last) = next.checked_sub(1) {
            self.join(last);
        }
    }

    fn join(&mut self, left: usize) {
        let right = left.saturating_add(1);
        let (Some(a), Some(b)) = (self.rows.get(left), self.rows.get(right)) else { return };
        if a.end == b.start && b.end.abs_diff(a.start) <= LONGEST {
            let end = b.end;
            self.rows.remove(right);
            if let Some(row) = self.rows.get_mut(left) {
                row.end = end;
            }
        }
    }

    /// Forgets bad sectors. A row that would have to be split stays as it is when there is no room
    /// for the second half.
    pub(crate) fn clear(&mut self, start: u64, sectors: u64) {
        let end = start.saturating_add(sectors);
        let room = self.rows.len() < self.quirks.badblocks_split_limit(MOST);
        let rows = core::mem::take(&mut self.rows);
        self.rows = rows.into_iter().flat_map(|row| split(row, start, end, room)).collect();
    }
}

/// What is left of a row without `[start, end)`.
fn split(row: Row, start: u64, end: u64, room: bool) -> impl Iterator<Item = Row> {
    let inside = row.start < start && end < row.end;
    let parts = if inside && !room {
        [Some(row), None]
    } else {
        let before = Row { end: row.end.min(start), ..row };
        let after = Row { start: row.start.max(end), ..row };
        [Some(before), Some(after)]
    };
    parts.into_iter().flatten().filter(|part| part.start < part.end)
}

#[cfg(test)]
mod tests;
