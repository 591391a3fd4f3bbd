use core::fmt;

use badrange_core::{MfFlags, Space};

/// One call of the implementation under test, in raw numbers.
///
/// # Examples
/// ```
/// use badrange_testkit::conformance::Case;
/// let case = Case::Rmap { leg: 1, start: 8191, len: 2 };
/// assert_eq!(case, Case::Rmap { leg: 1, start: 8191, len: 2 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// `map` of an extent.
    Map {
        /// First unit of the upper device.
        start: u64,
        /// Units.
        len: u64,
    },
    /// `leg_extent` of a leg.
    LegExtent {
        /// Which leg.
        leg: u32,
    },
    /// `rmap` of an extent of a leg.
    Rmap {
        /// Which leg.
        leg: u32,
        /// First unit of the leg's device.
        start: u64,
        /// Units.
        len: u64,
    },
    /// `rmap_run` of a run of a leg.
    RmapRun {
        /// Which leg.
        leg: u32,
        /// The run.
        run: RawRun,
        /// From one element's bytes of the report to the next one's; the first is at 0.
        origin_stride: u64,
    },
    /// `corrupted_range` of a run.
    Notify {
        /// The run.
        run: RawRun,
        /// The circumstances.
        flags: MfFlags,
    },
}

/// A run in raw numbers.
///
/// # Examples
/// ```
/// use badrange_testkit::conformance::RawRun;
/// let run = RawRun { start: 0, len: 8, stride: 24, count: 4 };
/// assert!(run.stride >= run.len);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRun {
    /// First unit of the first element.
    pub start: u64,
    /// Units of an element.
    pub len: u64,
    /// From the start of one element to the start of the next.
    pub stride: u64,
    /// Elements.
    pub count: u64,
}

impl RawRun {
    /// The run of one element.
    pub(super) fn extent(start: u64, len: u64) -> Self {
        Self { start, len, stride: len, count: 1 }
    }
}

/// Names of the spaces of an implementation, as code writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) lower: &'static str,
    pub(super) upper: &'static str,
}

impl Names {
    pub(super) fn of<L: Space, U: Space>() -> Self {
        Self { lower: name::<L>(), upper: name::<U>() }
    }
}

fn name<S: Space>() -> &'static str {
    let whole = core::any::type_name::<S>();
    whole.rsplit("::").next().unwrap_or(whole)
}

/// A case as code that runs it, on an implementation named `layer` or `holder`.
pub(super) struct Code {
    pub(super) case: Case,
    pub(super) names: Names,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { lower, upper } = self.names;
        const SINK: &str =
            "&mut |part| {\n    println!(\"{part:?}\");\n    ControlFlow::Continue(())\n});";
        match self.case {
            Case::Map { start, len } => {
                writeln!(f, "let bad = {};", extent(upper, start, len))?;
                write!(f, "let _ = layer.map(bad, {SINK}")
            }
            Case::LegExtent { leg } => {
                write!(f, "println!(\"{{:?}}\", layer.leg_extent(Leg::new({leg})));")
            }
            Case::Rmap { leg, start, len } => {
                writeln!(f, "let bad = {};", extent(lower, start, len))?;
                write!(f, "let _ = layer.rmap(Leg::new({leg}), bad, {SINK}")
            }
            Case::RmapRun { leg, run, origin_stride } => {
                piece(f, lower, run, origin_stride)?;
                write!(f, "let _ = layer.rmap_run(Leg::new({leg}), &bad, {SINK}")
            }
            Case::Notify { run, flags } => {
                piece(f, lower, run, run.len)?;
                writeln!(f, "let flags = {};", Flags(flags))?;
                write!(f, "let _ = holder.corrupted_range(&Corruption::new(bad, flags, &()));")
            }
        }
    }
}

fn extent(space: &str, start: u64, len: u64) -> String {
    format!("Extent::new({space}::new({start}), {len})?")
}

fn piece(f: &mut fmt::Formatter<'_>, space: &str, run: RawRun, origin_stride: u64) -> fmt::Result {
    let RawRun { start, len, stride, count } = run;
    if count == 1 {
        return writeln!(f, "let bad = Piece::report({});", extent(space, start, len));
    }
    let (here, from) = (extent(space, start, len), extent("ReportOffset", 0, len));
    writeln!(f, "let bad = Run::new({here}, {stride}, {count})?;")?;
    writeln!(f, "let origin = Run::new({from}, {origin_stride}, {count})?;")?;
    writeln!(f, "let bad = Piece::new(bad, origin)?;")
}

struct Flags(MfFlags);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MfFlags::NONE")?;
        self.0.names().try_for_each(|name| write!(f, ".with(MfFlags::{})", name.to_uppercase()))
    }
}
