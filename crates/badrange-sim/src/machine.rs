//! The state of a machine while events happen to it, and where everything lies.

mod coverage;
mod extents;
mod files;
mod mount;
mod pages;
mod sectors;
mod tables;
mod translate;

use std::{collections::BTreeMap, sync::Arc};

use badrange_core::{Leg, Sector};
use badrange_pmem::{BadblocksTable, Bus, Provider};

pub(crate) use self::{
    extents::Extents,
    files::{Entry, FileRun, FsState},
    pages::Pages,
    sectors::BadSectors,
    tables::{MapState, PageSize, ProcState},
    translate::{DaxPages, PmemBytes},
};
use crate::{
    PAGE_SIZE,
    kernel::Quirks,
    scenario::{DeviceKind, FileId, Filesystem, Pmem, Scenario, State},
};

/// A device while events happen.
#[derive(Debug, Clone)]
pub(crate) struct DeviceState {
    pub(crate) badblocks: BadSectors,
    /// The driver is gone.
    pub(crate) dead: bool,
    /// The filesystem that registered.
    pub(crate) holder: Option<usize>,
    /// Pages that device-dax knows.
    pub(crate) faulted: Pages,
}

#[derive(Debug, Clone)]
pub(crate) struct Machine<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) quirks: Quirks,
    pub(crate) devices: Vec<DeviceState>,
    pub(crate) filesystems: Vec<FsState>,
    /// Shared with copies of the machine until a process changes.
    pub(crate) processes: Arc<Vec<ProcState>>,
    /// What is known about bad memory, and the tables of the regions.
    pub(crate) bus: Bus,
    /// Device by device, what stands on it and by which leg.
    uppers: Arc<Vec<Vec<(usize, Leg)>>>,
    mappers: Arc<Mappers>,
    /// How many pages left page tables, by process, since [`take_gone`](Self::take_gone).
    gone: Vec<(usize, u64)>,
    clock: u64,
}

/// Who maps a file: (process, index of the map), ascending.
type Mappers = BTreeMap<FileId, Vec<(usize, usize)>>;

/// The lists are as long as those of the scenario.
#[expect(clippy::indexing_slicing, reason = "every reference of a scenario leads somewhere")]
impl Machine<'_> {
    pub(crate) fn device(&self, device: usize) -> &DeviceState {
        &self.devices[device]
    }

    pub(crate) fn device_mut(&mut self, device: usize) -> &mut DeviceState {
        &mut self.devices[device]
    }

    pub(crate) fn fs(&self, fs: usize) -> &FsState {
        &self.filesystems[fs]
    }

    pub(crate) fn fs_mut(&mut self, fs: usize) -> &mut FsState {
        &mut self.filesystems[fs]
    }

    pub(crate) fn process(&self, process: usize) -> &ProcState {
        &self.processes[process]
    }

    /// To be changed: the machine gets processes of its own.
    pub(crate) fn process_mut(&mut self, process: usize) -> &mut ProcState {
        &mut Arc::make_mut(&mut self.processes)[process]
    }
}

impl<'a> Machine<'a> {
    /// The machine before the first event.
    pub(crate) fn new(scenario: &'a Scenario, quirks: Quirks) -> Self {
        let state = |pmem: Option<&Pmem>| DeviceState {
            badblocks: BadSectors::new(quirks, pmem.map_or(&[], |pmem| &pmem.badblocks)),
            dead: false,
            holder: None,
            faulted: Pages::default(),
        };
        let mut machine = Self {
            scenario,
            quirks,
            devices: scenario.devices.iter().map(|device| state(pmem_of(&device.kind))).collect(),
            filesystems: scenario.filesystems.iter().map(fs_state).collect(),
            processes: Arc::new(
                scenario.processes.iter().map(|p| ProcState::new(p, &scenario.devices)).collect(),
            ),
            bus: bus(scenario, quirks),
            uppers: Arc::new(uppers(scenario)),
            mappers: Arc::new(mappers(scenario)),
            gone: Vec::new(),
            clock: 0,
        };
        machine.mount_all();
        machine.touch_all();
        machine
    }

    fn mount_all(&mut self) {
        let scenario = self.scenario;
        for (fs, what) in scenario.filesystems.iter().enumerate() {
            if what.state == State::Unmounted {
                continue;
            }
            let mounted = self.mount(fs).is_ok();
            self.fs_mut(fs).shutdown = mounted && what.state == State::Shutdown;
        }
    }

