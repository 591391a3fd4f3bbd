//! Single bytes, many at once: their cache misses overlap instead of following one another.

use core::{hint::black_box, ops::ControlFlow};

use badrange_core::{DevOffset, Extent, Flow};
use smallvec::SmallVec;

use super::{Owned, ReverseMap, Store, directory::Guess, emit, level::Level};

/// How many points are on their way together. A core has a dozen or two misses in flight.
const TOGETHER: usize = 16;

type Guesses = SmallVec<[Guess; TOGETHER]>;

impl ReverseMap {
    /// Emits every owner of each of many bytes, with the index of the byte: first all owners of the
    /// first one, in the map's order, then those of the second, and so on.
    ///
    /// The same answers as [`owners`](Self::owners) for one byte after the other, several times
    /// faster where the map is larger than the caches. Ascending points are faster still. Points
    /// that nobody owns are left out; so is the last byte of the 64-bit scale.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{DevOffset, Extent, FileOffset};
    /// use badrange_fs::{Owner, Record, ReverseMap, Special};
    /// use core::ops::ControlFlow;
    /// let journal = Record {
    ///     extent: Extent::new(DevOffset::new(4096), 8192)?,
    ///     owner: Owner::Special(Special::Journal),
    ///     file_start: FileOffset::new(0),
    ///     unwritten: false,
    /// };
    /// let map: ReverseMap = [journal].into_iter().collect();
    /// let mut hit = Vec::new();
    /// let _ = map.owners_of_points(&[0, 4096, 12287, 12288].map(DevOffset::new), |i, owned| {
    ///     assert_eq!(owned.device.len(), 1);
    ///     hit.push(i);
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(hit, [1, 2]);
    /// # Ok::<(), badrange_core::RangeError>(())
    /// ```
    pub fn owners_of_points(
        &self,
        points: &[DevOffset],
        mut sink: impl FnMut(usize, Owned) -> Flow,
    ) -> Flow {
        let only = match &self.store {
            Store::Tree(tree) => tree.only(),
            Store::Packed(_) => None,
        };
        for (group, points) in points.chunks(TOGETHER).enumerate() {
            let first = group.saturating_mul(TOGETHER);
            let Some(level) = only else {
                self.warm(points);
                each_alone(self, points, first, &mut sink)?;
                continue;
            };
            for ((index, point), guess) in (first..).zip(points).zip(guesses(level, points)) {
                // The last byte of the scale is in no extent, so that nobody owns it.
                let Ok(byte) = Extent::new(*point, 1) else { continue };
                let from = point.get();
                let end = byte.end().get();
                level.try_each_by(
                    guess,
                    || from,
                    end,
                    |raw| emit(raw, from, end, &mut |owned| sink(index, owned)),
                )?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Reads what the points' owners will be read from.
    fn warm(&self, points: &[DevOffset]) {
        if let Store::Tree(tree) = &self.store {
            tree.used().for_each(|level| drop(guesses(level, points)));
        }
    }
}

fn each_alone(
    map: &ReverseMap,
    points: &[DevOffset],
    first: usize,
    sink: &mut impl FnMut(usize, Owned) -> Flow,
) -> Flow {
    for (index, point) in (first..).zip(points) {
        // The last byte of the scale is in no extent, so that nobody owns it.
        let Ok(byte) = Extent::new(*point, 1) else { continue };
        map.for_each_owner(byte, |owned| sink(index, owned))?;
    }
    ControlFlow::Continue(())
}

/// Where the points' records are likely to be, and a look at each: in two rounds, so that no point
/// waits for the memory of another one.
fn guesses(level: &Level, points: &[DevOffset]) -> Guesses {
    let directory = level.directory();
    let guesses: Guesses = points.iter().map(|point| directory.guess(point.get())).collect();
    black_box(guesses.iter().fold(0, |all, guess| all ^ directory.touch(*guess)));
    guesses
}
