//! XFS, ext4 and btrfs.

use super::{Groups, Rule};
use crate::{
    Confidence,
    ranges::{
        place::BlockUnit,
        said::{Said, blocks, bytes_of, from_byte, sectors, too_large},
    },
};

/// # Kernel
/// `xfs_buf_ioerror_alert`, `xfs_destroy_ioend`, `ext4_end_bio`, `scrub_print_warning_inode`,
/// `btrfs_repair_io_failure`.
pub(super) const RULES: &[Rule] = &[
    (
        r#"^XFS \(([^)]+)\): metadata I/O error(?: in "[^"]*")? at daddr 0x([0-9a-f]+) len ([0-9]+) error"#,
        xfs_buffer,
    ),
    (
        r#"^XFS \(([^)]+)\): metadata I/O error: block 0x([0-9a-f]+) \("[^"]*"\) error [0-9]+ numblks ([0-9]+)"#,
        xfs_buffer,
    ),
    (
        r#"^(?:XFS: |Filesystem "[^"]*": )?I/O error (?:in|occurred:) meta-data dev ([^ ]+) block 0x([0-9a-f]+) .*buf count ([0-9]+)"#,
        xfs_old_buffer,
    ),
    (
        r"^XFS \(([^)]+)\): writeback error on (?:inode [0-9]+, offset -?[0-9]+, )?sector ([0-9]+)",
        xfs_writeback,
    ),
    (
        r"^EXT[234]-fs (?:warning|error) \(device ([^)]+)\): ext4_end_bio:[0-9]+: I/O error -?[0-9]+ writing to inode [0-9]+ (?:\(.*)?starting block ([0-9]+)\)",
        ext4_block,
    ),
    (
        r"^EXT[234]-fs (?:warning|error) \(device ([^)]+)\): .*: Cannot read (?:block|inode) bitmap - block_group = [0-9]+, (?:block|inode)_bitmap = ([0-9]+)",
        ext4_block,
    ),
    (
        r"^EXT[234]-fs (?:warning|error) \(device ([^)]+)\): .*: block ([0-9]+): (?:comm .*: )?unable to read itable block",
        ext4_block,
    ),
    (
        r"^EXT[234]-fs (?:warning|error) \(device ([^)]+)\): [^:]+:[0-9]+: inode #([0-9]+): .*reading directory lblock ([0-9]+)",
        ext4_directory,
    ),
    (
        r"^BTRFS (?:warning|error) \(device [^)]+\): (?:scrub: )?(?:i/o|checksum) error at logical [0-9]+ on dev ([^ ,]+),? physical ([0-9]+),? root [0-9]+,? inode [0-9]+,? offset [0-9]+,? length ([0-9]+)",
        btrfs_data,
    ),
    (
        r"^BTRFS (?:warning|error) \(device [^)]+\): (?:scrub: )?(?:i/o|checksum) error at logical [0-9]+ on dev ([^ ,]+), sector ([0-9]+), root [0-9]+, inode [0-9]+, offset [0-9]+, length ([0-9]+)",
        btrfs_data_sector,
    ),
    (
        r"^BTRFS (?:warning|error) \(device [^)]+\): (?:scrub: )?(?:i/o|checksum) error at logical [0-9]+ on dev ([^ ,]+),? physical ([0-9]+):? metadata",
        btrfs_physical,
    ),
    (
        r"^BTRFS (?:warning|error) \(device [^)]+\): (?:scrub: )?(?:i/o|checksum) error at logical [0-9]+ on dev ([^ ,]+), sector ([0-9]+): metadata",
        btrfs_sector,
    ),
    (
        r"^BTRFS (?:warning|error) \(device [^)]+\): (?:scrub: )?unable to fixup \([a-z]+\) error at logical [0-9]+ on dev ([^ ,]+),? physical ([0-9]+)",
        btrfs_physical,
    ),
    (
        r"^BTRFS (?:warning|error) \(device ([^)]+)\): (?:scrub: )?unable to fixup \([a-z]+\) error at logical ([0-9]+) on dev [^ ,]+$",
        btrfs_logical,
    ),
    (
        r"^BTRFS info \(device [^)]+\): read error corrected: ino [0-9]+ off [0-9]+ \(dev ([^ ]+) sector ([0-9]+)\)",
        btrfs_sector,
    ),
    (
        r"^BTRFS (?:warning|error) \(device ([^)]+)\): csum failed root ([0-9-]+) ino ([0-9]+) off ([0-9]+)",
        btrfs_file,
    ),
    (
        r"^BTRFS (?:warning|error) \(device ([^)]+)\): direct IO failed ino ([0-9]+) op 0x[0-9a-f]+ offset 0x([0-9a-f]+) len [0-9]+",
        btrfs_direct_offset,
    ),
    (
        r"^BTRFS (?:warning|error) \(device ([^)]+)\): direct IO failed ino [0-9]+ rw [0-9]+,[0-9]+ sector 0x([0-9a-f]+) len",
        btrfs_direct_logical,
    ),
];

