use core::fmt;
use std::collections::BTreeMap;

use badrange_core::MfFlags;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{Profile, StormOutcome};

/// A number that is read as an address: printed as `"0x.."`.
///
/// # Examples
/// ```
/// use badrange_sim::Hex;
/// assert_eq!(Hex::new(4096).to_string(), "0x1000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex(u64);

impl Hex {
    /// The number as an address.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What happened in a whole scenario: `badrange.outcome/1`, by [`run`](crate::run).
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"nobody","profile":"linux-7.2",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":"0x100000000","size":"0x20000000",
///               "data_offset":"0x200000"}],
///   "events":[{"do":"memory_failure","pfn":"0x100300","flags":[]}]}"#;
/// let outcome = run(&Scenario::from_str(text, "nobody.json")?, None);
/// assert_eq!(outcome.events.len(), 1);
/// assert_eq!(outcome.events[0].ret, Some(-16)); // nobody ever touched the page
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunOutcome {
    /// Always `badrange.outcome/1`.
    pub schema: &'static str,
    /// Of the scenario.
    pub name: String,
    /// Whose rules it followed.
    #[serde(serialize_with = "display")]
    pub profile: Profile,
    /// One per event, in order; after a crash there are no more.
    pub events: Vec<EventOutcome>,
}

fn display<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// What one event did. A key that is `None` does not apply to the event, or is not known.
///
/// # Examples
/// ```
/// use badrange_sim::EventOutcome;
/// assert_eq!(EventOutcome::default().ret, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventOutcome {
    /// What the caller got: 0 or positive for success, `-errno` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ret: Option<i64>,
    /// The one `memory_failure()` call that the event made. In JSON its `ret` is left out: that of
    /// the event says what the caller got.
    #[serde(flatten, serialize_with = "without_ret")]
    pub call: Option<Call>,
    /// All calls, when there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<Call>>,
    /// The notification of an event that is no `memory_failure()` call.
    #[serde(flatten)]
    pub notified: Option<Notified>,
    /// Who was told.
    #[serde(flatten)]
    pub effects: Option<Effects>,
    /// Pages whose kernel mapping was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nospec: Option<Vec<Hex>>,
    /// Ranges that the nvdimm bus recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub badrange: Option<Vec<PhysBytes>>,
    /// Whether files of the filesystem that was mounted can use DAX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dax: Option<bool>,
    /// What a load or a store met.
    #[serde(flatten)]
    pub access: Option<Access>,
    /// What a read around the holes gave; of the `ranged` profile.
    #[serde(flatten)]
    pub around: Option<Around>,
    /// Recovery writes that were tried, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Vec<Recovery>>,
    /// Attempts to clear poison, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_poison: Option<Vec<ClearAttempt>>,
    /// What a range, a list or a storm of failures came to, up to where the kernel died if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm: Option<Box<StormOutcome>>,
    /// How the kernel died in this event; then there is nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// The call does not return in any useful time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<bool>,
    /// What the model does not know about this event, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmodelled: Option<&'static str>,
    /// The way of the failure, step by step; of designs that keep one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail: Option<Vec<String>>,
    /// What the event cost; of designs that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<crate::Cost>,
    /// All tables of bad sectors after the event, as rows of (sector, sectors).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub badblocks: Option<BTreeMap<String, Vec<(u64, u64)>>>,
}

/// How a kernel dies.
///
/// # Examples
/// ```
/// use badrange_sim::Crash;
/// assert_eq!(serde_json::to_value(Crash::Oops)?, "oops");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Crash {
    /// It followed a pointer to nowhere.
    Oops,
    /// It stopped on purpose.
    Panic,
}

/// What the kernel logged and accounted for a page.
///
/// # Kernel
/// `enum mf_result`; the other two do not happen here.
///
/// # Examples
/// ```
/// use badrange_sim::MfResult;
/// assert_eq!(serde_json::to_value(MfResult::Failed)?, "failed");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MfResult {
    /// Handled.
    Recovered,
    /// Not handled.
    Failed,
}

