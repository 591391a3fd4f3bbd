//! All differences between the kernels, in one place. Each is a question with a version's answer.

use self::Version::{V6_1, V6_12, V7_2};

/// A kernel version that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V6_1,
    V6_12,
    V7_2,
}

/// The rules of one kernel version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks(Version, Holders);

/// Who may be told about a DAX device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holders {
    /// One, who came first.
    Exclusive,
    /// Everybody: the rule of the designs, and of no kernel.
    Many,
    /// Everybody, and whoever reads or writes is served around what is bad: this project's design.
    ManyAroundHoles,
}

/// What an external log is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogRange {
    Nothing,
    Device,
    Log,
}

/// What becomes of a page's memory of its file when several files have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedPages {
    /// The last file wins; copy-on-write faults leave a marker.
    LastFile,
    /// Every fault on a shared extent leaves a marker.
    Marker,
    /// The first file is remembered; a second one makes the page forget all.
    Forgotten,
}

impl Quirks {
    pub(crate) const fn new(version: Version) -> Self {
        Self(version, Holders::Exclusive)
    }

    /// The pages of 6.1, which remember one file each, on devices that anybody can hold.
    pub(crate) const fn of_designs() -> Self {
        Self(V6_1, Holders::Many)
    }

    /// The same, of the design that gives what is good, and repairs what a write covers.
    pub(crate) const fn of_ranged() -> Self {
        Self(V6_1, Holders::ManyAroundHoles)
    }

    /// Whether a transfer that meets bad sectors is not an error as a whole.
    pub(crate) fn works_around_holes(self) -> bool {
        self.1 == Holders::ManyAroundHoles
    }

    /// KERNEL: `fs_dax_get_by_bdev()` compares and swaps the holder; the second one gets no DAX.
    pub(crate) fn has_exclusive_holder(self) -> bool {
        self.1 == Holders::Exclusive
    }

    // ---- memory_failure() and its callers

    /// KERNEL: `madvise_inject_error()` also passes `MF_ACTION_REQUIRED` (0x21 on 6.1, 0x23 later).
    pub(crate) fn madvise_requires_action(self) -> bool {
        match self.0 {
            V6_1 => false,
            V6_12 | V7_2 => true,
        }
    }

    /// KERNEL: since the rework of DAX pages into folios (6.15), a 2 MiB entry of a file is one
    /// folio: `madvise` steps over it at once, and the generic handler works on its first page.
    pub(crate) fn has_huge_folios(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => false,
            V7_2 => true,
        }
    }

    /// KERNEL: `dev_pagemap_mapping_shift()` asked for a devmap entry; now any present entry
    /// counts, so a private copy in ordinary memory is taken for the page.
    pub(crate) fn collects_private_copies(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => false,
            V7_2 => true,
        }
    }

    /// KERNEL: `dax_associate_entry()`.
    pub(crate) fn shared_pages(self) -> SharedPages {
        match self.0 {
            V6_1 => SharedPages::LastFile,
            V6_12 => SharedPages::Marker,
            V7_2 => SharedPages::Forgotten,
        }
    }

    // ---- faults

    /// KERNEL: `dax_insert_entry()` takes the page from everybody who maps the same file page, at
    /// every fault on a shared extent; 6.1 does so for copy-on-write only.
    pub(crate) fn shared_fault_unmaps(self) -> bool {
        match self.0 {
            V6_1 => false,
            V6_12 | V7_2 => true,
        }
    }

    /// KERNEL: `dax_fault_return()`: a page known to be bad gives `VM_FAULT_HWPOISON` since 6.6.
    pub(crate) fn bad_page_signal(self) -> (&'static str, u64) {
        match self.0 {
            V6_1 if self.has_exclusive_holder() => ("BUS_ADRERR", 0),
            V6_1 | V6_12 | V7_2 => ("BUS_MCEERR_AR", 12),
        }
    }

    // ---- removal

    /// KERNEL: `MF_MEM_PRE_REMOVE` came with 6.7; before, removal looked like a failure of
    /// everything.
    pub(crate) fn knows_pre_remove(self) -> bool {
        match self.0 {
            V6_1 => false,
            V6_12 | V7_2 => true,
        }
    }

    /// KERNEL: `bdev_mark_dead()` calls `->shutdown` of the superblock since 6.6.
    pub(crate) fn block_layer_reports_removal(self) -> bool {
        match self.0 {
            V6_1 => false,
            V6_12 | V7_2 => true,
        }
    }

    // ---- xfs_notify_failure.c

    /// KERNEL: `dax_mapping()` is asked before `mf_dax_kill_procs()`; without, a file or directory
    /// without DAX gives `-EBUSY` and a shutdown.
    pub(crate) fn skips_files_without_dax(self) -> bool {
        match self.0 {
            V6_1 => false,
            V6_12 | V7_2 => true,
        }
    }

    /// KERNEL: the realtime device is walked like the data device since 6.14.
    pub(crate) fn walks_realtime(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => false,
            V7_2 => true,
        }
    }

    pub(crate) fn log_range(self) -> LogRange {
        match self.0 {
            V6_1 => LogRange::Nothing,
            V6_12 => LogRange::Device,
            V7_2 => LogRange::Log,
        }
    }

    /// KERNEL: 7.2 takes the size of the filesystem for the size of the data device.
    pub(crate) fn clips_to_filesystem(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => false,
            V7_2 => true,
        }
    }

    /// KERNEL: 7.2 translates before it asks for rmapbt, so `-ENXIO` goes before `-EOPNOTSUPP`.
    pub(crate) fn translates_first(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => false,
            V7_2 => true,
        }
    }

    /// KERNEL: `xfs_perag_get()` of a group that does not exist is `NULL`, and 6.1 and 6.12 use it.
    /// Later kernels walk existing groups only.
    pub(crate) fn uses_missing_groups(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => true,
            V7_2 => false,
        }
    }

    /// KERNEL: the end of what is lost in a group, `min(length, high + 1)`, is computed in 32 bits.
    /// For every group but the last one `high` is all ones, and the end is 0.
    pub(crate) fn group_end_wraps(self) -> bool {
        match self.0 {
            V6_1 | V6_12 => false,
            V7_2 => true,
        }
    }

    // ---- block/badblocks.c

    /// Whose tables there are. The designs have the newest.
    pub(crate) fn badblocks(self) -> badrange_pmem::Kernel {
        match self {
            Self(V6_1, Holders::Exclusive) => badrange_pmem::Kernel::Linux6_1,
            Self(V6_12, Holders::Exclusive) => badrange_pmem::Kernel::Linux6_12,
            Self(V7_2, _) | Self(_, Holders::Many | Holders::ManyAroundHoles) => {
                badrange_pmem::Kernel::Linux7_2
            }
        }
    }
}
