//! What a design does, noted while it does it: who is told of which bytes, and what it costs.

use std::collections::BTreeMap;

use badrange_core::{Cover, Extent, FileOffset, Join, Run};
use badrange_fs::Fork;
use serde::Serialize;

use crate::{
    Effects, PAGE_SIZE,
    machine::Machine,
    scenario::{Extent as Owned, Owner},
};

/// One thing that owns bytes of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// An extent of a filesystem's map, by its place in the list.
    Extent { fs: usize, index: usize },
    /// A character device, which is mapped itself.
    Device(usize),
}

/// Everything that is known of some bytes: a set of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const BAD: Self = Self(1);
    pub(crate) const TOLD: Self = Self(2);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Join for Marks {
    fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Bytes of devices by owner, each with its marks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marked(BTreeMap<Key, Cover<Marks>>);

impl Marked {
    pub(crate) fn add(&mut self, key: Key, bytes: Run, marks: Marks) {
        self.0.entry(key).or_default().add(bytes, marks);
    }

    /// Marks bytes of a file, wherever its extents have them.
    pub(crate) fn add_file(
        &mut self,
        machine: &Machine<'_>,
        (fs, ino): (usize, u64),
        bytes: Run<FileOffset>,
        marks: Marks,
    ) {
        let state = machine.fs(fs);
        let span = bytes.span();
        let near = state.extents.numbered_of_file(ino, span.start().get(), span.end().get());
        for (index, extent) in near {
            let Some(file) = data_of(extent).filter(|(owner, _)| *owner == ino) else { continue };
            for part in bytes.clip(file.1) {
                if let Some(run) = part.rebase(file.1.start(), extent.place.start()) {
                    self.add(Key::Extent { fs, index }, run, marks);
                }
            }
        }
    }

    /// Marks bytes of a filesystem's external log: those of the map, if it lists the log.
    pub(crate) fn add_log(&mut self, machine: &Machine<'_>, fs: usize, bytes: Run, marks: Marks) {
        let log = machine.scenario.filesystem(fs).log;
        debug_assert!(log.is_some(), "whose log is lost has one");
        let (state, Some(log)) = (machine.fs(fs), log) else { return };
        let span = bytes.span();
        let near =
            state.extents.numbered_at_place(log.device, span.start().get(), span.end().get());
        for (index, extent) in near {
            for part in bytes.clip(extent.place) {
                self.add(Key::Extent { fs, index }, part, marks);
            }
        }
        if !state.extents.any_on(log.device) {
            self.add(Key::Extent { fs, index: usize::MAX }, bytes, marks);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Cover<Marks>)> + '_ {
        self.0.iter().map(|(key, cover)| (*key, cover))
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for (key, cover) in other.iter() {
            cover.entries().for_each(|(run, marks)| self.add(key, run, marks));
        }
    }
}

/// Bytes of one owner, each counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) bad: u64,
    /// Bad, and the owner was not told.
    pub(crate) untold: u64,
    /// Told, and not bad.
    pub(crate) wrong: u64,
}

impl Sums {
    fn add(&mut self, bytes: u64, marks: Option<Marks>) {
        let Some(marks) = marks else { return }; // nothing is known of them
        let count = |sum: &mut u64, counted| {
            *sum = sum.saturating_add(if counted { bytes } else { 0 });
        };
        count(&mut self.bad, marks.has(Marks::BAD));
        count(&mut self.untold, !marks.has(Marks::TOLD));
        count(&mut self.wrong, !marks.has(Marks::BAD));
    }
}

