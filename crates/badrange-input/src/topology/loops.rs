//! Loop devices: files of a filesystem that are devices themselves.

use std::sync::Arc;

use badrange_block::thin::{BlockRange, ThinError, Volume};
use badrange_core::{Extent, FileOffset, Mapping, Space};
use badrange_fs::{FileId, Record};

use super::{
    Device, Filesystem, Layer,
    jobs::Job,
    load::{DEFAULT_LOGICAL_BLOCK, Loader},
};
use crate::{
    StackError,
    stackfile::{LoopEntry, Text},
};

/// A loop device, before its file is looked up.
#[derive(Debug)]
pub(super) struct Loop {
    on: Text,
    file: Text,
    /// The bytes of the file that it has.
    window: Extent<FileOffset>,
    extent: Extent,
    logical_block: Option<u64>,
}

/// Reads an entry.
pub(super) fn read(loader: &Loader<'_>, entry: &LoopEntry) -> Result<Loop, StackError> {
    let offset = entry.offset.as_ref().map_or(0, |n| n.get_ref().0);
    let extent = loader.whole(&entry.sectors)?;
    let window = Extent::new(FileOffset::new(offset), extent.len())
        .map_err(|err| loader.toml.error(&entry.sectors, err.to_string()))?;
    let logical_block = loader.logical_block(entry.logical_block.as_ref())?;
    Ok(Loop { on: entry.on.clone(), file: entry.file.clone(), window, extent, logical_block })
}

/// Makes the device; `on` has the filesystem that the file is on. A file that no map knows makes it a
/// device whose ground is not known: a host has many of no interest.
pub(super) fn make(
    loader: &mut Loader<'_>,
    job: &Job,
    entry: &Loop,
    on: usize,
) -> Result<(), StackError> {
    let name = job.makes().next().unwrap_or_default().to_owned();
    let layer = match layer(loader, entry, on)? {
        Ok(layer) => layer,
        Err(why) => {
            let message = format!("what {name} lies on stays unexplained: {why}");
            loader.topology.notes.push(loader.toml.error(&entry.file, message));
            Layer::Opaque
        }
    };
    let device = Device {
        name,
        extent: entry.extent,
        logical_block: entry.logical_block.unwrap_or(DEFAULT_LOGICAL_BLOCK),
        layer,
        areas: Vec::new(),
    };
    loader.add_from(device, job.error("")).map(|_| ())
}

/// Where the file is, or why that is not known.
fn layer(
    loader: &mut Loader<'_>,
    entry: &Loop,
    on: usize,
) -> Result<Result<Layer, String>, StackError> {
    let (toml, file) = (loader.toml, entry.file.get_ref());
    let Some(fs) = loader.filesystem(on)? else {
        return Ok(Err(format!("no [[fs]] is on {:?}, where the file is", entry.on.get_ref())));
    };
    let id = match the_file(fs, file) {
        Ok(id) => id,
        Err(why) => return Ok(Err(why)),
    };
    let ranges: Vec<_> = fs.data_of(id).filter_map(|record| part(&record, entry.window)).collect();
    if ranges.is_empty() {
        return Ok(Err(format!("the maps list no written bytes of {file:?} in its range")));
    }
    let volume = Volume::of_file(entry.extent.len(), 1, &ranges)
        .map_err(|err| toml.error(&entry.file, refusal(entry, err)))?;
    let legs = vec![on; usize::try_from(volume.legs()).unwrap_or(0)];
    Ok(Ok(Layer::Loop { volume: Arc::new(volume), legs }))
}

/// The one file of this name.
fn the_file(fs: &Filesystem, name: &str) -> Result<FileId, String> {
    match *fs.files_named(name) {
        [one] => Ok(one),
        [] => Err(format!(
            "the filesystem has no file {name:?}: write it as its paths or its map do, with or \
             without the mount point, or as <INODE>"
        )),
        [one, other, ..] => {
            Err(format!("{name:?} is {one} and {other}: write <INODE> to say which"))
        }
    }
}

/// What a record places of the bytes in the window. What was never written reads as zeros: the
/// device has nothing there.
fn part(record: &Record, window: Extent<FileOffset>) -> Option<BlockRange> {
    let (file, data) = record.part_of(window).filter(|_| !record.unwritten)?;
    let volume = file.start().checked_offset_from(window.start())?;
    Some(BlockRange { volume, data: data.start().get(), blocks: file.len() })
}

fn refusal(entry: &Loop, err: ThinError) -> String {
    let ThinError::Volume { block } = err else { return format!("it cannot be a device: {err}") };
    let at = entry.window.start().get().saturating_add(block);
    format!("the maps give two places for byte {at} of it: save them again")
}
