use badrange_core::{DevOffset, Extent};
use rangemap::RangeSet;

use crate::{
    bytes::{self, count, index, units},
    set,
    sync::{Mutex, MutexGuard},
};

/// Bytes that one store with a guarantee writes together.
///
/// # Kernel
/// A cache line, as `MOVDIR64B` writes it.
pub const LINE_BYTES: u64 = 64;

/// What the bytes of a device are kept in: memory of which parts may be poisoned.
///
/// Poison has a granule: bytes go bad together. A load of a poisoned byte does not give a byte; a
/// plain store to a part of a poisoned granule does not make it good.
///
/// Positions are bytes of the device; callers stay within [`len`](Self::len). What lies beyond may
/// be answered in any way but a panic.
///
/// # Concurrency
/// All of these may be called at the same time, also for the same bytes: then it is as with memory,
/// and a copy may see a part of a store. Whoever implements this for shared memory uses loads and
/// stores that may race.
///
/// # Kernel
/// `copy_mc_to_kernel()`, `memcpy_flushcache()`, and the hardware below.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{Memory, ModelMemory};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let memory = ModelMemory::new(1024, 64);
/// memory.copy_in(DevOffset::new(0), &[7; 1024]);
/// memory.poison(at(130, 1)); // the granule from 128 to 192
/// let mut buf = [0; 256];
/// assert_eq!(memory.copy_out(DevOffset::new(100), &mut buf), 28);
/// assert_eq!(buf[..28], [7; 28]);
/// assert_eq!(memory.clear_poison(at(0, 1024)), 1024);
/// assert_eq!(memory.copy_out(DevOffset::new(100), &mut buf), 256);
/// assert_eq!(buf[28..92], [0; 64]); // what was there is lost
/// ```
#[expect(clippy::len_without_is_empty, reason = "a device is not empty")]
pub trait Memory: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// How many bytes go bad together: a power of two, from 1 to 4096. Byte 0 begins a granule.
    fn granule(&self) -> u64;

    /// Copies to `buf` until all is copied or a poisoned byte is met: how many bytes.
    ///
    /// The rest of `buf` may hold anything.
    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize;

    /// Stores. Granules that are poisoned stay so, and lose what was stored to them.
    fn copy_in(&self, at: DevOffset, data: &[u8]);

    /// Lets the firmware clear the poison of a range made of granules: how many bytes it cleared,
    /// from the start of the range on. What was poisoned holds zeros afterwards.
    fn clear_poison(&self, range: Extent) -> u64;

    /// Stores whole granules so that what is written is good afterwards, whether or not it was
    /// poisoned: how many bytes were stored, in whole granules from the start on.
    ///
    /// No granule is ever seen between the two: it is poisoned, or it holds all of its new bytes.
    fn write_and_clear(&self, at: DevOffset, data: &[u8]) -> u64;
}

impl<M: Memory + ?Sized> Memory for &M {
    fn len(&self) -> u64 {
        (**self).len()
    }
    fn granule(&self) -> u64 {
        (**self).granule()
    }
    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
        (**self).copy_out(at, buf)
    }
    fn copy_in(&self, at: DevOffset, data: &[u8]) {
        (**self).copy_in(at, data);
    }
    fn clear_poison(&self, range: Extent) -> u64 {
        (**self).clear_poison(range)
    }
    fn write_and_clear(&self, at: DevOffset, data: &[u8]) -> u64 {
        (**self).write_and_clear(at, data)
    }
}

/// Memory to try things with: bytes, and which granules of them are poisoned.
///
/// # Concurrency
/// One lock inside, so that each call is seen as a whole: it does not show what tears.
///
/// # Examples
/// ```
/// use badrange_core::{DevOffset, Extent};
/// use badrange_pmem::{Memory, ModelMemory};
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let memory = ModelMemory::new(4096, 256);
/// memory.poison(at(0, 512));
/// // The next thing that clears does so for 256 bytes, then fails.
/// memory.fail_after(256);
/// assert_eq!(memory.write_and_clear(DevOffset::new(0), &[1; 512]), 256);
/// assert_eq!(memory.poisoned(), [at(256, 256)]);
/// ```
#[derive(Debug)]
pub struct ModelMemory {
    state: Mutex<State>,
    len: u64,
    granule: u64,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Whole granules.
    poisoned: RangeSet<DevOffset>,
    /// How many bytes the next clear does before it fails.
    limit: Option<u64>,
}

