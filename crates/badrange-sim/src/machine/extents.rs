//! Extents of a filesystem, found by place and by file without looking at all of them.

use core::ops::Deref;
use std::sync::Arc;

use badrange_fs::Fork;

use crate::scenario::{Extent, Owner};

/// A list of extents in the order of the scenario. Copies share it.
///
/// The index is that of the list as it was read. Once the list is changed there is none, and every
/// question walks the list: a change may come with every event, and sorting anew costs more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extents {
    list: Arc<Vec<Extent>>,
    index: Option<Arc<Index>>,
}

#[derive(Debug)]
struct Index {
    by_place: Intervals,
    by_file: Intervals,
}

impl Extents {
    pub(crate) fn new(list: Vec<Extent>) -> Self {
        let place = |(i, extent): (usize, &Extent)| {
            Some((u64::try_from(extent.device).ok()?, extent.start(), extent.end(), i))
        };
        let file = |(i, extent): (usize, &Extent)| {
            let (ino, start) = data_start(extent)?;
            Some((ino, start, start.checked_add(extent.len())?, i))
        };
        let index = Index {
            by_place: list.iter().enumerate().filter_map(place).collect(),
            by_file: list.iter().enumerate().filter_map(file).collect(),
        };
        Self { list: Arc::new(list), index: Some(Arc::new(index)) }
    }

    /// Another list instead.
    pub(crate) fn replace(&mut self, list: Vec<Extent>) {
        (self.list, self.index) = (Arc::new(list), None);
    }

    /// Those with a byte of `[from, to)` of a device, in the order of the list.
    pub(crate) fn at_place(&self, device: usize, from: u64, to: u64) -> Vec<&Extent> {
        self.numbered_at_place(device, from, to).into_iter().map(|(_, extent)| extent).collect()
    }

    /// The same, with their places in the list.
    pub(crate) fn numbered_at_place(
        &self,
        device: usize,
        from: u64,
        to: u64,
    ) -> Vec<(usize, &Extent)> {
        let key = u64::try_from(device).unwrap_or(u64::MAX);
        let here = |e: &Extent| e.device == device && overlaps(e.start(), e.len(), from, to);
        match &self.index {
            Some(index) => self.listed(index.by_place.overlapping(key, from, to)),
            None => self.list.iter().enumerate().filter(|(_, extent)| here(extent)).collect(),
        }
    }

    /// Those with a byte of `[from, to)` of the data of a file, with their places in the list.
    pub(crate) fn numbered_of_file(&self, ino: u64, from: u64, to: u64) -> Vec<(usize, &Extent)> {
        let here = |e: &Extent| {
            data_start(e)
                .is_some_and(|(owner, start)| owner == ino && overlaps(start, e.len(), from, to))
        };
        match &self.index {
            Some(index) => self.listed(index.by_file.overlapping(ino, from, to)),
            None => self.list.iter().enumerate().filter(|(_, extent)| here(extent)).collect(),
        }
    }

    /// Whether any of them is on a device.
    pub(crate) fn any_on(&self, device: usize) -> bool {
        let key = u64::try_from(device).unwrap_or(u64::MAX);
        match &self.index {
            Some(index) => index.by_place.has(key),
            None => self.list.iter().any(|extent| extent.device == device),
        }
    }

    /// The first in the list that holds a byte of the data of a file.
    pub(crate) fn of_byte(&self, ino: u64, at: u64) -> Option<&Extent> {
        let Some(index) = &self.index else {
            let holds = |e: &&Extent| {
                data_start(e).is_some_and(|(owner, start)| {
                    owner == ino && at.checked_sub(start).is_some_and(|inside| inside < e.len())
                })
            };
            return self.list.iter().find(holds);
        };
        let found = index.by_file.overlapping(ino, at, at.checked_add(1)?);
        self.list.get(*found.first()?)
    }

    fn listed(&self, found: Vec<usize>) -> Vec<(usize, &Extent)> {
        found.into_iter().filter_map(|i| Some((i, self.list.get(i)?))).collect()
    }
}

impl Deref for Extents {
    type Target = [Extent];

    fn deref(&self) -> &[Extent] {
        &self.list
    }
}

fn data_start(extent: &Extent) -> Option<(u64, u64)> {
    match extent.owner {
        Owner::Inode { ino, fork: Fork::Data, file_start } => Some((ino, file_start)),
        Owner::Inode { .. } | Owner::Special(_) => None,
    }
}

