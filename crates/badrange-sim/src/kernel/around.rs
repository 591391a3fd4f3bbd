//! read(2) and write(2) of the ranged design: what is good comes, with the exact list of holes, and
//! a write that covers the holes repairs them as one operation, without a flag.
//!
//! No kernel does this; see `badrange_pmem::RangedPmem`, which does it in memory.

// NO-OVERFLOW: a transfer ends below 2^63, extents end within 64 bits of their file and of their
// device, and every sum and difference below is of parts of these: where arithmetic saturates, it
// never does.

use core::ops::Range;

use badrange_core::{SECTOR_SIZE, Sector};
use rangemap::RangeSet;

use super::{
    Linux,
    errno::{EFAULT, EIO},
    io::{Attempts, Transfer, run_at},
};
use crate::{
    Around, ClearAttempt, PAGE_SIZE, Recovery,
    machine::{FileRun, PmemBytes},
};

/// Bytes of a file within one extent or hole.
struct Piece {
    run: FileRun,
    range: Range<u64>,
}

impl Piece {
    /// What a write stores: zeros beside the bytes, where the pages were never written.
    fn stored(&self) -> Range<u64> {
        if self.run.unwritten { pages_around(&self.range) } else { self.range.clone() }
    }
}

/// Bytes of a file that lie on bytes of a pmem device, or on nothing that can be read.
struct Part {
    at: u64,
    len: u64,
    below: Option<PmemBytes>,
}

impl Part {
    fn range(&self) -> Range<u64> {
        self.at..self.at.saturating_add(self.len)
    }
}