/// What a poisoned granule holds: nobody may ever see it.
const LOST: u8 = 0xdb;

impl ModelMemory {
    /// Zeros, none of them poisoned. The granule is made a power of two from 1 to 4096, upward.
    #[must_use]
    pub fn new(len: usize, granule: u64) -> Self {
        let granule = granule.clamp(1, 4096).next_power_of_two();
        let state = State { bytes: vec![0; len], ..State::default() };
        Self { state: Mutex::new(state), len: count(len), granule }
    }

    /// Poisons every granule that the bytes touch; what they held is lost.
    pub fn poison(&self, bad: Extent) {
        let bad = units(bad, self.granule);
        let mut state = self.state();
        state.poisoned.insert(set::range(bad));
        state.fill(bad, LOST);
    }

    /// Lets the next call that clears stop after so many bytes.
    pub fn fail_after(&self, bytes: u64) {
        self.state().limit = Some(bytes);
    }

    /// The poisoned ranges in ascending order; granules that touch are one.
    #[must_use]
    pub fn poisoned(&self) -> Vec<Extent> {
        self.state().poisoned.iter().filter_map(set::extent).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// How much of `len` bytes is cleared now: all, or whole granules up to the limit that was set.
    fn take_limit(&self, state: &mut State, len: u64) -> u64 {
        let limit = state.limit.take().filter(|limit| *limit < len);
        limit.map_or(len, |limit| bytes::down(limit, self.granule))
    }
}

impl State {
    /// As many bytes as there are of `len` from `at` on: none beyond the end.
    fn room(&mut self, at: DevOffset, len: usize) -> &mut [u8] {
        let room = self.bytes.get_mut(index(at.get())..).unwrap_or_default();
        let len = room.len().min(len);
        room.split_at_mut(len).0
    }

    fn fill(&mut self, range: Extent, value: u8) {
        self.room(range.start(), index(range.len())).fill(value);
    }

    fn store(&mut self, at: DevOffset, data: &[u8]) {
        let room = self.room(at, data.len());
        room.copy_from_slice(data.split_at(room.len()).0);
    }

    fn poisoned_within(&self, range: Extent) -> Vec<Extent> {
        set::within(&self.poisoned, range).collect()
    }
}

impl Memory for ModelMemory {
    fn len(&self) -> u64 {
        self.len
    }

    fn granule(&self) -> u64 {
        self.granule
    }

    fn copy_out(&self, at: DevOffset, buf: &mut [u8]) -> usize {
        let state = self.state();
        let len = count(buf.len()).min(self.len.saturating_sub(at.get()));
        // Nothing is copied of nothing, nor beyond the end.
        let Ok(range) = Extent::new(at, len) else { return 0 };
        let bad = set::within(&state.poisoned, range).next();
        let good = bad.map_or(Some(range), |bad| range.without(bad).0);
        // Nor where the first byte is poisoned.
        let Some(good) = good else { return 0 };
        let source = bytes::part(DevOffset::new(0), good, &state.bytes);
        buf.split_at_mut(source.len()).0.copy_from_slice(source);
        source.len()
    }

    fn copy_in(&self, at: DevOffset, data: &[u8]) {
        // Nothing is stored of nothing, nor beyond the end of the scale.
        let Ok(range) = Extent::new(at, count(data.len())) else { return };
        let mut state = self.state();
        state.store(at, data);
        for lost in state.poisoned_within(range) {
            state.fill(lost, LOST);
        }
    }

    fn clear_poison(&self, range: Extent) -> u64 {
        let mut state = self.state();
        let len = self.take_limit(&mut state, range.len());
        // It may give up before the first granule.
        let Ok(done) = Extent::new(range.start(), len) else { return 0 };
        let done = units(done, self.granule);
        for cleared in state.poisoned_within(done) {
            state.fill(cleared, 0);
        }
        state.poisoned.remove(set::range(done));
        len
    }

    fn write_and_clear(&self, at: DevOffset, data: &[u8]) -> u64 {
        let mut state = self.state();
        let len = self.take_limit(&mut state, count(data.len()));
        // As above.
        let Ok(done) = Extent::new(at, len) else { return 0 };
        state.poisoned.remove(set::range(units(done, self.granule)));
        state.store(at, data.split_at(index(len)).0);
        len
    }
}
