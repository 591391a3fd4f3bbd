use core::fmt;

use super::case::{Case, Code, Names};

/// A law of mappings, or a clause of the contract of holders.
///
/// The numbers are those of the list at [`Mapping`](badrange_core::Mapping).
///
/// # Examples
/// ```
/// use badrange_testkit::conformance::Law;
/// assert_eq!(Law::GivesBack.number(), Some(2));
/// assert_eq!(Law::Runs.to_string(), "law 4: rmap_run is rmap of each element");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// 1: `map(a)` covers every byte of `a` in ascending order, once per copy.
    Covers,
    /// 2: `map` and `rmap` are two readings of one relation: nothing lost, nothing added.
    GivesBack,
    /// 3: `rmap` stays inside the extent asked, the leg and the device.
    Inside,
    /// 4: `rmap_run` is `rmap` of each element, with origins carried along.
    Runs,
    /// 5: any range and any leg number has an answer.
    Total,
    /// A sink that breaks is not called again, and its `Break` is returned.
    Stops,
    /// A holder answers whatever it is told, also from inside itself.
    Survives,
    /// A holder gives equal bytes equal answers; only with
    /// [`Config::repeatable`](super::Config::repeatable).
    Repeats,
}

impl Law {
    /// The number of a law of mappings; `None` for what is said elsewhere.
    #[must_use]
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Covers => Some(1),
            Self::GivesBack => Some(2),
            Self::Inside => Some(3),
            Self::Runs => Some(4),
            Self::Total => Some(5),
            Self::Stops | Self::Survives | Self::Repeats => None,
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.number() {
            write!(f, "law {number}: ")?;
        }
        f.write_str(match self {
            Self::Covers => "map covers every byte in ascending order",
            Self::GivesBack => "rmap gives back what map gave, and nothing else",
            Self::Inside => "rmap stays inside what was asked, the leg and the device",
            Self::Runs => "rmap_run is rmap of each element",
            Self::Total => "any range and any leg number has an answer",
            Self::Stops => "a sink that breaks is not called again, and its break is returned",
            Self::Survives => "a holder answers whatever it is told",
            Self::Repeats => "a holder gives equal bytes equal answers",
        })
    }
}

/// A law that an implementation breaks, with the smallest case that was found.
///
/// Its text names the law, says what was wrong, and ends with code that runs the case on an
/// implementation called `layer` (or `holder`).
///
/// # Examples
/// ```
/// use badrange_core::*;
/// use badrange_testkit::conformance::{self, Config, Law};
/// use core::ops::ControlFlow;
///
/// /// Passes the length on unclipped.
/// #[derive(Debug)]
/// struct Careless;
/// impl Mapping for Careless {
///     fn legs(&self) -> u32 { 1 }
///     fn extent(&self) -> Extent<DevOffset> { Extent::new(DevOffset::new(0), 4096).unwrap() }
///     fn leg_extent(&self, leg: Leg) -> Option<Extent<DevOffset>> {
///         (leg.index() == 0).then(|| self.extent())
///     }
///     fn map(&self, upper: Extent<DevOffset>, sink: &mut dyn FnMut(Mapped) -> ControlFlow<()>)
///         -> ControlFlow<()>
///     {
///         sink(Mapped::To { leg: Leg::new(0), upper, lower: upper })
///     }
///     fn rmap(&self, leg: Leg, lower: Extent<DevOffset>, sink: &mut dyn FnMut(Rmapped) -> ControlFlow<()>)
///         -> ControlFlow<()>
///     {
///         sink(Rmapped { lower, upper: lower })
///     }
/// }
/// let violation = conformance::mapping(&Careless, &Config::default()).unwrap_err();
/// assert_eq!(violation.law(), Law::Covers); // bytes beyond the device are on no leg
/// assert!(violation.reproduction().starts_with("let bad = Extent::new(DevOffset::new("));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    law: Law,
    detail: String,
    case: Case,
    names: Names,
}

impl Violation {
    #[cold]
    pub(super) fn new(law: Law, detail: String, case: Case, names: Names) -> Self {
        Self { law, detail, case, names }
    }

    /// Which law is broken.
    #[must_use]
    pub fn law(&self) -> Law {
        self.law
    }

    /// What was wrong, in one sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The call that breaks it.
    #[must_use]
    pub fn case(&self) -> Case {
        self.case
    }

    /// The call as code.
    #[must_use]
    pub fn reproduction(&self) -> String {
        Code { case: self.case, names: self.names }.to_string()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n\n{}", self.law, self.detail, self.reproduction())
    }
}

impl core::error::Error for Violation {}
