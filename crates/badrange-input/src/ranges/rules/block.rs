//! The block layer, SCSI, ATA, NVMe, md and device-mapper.

use super::{Groups, Rule};
use crate::ranges::{
    ata::Taskfile,
    name,
    place::BlockUnit,
    said::{Said, blocks, from_byte, sectors},
    scsi,
};

/// # Kernel
/// `blk_print_req_error`, `buffer_io_error`, `scsi_print_command`, `ata_eh_link_report`,
/// `nvme_log_error`, raid1, raid10 and raid5 of md.
pub(super) const RULES: &[Rule] = &[
    (
        r"^(?:(?:blk_print_req_error|blk_update_request|print_req_error|end_request): )?[A-Za-z/ ]+ error, dev ([^ ,]+), sector ([0-9]+)(?: op 0x[0-9a-f]+:\(([A-Z_]+)\))?(?:.* phys_seg ([0-9]+))?",
        request,
    ),
    (r"^Buffer I/O error on (?:dev|device) ([^ ,]+), logical block ([0-9]+)(?:,|$)", buffer),
    (
        r"^sd [0-9:]+ \[([^\]]+)\] +(?:[^ ]+#[0-9]+ )*CDB: ?(?:[A-Za-z][A-Za-z ]*(?:\([0-9]+\))?:? *)?([0-9a-f]{2}(?: [0-9a-f]{2})*)$",
        cdb,
    ),
    (
        r"^sd [0-9:]+ \[([^\]]+)\] [0-9]+ ([0-9]+)-byte (?:logical|hardware) (?:blocks|sectors)",
        disk,
    ),
    (
        r"^(?:nvme [^ ]+ )?(nvme[0-9]+(?:c[0-9]+)?n[0-9]+): .*\(0x([0-9a-f]+)\) @ LBA ([0-9]+), ([0-9]+) blocks,",
        nvme,
    ),
    (r"^(ata[0-9.]+): cmd ([0-9a-f/:]+) ", ata_command),
    (r"^(?:(ata[0-9.]+): )?res ([0-9a-f/:]+) Emask 0x[0-9a-f]+ \(media error\)", ata_result),
    (r"^md/raid[0-9]*:([^: ]+): ([^ ]+): rescheduling sector ([0-9]+)", md_retry),
    (r"^md/raid[0-9]*:([^: ]+): ()redirecting sector ([0-9]+) to ", md_retry),
    (
        r"^md/raid[0-9]*:([^: ]+): [^ ]+: unrecoverable I/O (?:read )?error for block ([0-9]+)",
        md_array,
    ),
    (
        r"^md/raid[0-9]*:[^: ]+: read error corrected \(([0-9]+) sectors at ([0-9]+) on ([^ )]+)\)",
        md_corrected,
    ),
    (
        r"^md/raid[0-9]*:[^: ]+: read error (?:not correctable|NOT corrected!!) \(sector ([0-9]+) on ([^ )]+)\)",
        md_member,
    ),
    (r"^(?:Read|Write)-error on swap-device \(([0-9]+:[0-9]+):([0-9]+)\)", swap),
    (r"^loop: (?:Read|Write) error at byte offset ([0-9]+), length ([0-9]+)", loop_device),
    (r"^.*: [0-9]+ callbacks suppressed$", cut),
    (r"^\*\* [0-9]+ printk messages dropped \*\*", cut),
    (r"^(?:CPU:[0-9]+ )?\[LOST [0-9]+ EVENTS\]", cut),
    (r"^.*(?-u:\b)(?:imjournal|imuxsock).*lost [0-9]+ messages", cut),
    (r"^.*systemd-journald\[[0-9]+\]: (?:Missed|Suppressed) [0-9]+ ", cut),
];

/// Requests that carry no data to lose: a failed one leaves everything as it was.
const NO_DATA: [&str; 6] =
    ["FLUSH", "DISCARD", "SECURE_ERASE", "ZONE_OPEN", "ZONE_CLOSE", "ZONE_FINISH"];

fn request(g: &Groups<'_>) -> Option<Said> {
    let (device, op) = (g.text(1), g.text(3));
    // A write without a segment is a cache flush: its sector means nothing.
    let flush = op == "WRITE" && g.number(4) == Some(0);
    if flush || NO_DATA.contains(&op) {
        let what = if flush { "FLUSH" } else { op };
        return Some(Said::Unplaced(format!("{device}: a {what} request, which has no data")));
    }
    Some(Said::Sector { device: name::of_device(device), sector: g.number(2)? })
}

fn buffer(g: &Groups<'_>) -> Option<Said> {
    Some(blocks(g.text(1), BlockUnit::Buffer, g.number(2)?, Some(1), "buffer"))
}

fn cdb(g: &Groups<'_>) -> Option<Said> {
    let (first, blocks) = scsi::transfer(&scsi::hex_bytes(g.text(2)))?;
    Some(Said::Request { device: name::of_device(g.text(1)), first, blocks })
}

fn disk(g: &Groups<'_>) -> Option<Said> {
    Some(Said::BlockSize { device: Some(g.text(1).to_owned()), bytes: g.number(2)? })
}

fn nvme(g: &Groups<'_>) -> Option<Said> {
    // Write, read, write uncorrectable, compare, verify.
    let transfers = matches!(g.hex(2)?, 0x01 | 0x02 | 0x04 | 0x05 | 0x0c);
    let (first, blocks) = (g.number(3)?, g.number(4)?);
    let device = name::of_namespace(g.text(1));
    (transfers && blocks > 0).then_some(Said::Request { device, first, blocks })
}

fn ata_command(g: &Groups<'_>) -> Option<Said> {
    let (first, blocks) = Taskfile::parse(g.text(2))?.transfer()?;
    Some(Said::Ata { port: Some(g.text(1).to_owned()), first, blocks: Some(blocks) })
}

fn ata_result(g: &Groups<'_>) -> Option<Said> {
    let first = Taskfile::parse(g.text(2))?.failed_at();
    let port = Some(g.text(1)).filter(|p| !p.is_empty()).map(str::to_owned);
    Some(Said::Ata { port, first, blocks: None })
}

/// A read of one member failed and is done elsewhere. The sector is the array's.
fn md_retry(g: &Groups<'_>) -> Option<Said> {
    let member = Some(g.text(2)).filter(|member| !member.is_empty()).map(name::of_device);
    Some(Said::Retry { array: name::of_device(g.text(1)), sector: g.number(3)?, member })
}

/// The sector of the array, where a request started that no member could answer.
fn md_array(g: &Groups<'_>) -> Option<Said> {
    let start = g.number(2)?.checked_mul(512);
    Some(from_byte(g.text(1), start, "md"))
}

/// A sector of a member: counted from its beginning, data offset and all.
fn md_member(g: &Groups<'_>) -> Option<Said> {
    let start = g.number(1)?.checked_mul(512);
    Some(from_byte(g.text(2), start, "md"))
}

fn md_corrected(g: &Groups<'_>) -> Option<Said> {
    Some(sectors(g.text(3), g.number(2)?, g.number(1)?, "md, corrected"))
}

fn swap(g: &Groups<'_>) -> Option<Said> {
    Some(from_byte(g.text(1), g.number(2)?.checked_mul(512), "swap"))
}

fn loop_device(g: &Groups<'_>) -> Option<Said> {
    let (start, len) = (g.text(1), g.text(2));
    Some(Said::Unplaced(format!("bytes {start}+{len} of a loop device without name")))
}

fn cut(_: &Groups<'_>) -> Option<Said> {
    Some(Said::Cut)
}
