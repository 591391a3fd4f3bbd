//! Neighbouring lines taken together: the request beside its sector, the record and its severity.

use std::collections::{HashMap, VecDeque};

use badrange_core::{DevOffset, Extent, PageSize, SECTOR_SIZE};

use super::{
    LogEvent, name,
    place::{BlockUnit, NamedRange, Place, UnplacedRange},
    said::{Said, address, from_byte, memory, sectors, too_large},
};
use crate::{Confidence, SYSFS_PAGE_BYTES};

/// Requests that wait for their sector at the same time: of as many disks.
const MAX_PENDING: usize = 16;
/// Lines that a request waits.
const PATIENCE: u64 = 32;
/// Commands of ATA ports that wait for their disk.
const MAX_ATA: usize = 64;
/// Lines between a sector and the same sector of the device above.
const MAX_APART: u64 = 2;
/// Disks whose block size is remembered.
const MAX_DISKS: usize = 4096;

/// A request whose sector was not told yet.
#[derive(Debug)]
struct Request {
    device: String,
    first: u64,
    blocks: u64,
    line: u64,
}

#[derive(Debug)]
struct AtaCommand {
    port: Option<String>,
    first: u64,
    blocks: Option<u64>,
    line: u64,
}

impl AtaCommand {
    fn covers(&self, lba: u64) -> bool {
        let blocks = self.blocks.unwrap_or(1);
        lba.checked_sub(self.first).is_some_and(|after| after < blocks)
    }
}

/// A list under a heading; its last line waits, because sysfs may have cut it.
#[derive(Debug)]
struct List {
    device: String,
    sysfs: bool,
    bytes: u64,
    last: Option<(u64, u64, u64)>,
}

/// Puts lines together; bounded memory.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Bytes of a page of the machine that wrote the log; 4096 where nobody said.
    page: Option<PageSize>,
    pending: VecDeque<Request>,
    ata: VecDeque<AtaCommand>,
    block_sizes: HashMap<String, u64>,
    block_size: Option<u64>,
    list: Option<List>,
    corrected: bool,
    bank: Option<u64>,
    /// The latest range and the line it was told in, and its sector: the device above may follow.
    held: Option<(NamedRange, u64, Option<u64>)>,
}

impl Gather {
    /// Gathers the lines of a machine with such pages.
    pub(super) fn with_pages(page: PageSize) -> Self {
        Self { page: Some(page), ..Self::default() }
    }

    /// The block size of a disk, where the text told it, or two lines of it together.
    pub(super) fn block_size(&self, device: Option<&str>) -> Option<u64> {
        let of_disk = device.and_then(|device| self.block_sizes.get(device));
        of_disk.copied().or_else(|| self.block_size.filter(|_| device.is_none()))
    }

    /// Lets go of what no line can belong to any more.
    pub(super) fn tick(&mut self, line: u64, out: &mut Vec<LogEvent>) {
        while self.pending.front().is_some_and(|r| line.saturating_sub(r.line) > PATIENCE) {
            self.flush_request(0, out);
        }
        if self.held.as_ref().is_some_and(|(_, at, _)| line.saturating_sub(*at) > MAX_APART) {
            self.release(out);
        }
    }

    /// Takes what a line says.
    pub(super) fn say(&mut self, line: u64, said: Said, out: &mut Vec<LogEvent>) {
        match said {
            Said::Request { device, first, blocks } => {
                self.request(Request { device, first, blocks, line }, out);
            }
            Said::Sector { device, sector } => self.sector(line, device, sector, out),
            Said::Ata { port, first, blocks } => {
                self.ata_command(AtaCommand { port, first, blocks, line });
            }
            Said::Range { place, confidence, said } => {
                let page = self.page.unwrap_or(PageSize::K4);
                let shown = place.to_string();
                let Some(place) = place.in_pages(page, confidence) else {
                    return self.say(line, too_large(&shown), out);
                };
                self.hold(NamedRange::new(place, confidence, line, said), line, None, out);
            }
            Said::Retry { array, sector, member } => {
                let said = from_byte(&array, sector.checked_mul(SECTOR_SIZE), RETRY);
                self.say(line, said, out);
                if let Some((range, ..)) = self.held.as_mut().filter(|(r, ..)| r.said == RETRY) {
                    range.retried = Some(member.unwrap_or_default());
                }
            }
            Said::BlockSize { device, bytes } => self.learn(device, bytes),
            Said::Cut => self.after_held(LogEvent::Cut { line }, out),
            Said::Incomplete(said) => {
                self.say(line, *said, out);
                self.say(line, Said::Cut, out);
            }
            Said::Unplaced(what) => {
                self.after_held(LogEvent::Unplaced(UnplacedRange { line, what }), out);
            }
            Said::ListOf { device, sysfs } => {
                self.end_list(out);
                self.list = device.map(|device| List { device, sysfs, bytes: 0, last: None });
            }
            Said::ListLine { first, count } => self.list_line(line, first, count, out),
            Said::Severity { corrected } => self.corrected = corrected,
            // What was corrected is not lost.
            Said::RecordAddress(_) if self.corrected => {}
            Said::RecordAddress(at) => self.say(line, address(at, "hardware error"), out),
            Said::BankStatus(status) => self.bank = Some(status),
            Said::BankAddress { address, misc } => self.bank(line, address, misc, out),
        }
    }

