//! Page tables: what of a map is bad, taking it away by range, and the per-pfn way.

use core::ops::Range;

use badrange_core::{Cover, DevOffset, Extent, FileOffset, Join, PhysAddr, Run};

use super::{
    log::{Key, Log, Marks},
    reach::{Hit, Place, hits, pieces},
};
use crate::{
    Hex, PAGE, PAGE_SIZE, Signal,
    kernel::{Linux, Report},
    machine::{Entry, MapState, PageSize, Pages},
    scenario::FileId,
};

/// On whose behalf pages fail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whom {
    /// The process in whose context the kernel runs.
    pub(super) current: Option<usize>,
    /// Nobody's policy is asked: the device goes away.
    pub(super) everyone: bool,
}

/// The pages of a file that are mapped here and hold bytes of `bad`.
pub(crate) fn bad_pages(map: &MapState, bad: &[Run<FileOffset>]) -> Pages {
    let mut found = Pages::default();
    for run in bad {
        for mapped in map.present_in(&touched(run.span())) {
            let inside = window(&mapped).into_iter().flat_map(|window| run.clip(window));
            for part in inside.flat_map(parts) {
                found.insert(touched(part));
            }
        }
    }
    found
}

fn window(pages: &Range<u64>) -> Option<Extent<FileOffset>> {
    let start = pages.start.checked_mul(PAGE_SIZE)?;
    let end = pages.end.checked_mul(PAGE_SIZE)?;
    Extent::from_bounds(FileOffset::new(start), FileOffset::new(end)).ok()
}

/// The elements of a run; one, when it has no gaps.
fn parts(run: Run<FileOffset>) -> impl Iterator<Item = Extent<FileOffset>> {
    let whole = run.as_extent();
    let elements = whole.is_none().then(|| run.elements());
    whole.into_iter().chain(elements.into_iter().flatten())
}

/// The pages that bytes touch.
fn touched(bytes: Extent<FileOffset>) -> Range<u64> {
    bytes.start().get() / PAGE_SIZE..bytes.end().get().div_ceil(PAGE_SIZE)
}