fn xfs_buffer(g: &Groups<'_>) -> Option<Said> {
    Some(sectors(g.text(1), g.hex(2)?, g.number(3)?, "XFS metadata"))
}

/// The count is in bytes here, the block still in sectors.
fn xfs_old_buffer(g: &Groups<'_>) -> Option<Said> {
    let range = g.hex(2)?.checked_mul(512).zip(g.number(3));
    let said = bytes_of(g.text(1), range, Confidence::AtMost, "XFS metadata");
    Some(said.unwrap_or_else(|| too_large(g.text(1))))
}

fn xfs_writeback(g: &Groups<'_>) -> Option<Said> {
    Some(from_byte(g.text(1), g.number(2)?.checked_mul(512), "XFS writeback"))
}

fn ext4_block(g: &Groups<'_>) -> Option<Said> {
    Some(blocks(g.text(1), BlockUnit::Filesystem, g.number(2)?, None, "ext4"))
}

fn ext4_directory(g: &Groups<'_>) -> Option<Said> {
    let (device, inode, block) = (g.text(1), g.text(2), g.text(3));
    Some(Said::Unplaced(format!("{device}: inode {inode}, block {block} of a directory")))
}

fn btrfs_data(g: &Groups<'_>) -> Option<Said> {
    let range = g.number(2).zip(g.number(3));
    let said = bytes_of(g.text(1), range, Confidence::AtMost, "btrfs scrub");
    Some(said.unwrap_or_else(|| too_large(g.text(1))))
}

fn btrfs_data_sector(g: &Groups<'_>) -> Option<Said> {
    let range = g.number(2)?.checked_mul(512).zip(g.number(3));
    let said = bytes_of(g.text(1), range, Confidence::AtMost, "btrfs scrub");
    Some(said.unwrap_or_else(|| too_large(g.text(1))))
}

fn btrfs_physical(g: &Groups<'_>) -> Option<Said> {
    Some(from_byte(g.text(1), g.number(2), "btrfs scrub"))
}

fn btrfs_sector(g: &Groups<'_>) -> Option<Said> {
    Some(from_byte(g.text(1), g.number(2)?.checked_mul(512), "btrfs"))
}

/// Addresses of btrfs' own space lead to no device without its chunk tree.
fn btrfs_logical(g: &Groups<'_>) -> Option<Said> {
    Some(Said::Unplaced(format!("{}: btrfs logical address {}", g.text(1), g.text(2))))
}

fn btrfs_file(g: &Groups<'_>) -> Option<Said> {
    let (device, root, ino, at) = (g.text(1), g.text(2), g.text(3), g.text(4));
    Some(Said::Unplaced(format!("{device}: btrfs root {root}, inode {ino}, file offset {at}")))
}

fn btrfs_direct_offset(g: &Groups<'_>) -> Option<Said> {
    let (device, ino, at) = (g.text(1), g.text(2), g.hex(3)?);
    Some(Said::Unplaced(format!("{device}: btrfs inode {ino}, file offset {at}")))
}

fn btrfs_direct_logical(g: &Groups<'_>) -> Option<Said> {
    let (device, sector) = (g.text(1), g.hex(2)?);
    Some(Said::Unplaced(format!("{device}: btrfs logical address, sector {sector}")))
}
