//! KERNEL: `block/badblocks.c` up to 6.6.
//!
//! Bisections and merges assume a sorted table of disjoint records, and setting does not keep it
//! so. Everything is therefore by index, and wraps where the kernel wraps.

use super::{BadblocksTable, Checked, TABLE_RECORDS, word::LONGEST, word::Word};

/// What is left to set, and how.
#[derive(Debug, Clone, Copy)]
struct Rest {
    at: u64,
    sectors: u64,
    acknowledged: bool,
}

impl Rest {
    const fn end(self) -> u64 {
        self.at.wrapping_add(self.sectors)
    }

    /// Moves on: everything up to `at` is done, and `end` is where all of it ends.
    fn advance(&mut self, at: u64, end: u64) {
        (self.at, self.sectors) = (at, end.wrapping_sub(at));
    }
}

/// What is left of a number in an `int`.
fn int(number: u64) -> i64 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i64::from(i32::from_le_bytes([a, b, c, d]))
}

impl BadblocksTable {
    /// The two indices that bisection ends with: the first is the last record whose start is
    /// `early`, if any is.
    fn bisect(&self, early: impl Fn(u64) -> bool) -> (usize, usize) {
        let (mut low, mut high) = (0_usize, self.words.len());
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if early(self.word(middle).start()) {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low, high)
    }

    pub(super) fn set_6_1(&mut self, start: u64, sectors: u64, acknowledged: bool) -> bool {
        let (mut low, mut high) = self.bisect(|first| first <= start);
        if high > low && self.word(low).start() > start {
            high = low;
        }
        let mut rest = Rest { at: start, sectors, acknowledged };
        if high > low {
            self.merge_before(low, &mut rest);
        }
        if rest.sectors > 0 && high < self.words.len() && self.merge_after(high, &mut rest) {
            low = high;
            high = high.saturating_add(1);
        }
        if rest.sectors == 0 && high < self.words.len() {
            self.combine(low, high, rest.at);
        }
        self.insert_rest(high, rest)
    }

    /// Lets the record at or before the start take in as much as it can.
    fn merge_before(&mut self, low: usize, rest: &mut Rest) {
        let old = self.word(low);
        if old.end() < rest.at {
            return;
        }
        let covers = rest.at == old.start() && rest.end() >= old.end();
        let acknowledged = rest.acknowledged && (covers || old.is_acknowledged());
        let end = old.end().max(rest.end());
        let len = end.wrapping_sub(old.start());
        if len <= LONGEST {
            self.put(low, Word::pack(old.start(), len, acknowledged));
            rest.advance(end, end);
            return;
        }
        if old.len() != LONGEST {
            self.put(low, Word::pack(old.start(), LONGEST, acknowledged));
        }
        rest.advance(old.start().wrapping_add(LONGEST), end);
    }

    /// Lets the record after the start grow down to it; false when it is too far away.
    fn merge_after(&mut self, high: usize, rest: &mut Rest) -> bool {
        let old = self.word(high);
        if old.start() > rest.end() {
            return false;
        }
        let covers = old.end() <= rest.end();
        let acknowledged = rest.acknowledged && (covers || old.is_acknowledged());
        let end = old.end().max(rest.end());
        let len = end.wrapping_sub(rest.at).min(LONGEST);
        self.put(high, Word::pack(rest.at, len, acknowledged));
        rest.advance(rest.at.wrapping_add(len), end);
        true
    }

    /// Joins two records when the first ends at or beyond the start of the second. What the first
    /// has beyond the end of the second is forgotten.
    fn combine(&mut self, low: usize, high: usize, end_of_low: u64) {
        let (a, b) = (self.word(low), self.word(high));
        let Some(overlap) = end_of_low.checked_sub(b.start()) else { return }; // they are apart
        // The kernel's length is an `int`, which is negative in a table without order.
        let len = int(a.len().wrapping_add(b.len()).wrapping_sub(overlap));
        if len < 0 || len.unsigned_abs() < LONGEST {
            let acknowledged = a.is_acknowledged() && b.is_acknowledged();
            let len = u64::from_le_bytes(len.to_le_bytes());
            self.put(low, Word::pack(a.start(), len, acknowledged));
            self.words.remove(high);
        }
    }

    /// Puts each further record before the one that was put last.
    fn insert_rest(&mut self, high: usize, mut rest: Rest) -> bool {
        while rest.sectors > 0 {
            if self.words.len() >= TABLE_RECORDS {
                return false;
            }
            let len = rest.sectors.min(LONGEST);
            self.words.insert(high, Word::pack(rest.at, len, rest.acknowledged));
            rest.advance(rest.at.wrapping_add(len), rest.end());
        }
        true
    }

    /// Clears `[start, end)`; after rounding inward the end may lie before the start.
    pub(super) fn clear_6_1(&mut self, start: u64, end: u64) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let (mut low, mut high) = self.bisect(|first| first < end);
        let old = self.word(low);
        // Index of the last record that may still have to go, counted from 1.
        let mut last = low.saturating_add(1);
        if old.start() < end && end < old.end() {
            if old.start() < start {
                if self.words.len() >= TABLE_RECORDS {
                    return false;
                }
                let len = start.wrapping_sub(old.start());
                self.words.insert(low, Word::pack(old.start(), len, old.is_acknowledged()));
                low = low.saturating_add(1);
            }
            let len = old.end().wrapping_sub(end);
            self.put(low, Word::pack(end, len, old.is_acknowledged()));
            (high, last) = (low, low);
        }
        while let Some(at) = last.checked_sub(1) {
            let word = self.word(at);
            if word.end() <= start || end <= word.start() {
                break;
            }
            if word.start() < start {
                let len = start.wrapping_sub(word.start());
                self.put(at, Word::pack(word.start(), len, word.is_acknowledged()));
                break;
            }
            last = at;
        }
        if last < high {
            self.words.drain(last..high);
        }
        true
    }

    pub(super) fn check_6_1(&self, start: u64, end: u64) -> Checked {
        if self.words.is_empty() {
            return Checked::Good;
        }
        let (low, _) = self.bisect(|first| first < end);
        let before = self.words.iter().take(low.saturating_add(1)).rev();
        let hits = before.take_while(|word| word.end() > start).filter(|word| word.start() < end);
        hits.fold(Checked::Good, |found, word| Checked::Bad {
            first: word.record(),
            all_acknowledged: word.is_acknowledged() && found.code() != -1,
        })
    }
}
