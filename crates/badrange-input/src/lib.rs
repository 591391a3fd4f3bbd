//! Text in for badrange: parsers for partition tables, LVM, device-mapper, fsmap, filefrag and badblocks files,
//! and for the bad ranges that kernel logs, lists, JSON and rescue maps name.

mod badblocks;
mod bmap;
mod check;
mod confidence;
mod discover;
mod dmtable;
mod error;
mod filefrag;
mod filemap;
mod files;
mod fsmap;
mod json;
mod lines;
mod losetup;
mod lsblk;
mod lvm;
mod mdadm;
mod number;
mod paths;
mod ranges;
mod sfdisk;
mod sniff;
mod stackerror;
mod stackfile;
mod thindump;
mod topology;

pub use crate::{
    badblocks::{BadRange, BadblocksList, SYSFS_PAGE_BYTES, parse_badblocks},
    bmap::XfsBmap,
    check::{CheckFinding, Severity, check},
    confidence::Confidence,
    discover::Discovery,
    dmtable::{DmDevice, DmLine, parse_dm_table},
    error::{ParseError, ParseErrorKind},
    filefrag::Filefrag,
    filemap::{
        FileExtent, FileExtents, FileMapItem, MappedFile, Placement, Unplaced, collect_files,
    },
    files::{DirFiles, Files, MemoryFiles},
    fsmap::{Fsmap, FsmapDev, FsmapRecord},
    lines::{MAX_LINE_BYTES, MAX_TEXT_BYTES},
    losetup::{LoopDevice, parse_losetup},
    lsblk::{LsblkDevice, parse_lsblk},
    lvm::{
        LogicalVolume, LvSegment, LvsReport, PhysicalVolume, PvsReport, SegmentKind, Stripe,
        StripeTarget, VolumeGroup, parse_lvs_json, parse_pvs_json, parse_vgcfg,
    },
    mdadm::{MdMember, MdRole, MdVersion, parse_mdadm_examine},
    number::parse_u64,
    paths::{InodePath, InodePaths},
    ranges::{
        BlockUnit, LogEvent, LogStream, MAX_LOG_LINE_BYTES, NamedRange, Place, RangeList,
        RangeOptions, UnplacedRange, read_ranges,
    },
    sfdisk::{
        PartitionEntry, PartitionKind, PartitionTable, TableLabel, parse_sfdisk_dump,
        parse_sfdisk_json,
    },
    sniff::{Format, RECOGNISE_BYTES, recognise},
    stackerror::StackError,
    thindump::{MAX_THIN_RANGES, ThinDevice, ThinDump, parse_thin_dump},
    topology::{Area, Device, Filesystem, Layer, PhysicalMemory, Topology},
};
