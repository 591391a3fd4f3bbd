//! Memory failure, machine checks, firmware records, EDAC, nvdimm and CXL; their trace events.

use super::{Groups, Rule};
use crate::{
    Confidence,
    ranges::said::{Said, address, bytes_of, memory, page},
};

/// # Kernel
/// `memory_failure`, `mce_print`, `cper_print_mem`, `edac_mc_handle_error`, `set_badblock`,
/// trace events `memory_failure_event`, `mc_event`, `cxl_poison`, `cxl_general_media`, `cxl_dram`.
pub(super) const RULES: &[Rule] = &[
    (r"^(?:Memory failure:|MCE) (?:0x)?([0-9a-f]+): ", pfn),
    (r"^Injecting memory failure (?:for|at) (?:pfn|page) (?:0x)?([0-9a-f]+)", pfn),
    (r"^soft offline: (?:0x)?([0-9a-f]+):? page already poisoned", pfn),
    (r"^(?:ras:)?memory_failure_event: pfn (?:0x)?([0-9a-f]+)", pfn),
    (r"^memory_failure_event .*(?-u:\b)pfn=(?:0x)?([0-9a-f]+)", pfn),
    (r"^[0-9]+ [0-9-]+ [0-9:]+ [^ ]+ error: pfn=(?:0x)?([0-9a-f]+)", pfn),
    (
        r"^MCE: Killing .* due to hardware memory corruption fault at (?:0x)?([0-9a-f]+)",
        virtual_address,
    ),
    (
        r"^mce: Uncorrected hardware memory error in user-access at (?:0x)?([0-9a-f]+)",
        physical_address,
    ),
    (r"^(?:CPU [0-9]+: )?Machine Check(?: Exception)?: .*Bank [0-9]+: (?:0x)?([0-9a-f]{16})", bank),
    (r"^TSC [0-9a-f]+ ADDR ([0-9a-f]+) (?:.*)?MISC ([0-9a-f]+)", bank_address),
    (r"^event severity: (.+)$", severity),
    (r"^physical_address: 0x([0-9a-f]+)", record_address),
    (
        r"^EDAC [^ ]+: [0-9]+ (?:UE|CE) .*\(.*page:0x([0-9a-f]+) offset:0x([0-9a-f]+) grain:([0-9]+)",
        edac,
    ),
    (
        r"^mc_event:? .*?([0-9]+) (Corrected|Uncorrected|Fatal|Deferred)(?:_| )error.*address: ?0x([0-9a-f]+) grain: ?([0-9]+)",
        mc_event,
    ),
    (
        r"^mc_event:? .*?([0-9]+) (Corrected|Uncorrected|Fatal|Deferred) errors?:.*address:0x([0-9a-f]+) grain:([0-9]+)",
        mc_event,
    ),
    (
        r"^(nd_bus|ndbus|nfit|nd_pmem|nd_region|dax_pmem)[^:]*?([^ :]*): Found a bad range \(0x([0-9a-f]+), 0x([0-9a-f]+)\)",
        nvdimm,
    ),
    (
        r"^cxl_poison:? .*memdev=([^ ]+) .*(?-u:\b)hpa=0x([0-9a-f]+) .*(?-u:\b)dpa=0x([0-9a-f]+) dpa_length=0x([0-9a-f]+)(?:.* flags=([^ ]*))?",
        cxl_poison,
    ),
    (
        r"^[0-9]+ [0-9-]+ [0-9:]+ [^ ]+ error: memdev=([^ ,]+), .*(?-u:\b)hpa=0x([0-9a-f]+), .*(?-u:\b)dpa=0x([0-9a-f]+), dpa_length=0x([0-9a-f]+)(?:.* flags=([^ ,]*))?",
        cxl_poison,
    ),
    (
        r"^cxl_(?:general_media|dram):? .*memdev=([^ ]+) .*(?-u:\b)dpa=(?:0x)?([0-9a-f]+) .*descriptor='([^']*)'(?:.*(?-u:\b)hpa=(?:0x)?([0-9a-f]+))?",
        cxl_media,
    ),
    (r"^cxl[^:]* (mem[0-9]+): poison inject dpa:0x([0-9a-f]+)", cxl_inject),
];

/// An address that the kernel prints where there is none.
const NO_ADDRESS: u64 = u64::MAX;
/// Bytes of a line of cache, which CXL reports poison in.
const CACHE_LINE: u64 = 64;

fn pfn(g: &Groups<'_>) -> Option<Said> {
    Some(page(g.hex(1)?, "memory failure"))
}

fn virtual_address(g: &Groups<'_>) -> Option<Said> {
    let at = g.hex(1)?;
    Some(Said::Unplaced(format!("virtual address {at:#x} of a process that was killed")))
}