    /// Everything that waits for a line which would be there by now.
    pub(super) fn idle(&mut self, out: &mut Vec<LogEvent>) {
        while !self.pending.is_empty() {
            self.flush_request(0, out);
        }
        self.release(out);
    }

    /// Everything that still waits.
    pub(super) fn finish(&mut self, out: &mut Vec<LogEvent>) {
        self.end_list(out);
        self.idle(out);
        for AtaCommand { port, first, blocks, line } in core::mem::take(&mut self.ata) {
            let port = port.unwrap_or_else(|| "ata".to_owned());
            let count = blocks.map_or_else(String::new, |n| format!("+{n}"));
            let what = format!("{port}: logical block {first}{count} of a disk without name");
            out.push(LogEvent::Unplaced(UnplacedRange { line, what }));
        }
    }

    fn learn(&mut self, device: Option<String>, bytes: u64) {
        if !bytes.is_power_of_two() || bytes < SECTOR_SIZE {
            return;
        }
        match device {
            None => self.block_size = Some(bytes),
            Some(device)
                if self.block_sizes.len() < MAX_DISKS || self.block_sizes.contains_key(&device) =>
            {
                self.block_sizes.insert(device, bytes);
            }
            Some(_) => {}
        }
    }

    fn release(&mut self, out: &mut Vec<LogEvent>) {
        out.extend(self.held.take().map(|(range, ..)| LogEvent::Range(range)));
    }

    fn after_held(&mut self, event: LogEvent, out: &mut Vec<LogEvent>) {
        self.release(out);
        out.push(event);
    }

    fn hold(&mut self, range: NamedRange, line: u64, sector: Option<u64>, out: &mut Vec<LogEvent>) {
        self.release(out);
        let mut range = range;
        if let Place::Blocks { device, unit: BlockUnit::Logical, .. } = &range.place {
            if let Some(size) = self.block_size(device.as_deref()) {
                match range.place.clone().in_bytes(size) {
                    Some(place) => range.place = place,
                    None => {
                        let what = format!("{}: does not fit in 64 bits of bytes", range.place);
                        out.push(LogEvent::Unplaced(UnplacedRange { line: range.line, what }));
                        return;
                    }
                }
            }
        }
        self.held = Some((range, line, sector));
    }

    fn request(&mut self, request: Request, out: &mut Vec<LogEvent>) {
        self.ata.retain(|command| !command.covers(request.first));
        let same = self.pending.iter().position(|r| r.device == request.device);
        if let Some(at) = same {
            self.flush_request(at, out);
        } else if self.pending.len() >= MAX_PENDING {
            self.flush_request(0, out);
        }
        self.pending.push_back(request);
    }

    /// A request whose sector never came is a range of its own.
    fn flush_request(&mut self, at: usize, out: &mut Vec<LogEvent>) {
        let Some(Request { device, first, blocks, line }) = self.pending.remove(at) else { return };
        let place = Place::Blocks {
            device: Some(device),
            unit: BlockUnit::Logical,
            first,
            count: Some(blocks),
        };
        self.hold(NamedRange::new(place, Confidence::AtMost, line, REQUEST), line, None, out);
    }

    fn sector(&mut self, line: u64, device: String, sector: u64, out: &mut Vec<LogEvent>) {
        if self.is_above(line, &device, sector) {
            return;
        }
        self.ata.retain(|c| !c.covers(sector) && !c.covers(sector / 8));
        let beside = self.pending.iter().position(|r| r.device == device);
        if let Some(at) = beside {
            let end = self.pending.get(at).and_then(|r| end_of(r, sector, self.block_size_of(r)));
            match end {
                Some((end, size)) => {
                    let first = self.pending.remove(at).map_or(line, |r| r.line);
                    self.learn(Some(device.clone()), size);
                    // NO-OVERFLOW: the request ends after this sector.
                    let count = end.wrapping_sub(sector);
                    self.hold_said(
                        first,
                        line,
                        sector,
                        sectors(&device, sector, count, REQUEST),
                        out,
                    );
                    return;
                }
                // The first blocks of a disk: their size cannot be told, their sector can.
                None if sector == 0 && self.pending.get(at).is_some_and(|r| r.first == 0) => {
                    self.pending.remove(at);
                }
                None => self.flush_request(at, out),
            }
        }
        let said = from_byte(&device, sector.checked_mul(SECTOR_SIZE), "sector");
        self.hold_said(line, line, sector, said, out);
    }

    fn block_size_of(&self, request: &Request) -> Option<u64> {
        self.block_size(Some(&request.device))
    }

    fn hold_said(
        &mut self,
        first: u64,
        line: u64,
        sector: u64,
        said: Said,
        out: &mut Vec<LogEvent>,
    ) {
        let Said::Range { place, confidence, said } = said else {
            self.say(line, said, out);
            return;
        };
        let range = NamedRange::new(place, confidence, first, said);
        self.hold(range, line, Some(sector), out);
    }

