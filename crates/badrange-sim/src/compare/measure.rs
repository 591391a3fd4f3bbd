//! What is true before an event, and what a design made of it.

use std::collections::{BTreeMap, BTreeSet};

use badrange_core::{Extent, FileOffset, Run};
use badrange_fs::Fork;

use super::{DesignTally, EventReport, Missed, aftermath};
use crate::{
    EventOutcome, PAGE_SIZE, Signal,
    kernel::design::{
        Bench,
        log::{Key, Log, Marked, Marks},
        pages::bad_pages,
        places,
        reach::{Hit, hits, mapped_files, pieces, truth},
    },
    machine::{Machine, PageSize},
    scenario::{Event, FileId, Owner},
};

/// A mapped unit: process, map, first page, size.
type Unit = (usize, usize, u64, PageSize);

/// What is true before an event.
pub(super) struct Measured {
    hits: Vec<Hit>,
    bad: Marked,
    files: BTreeMap<FileId, Vec<Run<FileOffset>>>,
    /// Units whose process wants a signal.
    expected: BTreeSet<Unit>,
    /// Bytes of bad pages that each process has mapped.
    mapped: Vec<u64>,
}

impl Measured {
    pub(super) fn before(bench: &Bench<'_>, event: &Event) -> Self {
        let machine = bench.machine();
        let places = places(machine, event).into_iter();
        let hits: Vec<Hit> =
            places.flat_map(|place| hits(machine, &pieces(machine, place))).collect();
        let mut files: BTreeMap<FileId, Vec<Run<FileOffset>>> = BTreeMap::new();
        for (file, bytes) in mapped_files(machine, &hits) {
            files.entry(file).or_default().push(bytes);
        }
        let everyone = matches!(event, Event::Unbind { .. });
        let mut before =
            Self { bad: truth(&hits), hits, files, expected: BTreeSet::new(), mapped: Vec::new() };
        for process in 0..machine.processes.len() {
            let wants = bench.wants_signal(process, event, everyone);
            before.look(machine, process, wants);
        }
        before
    }

    /// Bad pages in the page table of a process.
    fn look(&mut self, machine: &Machine<'_>, process: usize, wants: bool) {
        let maps = &machine.process(process).maps;
        let mut bytes = 0_u64;
        for (index, map) in maps.iter().enumerate() {
            let Some(bad) = self.files.get(&map.file) else { continue };
            let pages = bad_pages(map, bad);
            let mut from = 0;
            while let Some(page) = pages.first_in(from..u64::MAX).filter(|_| wants) {
                let size = map.level(page);
                debug_assert!(size.is_some(), "a bad page of a map is mapped");
                let Some(size) = size else { break };
                let unit = size.around(page);
                from = unit.end;
                self.expected.insert((process, index, unit.start, size));
            }
            let count = pages.ranges().map(|range| range.end.saturating_sub(range.start));
            let count = count.fold(0, u64::saturating_add);
            bytes = bytes.saturating_add(count.saturating_mul(PAGE_SIZE));
        }
        self.mapped.push(bytes);
    }

    pub(super) fn after(
        mut self,
        machine: &Machine<'_>,
        event: &Event,
        outcome: &EventOutcome,
        mut log: Log,
    ) -> EventReport {
        let storm = log.storm.take();
        let effects = outcome.effects.as_ref().or(storm.as_ref());
        if matches!(event, Event::Unbind { .. }) {
            self.removed(machine, outcome, &mut log);
        }
        aftermath(effects, &mut log);
        let mut report = EventReport {
            crash: outcome.crash,
            stuck: outcome.stuck == Some(true),
            messages: core::mem::take(&mut log.messages),
            unlisted: log.unsaid,
            ..EventReport::default()
        };
        report.tally.cost = log.cost;
        self.owners(machine, &log, &mut report);
        if let Some(effects) = effects {
            report.shutdown = effects.shutdown.clone().unwrap_or_default();
            report.tally.shutdowns = count(report.shutdown.len());
            self.signals(machine, &effects.signals, &mut report.tally);
            let gone = effects.unmapped.iter().flat_map(|unmapped| &unmapped.ranges);
            let gone = gone.map(|(_, len)| *len).fold(0, u64::saturating_add);
            let counted = outcome.storm.as_ref().map(|storm| storm.unmapped);
            report.tally.unmapped_bytes = counted.unwrap_or(gone);
        } else {
            report.tally.missed_signals = count(self.expected.len());
        }
        self.mappings(machine, event, &mut report.tally);
        report
    }

    /// A filesystem that is shut down because its device goes away knows that all of it does.
    fn removed(&self, machine: &Machine<'_>, outcome: &EventOutcome, log: &mut Log) {
        let effects = outcome.effects.iter();
        let down: Vec<&str> = effects
            .flat_map(|effects| effects.shutdown.iter().flatten())
            .filter(|shutdown| ["device_removed", "force_umount"].contains(&shutdown.reason))
            .map(|shutdown| shutdown.fs.as_str())
            .collect();
        for hit in &self.hits {
            let Key::Extent { fs, .. } = hit.key else { continue };
            let name = &machine.scenario.filesystem(fs).name;
            if down.contains(&name.as_str()) {
                log.told.add(hit.key, hit.here(), Marks::TOLD);
            }
        }
    }