/// One `memory_failure()` call.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"ram","profile":"linux-6.1","devices":[],
///                "events":[{"do":"memory_failure","pfn":1,"flags":[]}]}"#;
/// let outcome = run(&Scenario::from_str(text, "ram.json")?, None);
/// let call = outcome.events[0].call.as_ref().unwrap();
/// assert_eq!((call.pfn.get(), call.ret), (1, -6)); // outside of everything
/// assert_eq!(call.action, None);
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Call {
    /// The page that failed.
    pub pfn: Hex,
    /// How it was reported.
    #[serde(serialize_with = "flag_names")]
    pub flags: MfFlags,
    /// What the call returned.
    pub ret: i64,
    /// What was logged; `None` when nothing was.
    pub action: Option<MfResult>,
    /// The notification and what came of it.
    #[serde(flatten)]
    pub notified: Notified,
}

fn without_ret<S: Serializer>(call: &Option<Call>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Body<'a> {
        pfn: Hex,
        #[serde(serialize_with = "flag_names")]
        flags: MfFlags,
        action: Option<MfResult>,
        #[serde(flatten)]
        notified: &'a Notified,
    }
    match call {
        None => serializer.serialize_none(),
        Some(Call { pfn, flags, ret: _, action, notified }) => {
            Body { pfn: *pfn, flags: *flags, action: *action, notified }.serialize(serializer)
        }
    }
}

/// A notification of a DAX device, and what the filesystem did.
///
/// # Examples
/// ```
/// use badrange_sim::Notified;
/// assert!(Notified::default().holder.is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Notified {
    /// `None` when none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Notification>,
    /// Reverse-map records visited, in order.
    pub records: Vec<RmapRecord>,
    /// Files acted on, in order.
    pub owners: Vec<FilePages>,
}

/// `dax_holder_notify_failure()`: who, what, and the answer.
///
/// # Examples
/// ```
/// use badrange_sim::{Scenario, run};
/// let text = r#"{"schema":"badrange.scenario/1","name":"n","profile":"linux-6.1",
///   "devices":[{"name":"pmem0","kind":"pmem","phys":0,"size":"0x200000","mode":"raw"}],
///   "events":[{"do":"notify","device":"pmem0","start":4096,"len":8192,"flags":[]}]}"#;
/// let outcome = run(&Scenario::from_str(text, "n.json")?, None);
/// let sent = outcome.events[0].notified.as_ref().unwrap().holder.as_ref().unwrap();
/// assert_eq!((sent.start, sent.len, sent.ret), (4096, 8192, Some(-95)));
/// # Ok::<(), badrange_sim::ScenarioError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Notification {
    /// The DAX device.
    pub device: String,
    /// First byte of the device.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// As given.
    #[serde(serialize_with = "flag_names")]
    pub flags: MfFlags,
    /// The holder's answer; `None` when it never comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ret: Option<i64>,
}

pub(crate) fn flag_names<S: Serializer>(flags: &MfFlags, serializer: S) -> Result<S::Ok, S::Error> {
    let mut seq = serializer.serialize_seq(None)?;
    for name in flags.names() {
        seq.serialize_element(name)?;
    }
    seq.end()
}

/// A reverse-map record, in bytes of its device.
///
/// # Examples
/// ```
/// use badrange_sim::{OwnerName, RmapRecord};
/// let record = RmapRecord::new(0, 16384, OwnerName::Words("static fs metadata".into()));
/// assert_eq!(serde_json::to_value(&record)?["owner"], "static fs metadata");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RmapRecord {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Whose.
    pub owner: OwnerName,
    /// Which part of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fork: Option<&'static str>,
    /// Offset in the file of the first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_start: Option<u64>,
    /// Allocated, but reads as zeros.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub unwritten: bool,
}