impl Linux<'_> {
    /// A read gives every good byte, and says which are none. Its value is that of a short read: the
    /// bytes before the first hole.
    pub(super) fn read_around(&self, fs: usize, ino: u64, what: Transfer) -> (i64, Around) {
        let mut holes = RangeSet::new();
        for part in self.parts(fs, ino, what.at..what.end) {
            holes.extend(self.holes(&part));
        }
        let asked = what.at..what.end;
        let prefix = holes.first().map_or(what.end, |hole: &Range<u64>| hole.start);
        let ret = i64::try_from(prefix.saturating_sub(what.at)).unwrap_or(i64::MAX);
        let good = if asked.is_empty() { Vec::new() } else { holes.gaps(&asked).collect() };
        let rows = |ranges: Vec<Range<u64>>| {
            ranges.iter().map(|r| (r.start, r.end.saturating_sub(r.start))).collect()
        };
        let around = Around { good: rows(good), holes: rows(holes.iter().cloned().collect()) };
        (if ret == 0 && !asked.is_empty() { EIO } else { ret }, around)
    }

    /// A write is refused, and nothing is stored, where it covers a bad sector in part. Where the
    /// hardware clears less than it is asked to, what comes before holds its new bytes.
    pub(super) fn write_around(
        &mut self,
        fs: usize,
        ino: u64,
        what: Transfer,
        attempts: &mut Attempts,
    ) -> i64 {
        let pieces = self.pieces(fs, ino, what.at..what.end);
        let refused = pieces.iter().find_map(|piece| self.refusal(fs, ino, piece));
        if let Some(errno) = refused {
            return errno;
        }
        for piece in pieces {
            if let Err(good) = self.store(fs, ino, &piece, attempts) {
                let done = i64::try_from(good.saturating_sub(what.at)).unwrap_or(i64::MAX);
                return if done > 0 { done } else { EIO };
            }
        }
        i64::try_from(what.end.saturating_sub(what.at)).unwrap_or(i64::MAX)
    }

    /// Why a piece cannot be written.
    fn refusal(&self, fs: usize, ino: u64, piece: &Piece) -> Option<i64> {
        if piece.run.shared {
            return (!self.is_good_beside(fs, ino, &piece.range)).then_some(EIO);
        }
        let cut = |part: &Part| part.below.is_none() || self.cuts_a_hole(part);
        self.parts_of(piece, piece.stored()).iter().any(cut).then_some(EFAULT)
    }

    /// `Err`: the file byte up to which it was stored.
    fn store(
        &mut self,
        fs: usize,
        ino: u64,
        piece: &Piece,
        attempts: &mut Attempts,
    ) -> Result<(), u64> {
        if piece.run.shared {
            self.write_elsewhere(fs, ino, piece.range.clone());
            return Ok(());
        }
        let stored = piece.stored();
        for part in self.parts_of(piece, stored.clone()) {
            for hole in self.holes(&part) {
                self.repair(&part, &hole, attempts)?;
            }
        }
        if piece.run.unwritten {
            self.machine.fs_mut(fs).convert(ino, stored.start, stored.end);
        }
        Ok(())
    }

    /// The bytes of a file, extent by extent.
    fn pieces(&self, fs: usize, ino: u64, asked: Range<u64>) -> Vec<Piece> {
        let runs = self.runs(fs, ino);
        let (mut pieces, mut at) = (Vec::new(), asked.start);
        while at < asked.end {
            let run = run_at(&runs, at, asked.end);
            let end = run.end().min(asked.end);
            pieces.push(Piece { run, range: at..end });
            at = end;
        }
        pieces
    }

    /// The bytes of a file that were ever written, and where they are.
    fn parts(&self, fs: usize, ino: u64, asked: Range<u64>) -> Vec<Part> {
        let pieces = self.pieces(fs, ino, asked).into_iter();
        let written = pieces.filter(|piece| !piece.run.unwritten);
        written.flat_map(|piece| self.parts_of(&piece, piece.range.clone())).collect()
    }

    /// Bytes of an extent, cut where they do not lie one after the other.
    fn parts_of(&self, piece: &Piece, range: Range<u64>) -> Vec<Part> {
        let Some((device, start)) = piece.run.place else { return Vec::new() };
        let (mut parts, mut at) = (Vec::new(), range.start);
        while at < range.end {
            let byte = start.saturating_add(at.saturating_sub(piece.run.file_start));
            let left = range.end.saturating_sub(at);
            let below = self.machine.below(device, byte, left).filter(|below| self.is_there(below));
            let len = below.as_ref().map_or(left, |below| below.len);
            parts.push(Part { at, len, below });
            at = at.saturating_add(len);
        }
        parts
    }

    fn is_there(&self, below: &PmemBytes) -> bool {
        !self.machine.device(below.pmem).dead
    }

    /// The bytes of a part that are bad, in whole sectors where it has them whole.
    fn holes(&self, part: &Part) -> Vec<Range<u64>> {
        let Some(below) = part.below else { return vec![part.range()] };
        let here =
            |byte: u64| part.at.saturating_add(byte.saturating_sub(below.at)).min(part.range().end);
        let bad = self.bad_sectors(below).into_iter();
        let bytes = bad
            .map(|bad| bad.start.saturating_mul(SECTOR_SIZE)..bad.end.saturating_mul(SECTOR_SIZE));
        bytes.map(|bad| here(bad.start.max(below.at))..here(bad.end)).collect()
    }

    fn bad_sectors(&self, below: PmemBytes) -> Vec<Range<u64>> {
        let (first, end) =
            (below.at / SECTOR_SIZE, below.at.saturating_add(below.len).div_ceil(SECTOR_SIZE));
        let known = &self.machine.device(below.pmem).badblocks;
        known.within(Sector::new(first), end.saturating_sub(first))
    }

    /// Whether a part begins or ends within a bad sector.
    fn cuts_a_hole(&self, part: &Part) -> bool {
        let Some(below) = part.below else { return true };
        let end = below.at.saturating_add(below.len);
        self.bad_sectors(below).iter().any(|bad| {
            bad.start.saturating_mul(SECTOR_SIZE) < below.at
                || bad.end.saturating_mul(SECTOR_SIZE) > end
        })
    }

    /// Clears, forgets and stores one hole. `Err`: the file byte up to which that was done.
    fn repair(
        &mut self,
        part: &Part,
        hole: &Range<u64>,
        attempts: &mut Attempts,
    ) -> Result<(), u64> {
        let Some(below) = part.below else { return Err(hole.start) };
        let at = below.at.saturating_add(hole.start.saturating_sub(part.at));
        let len = hole.end.saturating_sub(hole.start);
        let (phys, ret) = self.clear_poison(below.pmem, at, len);
        attempts.cleared.push(ClearAttempt::new(phys, len, ret));
        let cleared = u64::try_from(ret).unwrap_or(0).min(len);
        let cleared = cleared.saturating_sub(cleared % SECTOR_SIZE);
        self.clear_badblocks(below.pmem, at, cleared);
        attempts.recovery.push(Recovery::new(at, len, i64::try_from(cleared).unwrap_or(0)));
        if cleared < len { Err(hole.start.saturating_add(cleared)) } else { Ok(()) }
    }

    /// Whether the bytes of the pages around a write that it does not replace are all good.
    fn is_good_beside(&self, fs: usize, ino: u64, range: &Range<u64>) -> bool {
        let pages = pages_around(range);
        [pages.start..range.start, range.end..pages.end].into_iter().all(|beside| {
            self.parts(fs, ino, beside).iter().all(|part| self.holes(part).is_empty())
        })
    }
}

/// The bytes of the pages that a range touches.
fn pages_around(range: &Range<u64>) -> Range<u64> {
    range.start.saturating_sub(range.start % PAGE_SIZE)..range.end.next_multiple_of(PAGE_SIZE)
}
