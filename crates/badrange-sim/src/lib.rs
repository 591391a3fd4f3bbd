//! A simulated machine: what real kernels do when memory fails under pmem and DAX stacks.
//!
//! ```
//! use badrange_sim::{Profile, Scenario, run};
//!
//! // A page of a file on XFS fails. Process A maps it, and wants to hear of failures early.
//! let text = r#"{"schema":"badrange.scenario/1","name":"one page","profile":"linux-7.2",
//!  "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":536870912,"data_offset":2097152}],
//!  "filesystems":[{"name":"xfs0","kind":"xfs","device":"pmem0","rmapbt":true,
//!    "ag_blocks":32640,"ag_count":4,"blocks":130560,
//!    "extents":[{"start":98304,"len":65536,"owner":131,"fork":"data","file_start":0}]}],
//!  "processes":[{"tag":"A","pid":504,"kill":"early","maps":[{"file":{"fs":"xfs0","ino":131},
//!    "file_start":0,"len":65536,"vaddr":"0x7f0000000000","touched":[[0,65536]]}]}],
//!  "events":[{"do":"memory_failure","pfn":"0x10021b","flags":["sw_simulated"]}]}"#;
//! let scenario = Scenario::from_str(text, "one-page.json")?;
//! for profile in [Profile::Linux6_1, Profile::Linux6_12, Profile::Linux7_2] {
//!     let outcome = run(&scenario, Some(profile));
//!     let told = &outcome.events[0].effects.as_ref().unwrap().signals;
//!     assert_eq!(told.len(), 1);
//!     assert_eq!(told[0].addr.unwrap().to_string(), "0x7f0000003000");
//! }
//! # Ok::<(), badrange_sim::ScenarioError>(())
//! ```
//!
//! # Overview
//!
//! * [`Scenario`] is a machine, the processes on it and a list of events, read from JSON. Whatever
//!   cannot be is refused with the place in the text; a scenario that exists can be run.
//! * [`run`] runs it by the rules of a [`Profile`] and gives an [`RunOutcome`], the same every time.
//! * [`check`] compares the outcome with what the scenario says was observed, key by key, and
//!   [`check_locations`] compares where file bytes lie.
//! * [`compare_designs`] runs it under several designs of failure notification, those that were
//!   argued, the one that was merged and this project's own, and measures each against the truth.
//!
//! # More than the recordings have
//!
//! Three kinds of events fail many pages at once, each page by a `memory_failure()` call of its own;
//! only designs that know ranges get a range as one call. Their outcome is counted
//! ([`StormOutcome`]) instead of listed, and says what it cost ([`Cost`]); how long an event took is
//! not in it ([`Running`]):
//!
//! * `{"do":"memory_failure_range","phys":P,"len":N,"flags":[..]}`: every page with one of these
//!   bytes, in order;
//! * `{"do":"memory_failure_list","pfns":[..],"flags":[..]}`: these page frames, in this order;
//! * `{"do":"storm","count":N,"seed":S,"device":"pmem0","ranges":[[start,len],..],"order":O,
//!   "flags":[..]}`: `count` pages of the ranges, which are bytes of the device if one is named, of
//!   memory if not; without ranges, all of the device or of all pmem devices. `order` is
//!   `shuffled` (every page once, in an order drawn from the seed), `in-order` or `round-robin`
//!   (one page of every range, then the next of every range). When all pages have failed it begins
//!   again.
//!
//! # Model and limits
//!
//! The rules are those of recorded kernels; where no recording shows what happens, they follow the
//! kernel's text. What the model cannot know (addresses of newly allocated blocks, where page cache
//! lies) is left out of the outcome, and `unmodelled` says so where a whole event is concerned.
//! A page frame that no pmem device has is memory outside the kernel's control.
//! Sizes are bounded by the `MAX_` constants; beyond them a scenario is refused.

mod check;
mod compare;
mod kernel;
mod machine;
mod outcome;
mod picture;
mod prng;
mod profile;
mod scenario;
mod storm;
mod summary;
mod sweep;

#[cfg(test)]
mod tests;

use badrange_core::PageSize;

/// The machine is x86.
pub(crate) const PAGE: PageSize = PageSize::K4;

/// Bytes of a page.
pub(crate) const PAGE_SIZE: u64 = PAGE.bytes();

pub use crate::{
    check::{Difference, check, check_locations, compare},
    compare::{Comparison, DesignReport, DesignTally, EventReport, Missed, compare_designs},
    kernel::{
        Running,
        design::log::{Cost, Message},
        run,
    },
    outcome::{
        Access, Around, Call, ClearAttempt, Crash, Effects, EventOutcome, FaultSignal, FilePages,
        Hex, MfResult, Notification, Notified, OwnerName, PhysBytes, Recovery, RmapRecord,
        RunOutcome, Shutdown, Signal, Unmapped,
    },
    picture::DrawnLayer,
    profile::Profile,
    scenario::{
        MAX_DEPTH, MAX_DEVICES, MAX_EVENTS, MAX_EXTENTS, MAX_FILESYSTEMS, MAX_LIST,
        MAX_MADVISE_PAGES, MAX_PROCESSES, MAX_ROUTES, MAX_STORM_PAGES, MAX_TEXT_BYTES,
        MAX_TOUCHED_PAGES, Scenario, ScenarioError, ScenarioErrorKind,
    },
    storm::StormOutcome,
    summary::{Distribution, ProfileSummary, SweepSummary},
    sweep::{Sweep, SweepLine},
};
