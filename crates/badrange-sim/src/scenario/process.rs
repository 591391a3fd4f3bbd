use super::{
    Device, FileId, Names, Result, ScenarioErrorKind as Kind,
    device::{inside, known},
    json::{At, Object},
};
use crate::PAGE_SIZE;

/// Bytes of a huge page.
pub(crate) const HUGE: u64 = 2 << 20;

/// Machine-check policy of a thread (`PR_MCE_KILL`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Early,
    Late,
    Default,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Handler,
    Default,
    Ignore,
    Blocked,
}

/// A process before the first event.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) tag: String,
    /// Threads in creation order, the first one included.
    pub(crate) threads: Vec<(u64, Policy)>,
    pub(crate) on_sigbus: Disposition,
    pub(crate) maps: Vec<Map>,
}

/// A mapping; all positions are pages of the file.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub(crate) file: FileId,
    /// First page of the file that is mapped.
    pub(crate) first: u64,
    pub(crate) pages: u64,
    pub(crate) vaddr: u64,
    pub(crate) shared: bool,
    /// `[start, end)` of pages mapped one by one.
    pub(crate) small: Vec<(u64, u64)>,
    /// `[start, end)` of pages mapped by huge pages.
    pub(crate) huge: Vec<(u64, u64)>,
    /// `[start, end)` of pages that are private copies.
    pub(crate) copies: Vec<(u64, u64)>,
    /// `[start, end)` of pages filled by copy-on-write.
    pub(crate) cow: Vec<(u64, u64)>,
}

impl Map {
    /// Page-table entries.
    pub(super) fn entries(&self) -> u128 {
        let count = |ranges: &[(u64, u64)], unit: u64| -> u128 {
            let pages = ranges.iter().map(|(start, end)| u128::from(end.abs_diff(*start)));
            pages.sum::<u128>().checked_div(u128::from(unit)).unwrap_or(0)
        };
        // NO-OVERFLOW: three sums of 52 bits.
        count(&self.small, 1)
            .wrapping_add(count(&self.copies, 1))
            .wrapping_add(count(&self.huge, HUGE / PAGE_SIZE))
    }
}

const POLICIES: [(&str, Policy); 3] =
    [("early", Policy::Early), ("late", Policy::Late), ("default", Policy::Default)];

pub(super) fn read(at: At<'_>, names: &Names, devices: &[Device]) -> Result<Process> {
    let keys = ["tag", "pid", "kill", "threads", "parent", "on_sigbus", "maps"];
    let object = at.object(&keys)?;
    let pid = object.required("pid", |at| at.number())?;
    let kill = |object: &Object<'_>| object.or("kill", Policy::Default, |at| at.word(&POLICIES));
    let mut threads = vec![(pid, kill(&object)?)];
    threads.extend(object.many("threads", |at| {
        let object = at.object(&["tid", "kill"])?;
        Ok((object.required("tid", |at| at.number())?, kill(&object)?))
    })?);
    object.optional("parent", |at| names.process(at))?;
    let dispositions = [
        ("handler", Disposition::Handler),
        ("default", Disposition::Default),
        ("ignore", Disposition::Ignore),
        ("blocked", Disposition::Blocked),
    ];
    Ok(Process {
        tag: object.required("tag", |at| at.name())?,
        threads,
        on_sigbus: object.or("on_sigbus", Disposition::Handler, |at| at.word(&dispositions))?,
        maps: object.many("maps", |at| map(at, names, devices))?,
    })
}

const MAP_KEYS: [&str; 12] = [
    "file",
    "file_start",
    "len",
    "vaddr",
    "shared",
    "writable",
    "sync",
    "touched",
    "page",
    "touched_huge",
    "private_copies",
    "cow_faulted",
];

/// Where a map lies: file pages and addresses.
#[derive(Clone, Copy)]
struct Place {
    first: u64,
    pages: u64,
    len: u64,
    vaddr: u64,
}