    /// Who was told of what.
    fn owners(&mut self, machine: &Machine<'_>, log: &Log, report: &mut EventReport) {
        self.bad.extend(&log.told);
        let mut missed: BTreeMap<String, u64> = BTreeMap::new();
        let tally = &mut report.tally;
        for (key, sums) in self.bad.sums(machine) {
            tally.owned_bytes = tally.owned_bytes.saturating_add(sums.bad);
            tally.missed_bytes = tally.missed_bytes.saturating_add(sums.untold);
            tally.wrong_bytes = tally.wrong_bytes.saturating_add(sums.wrong);
            if sums.bad > 0 {
                let sum = missed.entry(owner_name(machine, key)).or_default();
                *sum = sum.saturating_add(sums.untold);
            }
        }
        tally.owners = count(missed.len());
        tally.told_owners = count(missed.values().filter(|bytes| **bytes == 0).count());
        for (owner, bytes) in missed {
            match bytes {
                0 => report.told.push(owner),
                bytes => report.missed.push(Missed { owner, bytes }),
            }
        }
    }

    fn signals(&self, machine: &Machine<'_>, signals: &[Signal], tally: &mut DesignTally) {
        let mut seen: BTreeSet<Unit> = BTreeSet::new();
        for signal in signals {
            tally.signals = tally.signals.saturating_add(1);
            let Some(unit) = signalled(machine, signal) else { continue }; // of no mapped page
            if !self.is_bad(machine, unit) {
                tally.wrong_signals = tally.wrong_signals.saturating_add(1);
            } else if !seen.insert(unit) {
                tally.duplicate_signals = tally.duplicate_signals.saturating_add(1);
            }
        }
        let missed = self.expected.difference(&seen).count();
        tally.missed_signals = count(missed);
    }

    fn is_bad(&self, machine: &Machine<'_>, (process, map, first, size): Unit) -> bool {
        let map = machine.process(process).maps.get(map);
        let bad = map.and_then(|map| self.files.get(&map.file));
        let bytes = |page: u64| FileOffset::new(page.saturating_mul(PAGE_SIZE));
        let end = first.saturating_add(size.pages());
        // No file has bytes beyond 64 bits.
        let Ok(unit) = Extent::from_bounds(bytes(first), bytes(end)) else { return false };
        bad.is_some_and(|bad| bad.iter().any(|run| run.clip(unit).next().is_some()))
    }

    fn mappings(&self, machine: &Machine<'_>, event: &Event, tally: &mut DesignTally) {
        let injector = crate::kernel::injector(event);
        let processes = machine.processes.iter().zip(&self.mapped).enumerate();
        for (process, (state, bad)) in processes.filter(|(_, (state, _))| state.alive) {
            if Some(process) != injector {
                tally.bad_mapped_bytes = tally.bad_mapped_bytes.saturating_add(*bad);
            }
            for map in &*state.maps {
                let Some(bad) = self.files.get(&map.file) else { continue };
                let left = bad_pages(map, bad);
                let pages = left.ranges().map(|range| range.end.saturating_sub(range.start));
                let bytes = pages.fold(0, u64::saturating_add).saturating_mul(PAGE_SIZE);
                tally.left_mapped_bytes = tally.left_mapped_bytes.saturating_add(bytes);
            }
        }
    }
}

/// The mapped unit that a signal is about.
fn signalled(machine: &Machine<'_>, signal: &Signal) -> Option<Unit> {
    let mut processes = machine.scenario.processes.iter().enumerate();
    let (process, what) = processes.find(|(_, process)| process.tag == signal.tag)?;
    let address = signal.addr?.get();
    let size =
        if signal.lsb == Some(PageSize::Small.shift()) { PageSize::Small } else { PageSize::Huge };
    what.maps.iter().enumerate().find_map(|(index, map)| {
        let inside = address.checked_sub(map.vaddr)? / PAGE_SIZE;
        let page = map.first.checked_add(inside).filter(|_| inside < map.pages)?;
        Some((process, index, size.around(page).start, size))
    })
}

fn owner_name(machine: &Machine<'_>, key: Key) -> String {
    let (fs, index) = match key {
        Key::Device(device) => return machine.device_name(device).to_owned(),
        Key::Extent { fs, index } => (fs, index),
    };
    let name = &machine.scenario.filesystem(fs).name;
    let extent = machine.fs(fs).extents.get(index);
    match extent.map(|extent| extent.owner) {
        Some(Owner::Inode { ino, fork: Fork::Data, .. }) => format!("{name} inode {ino}"),
        Some(Owner::Inode { ino, fork, .. }) => format!("{name} inode {ino} {fork}"),
        Some(Owner::Special(special)) => format!("{name} {special}"),
        None => format!("{name} external log"),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
