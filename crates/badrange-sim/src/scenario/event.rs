use badrange_core::MfFlags;

use super::{
    Device, DeviceKind, FileId, Names, Process, Result, ScenarioErrorKind as Kind,
    json::{At, Object},
    known,
    limits::MAX_MADVISE_PAGES,
};
use crate::{
    PAGE_SIZE,
    storm::{self, Storm},
};

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    MemoryFailure {
        pfn: u64,
        flags: MfFlags,
        by: Option<usize>,
    },
    Madvise {
        by: usize,
        advice: Advice,
        map: usize,
        offset: u64,
        len: u64,
    },
    MachineCheck {
        phys: u64,
        lsb: u64,
        consumer: Option<usize>,
    },
    Notify {
        device: usize,
        start: u64,
        len: u64,
        flags: MfFlags,
    },
    Unbind {
        device: usize,
    },
    Mount {
        fs: usize,
    },
    Touch {
        file: FileId,
        offset: u64,
        write: bool,
    },
    Io {
        file: FileId,
        offset: u64,
        len: u64,
        direct: bool,
        write: bool,
    },
    /// Many failures.
    Storm(Box<Storm>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    Hwpoison,
    SoftOffline,
}

impl Event {
    /// Failures of a range, a list or a storm.
    pub(crate) fn storm_pages(&self) -> u64 {
        if let Self::Storm(storm) = self { storm.count } else { 0 }
    }

    /// The word of the format.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::MemoryFailure { .. } => "memory_failure",
            Self::Madvise { .. } => "madvise",
            Self::MachineCheck { .. } => "machine_check",
            Self::Notify { .. } => "notify",
            Self::Unbind { .. } => "unbind",
            Self::Mount { .. } => "mount",
            Self::Touch { write: false, .. } => "load",
            Self::Touch { write: true, .. } => "store",
            Self::Io { write: false, .. } => "read",
            Self::Io { write: true, .. } => "write",
            Self::Storm(storm) => storm.kind,
        }
    }
}

type Read = fn(&At<'_>, &Context<'_>) -> Result<Event>;

/// What events refer to.
struct Context<'a> {
    names: &'a Names,
    devices: &'a [Device],
    processes: &'a [Process],
}

pub(super) fn read(
    at: At<'_>,
    names: &Names,
    devices: &[Device],
    processes: &[Process],
) -> Result<Event> {
    let words: [(&str, Read); 13] = [
        ("memory_failure", memory_failure),
        ("madvise", madvise),
        ("machine_check", machine_check),
        ("notify", notify),
        ("unbind", unbind),
        ("mount", mount),
        ("load", |at, context| touch(at, context, false)),
        ("store", |at, context| touch(at, context, true)),
        ("read", |at, context| io(at, context, false)),
        ("write", |at, context| io(at, context, true)),
        ("memory_failure_range", |at, _| storm(storm::read_range(*at))),
        ("memory_failure_list", |at, _| storm(storm::read_list(*at))),
        ("storm", |at, context| storm(storm::read_storm(*at, context.names, context.devices))),
    ];
    let read = at.peek("do", |at| at.word(&words))?;
    read(&at, &Context { names, devices, processes })
}

fn storm(read: Result<Storm>) -> Result<Event> {
    Ok(Event::Storm(Box::new(read?)))
}

pub(crate) fn flags(at: At<'_>) -> Result<MfFlags> {
    let flags = at.list(|at| {
        let name = at.text()?;
        let unknown = || at.bad(format!("{name:?} is not a flag of memory_failure()"));
        let mut single = (0..u8::BITS).map(|bit| MfFlags::from_bits(1 << bit));
        single.find(|flag| flag.names().eq([name])).ok_or_else(unknown)
    })?;
    Ok(flags.into_iter().fold(MfFlags::NONE, MfFlags::with))
}

fn memory_failure(at: &At<'_>, context: &Context<'_>) -> Result<Event> {
    let object = at.object(&["do", "pfn", "flags", "by"])?;
    Ok(Event::MemoryFailure {
        pfn: object.required("pfn", |at| at.number())?,
        flags: object.or("flags", MfFlags::NONE, flags)?,
        by: object.optional("by", |at| context.names.process(at))?,
    })
}

