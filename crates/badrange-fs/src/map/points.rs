//! Single bytes, many at once: their cache misses overlap instead of following one another.

use core::{cell::Cell, hint::black_box, ops::ControlFlow};

use badrange_core::{DevOffset, Extent};
use smallvec::SmallVec;

use super::{
    Owned, ReverseMap, Store,
    cursor::Cursor,
    emit,
    level::{Level, Place},
};

/// How many points are on their way together. A core has a dozen or two misses in flight.
const TOGETHER: usize = 16;

type Cursors<'a> = SmallVec<[Cursor<'a>; TOGETHER]>;

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
        mut sink: impl FnMut(usize, Owned) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let only = match &self.store {
            Store::Tree(tree) => tree.only(),
            Store::Packed(_) => None,
        };
        let ascending = points.is_sorted();
        let mut finger = (0, 0);
        for (group, points) in points.chunks(TOGETHER).enumerate() {
            let first = group.saturating_mul(TOGETHER);
            let Some(level) = only else {
                self.warm(points);
                each_alone(self, points, first, &mut sink)?;
                continue;
            };
            let mut cursors = if ascending {
                behind(level, points, &mut finger)
            } else {
                anywhere(level, points)
            };
            for ((index, point), cursor) in (first..).zip(points).zip(&mut cursors) {
                let Ok(byte) = Extent::new(*point, 1) else { continue };
                cursor.try_each(&Cell::new(point.get()), |raw| {
                    emit(&raw, byte, &mut |owned| sink(index, owned))
                })?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Reads what the points' owners will be read from.
    fn warm(&self, points: &[DevOffset]) {
        if let Store::Tree(tree) = &self.store {
            tree.used().for_each(|level| drop(anywhere(level, points)));
        }
    }
}

fn each_alone(
    map: &ReverseMap,
    points: &[DevOffset],
    first: usize,
    sink: &mut impl FnMut(usize, Owned) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for (index, point) in (first..).zip(points) {
        let Ok(byte) = Extent::new(*point, 1) else { continue };
        map.for_each_owner(byte, |owned| sink(index, owned))?;
    }
    ControlFlow::Continue(())
}

/// Cursors of points in any order, in rounds of one step each: no step waits for the memory of
/// another point's step.
fn anywhere<'a>(level: &'a Level, points: &[DevOffset]) -> Cursors<'a> {
    let directory = level.directory();
    let guesses: SmallVec<[u32; TOGETHER]> =
        points.iter().map(|point| directory.guess(point.get())).collect();
    let found = guesses.iter().zip(points).map(|(hint, point)| {
        let point = point.get();
        let place = directory.follow(*hint, point).unwrap_or_else(|| directory.search(point));
        level.seek_at(place, point)
    });
    let places: SmallVec<[Place; TOGETHER]> = found.collect();
    touched(level, &places, points)
}

/// Cursors of points that ascend: most are in the leaf of the one before.
fn behind<'a>(level: &'a Level, points: &[DevOffset], finger: &mut Place) -> Cursors<'a> {
    let places = points.iter().map(|point| {
        if !level.is_in(*finger, point.get()) {
            *finger = level.seek(point.get());
        }
        *finger
    });
    let places: SmallVec<[Place; TOGETHER]> = places.collect();
    touched(level, &places, points)
}

fn touched<'a>(level: &'a Level, places: &[Place], points: &[DevOffset]) -> Cursors<'a> {
    let cursors = places.iter().zip(points).map(|(place, point)| {
        let point = point.get();
        Cursor::new(level, *place, point, point.saturating_add(1))
    });
    let cursors: Cursors<'_> = cursors.collect();
    black_box(cursors.iter().map(Cursor::touch).fold(0, |all, word| all ^ word));
    cursors
}