impl Linux<'_> {
    /// Takes bad bytes of a file out of all page tables, and signals, for every mapped unit that
    /// holds one of them, each process that wants to hear of it. Nothing else is unmapped or
    /// signalled, but for the rest of a huge page that is bad in part.
    pub(super) fn revoke(
        &mut self,
        file: FileId,
        bad: &[Run<FileOffset>],
        whom: Whom,
        report: &mut Report,
    ) {
        let mut victims = Vec::new();
        let mut gone = Vec::new();
        for (process, index, map) in self.machine.maps_of(file) {
            let pages = bad_pages(map, bad);
            if pages.is_empty() {
                continue;
            }
            if let Some(tid) = self.chosen_thread(process, whom.current, whom.everyone) {
                victims.extend(units(map, &pages).map(|unit| (process, tid, unit)));
            }
            gone.push((process, index, pages));
        }
        for (process, index, pages) in gone {
            pages.ranges().for_each(|range| self.machine.unmap_in(process, index, &range));
        }
        for (process, tid, (address, size)) in victims {
            self.tell(process, tid, address, size, whom.current, report);
        }
    }

    /// KERNEL: `kill_proc()`: the current task is forced, everybody else is only sent the signal.
    fn tell(
        &mut self,
        process: usize,
        tid: Option<u64>,
        address: u64,
        size: PageSize,
        current: Option<usize>,
        report: &mut Report,
    ) {
        let forced = current == Some(process);
        let code = if forced { "BUS_MCEERR_AR" } else { "BUS_MCEERR_AO" };
        let what = self.machine.scenario.process(process);
        let mut signal = Signal::new(&what.tag, code);
        (signal.addr, signal.lsb) = (Some(Hex::new(address)), Some(size.shift()));
        signal.tid = tid;
        self.deliver(process, signal, forced, report);
    }

    /// Takes bad bytes of a file out of all page tables without a word.
    pub(super) fn revoke_quietly(&mut self, file: FileId, bad: &[Run<FileOffset>]) {
        let maps = self.machine.maps_of(file);
        let gone: Vec<_> =
            maps.map(|(process, index, map)| (process, index, bad_pages(map, bad))).collect();
        for (process, index, pages) in gone {
            pages.ranges().for_each(|range| self.machine.unmap_in(process, index, &range));
        }
    }

    /// Page by page for everybody who can be collected, as `mf_dax_kill_procs()` does.
    pub(super) fn fail_file_range(
        &mut self,
        file: FileId,
        bad: Run<FileOffset>,
        whom: Whom,
        report: &mut Report,
    ) {
        let end = bad.span().end().get().div_ceil(PAGE_SIZE);
        let mut from = bad.span().start().get() / PAGE_SIZE;
        while let Some(page) = self.first_collectable(file, from..end, whom.current, whom.everyone)
        {
            from = page.saturating_add(1);
            if holds(bad, page) {
                self.fail_page(file, page, whom.current, whom.everyone, report);
            } else {
                from = next_touched(bad, page).max(from);
            }
        }
    }

    /// Fails every page that a range of memory touches by what the page itself remembers: how
    /// many pages a driver has, and how many of them remembered a file.
    ///
    /// In closed form: pages that nobody maps are only counted. A page remembers the file whose
    /// entry was made last; what a copy-on-write fault left behind is no file.
    ///
    /// KERNEL: a loop of `memory_failure()` with `mf_generic_kill_procs()`.
    pub(super) fn fail_each_pfn(
        &mut self,
        bad: Place,
        whom: Whom,
        report: &mut Report,
        log: &mut Log,
    ) -> (u64, u64) {
        let mut all = (0_u64, 0_u64);
        for (device, range) in self.page_ranges(bad) {
            let name = self.machine.device_name(device);
            log.say("memory_failure", name, format_args!("each page of {range}"));
            let known = if self.is_devdax(device) {
                self.fail_devdax_pages(device, range, whom, report, log)
            } else {
                self.fail_fsdax_pages(device, range, whom, report, log)
            };
            let pages = range.len().div_ceil(PAGE_SIZE);
            log.cost.fallback_pages = log.cost.fallback_pages.saturating_add(pages);
            all = (all.0.saturating_add(pages), all.1.saturating_add(known));
        }
        all
    }

    /// The whole pages that failed bytes touch, by device.
    fn page_ranges(&self, bad: Place) -> Vec<(usize, Extent)> {
        match bad {
            Place::Memory(bad) => super::reach::on_pmem(&self.machine, whole_pages(bad))
                .into_iter()
                .map(|(device, link)| (device, link.upper().span()))
                .collect(),
            Place::Device { device, range } => {
                let start = range.start().get() & !PAGE_SIZE.saturating_sub(1);
                let end = range.end().get().checked_next_multiple_of(PAGE_SIZE);
                let size = self.machine.scenario.device(device).size();
                let end = DevOffset::new(end.unwrap_or(size).min(size));
                let pages = Extent::from_bounds(DevOffset::new(start), end);
                pages.ok().map(|pages| (device, pages)).into_iter().collect()
            }
        }
    }

    pub(super) fn is_devdax(&self, device: usize) -> bool {
        self.machine.scenario.device(device).is_devdax()
    }

    fn fail_fsdax_pages(
        &mut self,
        device: usize,
        range: Extent,
        whom: Whom,
        report: &mut Report,
        log: &mut Log,
    ) -> u64 {
        let place = Place::Device { device, range };
        let hits = hits(&self.machine, &pieces(&self.machine, place));
        let candidates = self.candidates(&hits);
        let mut last = Cover::new();
        for (index, Candidate { failed, stamp, cow, .. }) in candidates.iter().enumerate() {
            last.add(*failed, Last { stamp: *stamp, index, cow: *cow });
        }
        let mut winners = Vec::new();
        last.resolve(range, &mut |run, winner| {
            let winner = winner.filter(|winner| !winner.cow);
            let winner = winner.and_then(|winner| candidates.get(winner.index)); // one of them
            winners.extend(winner.map(|winner| (run, *winner)));
        });
        let mut known = 0_u64;
        for (run, Candidate { file, failed, bytes, .. }) in winners {
            for bytes in failed.overlaps(&run).filter_map(|part| failed.image(part, &bytes)) {
                let pages = bytes.total_len() / PAGE_SIZE;
                known = known.saturating_add(pages);
                log.walked(pages);
                log.told.add_file(&self.machine, file, bytes, Marks::TOLD);
                let (fs, ino) = file;
                self.fail_file_range(FileId::Inode { fs, ino }, bytes, whom, report);
            }
        }
        known
    }

    /// The parts of these hits that have DAX entries, with the age and kind of the entry.
    fn candidates(&self, hits: &[Hit]) -> Vec<Candidate> {
        let mut found = Vec::new();
        for hit in hits {
            // What is no file has no entries.
            let Some((FileId::Inode { fs, ino }, bytes)) = hit.file(&self.machine) else {
                continue;
            };
            let entries = self.machine.fs(fs).entries.get(&ino);
            let Some(entries) = entries else { continue }; // nobody ever touched it
            for (range, entry) in entries.in_range(touched(bytes.span())) {
                let parts = window(&range).into_iter().flat_map(|window| bytes.clip(window));
                found.extend(parts.filter_map(|part| {
                    let failed = bytes.image(part, &hit.link.lower())?;
                    let (file, Entry { stamp, cow }) = ((fs, ino), entry);
                    Some(Candidate { file, failed, bytes: part, stamp, cow })
                }));
            }
        }
        found
    }

    /// Device-dax: any page of a unit stands for its first one, if the unit was ever faulted.
    fn fail_devdax_pages(
        &mut self,
        device: usize,
        range: Extent,
        whom: Whom,
        report: &mut Report,
        log: &mut Log,
    ) -> u64 {
        let pages = range.start().get() / PAGE_SIZE..range.end().get().div_ceil(PAGE_SIZE);
        let state = self.machine.device(device);
        let faulted: Vec<Range<u64>> = state.faulted.in_range(&pages).collect();
        let mut known = 0_u64;
        for part in faulted {
            known = known.saturating_add(part.end.saturating_sub(part.start));
            if let Some(bytes) = window(&part) {
                let bytes = bytes.rebase(FileOffset::new(0), DevOffset::new(0));
                bytes.into_iter().for_each(|bytes| {
                    log.told.add(Key::Device(device), bytes.into(), Marks::TOLD);
                });
            }
            self.fail_devdax_part(device, part, whom, report);
        }
        log.walked(known);
        known
    }

    fn fail_devdax_part(
        &mut self,
        device: usize,
        part: Range<u64>,
        whom: Whom,
        report: &mut Report,
    ) {
        let unit = self.machine.pmem(device).map_or(1, |pmem| (pmem.align / PAGE_SIZE).max(1));
        let head = |page: u64| page.saturating_sub(page.checked_rem(unit).unwrap_or(0));
        let file = FileId::Device(device);
        let mut from = head(part.start);
        while let Some(page) =
            self.first_collectable(file, from..part.end, whom.current, whom.everyone)
        {
            self.fail_page(file, head(page), whom.current, whom.everyone, report);
            from = head(page).saturating_add(unit);
        }
    }
}