impl RmapRecord {
    /// A record of something that is not part of a file.
    #[must_use]
    pub const fn new(start: u64, len: u64, owner: OwnerName) -> Self {
        Self { start, len, owner, fork: None, file_start: None, unwritten: false }
    }
}

/// Who owns blocks.
///
/// # Examples
/// ```
/// use badrange_sim::OwnerName;
/// assert_eq!(serde_json::to_value(OwnerName::Inode(131))?, 131);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OwnerName {
    /// A file, by inode number.
    Inode(u64),
    /// The filesystem, in the words of its own map.
    Words(String),
}

/// Pages of a file that a filesystem acted on.
///
/// # Examples
/// ```
/// use badrange_sim::FilePages;
/// let pages = FilePages::new("xfs0", 131, 3, 1);
/// assert_eq!(serde_json::to_value(&pages)?["page"], 3);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilePages {
    /// The filesystem.
    pub fs: String,
    /// The inode.
    pub ino: u64,
    /// First page of the file.
    pub page: u64,
    /// How many.
    pub count: u64,
}

impl FilePages {
    /// `count` pages from `page` on.
    #[must_use]
    pub fn new(fs: &str, ino: u64, page: u64, count: u64) -> Self {
        Self { fs: fs.to_owned(), ino, page, count }
    }
}

/// Who was told, who died, what was unmapped and shut down.
///
/// # Examples
/// ```
/// use badrange_sim::Effects;
/// assert!(Effects::default().killed.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Effects {
    /// Every signal generated.
    pub signals: Vec<Signal>,
    /// Tags of processes that died.
    pub killed: Vec<String>,
    /// Pages that left page tables of processes that live on.
    pub unmapped: Vec<Unmapped>,
    /// Calls to shut a filesystem down, in order; `None` when the event does not get to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Vec<Shutdown>>,
}

/// A signal that was generated.
///
/// # Examples
/// ```
/// use badrange_sim::Signal;
/// let plain = Signal::new("A", "BUS_MCEERR_AO");
/// assert_eq!(serde_json::to_value(&plain)?["sig"], "SIGBUS");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Signal {
    /// The process.
    pub tag: String,
    /// Always `SIGBUS` so far.
    pub sig: &'static str,
    /// `si_code`.
    pub code: &'static str,
    /// `si_addr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<Hex>,
    /// `si_addr_lsb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsb: Option<u64>,
    /// The thread, when it is not the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u64>,
    /// `ignored`, when the process does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'static str>,
}

impl Signal {
    /// A `SIGBUS` without an address.
    #[must_use]
    pub fn new(tag: &str, code: &'static str) -> Self {
        let (addr, lsb, tid, result) = (None, None, None, None);
        Self { tag: tag.to_owned(), sig: "SIGBUS", code, addr, lsb, tid, result }
    }
}

/// Parts of a map that left the page table, in bytes relative to the map.
///
/// # Examples
/// ```
/// use badrange_sim::Unmapped;
/// let unmapped = Unmapped::new("A", 0, vec![(4096, 4096)]);
/// assert_eq!(serde_json::to_value(&unmapped)?["ranges"][0][1], 4096);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unmapped {
    /// The process.
    pub tag: String,
    /// Index of its map.
    pub map: usize,
    /// (offset, length), ascending.
    pub ranges: Vec<(u64, u64)>,
}

impl Unmapped {
    /// These ranges of a map.
    #[must_use]
    pub fn new(tag: &str, map: usize, ranges: Vec<(u64, u64)>) -> Self {
        Self { tag: tag.to_owned(), map, ranges }
    }
}

/// A call to shut a filesystem down.
///
/// # Examples
/// ```
/// use badrange_sim::Shutdown;
/// assert_eq!(Shutdown::new("xfs0", "corrupt_ondisk").reason, "corrupt_ondisk");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Shutdown {
    /// The filesystem.
    pub fs: String,
    /// The kernel's reason.
    pub reason: &'static str,
}