fn madvise(at: &At<'_>, context: &Context<'_>) -> Result<Event> {
    let object = at.object(&["do", "by", "advice", "map", "offset", "len"])?;
    let by = object.required("by", |at| context.names.process(at))?;
    let maps = context.processes.get(by).map_or(&[][..], |process| &process.maps);
    let index = object.required("map", |at| map_index(at, maps.len()))?;
    let advice = [("hwpoison", Advice::Hwpoison), ("soft_offline", Advice::SoftOffline)];
    let offset = object.required("offset", |at| at.multiple(PAGE_SIZE))?;
    let len = object.required("len", |at| at.number())?;
    let pages = len.div_ceil(PAGE_SIZE);
    if pages > MAX_MADVISE_PAGES {
        let message = format!("fails {pages} pages, more than {MAX_MADVISE_PAGES} in one event");
        return Err(object.at().fail(Kind::TooLarge, message));
    }
    let end = (offset / PAGE_SIZE).checked_add(pages);
    if maps.get(index).is_none_or(|map| end.is_none_or(|end| end > map.pages)) {
        return Err(object.at().bad("reaches beyond the end of the map"));
    }
    Ok(Event::Madvise {
        by,
        advice: object.required("advice", |at| at.word(&advice))?,
        map: index,
        offset,
        len,
    })
}

fn map_index(at: At<'_>, count: usize) -> Result<usize> {
    match usize::try_from(at.number()?) {
        Ok(index) if index < count => Ok(index),
        Ok(_) | Err(_) => {
            Err(at.fail(Kind::BadReference, format!("the process has only {count} maps")))
        }
    }
}

fn machine_check(at: &At<'_>, context: &Context<'_>) -> Result<Event> {
    const WIDEST: u64 = 63;
    let object = at.object(&["do", "severity", "phys", "lsb", "by"])?;
    let required = object.required("severity", |at| at.word(&[("ao", false), ("ar", true)]))?;
    let by = object.optional("by", |at| context.names.process(at))?;
    if required && by.is_none() {
        let message =
            "key \"by\" is missing: an action is required of the process that consumed it";
        return Err(object.at().fail(Kind::MissingKey, message));
    }
    let lsb = object.required("lsb", |at| match at.number()? {
        lsb if lsb <= WIDEST => Ok(lsb),
        lsb => Err(at.bad(format!("must be at most {WIDEST}, but is {lsb}"))),
    })?;
    let phys = object.required("phys", |at| at.number())?;
    Ok(Event::MachineCheck { phys, lsb, consumer: by.filter(|_| required) })
}

fn notify(at: &At<'_>, context: &Context<'_>) -> Result<Event> {
    let object = at.object(&["do", "device", "start", "len", "flags"])?;
    Ok(Event::Notify {
        device: object.required("device", |at| context.names.device(at))?,
        start: object.required("start", |at| at.number())?,
        len: object.required("len", |at| at.number())?,
        flags: object.or("flags", MfFlags::NONE, flags)?,
    })
}

fn unbind(at: &At<'_>, context: &Context<'_>) -> Result<Event> {
    let object = at.object(&["do", "device"])?;
    let device = object.required("device", |at| {
        let device = context.names.device(at)?;
        match &known(context.devices, device).kind {
            DeviceKind::Pmem(_) => Ok(device),
            DeviceKind::Partition { .. } | DeviceKind::Dm { .. } => {
                Err(at.bad("is not a pmem device"))
            }
        }
    })?;
    Ok(Event::Unbind { device })
}

fn mount(at: &At<'_>, context: &Context<'_>) -> Result<Event> {
    let object = at.object(&["do", "fs"])?;
    Ok(Event::Mount { fs: object.required("fs", |at| context.names.filesystem(at))? })
}

fn touch(at: &At<'_>, context: &Context<'_>, write: bool) -> Result<Event> {
    let object = at.object(&["do", "file", "offset"])?;
    let (file, offset) = place(&object, context)?;
    Ok(Event::Touch { file, offset, write })
}

fn io(at: &At<'_>, context: &Context<'_>, write: bool) -> Result<Event> {
    let object = at.object(&["do", "file", "offset", "len", "direct"])?;
    let (file, offset) = place(&object, context)?;
    let len = object.required("len", |at| at.number())?;
    Ok(Event::Io { file, offset, len, direct: object.flag("direct", false)?, write })
}

fn place(object: &Object<'_>, context: &Context<'_>) -> Result<(FileId, u64)> {
    let file = object.required("file", |at| context.names.file(at))?;
    Ok((file, object.required("offset", |at| at.number())?))
}