/// Bytes of a file with a DAX entry of one age and kind, as they were reported and in the file.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Filesystem and inode.
    file: (usize, u64),
    failed: Run,
    bytes: Run<FileOffset>,
    stamp: u64,
    cow: bool,
}

/// The entry of a page that was made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    stamp: u64,
    index: usize,
    cow: bool,
}

impl Join for Last {
    fn join(self, other: Self) -> Self {
        self.max(other)
    }
}

/// First address and size of every mapped unit that has pages in a set, by its first such page.
fn units<'a>(map: &'a MapState, pages: &'a Pages) -> impl Iterator<Item = (u64, PageSize)> + 'a {
    let mut from = 0;
    core::iter::from_fn(move || {
        let page = pages.first_in(from..u64::MAX)?;
        let size = map.level(page)?;
        from = size.around(page).end;
        Some((map.address(page)?, size))
    })
}

fn holds(bytes: Run<FileOffset>, page: u64) -> bool {
    // No file has bytes beyond 64 bits.
    let Some(window) = window(&(page..page.saturating_add(1))) else { return false };
    bytes.clip(window).next().is_some()
}

/// The first page after this one that a run with gaps touches.
fn next_touched(bytes: Run<FileOffset>, page: u64) -> u64 {
    let after = page.saturating_add(1).saturating_mul(PAGE_SIZE);
    let rest = Extent::from_bounds(FileOffset::new(after), bytes.span().end());
    let next = rest.ok().and_then(|rest| bytes.clip(rest).next());
    next.map_or(u64::MAX, |run| run.span().start().get() / PAGE_SIZE)
}

/// The pages around bytes of memory; what reaches beyond 64 bits is cut off.
pub(super) fn whole_pages(bad: Extent<PhysAddr>) -> Extent<PhysAddr> {
    bad.containing_pages(PAGE).bytes(PAGE).unwrap_or(bad)
}
