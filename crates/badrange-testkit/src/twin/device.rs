#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "the textbook formulas as they stand; pictures are small, and a panic is a failed check"
)]

use badrange_core::HoleKind;

use super::DrawnTarget;

/// Where one slot of a device lies.
///
/// # Examples
/// ```
/// use badrange_testkit::twin::{Slot, Twin};
/// assert_eq!(Twin::linear(7, 2).slots(), [Slot::On { leg: 0, at: 7 }, Slot::On { leg: 0, at: 8 }]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// On a leg.
    On {
        /// Which leg.
        leg: u32,
        /// Which slot of the leg's device.
        at: u64,
    },
    /// On no leg, and nowhere else.
    Hole(HoleKind),
    /// On no leg: the device's own.
    Own,
}

/// One device as a list of slots.
///
/// # Examples
/// A layer of your own is drawn slot by slot:
/// ```
/// use badrange_testkit::twin::{Slot, Twin};
/// // Every second slot of the device below.
/// let twin = Twin::from_slots(1, (0..4).map(|i| Slot::On { leg: 0, at: 2 * i }).collect());
/// assert_eq!(twin.rmap(0, 4), [2]);
/// assert!(twin.rmap(0, 5).is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    legs: u32,
    slots: Vec<Slot>,
}

impl Twin {
    /// The device with exactly these slots.
    #[must_use]
    pub fn from_slots(legs: u32, slots: Vec<Slot>) -> Self {
        Self { legs, slots }
    }

    /// A device at the bottom: `len` slots that are its own.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::{Slot, Twin};
    /// assert_eq!((Twin::base(8).len(), Twin::base(8).legs()), (8, 0));
    /// assert_eq!(Twin::base(8).map(7), Slot::Own);
    /// ```
    #[must_use]
    pub fn base(len: u64) -> Self {
        Self { legs: 0, slots: (0..len).map(|_| Slot::Own).collect() }
    }

    /// `len` slots from `start` of the one leg on.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::Twin;
    /// assert_eq!(Twin::linear(5, 3).rmap(0, 7), [2]);
    /// ```
    #[must_use]
    pub fn linear(start: u64, len: u64) -> Self {
        Self { legs: 1, slots: (0..len).map(|i| Slot::On { leg: 0, at: start + i }).collect() }
    }

    /// A partition of `len` slots that begins at slot `start` of its disk.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::Twin;
    /// assert!(Twin::partition(5, 3).rmap(0, 8).is_empty());
    /// ```
    #[must_use]
    pub fn partition(start: u64, len: u64) -> Self {
        Self::linear(start, len)
    }

    /// Chunks of `chunk` slots over legs that begin at `starts`, `rows` chunks on each.
    ///
    /// Chunk `c` is chunk `c / legs` of leg `c % legs`.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::{Slot, Twin};
    /// let twin = Twin::striped(1, 2, &[0, 100, 200]);
    /// assert_eq!(twin.map(4), Slot::On { leg: 1, at: 101 });
    /// ```
    #[must_use]
    pub fn striped(chunk: u64, rows: u64, starts: &[u64]) -> Self {
        let legs = starts.len() as u64;
        let place = |o: u64| {
            let (c, within) = (o / chunk, o % chunk);
            let leg = c % legs;
            Slot::On { leg: leg as u32, at: starts[leg as usize] + (c / legs) * chunk + within }
        };
        Self { legs: legs as u32, slots: (0..chunk * rows * legs).map(place).collect() }
    }

    /// The targets one after the other; their legs are numbered through.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::{DrawnPlace, Slot, DrawnTarget, Twin};
    /// let on = DrawnPlace { device: 0, start: 9 };
    /// let twin = Twin::table(&[DrawnTarget::Zero { len: 2 }, DrawnTarget::Linear { on, len: 1 }]);
    /// assert_eq!(twin.map(2), Slot::On { leg: 0, at: 9 });
    /// ```
    #[must_use]
    pub fn table(targets: &[DrawnTarget]) -> Self {
        let mut all = Self { legs: 0, slots: Vec::new() };
        for target in targets {
            let one = target.twin();
            for slot in one.slots {
                all.slots.push(match slot {
                    Slot::On { leg, at } => Slot::On { leg: all.legs + leg, at },
                    hole @ (Slot::Hole(_) | Slot::Own) => hole,
                });
            }
            all.legs += one.legs;
        }
        all
    }

