//! Bad ranges that a text names: kernel logs, trace events, lists, JSON and rescue maps.

mod algebra;
mod ata;
mod gather;
mod json;
mod lists;
mod mapfile;
mod merge;
mod name;
mod place;
mod prefix;
mod read;
mod rules;
mod said;
mod scsi;
mod stream;

pub use self::{
    place::{BlockUnit, NamedRange, Place, RangeList, UnplacedRange},
    read::{RangeOptions, read_ranges},
    stream::{LogEvent, LogStream, MAX_LOG_LINE_BYTES},
};