    /// Whether this is the line of the device above for the request that was told last: a
    /// request-based device-mapper target (multipath) has the same sectors.
    fn is_above(&mut self, line: u64, device: &str, sector: u64) -> bool {
        let Some((range, at, known)) = &mut self.held else { return false };
        let close = line.saturating_sub(*at) <= MAX_APART && *known == Some(sector);
        let below = range.place.device().is_some_and(|below| !name::is_dm(below));
        let above = close && below && name::is_dm(device) && range.also.is_none();
        if above {
            range.also = Some(device.to_owned());
        }
        above
    }

    fn ata_command(&mut self, command: AtaCommand) {
        let known = self
            .ata
            .iter()
            .any(|c| c.covers(command.first) && (command.port.is_none() || c.port == command.port));
        if !known {
            if self.ata.len() >= MAX_ATA {
                self.ata.pop_front();
            }
            self.ata.push_back(command);
        }
    }

    fn list_line(&mut self, line: u64, first: u64, count: Option<u64>, out: &mut Vec<LogEvent>) {
        let Some(list) = &mut self.list else { return };
        let digits = |n: u64| u64::from(n.checked_ilog10().unwrap_or(0)).saturating_add(1);
        // The two numbers, a blank and a newline.
        let bytes = digits(first).saturating_add(count.map_or(0, digits)).saturating_add(2);
        list.bytes = list.bytes.saturating_add(bytes);
        let last = list.last.replace((line, first, count.unwrap_or(0)));
        let device = list.device.clone();
        if let Some(last) = last {
            self.list_range(&device, last, out);
        }
    }

    /// Whether lines of numbers belong to a list.
    pub(super) const fn is_in_list(&self) -> bool {
        self.list.is_some()
    }

    fn list_range(
        &mut self,
        device: &str,
        (line, first, count): (u64, u64, u64),
        out: &mut Vec<LogEvent>,
    ) {
        let said = sectors(device, first, count, "bad block list");
        let Said::Range { place, said, .. } = said else {
            self.say(line, said, out);
            return;
        };
        self.hold(NamedRange::new(place, Confidence::Exact, line, said), line, None, out);
    }

    fn end_list(&mut self, out: &mut Vec<LogEvent>) {
        let Some(List { device, sysfs, bytes, last }) = self.list.take() else { return };
        let Some(last) = last else { return };
        // A line that lost its count was cut, whatever the length.
        if sysfs && (bytes >= SYSFS_PAGE_BYTES || last.2 == 0) {
            self.after_held(LogEvent::Cut { line: last.0 }, out);
        } else {
            self.list_range(&device, last, out);
        }
    }

    /// # Kernel
    /// Bits of `MCi_STATUS` (uncorrected 61, miscellaneous valid 59, address valid 58) and of
    /// `MCi_MISC` (address mode 8:6, of which 2 is physical; lowest valid bit 5:0).
    fn bank(&mut self, line: u64, at: u64, misc: u64, out: &mut Vec<LogEvent>) {
        const UNCORRECTED: u64 = 1 << 61;
        const VALID: u64 = 3 << 58;
        let Some(status) = self.bank.take() else { return };
        if status & UNCORRECTED == 0 || status & VALID != VALID {
            return;
        }
        let mode = misc.wrapping_shr(6) & 7;
        if mode != 2 {
            let what = format!("machine check at {at:#x}, which is no physical address");
            self.after_held(LogEvent::Unplaced(UnplacedRange { line, what }), out);
            return;
        }
        // NO-OVERFLOW: six bits, and a power of two.
        let granule = 1_u64.wrapping_shl(u32::try_from(misc & 0x3f).unwrap_or(0));
        let start = at & !granule.wrapping_sub(1);
        self.say(line, memory(start, granule, Confidence::AtMost, "machine check"), out);
    }
}

const REQUEST: &str = "request";
const RETRY: &str = "md, read elsewhere";

/// Where the request that this sector is of ends, in sectors, and the block size that this shows;
/// `None` when the sector is not of this request, or when both block sizes could be meant.
fn end_of(request: &Request, sector: u64, known: Option<u64>) -> Option<(u64, u64)> {
    let span = |size: u64| {
        let per_block = size / SECTOR_SIZE;
        let first = request.first.checked_mul(per_block)?;
        let end = first.checked_add(request.blocks.checked_mul(per_block)?)?;
        let fits = Extent::from_bounds(DevOffset::new(first), DevOffset::new(end))
            .is_ok_and(|extent| extent.contains(DevOffset::new(sector)));
        fits.then_some((first, end, size))
    };
    if let Some((_, end, size)) = known.and_then(span) {
        return Some((end, size));
    }
    // The name may be another disk's by now.
    let fitting: Vec<_> = [512, 4096].into_iter().filter_map(span).collect();
    let starting: Vec<_> = fitting.iter().filter(|(first, ..)| *first == sector).collect();
    match (fitting.as_slice(), starting.as_slice()) {
        (_, [(_, end, size)]) => Some((*end, *size)),
        ([(_, end, size)], []) if known.is_none() => Some((*end, *size)),
        _ => None,
    }
}