    /// Slots of a device of `len` of them that lie on legs, as (slot above, leg, slot below, how
    /// many); all others are `rest`.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::{Slot, Twin};
    /// let memory = Twin::pieces(8, Slot::Own, &[(2, 0, 100, 3)]);
    /// assert_eq!((memory.map(1), memory.map(4)), (Slot::Own, Slot::On { leg: 0, at: 102 }));
    /// ```
    #[must_use]
    pub fn pieces(len: u64, rest: Slot, pieces: &[(u64, u32, u64, u64)]) -> Self {
        let mut slots = vec![rest; len as usize];
        for (upper, leg, lower, count) in pieces {
            for by in 0..*count {
                slots[(upper + by) as usize] = Slot::On { leg: *leg, at: lower + by };
            }
        }
        let legs = pieces.iter().map(|(_, leg, _, _)| leg + 1).max().unwrap_or(0);
        Self { legs, slots }
    }

    /// A namespace that is slots `start..start + len` of physical memory, its data beginning
    /// `data_offset` slots later and being whole sectors of `slots_per_sector`.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::Twin;
    /// // Slots of half a sector: the odd one at the end is on no device.
    /// let twin = Twin::namespace(16, 8, 13, 2);
    /// assert_eq!(twin.rmap(0, 24), [0]);
    /// assert_eq!(twin.rmap(0, 27), [3]);
    /// assert!(twin.rmap(0, 28).is_empty());
    /// assert!(twin.rmap(0, 23).is_empty());
    /// ```
    #[must_use]
    pub fn namespace(start: u64, data_offset: u64, len: u64, slots_per_sector: u64) -> Self {
        let sectors = (len - data_offset) / slots_per_sector;
        Self::linear(start + data_offset, sectors * slots_per_sector)
    }

    /// The same device drawn finer: every slot as `parts` slots, above and below.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::Twin;
    /// assert_eq!(Twin::linear(5, 2).refined(2), Twin::linear(10, 4));
    /// ```
    #[must_use]
    pub fn refined(&self, parts: u64) -> Self {
        let fine = |slot: &Slot, part: u64| match slot {
            Slot::On { leg, at } => Slot::On { leg: *leg, at: at * parts + part },
            hole @ (Slot::Hole(_) | Slot::Own) => *hole,
        };
        let slots = self.slots.iter().flat_map(|slot| (0..parts).map(move |part| fine(slot, part)));
        Self { legs: self.legs, slots: slots.collect() }
    }

    /// How many legs.
    #[must_use]
    pub fn legs(&self) -> u32 {
        self.legs
    }

    /// How many slots.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Whether it has no slot at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All slots in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Where a slot lies; beyond the device it is unmapped.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::HoleKind;
    /// use badrange_testkit::twin::{Slot, Twin};
    /// assert_eq!(Twin::linear(5, 2).map(2), Slot::Hole(HoleKind::Unmapped));
    /// ```
    #[must_use]
    pub fn map(&self, slot: u64) -> Slot {
        let known = usize::try_from(slot).ok().and_then(|i| self.slots.get(i));
        known.copied().unwrap_or(Slot::Hole(HoleKind::Unmapped))
    }

    /// Which slots lie on slot `at` of a leg: a look at every slot.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::twin::Twin;
    /// assert_eq!(Twin::striped(1, 1, &[4, 4]).rmap(1, 4), [1]);
    /// ```
    #[must_use]
    pub fn rmap(&self, leg: u32, at: u64) -> Vec<u64> {
        let wanted = Slot::On { leg, at };
        (0..self.len()).filter(|slot| self.map(*slot) == wanted).collect()
    }
}
