//! Advice as data: what somebody could do next, with what command, at what risk, and why.
//!
//! Nothing here is ever executed. An [`Action`] is printed, and a careful person decides.
//!
//! ```
//! use badrange_explain::advice::{Action, ActionKind, Command, Risk, RiskLevel};
//! let action = Action {
//!     kind: ActionKind::Check,
//!     command: Some(Command::new("xfs_repair").arg("-n").arg("/dev/my disk")),
//!     risk: Risk { level: RiskLevel::Offline, what: "the filesystem has to be unmounted".into() },
//!     why: "metadata was hit; -n looks and changes nothing".into(),
//! };
//! assert_eq!(action.command.as_ref().unwrap().to_string(), "xfs_repair -n '/dev/my disk'");
//! assert_eq!(
//!     serde_json::to_string(&action)?,
//!     r#"{"kind":"check","command":"xfs_repair -n '/dev/my disk'","risk":{"level":"offline","what":"the filesystem has to be unmounted"},"why":"metadata was hit; -n looks and changes nothing"}"#
//! );
//! # Ok::<(), serde_json::Error>(())
//! ```

mod command;
#[cfg(test)]
mod tests;

use core::fmt;

use serde::{Serialize, Serializer};

pub use self::command::{Command, Variable};

/// One thing to do, or to leave alone.
///
/// Serialises to an object with the keys `kind`, `command` (one line for a shell, or null where
/// there is no command for it), `risk` and `why`.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// What sort of thing it is.
    pub kind: ActionKind,
    /// What to type; `None` where no command does it, or where another step does it on the way.
    pub command: Option<Command>,
    /// What may go wrong.
    pub risk: Risk,
    /// Why, for people: one or two plain sentences.
    pub why: String,
}

/// What sort of thing an [`Action`] is.
///
/// # Examples
/// ```
/// use badrange_explain::advice::ActionKind;
/// assert_eq!(ActionKind::ClearPoison.to_string(), "clear-poison");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ActionKind {
    /// Nothing has to be done.
    Nothing,
    /// Find out more: who uses the bytes, or what they are.
    Inspect,
    /// Copy what is there before anything is changed.
    Preserve,
    /// Read the good bytes around a hole.
    Salvage,
    /// Make the device forget that the bytes are bad.
    ClearPoison,
    /// Give a page that was taken out of use back to the kernel.
    PageState,
    /// Write good bytes over the bad ones.
    WriteData,
    /// Take the range out of the list of bad blocks.
    Badblocks,
    /// Free the bad blocks of a file, so that new ones take their place.
    PunchHole,
    /// Get the bytes from a backup.
    Restore,
    /// Get the bytes from other members of an array.
    Rebuild,
    /// Look for damage; changes nothing.
    Check,
    /// Let a tool mend the metadata.
    Repair,
    /// Put another device in its place.
    Replace,
    /// Read back what was written.
    Verify,
}

impl ActionKind {
    /// The word in every output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Inspect => "inspect",
            Self::Preserve => "preserve",
            Self::Salvage => "salvage",
            Self::ClearPoison => "clear-poison",
            Self::PageState => "page-state",
            Self::WriteData => "write-data",
            Self::Badblocks => "badblocks",
            Self::PunchHole => "punch-hole",
            Self::Restore => "restore",
            Self::Rebuild => "rebuild",
            Self::Check => "check",
            Self::Repair => "repair",
            Self::Replace => "replace",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ActionKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// What an [`Action`] risks.
///
/// # Examples
/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Risk {
    /// How bad it can get.
    pub level: RiskLevel,
    /// What can happen, for people.
    pub what: String,
}

impl Risk {
    /// The risk of something that only looks.
    #[must_use]
    pub fn none() -> Self {
        Self { level: RiskLevel::None, what: "changes nothing".to_owned() }
    }

    /// A risk of this level.
    #[must_use]
    pub fn new(level: RiskLevel, what: impl Into<String>) -> Self {
        Self { level, what: what.into() }
    }
}

/// How bad an [`Action`] can get, from harmless to worst.
///
/// # Examples
/// ```
/// use badrange_explain::advice::RiskLevel;
/// assert!(RiskLevel::Reads < RiskLevel::Destroys);
/// assert_eq!(RiskLevel::Offline.as_str(), "offline");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// Changes nothing and touches nothing bad.
    None,
    /// Changes nothing, but reads where bytes are bad: it may stall, fail, or be killed.
    Reads,
    /// Takes a filesystem or a device out of use meanwhile.
    Offline,
    /// Overwrites the bytes it names: what they held is gone.
    Overwrites,
    /// May lose more than the bytes it names.
    Destroys,
}

impl RiskLevel {
    /// The word in every output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reads => "reads",
            Self::Offline => "offline",
            Self::Overwrites => "overwrites",
            Self::Destroys => "destroys",
        }
    }
}

impl fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for RiskLevel {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