impl Marked {
    /// Owner by owner, how many bytes are bad and who was told; owners that are gone are left out.
    pub(crate) fn sums(&self, machine: &Machine<'_>) -> impl Iterator<Item = (Key, Sums)> + '_ {
        let windows: Vec<_> = self.0.keys().map(|key| window(machine, *key)).collect();
        self.iter().zip(windows).filter_map(|((key, cover), window)| {
            let mut sums = Sums::default();
            cover.resolve(window?, &mut |run, marks| sums.add(run.total_len(), marks));
            Some((key, sums))
        })
    }
}

/// All bytes of an owner.
fn window(machine: &Machine<'_>, key: Key) -> Option<Extent> {
    match key {
        Key::Device(device) => Some(machine.scenario.device(device).extent()),
        Key::Extent { fs, index: usize::MAX } => Some(machine.scenario.filesystem(fs).log?.place),
        Key::Extent { fs, index } => Some(machine.fs(fs).extents.get(index)?.place),
    }
}

/// The inode of a data extent, and the bytes of the file that it holds.
pub(crate) fn data_of(extent: &Owned) -> Option<(u64, Extent<FileOffset>)> {
    let Owner::Inode { ino, fork: Fork::Data, file_start } = extent.owner else { return None };
    Some((ino, Extent::new(FileOffset::new(file_start), extent.len()).ok()?))
}

/// Pages of a file as bytes; `None` for no page, or pages beyond 64 bits.
pub(crate) fn page_bytes(first: u64, count: u64) -> Option<Run<FileOffset>> {
    let start = first.checked_mul(PAGE_SIZE)?;
    // What lies beyond the end of all files is no byte of any.
    let len = count.saturating_mul(PAGE_SIZE).min(u64::MAX.checked_sub(start)?);
    Extent::new(FileOffset::new(start), len).ok().map(Run::from)
}

/// What it costs to handle failures.
///
/// # Examples
/// ```
/// assert_eq!(badrange_sim::Cost::default().up_calls, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Calls from one layer into the layer above: into a driver, a stacked device, a filesystem.
    pub up_calls: u64,
    /// Ranges carried from one address space into another, owners' file ranges included.
    pub translations: u64,
    /// Searches of the page tables of everybody who maps a file, for one page or one range.
    pub table_walks: u64,
    /// Pages handled one by one, with only the page's own memory of its file to go by.
    pub fallback_pages: u64,
}

impl Cost {
    pub(crate) fn add(&mut self, other: Self) {
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.up_calls, other.up_calls);
        sum(&mut self.translations, other.translations);
        sum(&mut self.table_walks, other.table_walks);
        sum(&mut self.fallback_pages, other.fallback_pages);
    }
}

/// One step of the way of a failure: who calls whom, and about what.
///
/// # Examples
/// ```
/// use badrange_sim::Message;
/// let message = Message::new("pmem0", "xfs0", "notify [0x1000..0x2000)");
/// assert_eq!(message.to_string(), "pmem0 -> xfs0: notify [0x1000..0x2000)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// About what, in the space of who is called.
    pub text: String,
}

impl Message {
    /// A call and its subject.
    #[must_use]
    pub fn new(from: &str, to: &str, text: impl Into<String>) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), text: text.into() }
    }
}

impl core::fmt::Display for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} -> {}: {}", self.from, self.to, self.text)
    }
}

/// As many steps of an event are kept; the rest is only counted.
const MESSAGES: usize = 64;

/// The notes on one event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) told: Marked,
    pub(crate) cost: Cost,
    pub(crate) messages: Vec<Message>,
    /// What many failures in one event did together.
    pub(crate) storm: Option<Effects>,
    /// Steps beyond those kept.
    pub(crate) unsaid: u64,
}

impl Log {
    pub(crate) fn say(&mut self, from: &str, to: &str, text: core::fmt::Arguments<'_>) {
        if self.messages.len() < MESSAGES {
            self.messages.push(Message::new(from, to, text.to_string()));
        } else {
            self.unsaid = self.unsaid.saturating_add(1);
        }
    }

    /// A call upward with ranges that had to be translated for it.
    pub(crate) fn up(&mut self, calls: u64) {
        self.cost.up_calls = self.cost.up_calls.saturating_add(calls);
    }

    pub(crate) fn translated(&mut self, ranges: u64) {
        self.cost.translations = self.cost.translations.saturating_add(ranges);
    }

    pub(crate) fn walked(&mut self, tables: u64) {
        self.cost.table_walks = self.cost.table_walks.saturating_add(tables);
    }
}
