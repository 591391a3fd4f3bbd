use core::fmt;
use std::sync::Arc;

use badrange_core::{DevOffset, Extent, Holder, Mapping, MfFlags, Run};

use super::{Config, Violation, holders, mappings};

/// One call of the implementation under test, in raw numbers.
///
/// # Examples
/// What a [`Violation`] prints is such a case and its check:
/// ```
/// use badrange_core::{DevOffset, Extent, Window};
/// use badrange_testkit::conformance::{Case, Config, RawRun};
/// let layer = Window::new(Extent::new(DevOffset::new(1000), 128)?);
/// let case = Case::Rmap { leg: 0, run: RawRun::extent(1127, 2) };
/// case.check_mapping(&layer, &Config::DEFAULT).unwrap();
/// # Ok::<(), badrange_core::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// `map` of an extent.
    Map {
        /// First byte of the upper device.
        start: u64,
        /// Bytes.
        len: u64,
    },
    /// `leg_extent` of a leg.
    LegExtent {
        /// Which leg.
        leg: u32,
    },
    /// `rmap` of a run of a leg.
    Rmap {
        /// Which leg.
        leg: u32,
        /// Bytes of the leg's device.
        run: RawRun,
    },
    /// `redundancy` of a run of a leg.
    Redundancy {
        /// Which leg.
        leg: u32,
        /// Bytes of the leg's device.
        run: RawRun,
    },
    /// `corrupted_range` of a run.
    Notify {
        /// Bytes of the holder's device.
        run: RawRun,
        /// The circumstances.
        flags: MfFlags,
    },
}

impl Case {
    /// Checks the laws of a mapping on this case alone, after the walk over the device by which
    /// [`mapping`](super::mapping) knows what lies where. A case of a holder is always in order.
    ///
    /// # Errors
    /// The [`Violation`], not made smaller.
    ///
    /// # Examples
    /// See [`Case`].
    pub fn check_mapping(self, layer: &dyn Mapping, config: &Config) -> Result<(), Violation> {
        mappings::check(self, layer, config)
    }

    /// Checks the contract of a holder on this case alone. A case of a mapping is always in order.
    ///
    /// # Errors
    /// The [`Violation`].
    ///
    /// # Examples
    /// ```
    /// use badrange_core::{MfFlags, Outcome};
    /// use badrange_testkit::{conformance::{Case, Config, RawRun}, fake::Recorder};
    /// use std::sync::Arc;
    /// let case = Case::Notify { run: RawRun::extent(0, 512), flags: MfFlags::NONE };
    /// let holder = Recorder::new(Outcome::Handled);
    /// case.check_holder(Arc::new(holder), &Config::DEFAULT).unwrap();
    /// ```
    pub fn check_holder(self, holder: Arc<dyn Holder>, config: &Config) -> Result<(), Violation> {
        holders::check(self, holder, config)
    }
}

/// A run in raw numbers.
///
/// # Examples
/// ```
/// use badrange_testkit::conformance::RawRun;
/// let run = RawRun { start: 0, len: 8, stride: 24, count: 4 };
/// assert_eq!(run.build().unwrap().total_len(), 32);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRun {
    /// First byte of the first element.
    pub start: u64,
    /// Bytes of an element.
    pub len: u64,
    /// From the start of one element to the start of the next.
    pub stride: u64,
    /// Elements.
    pub count: u64,
}

impl RawRun {
    /// The run of one element.
    #[must_use]
    pub const fn extent(start: u64, len: u64) -> Self {
        Self { start, len, stride: len, count: 1 }
    }

    /// The real run; `None` where there is none of these numbers.
    #[must_use]
    pub fn build(self) -> Option<Run> {
        let first = Extent::new(DevOffset::new(self.start), self.len).ok()?;
        Run::new(first, self.stride, self.count).ok()
    }
}

/// A case as code that checks it, on an implementation named `layer` or `holder`.
pub(super) struct Code<'c> {
    pub(super) case: Case,
    pub(super) config: &'c Config,
}

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of_holder, run, case) = match self.case {
            Case::Map { start, len } => {
                (false, false, format!("Map {{ start: {start}, len: {len} }}"))
            }
            Case::LegExtent { leg } => (false, false, format!("LegExtent {{ leg: {leg} }}")),
            Case::Rmap { leg, run } => {
                (false, true, format!("Rmap {{ leg: {leg}, run: {} }}", RunCode(run)))
            }
            Case::Redundancy { leg, run } => {
                (false, true, format!("Redundancy {{ leg: {leg}, run: {} }}", RunCode(run)))
            }
            Case::Notify { run, flags } => {
                let (run, flags) = (RunCode(run), Flags(flags));
                (true, true, format!("Notify {{ run: {run}, flags: {flags} }}"))
            }
        };
        if of_holder {
            writeln!(f, "use std::sync::Arc;\nuse badrange_core::MfFlags;")?;
        }
        let names = if run { "Case, Config, RawRun" } else { "Case, Config" };
        writeln!(f, "use badrange_testkit::conformance::{{{names}}};\n")?;
        writeln!(f, "let case = Case::{case};")?;
        let call = if of_holder { "check_holder(Arc::new(holder)" } else { "check_mapping(&layer" };
        write!(f, "case.{call}, &{}).unwrap();", ConfigCode(self.config))
    }
}

struct RunCode(RawRun);

impl fmt::Display for RunCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RawRun { start, len, stride, count } = self.0;
        match self.0 == RawRun::extent(start, len) {
            true => write!(f, "RawRun::extent({start}, {len})"),
            false => write!(
                f,
                "RawRun {{ start: {start}, len: {len}, stride: {stride}, count: {count} }}"
            ),
        }
    }
}

struct Flags(MfFlags);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MfFlags::NONE")?;
        self.0.names().try_for_each(|name| write!(f, ".with(MfFlags::{})", name.to_uppercase()))
    }
}

/// What of a configuration is not the default.
struct ConfigCode<'c>(&'c Config);

impl fmt::Display for ConfigCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed: String = self.0.numbers().into_iter().zip(Config::DEFAULT.numbers()).fold(
            String::new(),
            |text, ((name, value), (_, default))| match value == default {
                true => text,
                false => format!("{text}{name}: {value}, "),
            },
        );
        match changed.is_empty() {
            true => f.write_str("Config::DEFAULT"),
            false => write!(f, "Config {{ {changed}..Config::DEFAULT }}"),
        }
    }
}
