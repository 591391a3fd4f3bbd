//! KERNEL: `block/badblocks.c` from 6.7 on: a range is handled from its head to its tail, one
//! simple case at a time.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sectors have 54 bits and records are sorted and apart, so that sums fit and what is subtracted lies before"
)]

use super::{
    BadblocksTable, Checked, TABLE_RECORDS,
    word::{LONGEST, Word},
};
use crate::Kernel;

/// What one step of setting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessStep {
    /// So many sectors are done.
    Added(u64),
    /// So many sectors were left as they are.
    Skipped(u64),
    /// So many sectors are not set, but would be if there were room.
    NoRoom(u64),
    /// The end.
    GiveUp,
}

/// What is to be set, from its head on.
#[derive(Debug, Clone, Copy)]
struct Head {
    at: u64,
    sectors: u64,
    acknowledged: bool,
}

impl Head {
    const fn end(self) -> u64 {
        self.at + self.sectors
    }
}

impl BadblocksTable {
    /// The last record that starts at or before a sector.
    fn at_or_before(&self, sector: u64) -> Option<usize> {
        self.words.partition_point(|word| word.start() <= sector).checked_sub(1)
    }

    fn starts_with(&self, at: usize, sector: u64) -> bool {
        self.words.get(at).is_some_and(|word| word.start() == sector)
    }

    /// How many of `sectors` from `sector` on lie before the record at `next`.
    fn up_to(&self, next: usize, sector: u64, sectors: u64) -> u64 {
        self.words.get(next).map_or(sectors, |word| sectors.min(word.start() - sector))
    }

    fn insert(&mut self, at: usize, head: Head, sectors: u64) -> AccessStep {
        let len = sectors.min(LONGEST);
        self.words.insert(at, Word::pack(head.at, len, head.acknowledged));
        AccessStep::Added(len)
    }

    /// Joins the records at `at` and `at + 1` when they touch and say the same.
    fn join(&mut self, at: usize) -> bool {
        // The last record has none after it.
        let (Some(a), Some(b)) = (self.words.get(at), self.words.get(at + 1)) else { return false };
        let fits = a.end() == b.start() && a.len() + b.len() <= LONGEST;
        if !fits || a.is_acknowledged() != b.is_acknowledged() {
            return false;
        }
        let word = Word::pack(a.start(), a.len() + b.len(), a.is_acknowledged());
        self.words.remove(at + 1);
        self.put(at, word);
        true
    }

    /// Joins the record at `at` with the one before it, when it begins at `sector`.
    fn join_before(&mut self, at: usize, sector: u64) -> bool {
        let before = at.checked_sub(1).filter(|_| self.starts_with(at, sector));
        before.is_some_and(|before| self.join(before))
    }

    /// 6.15 and later: nothing goes into a full table.
    pub(super) fn set_7_2(&mut self, start: u64, sectors: u64, acknowledged: bool) -> bool {
        let mut head = Head { at: start, sectors, acknowledged };
        let mut found = None;
        while head.sectors > 0 {
            let step =
                if self.is_full() { AccessStep::GiveUp } else { self.step_7_2(head, &mut found) };
            // What has no room ends it all.
            let (AccessStep::Added(len) | AccessStep::Skipped(len)) = step else { return false };
            (head.at, head.sectors) = (head.at + len, head.sectors - len);
        }
        if let Some(at) = found {
            self.join(at);
        }
        true
    }

    fn step_7_2(&mut self, head: Head, found: &mut Option<usize>) -> AccessStep {
        let Some(at) = self.at_or_before(head.at) else {
            // The very first record is not looked at again when all is done.
            *found = (!self.words.is_empty()).then_some(0);
            let len = self.up_to(0, head.at, head.sectors);
            return self.insert(0, head, len);
        };
        *found = Some(at);
        if let Some(step) = self.step_over(at, head) {
            return step;
        }
        *found = Some(at + 1);
        let len = self.up_to(at + 1, head.at, head.sectors);
        self.insert(at + 1, head, len)
    }

    /// The steps that both do alike: with the record at `at`, which starts at or before the head.
    fn step_over(&mut self, at: usize, head: Head) -> Option<AccessStep> {
        if self.join_before(at, head.at) {
            return Some(AccessStep::Added(0));
        }
        let old = self.word(at);
        let alike = old.is_acknowledged() == head.acknowledged;
        if head.at < old.end() {
            let len = head.sectors.min(old.end() - head.at);
            return Some(if alike { AccessStep::Added(len) } else { self.overwrite(at, head) });
        }
        if alike && head.at == old.end() && old.len() < LONGEST {
            let len = head.sectors.min(LONGEST - old.len());
            let len = self.up_to(at + 1, head.at, len);
            self.put(at, Word::pack(old.start(), old.len() + len, head.acknowledged));
            return Some(AccessStep::Added(len));
        }
        None
    }