    /// A filesystem that is said to be mounted, and that the kernel would have refused.
    pub(crate) fn impossible_mount(&self) -> Option<usize> {
        let said = self.scenario.filesystems.iter().zip(&self.filesystems);
        let mut refused =
            said.map(|(what, state)| what.state != State::Unmounted && !state.mounted);
        refused.position(|refused| refused)
    }

    /// Makes the DAX entries: those of people long gone first, then process by process.
    fn touch_all(&mut self) {
        let scenario = self.scenario;
        for (fs, what) in scenario.filesystems.iter().enumerate() {
            for (ino, ranges) in &what.dax_entries {
                let file = FileId::Inode { fs, ino: *ino };
                for (start, len) in ranges {
                    let end = start.saturating_add(*len).div_ceil(PAGE_SIZE);
                    self.touch_if_dax(file, start / PAGE_SIZE..end, false);
                }
            }
        }
        for (device, what) in scenario.devices.iter().enumerate() {
            for (start, len) in pmem_of(&what.kind).map_or(&[][..], |pmem| &pmem.faulted) {
                let end = start.saturating_add(*len).div_ceil(PAGE_SIZE);
                self.touch_if_dax(FileId::Device(device), start / PAGE_SIZE..end, false);
            }
        }
        for map in scenario.processes.iter().flat_map(|process| &process.maps) {
            for (start, end) in &map.cow {
                self.touch_if_dax(map.file, *start..*end, true);
            }
            for (start, end) in map.small.iter().chain(&map.huge) {
                self.touch_if_dax(map.file, *start..*end, false);
            }
            self.note_huge(map);
        }
        self.forget_unmapped();
        self.forget_unwritten();
    }

    fn touch_if_dax(&mut self, file: FileId, pages: core::ops::Range<u64>, cow: bool) {
        if self.is_dax(file) {
            self.touch(file, pages, cow);
        }
    }

    fn note_huge(&mut self, map: &crate::scenario::Map) {
        let FileId::Inode { fs, ino } = map.file else { return };
        if !self.is_dax(map.file) {
            return;
        }
        let state = self.fs_mut(fs);
        let entries = Arc::make_mut(&mut state.entries).entry(ino).or_default();
        for (start, end) in &map.huge {
            entries.add_huge(*start..*end);
        }
    }

    /// Nobody maps a file of a filesystem that is not mounted.
    fn forget_unmapped(&mut self) {
        let mounted: Vec<bool> = self.filesystems.iter().map(|fs| fs.mounted).collect();
        let gone = |file: FileId| match file {
            FileId::Inode { fs, .. } => mounted.get(fs) != Some(&true),
            FileId::Device(_) => false,
        };
        for process in Arc::make_mut(&mut self.processes) {
            for index in 0..process.maps.len() {
                let file = process.maps.get(index).map(|map| map.file);
                if file.is_some_and(gone) {
                    process.map_mut(index).into_iter().for_each(MapState::clear);
                }
            }
        }
    }