fn overlaps(start: u64, len: u64, from: u64, to: u64) -> bool {
    start < to && start.checked_add(len).is_none_or(|end| from < end)
}

/// Intervals under keys, ascending; they may overlap.
#[derive(Debug)]
struct Intervals(Vec<Interval>);

#[derive(Debug, Clone, Copy)]
struct Interval {
    key: u64,
    start: u64,
    end: u64,
    /// Largest end of this one and of those before it with the same key.
    reach: u64,
    number: usize,
}

impl Intervals {
    /// Whether there is any interval under a key.
    fn has(&self, key: u64) -> bool {
        let first = self.0.partition_point(|i| i.key < key);
        self.0.get(first).is_some_and(|i| i.key == key)
    }

    /// Numbers of those that overlap `[from, to)`, ascending. Looks back only as far as an
    /// interval reaches.
    fn overlapping(&self, key: u64, from: u64, to: u64) -> Vec<usize> {
        let after = self.0.partition_point(|i| (i.key, i.start) < (key, to));
        let before = self.0.iter().take(after).rev();
        let near = before.take_while(|i| i.key == key && i.reach > from);
        let mut found: Vec<usize> = near.filter(|i| i.end > from).map(|i| i.number).collect();
        found.sort_unstable();
        found
    }
}

/// From (key, start, end, number).
impl FromIterator<(u64, u64, u64, usize)> for Intervals {
    fn from_iter<I: IntoIterator<Item = (u64, u64, u64, usize)>>(all: I) -> Self {
        let interval = |(key, start, end, number)| Interval { key, start, end, reach: end, number };
        let mut list: Vec<Interval> = all.into_iter().map(interval).collect();
        list.sort_unstable_by_key(|i| (i.key, i.start, i.number));
        let mut before: Option<Interval> = None;
        for interval in &mut list {
            if let Some(before) = before.filter(|before| before.key == interval.key) {
                interval.reach = interval.reach.max(before.reach);
            }
            before = Some(*interval);
        }
        Self(list)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use badrange_core::DevOffset;
    use proptest::prelude::*;

    use super::*;

    fn extents() -> impl Strategy<Value = Vec<Extent>> {
        let one = (0_usize..3, 0_u64..40, 1_u64..20, 0_u64..4, 0_u64..30).prop_map(
            |(device, start, len, ino, file_start)| {
                let owner = Owner::Inode { ino, fork: Fork::Data, file_start };
                let place = badrange_core::Extent::new(DevOffset::new(start), len).unwrap();
                Extent { device, place, owner, unwritten: false, shared: false }
            },
        );
        prop::collection::vec(one, 0..30)
    }

    proptest! {
        #[test]
        fn finds_what_a_walk_finds(
            list in extents(),
            device in 0_usize..3,
            from in 0_u64..60,
            len in 1_u64..10,
        ) {
            let indexed = Extents::new(list.clone());
            let mut plain = Extents::default();
            plain.replace(list.clone());
            let to = from + len;
            let expected: Vec<&Extent> = list
                .iter()
                .filter(|e| e.device == device && (e.start()..e.end()).any(|b| b >= from && b < to))
                .collect();
            prop_assert_eq!(&indexed.at_place(device, from, to), &expected);
            prop_assert_eq!(&plain.at_place(device, from, to), &expected);
            let ino = u64::try_from(device).unwrap();
            let expected = list.iter().find(|e| {
                matches!(e.owner, Owner::Inode { ino: owner, file_start, .. }
                    if owner == ino && (file_start..file_start + e.len()).contains(&from))
            });
            prop_assert_eq!(indexed.of_byte(ino, from), expected);
            prop_assert_eq!(plain.of_byte(ino, from), expected);
            let expected: Vec<(usize, &Extent)> = list
                .iter()
                .enumerate()
                .filter(|(_, e)| matches!(e.owner, Owner::Inode { ino: owner, file_start, .. }
                    if owner == ino && file_start < to && from < file_start + e.len()))
                .collect();
            prop_assert_eq!(&indexed.numbered_of_file(ino, from, to), &expected);
            prop_assert_eq!(&plain.numbered_of_file(ino, from, to), &expected);
            let expected = list.iter().any(|e| e.device == device);
            prop_assert_eq!(indexed.any_on(device), expected);
            prop_assert_eq!(plain.any_on(device), expected);
        }
    }
}