impl Shutdown {
    /// A call for this reason.
    #[must_use]
    pub fn new(fs: &str, reason: &'static str) -> Self {
        Self { fs: fs.to_owned(), reason }
    }
}

/// Bytes of physical memory.
///
/// # Examples
/// ```
/// use badrange_sim::PhysBytes;
/// assert_eq!(PhysBytes::new(4096, 64).phys.get(), 4096);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PhysBytes {
    /// First byte.
    pub phys: Hex,
    /// Bytes.
    pub len: u64,
}

impl PhysBytes {
    /// `len` bytes from `phys` on.
    #[must_use]
    pub const fn new(phys: u64, len: u64) -> Self {
        Self { phys: Hex::new(phys), len }
    }
}

/// What a load or a store met.
///
/// # Examples
/// ```
/// use badrange_sim::Access;
/// let found = serde_json::to_value(Access::ok(Some(4096)))?;
/// assert_eq!((&found["result"], &found["phys"]), (&"ok".into(), &"0x1000".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Access {
    /// `ok` or `signal`.
    pub result: &'static str,
    /// Where the page is, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phys: Option<Hex>,
    /// The signal instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<FaultSignal>,
}

impl Access {
    /// It worked, on the page at `phys`.
    #[must_use]
    pub fn ok(phys: Option<u64>) -> Self {
        Self { result: "ok", phys: phys.map(Hex::new), signal: None }
    }

    /// It ended in a signal.
    #[must_use]
    pub const fn signal(code: &'static str, lsb: u64) -> Self {
        let signal = FaultSignal { sig: "SIGBUS", code, lsb };
        Self { result: "signal", phys: None, signal: Some(signal) }
    }
}

/// The signal of a fault.
///
/// # Examples
/// ```
/// use badrange_sim::Access;
/// assert_eq!(Access::signal("BUS_ADRERR", 0).signal.unwrap().lsb, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultSignal {
    /// Always `SIGBUS` so far.
    pub sig: &'static str,
    /// `si_code`.
    pub code: &'static str,
    /// `si_addr_lsb`.
    pub lsb: u64,
}

/// What a read that goes around holes gave: every byte that was asked for is in exactly one of the
/// two. Rows are (file offset, bytes), ascending and apart.
///
/// # Examples
/// ```
/// let around = badrange_sim::Around { good: vec![(0, 512)], holes: vec![(512, 512)] };
/// assert_eq!(serde_json::to_value(around)?["holes"][0][0], 512);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Around {
    /// What was read.
    pub good: Vec<(u64, u64)>,
    /// What is lost.
    pub holes: Vec<(u64, u64)>,
}

/// A recovery write that was tried.
///
/// # Examples
/// ```
/// use badrange_sim::Recovery;
/// assert_eq!(Recovery::new(4096, 512, 0).ret, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recovery {
    /// Byte of the pmem device, rounded down to its page; in the `ranged` profile the first byte
    /// that was repaired.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Bytes written; 0 for none.
    pub ret: i64,
}

impl Recovery {
    /// An attempt and what it returned.
    #[must_use]
    pub const fn new(start: u64, len: u64, ret: i64) -> Self {
        Self { start, len, ret }
    }
}

/// An attempt to clear poison.
///
/// # Examples
/// ```
/// use badrange_sim::ClearAttempt;
/// assert_eq!(ClearAttempt::new(4096, 512, -25).ret, -25);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClearAttempt {
    /// First byte of physical memory.
    pub phys: Hex,
    /// Bytes.
    pub len: u64,
    /// Bytes cleared, or `-errno`.
    pub ret: i64,
}

impl ClearAttempt {
    /// An attempt and what it returned.
    #[must_use]
    pub const fn new(phys: u64, len: u64, ret: i64) -> Self {
        Self { phys: Hex::new(phys), len, ret }
    }
}
