use core::{fmt, ops::ControlFlow};
use std::sync::Arc;

use badrange_core::{Corruption, Errno, Extent, Holder, MfFlags, Outcome, Run};

use crate::{OwnedRun, Owner, ReverseMap, Special};

#[cfg(test)]
mod tests;

/// Who is notified by an [`RmapHolder`] of what a failure hit.
///
/// Calls come on the thread that reported the failure, with no lock held. `what` is the whole
/// notification: its flags, and the way that any part of it took. Bytes of it may be
/// [settled](Corruption::settle) here as well, such as a file whose pages could not be locked; the
/// answers join.
///
/// # Examples
/// ```
/// use badrange_core::Corruption;
/// use badrange_fs::{OwnedRun, OwnerSink};
/// struct Print;
/// impl OwnerSink for Print {
///     fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
///         println!("{} lost {:?}", owned.record.owner, owned.file);
///     }
///     fn metadata_hit(&self, hit: &OwnedRun, _: &Corruption<'_>) {
///         println!("shut down: {} at {}", hit.record.owner, hit.device);
///     }
/// }
/// ```
pub trait OwnerSink: Send + Sync {
    /// A file's data was hit: revoke its mappings of that part and notify whoever uses them.
    ///
    /// Once for every sharer, in the map's order. Also for extents that were never written
    /// (`owned.record.unwritten`): nothing is lost with them, but they may be mapped.
    fn lost(&self, owned: &OwnedRun, what: &Corruption<'_>);

    /// Metadata was hit: the filesystem cannot go on. Only after every file was notified of; once
    /// per record and run.
    fn metadata_hit(&self, hit: &OwnedRun, what: &Corruption<'_>);
}

const _: Option<&dyn OwnerSink> = None;

/// A filesystem as the holder of its device.
///
/// | bytes belong to | notified | answer |
/// |---|---|---|
/// | data of files, written or not | [`OwnerSink::lost`], every sharer | `Handled` |
/// | free space | nobody | `Handled` |
/// | [metadata](Owner::is_metadata) of any kind | [`OwnerSink::metadata_hit`], last | `Failed(EUCLEAN)` |
/// | [`Special::Unknown`], or no record | nobody | `NotSupported` |
///
/// Answers are for exactly those bytes. Bytes with several owners get the
/// [join](badrange_core::Join) of their answers.
///
/// # Kernel
/// `xfs_dax_notify_failure()` in `fs/xfs/xfs_notify_failure.c`: walk the reverse map, revoke data
/// as it comes, shut down at the end. Differences: the kernel has one answer per call, so that
/// metadata in a range also keeps the rest of it from the fallback; it works in blocks, rounded
/// outward, where this is exact to the byte; it takes an unknown owner for metadata and shuts
/// down, where this leaves it to the fallback; a filesystem without reverse map answers
/// `-EOPNOTSUPP` for everything, which is a map of only unknown here. As there, with
/// [`MfFlags::MEM_PRE_REMOVE`] metadata counts as handled and is not reported: nothing is lost, the
/// device is just going away. Unmounting then is up to whoever removes the device.
///
/// # Examples
/// ```
/// use badrange_core::{Corruption, DevOffset, Extent, FileOffset, Holder, MfFlags, Outcome};
/// use badrange_fs::{FileId, Fork, OwnedRun, Owner, OwnerSink, Record, ReverseMap, RmapHolder};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Default)]
/// struct Lost(Mutex<Vec<String>>);
/// impl OwnerSink for Lost {
///     fn lost(&self, owned: &OwnedRun, _: &Corruption<'_>) {
///         self.0.lock().unwrap().push(format!("{}: {}", owned.record.owner, owned.file.unwrap()));
///     }
///     fn metadata_hit(&self, _: &OwnedRun, _: &Corruption<'_>) {}
/// }
///
/// let at = |start, len| Extent::new(DevOffset::new(start), len).unwrap();
/// let map: ReverseMap = [Record {
///     extent: at(4096, 8192),
///     owner: Owner::File { id: FileId::Ino(132), fork: Fork::Data },
///     file_start: FileOffset::new(0),
///     unwritten: false,
/// }]
/// .into_iter()
/// .collect();
/// let lost = Arc::new(Lost::default());
/// let holder = RmapHolder::new(Arc::new(map), lost.clone());
/// // The 512 bytes are settled as handled; what is not settled is not known here.
/// let what = Corruption::new(at(8192, 512).into(), MfFlags::NONE, &());
/// assert_eq!(holder.corrupted_range(&what), Outcome::NotSupported);
/// assert_eq!(*lost.0.lock().unwrap(), ["inode 132 data: file bytes [0x1000..0x1200)"]);
/// ```
pub struct RmapHolder {
    map: Arc<ReverseMap>,
    sink: Arc<dyn OwnerSink>,
}

impl RmapHolder {
    /// A holder that looks owners up in `map` and notifies `sink`.
    #[must_use]
    pub fn new(map: Arc<ReverseMap>, sink: Arc<dyn OwnerSink>) -> Self {
        Self { map, sink }
    }

    /// The map it looks owners up in.
    #[must_use]
    pub fn map(&self) -> &Arc<ReverseMap> {
        &self.map
    }

    /// Visits every owner of the bytes. `false` where the map finds itself broken, so that there may
    /// be more.
    fn each(&self, what: &Corruption<'_>, visit: &mut dyn FnMut(Role, &OwnedRun)) -> bool {
        let all = self.map.owners_of_run(&what.range(), &mut |owned| {
            visit(Role::of(owned.record.owner), &owned);
            ControlFlow::Continue(())
        });
        all.is_continue()
    }

    /// Notifies of the files, and settles what every owner answers. Returns whether there is
    /// metadata, of which the sink is still to be notified.
    fn settle(&self, what: &Corruption<'_>) -> bool {
        let leaving = what.flags().contains(MfFlags::MEM_PRE_REMOVE);
        let mut metadata = false;
        let mut answers = Answers { what, open: None };
        let all = self.each(what, &mut |role, owned| {
            let outcome = match role {
                Role::Data => {
                    self.sink.lost(owned, what);
                    Outcome::Handled
                }
                Role::Free => Outcome::Handled,
                Role::Unknown => Outcome::NotSupported,
                Role::Metadata if leaving => Outcome::Handled,
                Role::Metadata => {
                    metadata = true;
                    Outcome::Failed(Errno::EUCLEAN)
                }
            };
            answers.add(owned.device, outcome);
        });
        if !all {
            answers.add(what.range(), Outcome::NotSupported);
        }
        metadata
    }
}

impl Holder for RmapHolder {
    /// Settles every byte that the map knows; what is left is `NotSupported`.
    fn corrupted_range(&self, what: &Corruption<'_>) -> Outcome {
        if self.settle(what) {
            let _ = self.each(what, &mut |role, owned| {
                if role == Role::Metadata {
                    self.sink.metadata_hit(owned, what);
                }
            });
        }
        Outcome::NotSupported
    }
}

/// Settles answers; those about neighbours together, so that a large range takes a few calls.
struct Answers<'w, 'a> {
    what: &'w Corruption<'a>,
    /// The last ones, not settled yet.
    open: Option<(Extent, Outcome)>,
}

impl Answers<'_, '_> {
    #[inline]
    fn add(&mut self, part: Run, outcome: Outcome) {
        let Some(part) = part.as_extent() else {
            self.what.settle(part, outcome);
            return;
        };
        if let Some((open, said)) = &mut self.open {
            if let Some(both) = open.union(part).filter(|_| *said == outcome) {
                *open = both;
                return;
            }
        }
        self.settle();
        self.open = Some((part, outcome));
    }

    fn settle(&mut self) {
        if let Some((open, said)) = self.open.take() {
            self.what.settle(open.into(), said);
        }
    }
}

/// Also when whoever is notified panics: what was answered before stays decided.
impl Drop for Answers<'_, '_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// What an owner means to the filesystem that loses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Free,
    Unknown,
    Metadata,
}

impl Role {
    fn of(owner: Owner) -> Self {
        match owner {
            metadata if metadata.is_metadata() => Self::Metadata,
            Owner::File { .. } => Self::Data,
            Owner::Special(Special::Free) => Self::Free,
            Owner::Special(_) => Self::Unknown,
        }
    }
}

impl fmt::Debug for RmapHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RmapHolder").field("map", &self.map).finish_non_exhaustive()
    }
}