fn map(at: At<'_>, names: &Names, devices: &[Device]) -> Result<Map> {
    let object = at.object(&MAP_KEYS)?;
    let file = object.required("file", |at| mapped_file(at, names, devices))?;
    let place = place(&object)?;
    object.flag("writable", false)?;
    object.flag("sync", false)?;
    let shared = object.flag("shared", true)?;
    let all_huge = object.or("page", false, |at| match at.number()? {
        PAGE_SIZE => Ok(false),
        HUGE => Ok(true),
        other => Err(at.bad(format!("must be 4096 or 2097152, but is {other}"))),
    })?;
    let touched = pages(&object, "touched", place, all_huge)?;
    let mut huge = pages(&object, "touched_huge", place, true)?;
    let small = if all_huge {
        huge.extend(touched);
        Vec::new()
    } else {
        touched
    };
    let copies = pages(&object, "private_copies", place, false)?;
    let cow = pages(&object, "cow_faulted", place, false)?;
    let map = Map {
        file,
        first: place.first,
        pages: place.pages,
        vaddr: place.vaddr,
        shared,
        small,
        huge,
        copies,
        cow,
    };
    check_kinds(&object, &map)?;
    Ok(map)
}

/// Only the memory of device-dax can be mapped by the device's name.
fn mapped_file(at: At<'_>, names: &Names, devices: &[Device]) -> Result<FileId> {
    let file = names.file(at)?;
    match file {
        FileId::Device(device) if !known(devices, device).is_devdax() => {
            Err(at.bad("is not a device-dax device"))
        }
        FileId::Device(_) | FileId::Inode { .. } => Ok(file),
    }
}

fn place(object: &Object<'_>) -> Result<Place> {
    let start = object.required("file_start", |at| at.multiple(PAGE_SIZE))?;
    let len = object.required("len", |at| at.positive())?;
    let vaddr = object.required("vaddr", |at| at.multiple(PAGE_SIZE))?;
    let rounded = len.checked_next_multiple_of(PAGE_SIZE);
    let fits = rounded
        .is_some_and(|len| start.checked_add(len).is_some() && vaddr.checked_add(len).is_some());
    match rounded {
        Some(len) if fits => {
            Ok(Place { first: start / PAGE_SIZE, pages: len / PAGE_SIZE, len, vaddr })
        }
        Some(_) | None => Err(object.at().bad("the map does not end within 64 bits")),
    }
}

/// A range list relative to the map, as pages of the file.
fn pages(object: &Object<'_>, key: &str, place: Place, huge: bool) -> Result<Vec<(u64, u64)>> {
    object.or(key, Vec::new(), |at| {
        let ranges = at.ranges()?;
        inside(at, &ranges, place.len, "map")?;
        let unit = if huge { HUGE } else { PAGE_SIZE };
        ranges.into_iter().map(|range| file_pages(at, range, unit, place)).collect()
    })
}

fn file_pages(at: At<'_>, (start, len): (u64, u64), unit: u64, place: Place) -> Result<(u64, u64)> {
    // NO-OVERFLOW: the range is inside the map, and the map ends within 64 bits.
    let page = place.first.wrapping_add(start / PAGE_SIZE);
    let vaddr = place.vaddr.wrapping_add(start);
    let aligned = |bytes: u64| bytes.checked_rem(unit) == Some(0);
    let whole = start % PAGE_SIZE == 0 && aligned(len) && aligned(vaddr);
    if !whole || !aligned(page.wrapping_mul(PAGE_SIZE)) {
        return Err(at.bad(format!(
            "[{start},{len}] is not in whole pages of {unit} bytes, in the file and in memory"
        )));
    }
    Ok((page, page.wrapping_add(len / PAGE_SIZE)))
}

fn check_kinds(object: &Object<'_>, map: &Map) -> Result<()> {
    let overlap = |a: &[(u64, u64)], b: &[(u64, u64)]| {
        a.iter().any(|a| b.iter().any(|b| a.0 < b.1 && b.0 < a.1))
    };
    if map.shared && !map.copies.is_empty() {
        return Err(object.at().bad("private_copies are for private maps"));
    }
    if overlap(&map.copies, &map.small) || overlap(&map.copies, &map.huge) {
        return Err(object.at().bad("private_copies overlap touched pages"));
    }
    if overlap(&map.small, &map.huge) {
        return Err(object.at().bad("touched_huge overlaps touched pages"));
    }
    let within = |range: &(u64, u64)| {
        map.small.iter().chain(&map.huge).any(|t| t.0 <= range.0 && range.1 <= t.1)
    };
    match map.cow.iter().all(within) {
        true => Ok(()),
        false => Err(object.at().fail(Kind::BadValue, "cow_faulted is not a part of touched")),
    }
}