fn physical_address(g: &Groups<'_>) -> Option<Said> {
    Some(address(g.hex(1)?, "machine check"))
}

fn bank(g: &Groups<'_>) -> Option<Said> {
    Some(Said::BankStatus(g.hex(1)?))
}

fn bank_address(g: &Groups<'_>) -> Option<Said> {
    Some(Said::BankAddress { address: g.hex(1)?, misc: g.hex(2)? })
}

fn severity(g: &Groups<'_>) -> Option<Said> {
    Some(Said::Severity { corrected: matches!(g.text(1), "corrected" | "info") })
}

fn record_address(g: &Groups<'_>) -> Option<Said> {
    Some(Said::RecordAddress(g.hex(1)?))
}

/// The grain says how many bytes may lie around the address. Corrected errors lost nothing.
fn edac(g: &Groups<'_>) -> Option<Said> {
    if !g.0.get(0)?.as_str().contains(" UE ") {
        return None;
    }
    let start = g.hex(1)?.checked_mul(4096).and_then(|page| page.checked_add(g.hex(2)?));
    let Some(start) = start else { return Some(address(NO_ADDRESS, "EDAC")) };
    Some(around(start, g.number(3)?, "EDAC"))
}

/// The grain of the trace event is the binary logarithm of the one of the log.
fn mc_event(g: &Groups<'_>) -> Option<Said> {
    if g.text(2) == "Corrected" {
        return None;
    }
    let grain = u32::try_from(g.number(4)?).ok().and_then(|n| 1_u64.checked_shl(n)).unwrap_or(0);
    Some(around(g.hex(3)?, grain, "EDAC"))
}

/// The unit of `grain` bytes that an address lies in; a power of two, or nothing is known.
fn around(at: u64, grain: u64, said: &'static str) -> Said {
    match grain {
        2.. if grain.is_power_of_two() => {
            // NO-OVERFLOW: at least two.
            let start = at & !grain.wrapping_sub(1);
            memory(start, grain, Confidence::AtMost, said)
        }
        _ => address(at, said),
    }
}

/// A bus tells bytes of physical memory, a namespace or a region bytes of its own.
fn nvdimm(g: &Groups<'_>) -> Option<Said> {
    let (driver, device, start, len) = (g.text(1), g.text(2), g.hex(3)?, g.hex(4)?);
    if matches!(driver, "nd_bus" | "ndbus" | "nfit") {
        return Some(memory(start, len, Confidence::Exact, "nvdimm"));
    }
    bytes_of(device, Some((start, len)), Confidence::Exact, "nvdimm")
}

fn cxl_poison(g: &Groups<'_>) -> Option<Said> {
    let (memdev, hpa, dpa, len) = (g.text(1), g.hex(2)?, g.hex(3)?, g.hex(4)?);
    let said = match hpa {
        NO_ADDRESS => device_address(memdev, dpa, len),
        _ => memory(hpa, len, Confidence::Exact, "CXL poison"),
    };
    Some(if is_incomplete(g.text(5)) { Said::Incomplete(Box::new(said)) } else { said })
}

/// Whether the flags of a list of poison say that the device has more: its list overflowed, or it is
/// still looking. That more records follow is nothing to say: they do.
pub(in crate::ranges) fn is_incomplete(flags: &str) -> bool {
    const OVERFLOW_OR_SCANNING: u64 = 0b110;
    let number = flags
        .strip_prefix("0x")
        .map_or_else(|| flags.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok());
    let word = |word: &str| ["overflow", "scanning"].iter().any(|w| word.eq_ignore_ascii_case(w));
    match number {
        Some(bits) => bits & OVERFLOW_OR_SCANNING != 0,
        None => flags.split(['|', ',', ' ']).any(word),
    }
}

fn device_address(memdev: &str, dpa: u64, len: u64) -> Said {
    Said::Unplaced(format!("{memdev}: device physical address {dpa:#x}+{len:#x}, of no region"))
}

fn cxl_media(g: &Groups<'_>) -> Option<Said> {
    if !g.text(3).contains("UNCORRECTABLE") {
        return None;
    }
    // The low six bits are flags.
    let dpa = g.hex(2)? & !(CACHE_LINE.wrapping_sub(1));
    match g.hex(4) {
        Some(hpa) if hpa != NO_ADDRESS => Some(address(hpa, "CXL media")),
        _ => Some(device_address(g.text(1), dpa, CACHE_LINE)),
    }
}

fn cxl_inject(g: &Groups<'_>) -> Option<Said> {
    Some(device_address(g.text(1), g.hex(2)?, CACHE_LINE))
}