    /// The maps of a file, by process and index.
    pub(crate) fn maps_of(
        &self,
        file: FileId,
    ) -> impl Iterator<Item = (usize, usize, &MapState)> + '_ {
        let places = self.mappers.get(&file).into_iter().flatten();
        places.filter_map(|&(process, index)| {
            let map = self.process(process).maps.get(index)?;
            Some((process, index, &**map))
        })
    }

    /// Removes pages of a file from all page tables.
    pub(crate) fn unmap(&mut self, file: FileId, pages: &core::ops::Range<u64>) {
        let mappers = Arc::clone(&self.mappers);
        for &(process, index) in mappers.get(&file).into_iter().flatten() {
            self.unmap_in(process, index, pages);
        }
    }

    /// Removes pages of a file from one map.
    pub(crate) fn unmap_in(&mut self, process: usize, index: usize, pages: &core::ops::Range<u64>) {
        let state = self.process(process);
        let found = state.maps.get(index).and_then(|map| map.first_present(pages.clone(), false));
        // Maps are shared with other machines: who changes nothing does not ask for one to change.
        if found.is_some() {
            let state = self.process_mut(process).map_mut(index);
            let gone = state.map(|map| map.unmap(pages.clone()));
            self.gone.extend(gone.map(|pages| (process, pages)));
        }
    }

    /// How many pages left page tables of those who live since the last time.
    pub(crate) fn take_gone(&mut self) -> u64 {
        let gone = core::mem::take(&mut self.gone).into_iter();
        let of_living = gone.filter(|(process, _)| self.process(*process).alive);
        // NO-OVERFLOW: bounded by all pages that are mapped.
        of_living.map(|(_, pages)| pages).fold(0, u64::saturating_add)
    }

    /// KERNEL: a read fault on an unwritten extent maps the zero page and leaves an entry that
    /// failures skip; a write fault would have made the extent written.
    fn forget_unwritten(&mut self) {
        for state in &mut self.filesystems {
            for extent in state.extents.iter().filter(|extent| extent.unwritten) {
                let crate::scenario::Owner::Inode { ino, file_start, .. } = extent.owner else {
                    continue;
                };
                let end = file_start.saturating_add(extent.len()) / PAGE_SIZE;
                let entries = Arc::make_mut(&mut state.entries).get_mut(&ino);
                if let Some(entries) = entries {
                    entries.remove(file_start.div_ceil(PAGE_SIZE)..end);
                }
            }
        }
    }

    pub(crate) fn tick(&mut self) -> u64 {
        // NO-OVERFLOW: one per touch, and their number is bounded.
        self.clock = self.clock.wrapping_add(1);
        self.clock
    }

    pub(crate) fn pmem(&self, device: usize) -> Option<&'a Pmem> {
        pmem_of(&self.scenario.device(device).kind)
    }

    pub(crate) fn device_name(&self, device: usize) -> &'a str {
        &self.scenario.device(device).name
    }

    /// All tables of bad sectors by name.
    pub(crate) fn tables(&self) -> BTreeMap<String, Vec<(u64, u64)>> {
        let devices = self.scenario.devices.iter().zip(&self.devices);
        let block = devices
            .filter(|(what, _)| pmem_of(&what.kind).is_some() && !what.is_devdax())
            .map(|(what, state)| (what.name.clone(), state.badblocks.rows()));
        let regions = self.scenario.regions.iter().zip(self.bus.regions());
        let regions = regions.map(|(what, region)| (what.name.clone(), rows(region.badblocks())));
        block.chain(regions).collect()
    }
}

fn pmem_of(kind: &DeviceKind) -> Option<&Pmem> {
    match kind {
        DeviceKind::Pmem(pmem) => Some(pmem),
        DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => None,
    }
}

/// The bus of all memory that hears of errors. Scenarios say what clearing comes to, so that any
/// range of bytes can be asked for.
fn bus(scenario: &Scenario, quirks: Quirks) -> Bus {
    let mut bus = Bus::new(quirks.badblocks(), Provider::Acpi { clear_unit: 1 });
    for region in &scenario.regions {
        bus.add_region_with(region.place, table(quirks, &region.badblocks));
    }
    bus
}

/// A table that was told of these sectors, in this order: (first, number).
fn table(quirks: Quirks, known: &[(u64, u64)]) -> BadblocksTable {
    let mut table = BadblocksTable::new(quirks.badblocks());
    for (start, len) in known {
        table.set(Sector::new(*start), *len, true);
    }
    table
}

/// The records as sysfs prints them.
fn rows(table: &BadblocksTable) -> Vec<(u64, u64)> {
    table.records().map(|record| (record.start().get(), record.len())).collect()
}

fn fs_state(fs: &Filesystem) -> FsState {
    FsState {
        extents: Extents::new(fs.extents.clone()),
        not_in_core: Arc::new(fs.not_in_core.clone()),
        ..FsState::default()
    }
}

fn mappers(scenario: &Scenario) -> Mappers {
    let mut mappers = Mappers::new();
    for (process, what) in scenario.processes.iter().enumerate() {
        for (index, map) in what.maps.iter().enumerate() {
            mappers.entry(map.file).or_default().push((process, index));
        }
    }
    mappers
}

fn uppers(scenario: &Scenario) -> Vec<Vec<(usize, Leg)>> {
    let mut uppers = vec![Vec::new(); scenario.devices.len()];
    for (upper, device) in scenario.devices.iter().enumerate() {
        for (leg, lower) in device.kind.legs() {
            if let Some(list) = uppers.get_mut(lower) {
                list.push((upper, leg));
            }
        }
    }
    uppers
}