    /// Acknowledges a part of a record that is not acknowledged, which may take one or two records
    /// more. The other way round nothing happens: what is acknowledged stays so.
    fn overwrite(&mut self, at: usize, head: Head) -> AccessStep {
        let old = self.word(at);
        let end = head.end().min(old.end());
        let skipped = end - head.at;
        if old.is_acknowledged() {
            return AccessStep::Skipped(skipped);
        }
        let before = (old.start() < head.at)
            .then(|| Word::pack(old.start(), head.at - old.start(), old.is_acknowledged()));
        let after =
            (end < old.end()).then(|| Word::pack(end, old.end() - end, old.is_acknowledged()));
        let extra = usize::from(before.is_some()) + usize::from(after.is_some());
        // KERNEL: 6.12 counts the last record of the table as taken, also when none more is needed.
        let limit = match self.kernel {
            Kernel::Linux6_1 | Kernel::Linux6_12 => TABLE_RECORDS - 1,
            Kernel::Linux7_2 => TABLE_RECORDS,
        };
        if self.words.len() + extra > limit {
            return match self.kernel {
                Kernel::Linux6_1 | Kernel::Linux6_12 => AccessStep::Skipped(skipped),
                Kernel::Linux7_2 => AccessStep::GiveUp,
            };
        }
        let new = Word::pack(head.at, skipped, head.acknowledged);
        self.words.splice(at..=at, [before, Some(new), after].into_iter().flatten());
        self.join_before(at, head.at);
        AccessStep::Added(skipped)
    }

    /// 6.7 to 6.14: a full table still merges, and is tried again when merging has made room.
    /// Success is when anything was added.
    pub(super) fn set_6_12(&mut self, start: u64, sectors: u64, acknowledged: bool) -> bool {
        let whole = Head { at: start, sectors, acknowledged };
        let (mut head, mut found) = (whole, None);
        let (mut added, mut no_room, mut retries) = (false, false, 3);
        loop {
            let step = self.step_6_12(head, &mut found);
            added |= matches!(step, AccessStep::Added(_));
            no_room |= matches!(step, AccessStep::NoRoom(_));
            let (AccessStep::Added(len) | AccessStep::Skipped(len) | AccessStep::NoRoom(len)) =
                step
            else {
                return added;
            };
            (head.at, head.sectors) = (head.at + len, head.sectors - len);
            if head.sectors > 0 {
                continue;
            }
            if let Some(at) = found {
                self.join(at);
            }
            if !no_room || self.is_full() || retries == 0 {
                return added;
            }
            (head, no_room, retries) = (whole, false, retries - 1);
        }
    }

    fn step_6_12(&mut self, head: Head, found: &mut Option<usize>) -> AccessStep {
        if self.words.is_empty() {
            return self.insert(0, head, head.sectors);
        }
        *found = self.at_or_before(head.at);
        let Some(at) = *found else { return self.step_before_all(head) };
        if let Some(step) = self.step_over(at, head) {
            return step;
        }
        if !self.is_full() {
            let len = self.up_to(at + 1, head.at, head.sectors);
            return self.insert(at + 1, head, len);
        }
        // A record that is covered whole is stepped over, and what lies before it with it.
        let next = self.words.get(at + 1).filter(|next| next.end() <= head.end());
        next.map_or(AccessStep::NoRoom(head.sectors), |next| {
            AccessStep::Skipped(next.end() - head.at)
        })
    }

    fn step_before_all(&mut self, head: Head) -> AccessStep {
        let first = self.word(0);
        let gap = first.start() - head.at;
        if !self.is_full() {
            return self.insert(0, head, head.sectors.min(gap));
        }
        if head.sectors <= gap {
            return AccessStep::GiveUp;
        }
        let alike = first.is_acknowledged() == head.acknowledged;
        if alike && first.end() - head.at <= LONGEST {
            self.put(0, Word::pack(head.at, first.len() + gap, head.acknowledged));
            return AccessStep::Added(gap);
        }
        AccessStep::NoRoom(gap)
    }

    pub(super) fn clear_rewritten(&mut self, start: u64, sectors: u64) -> bool {
        let (mut at, mut left, mut cleared) = (start, sectors, false);
        while left > 0 {
            let (len, done) = self.clear_step(at, left);
            cleared |= done;
            (at, left) = (at + len, left - len);
        }
        cleared
    }

    /// One step of clearing: how many sectors it was about, and whether they are good now.
    fn clear_step(&mut self, at: u64, left: u64) -> (u64, bool) {
        let index = self.at_or_before(at);
        let next = index.map_or(0, |index| index + 1);
        let Some((index, old)) = index.map(|i| (i, self.word(i))).filter(|(_, old)| at < old.end())
        else {
            return (self.up_to(next, at, left), true);
        };
        let end = (at + left).min(old.end());
        let before = (old.start() < at)
            .then(|| Word::pack(old.start(), at - old.start(), old.is_acknowledged()));
        let after =
            (end < old.end()).then(|| Word::pack(end, old.end() - end, old.is_acknowledged()));
        // KERNEL: 6.12 counts the last record of the table as taken.
        let limit = match self.kernel {
            Kernel::Linux6_1 | Kernel::Linux6_12 => TABLE_RECORDS - 1,
            Kernel::Linux7_2 => TABLE_RECORDS,
        };
        if before.is_some() && after.is_some() && self.words.len() >= limit {
            return (left, false);
        }
        self.words.splice(index..=index, [before, after].into_iter().flatten());
        (end - at, true)
    }

    pub(super) fn check_rewritten(&self, start: u64, sectors: u64) -> Checked {
        let from = self.words.partition_point(|word| word.end() <= start);
        // A range of no sectors is inside of the record that has its first sector.
        let end = start.saturating_add(sectors.max(1));
        let hits = self.words.iter().skip(from).take_while(|word| word.start() < end);
        let Some(first) = hits.clone().next() else { return Checked::Good };
        let all_acknowledged = hits.clone().all(|word| word.is_acknowledged());
        Checked::Bad { first: first.record(), all_acknowledged }
    }
}
