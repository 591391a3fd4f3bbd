use core::fmt;

use super::{
    Config,
    case::{Case, Code},
};

/// A law of mappings, or a clause of the contract of holders.
///
/// The numbers are those of the list at [`Mapping`](badrange_core::Mapping).
///
/// # Examples
/// ```
/// use badrange_testkit::conformance::Law;
/// assert_eq!(Law::GivesBack.number(), Some(2));
/// assert_eq!(Law::Runs.to_string(), "law 4: rmap of a run is rmap of each of its parts");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// 1: `map(a)` covers every byte of `a` in ascending order, once per copy.
    Covers,
    /// 2: `map` and `rmap` are two readings of one relation: nothing lost, nothing added.
    GivesBack,
    /// 3: what `rmap` emits lies inside what was asked, the leg and the device, is disjoint, and is
    /// the same for the same question.
    Inside,
    /// 4: `rmap` of a run is `rmap` of each element, and `rmap` of an extent that of its halves.
    Runs,
    /// 5: any range and any leg number has an answer.
    Total,
    /// 6: `redundancy` emits disjoint parts of what was asked, with sources of the same shape on
    /// other legs, whatever the bytes are asked together with.
    Redundancy,
    /// A sink that breaks is not called again, and its `Break` is returned.
    Stops,
    /// A holder answers whatever it is notified of, also from inside itself.
    Survives,
    /// A holder that is notified of several ranges in one call answers once for each.
    Answers,
    /// A holder returns, also from a call inside its own: within
    /// [`Config::timeout`](super::Config::timeout).
    Returns,
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
            Self::Redundancy => Some(6),
            Self::Stops | Self::Survives | Self::Answers | Self::Returns | Self::Repeats => None,
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
            Self::Inside => {
                "rmap stays inside what was asked, the leg and the device, and disjoint"
            }
            Self::Runs => "rmap of a run is rmap of each of its parts",
            Self::Total => "any range and any leg number has an answer",
            Self::Redundancy => {
                "redundancy emits parts of what was asked, and others to rebuild them from"
            }
            Self::Stops => "a sink that breaks is not called again, and its break is returned",
            Self::Survives => "a holder answers whatever it is notified of",
            Self::Answers => "a holder answers once for each range",
            Self::Returns => "a holder returns",
            Self::Repeats => "a holder gives equal bytes equal answers",
        })
    }
}

/// A law that an implementation breaks, with the smallest case that was found.
///
/// Its text names the law, says what was wrong, and ends with code to paste into a test: it fails on
/// an implementation called `layer` (or `holder`) as long as that has the bug.
///
/// # Examples
/// ```
/// use badrange_core::*;
/// use badrange_testkit::conformance::{self, Config, Law};
///
/// /// Passes the length on unclipped.
/// #[derive(Debug)]
/// struct Careless;
/// impl Mapping for Careless {
///     fn legs(&self) -> u32 { 1 }
///     fn extent(&self) -> Extent { Extent::new(DevOffset::new(0), 4096).unwrap() }
///     fn leg_extent(&self, leg: Leg) -> Option<Extent> {
///         (leg.index() == 0).then(|| self.extent())
///     }
///     fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
///         sink(Mapped::To { leg: Leg::new(0), link: Link::same(upper) })
///     }
///     fn rmap(&self, _: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
///         sink(Link::same(lower))
///     }
/// }
/// let violation = conformance::mapping(&Careless, &Config::default()).unwrap_err();
/// assert_eq!(violation.law(), Law::Covers); // bytes beyond the device are on no leg
///
/// // The code that it prints, pasted:
/// let layer = Careless;
/// let again = std::panic::catch_unwind(|| {
///     use badrange_testkit::conformance::{Case, Config};
///
///     let case = Case::Map { start: 4096, len: 1 };
///     case.check_mapping(&layer, &Config::DEFAULT).unwrap();
/// });
/// assert!(again.is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    law: Law,
    detail: String,
    case: Case,
    /// Apart, because it is large and a result is handed around.
    config: Box<Config>,
}

impl Violation {
    #[cold]
    pub(super) fn new(law: Law, detail: String, case: Case, config: Config) -> Self {
        Self { law, detail, case, config: Box::new(config) }
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

    /// The check of that call as code, with its imports: it panics while the implementation has the
    /// bug.
    #[must_use]
    pub fn reproduction(&self) -> String {
        Code { case: self.case, config: &self.config }.to_string()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n\n{}", self.law, self.detail, self.reproduction())
    }
}

impl core::error::Error for Violation {}
