//! Every fuzz target by name: one table for the fuzzers, the replay of their corpora, and the
//! program that makes a failing input small.
//!
//! ```
//! use badrange_testkit::fuzz;
//! let target = fuzz::target("ranges").unwrap();
//! target.check(b"bytes as a fuzzer finds them, of which a few ranges are drawn");
//! assert_eq!(target.reproduction(b""), None); // nothing fails here
//! ```
//! A fuzz target of your own is a [`TestCase`] and a line: `docs/testing-your-layer.md` has a whole
//! one.

use core::{any::type_name, fmt, panic::AssertUnwindSafe};
use std::panic::catch_unwind;

use arbitrary::Unstructured;

use crate::case::{
    BadblocksOps, FsMap, Interleaves, Ranges, RecoveryOps, RegistryOps, TableText, Tables,
    TestCase, WholeStack, check_bytes,
};
#[cfg(feature = "text")]
use crate::text::{
    AnyFormat, BadRanges, BadblocksText, Dmsetup, FileMaps, Fsmaps, Lvm, MdExamine, ScenarioJson,
    Sfdisk, StackArchive, Text, TextFormat, ThinDumps,
};

/// A fuzz target: a name, and a case to draw and check.
///
/// # Examples
/// See the [module](self).
#[derive(Clone, Copy)]
pub struct FuzzTarget {
    name: &'static str,
    check: fn(&[u8]),
    small: fn(&[u8]) -> Option<Small>,
    words: &'static [&'static str],
}

const fn of<T: TestCase>(name: &'static str) -> FuzzTarget {
    FuzzTarget { name, check: check_bytes::<T>, small: Small::of::<T>, words: &[] }
}

#[cfg(feature = "text")]
const fn text<F: TextFormat>(name: &'static str) -> FuzzTarget {
    FuzzTarget { words: F::WORDS, ..of::<Text<F>>(name) }
}

/// All of them.
pub const TARGETS: &[FuzzTarget] = &[
    of::<Ranges>("ranges"),
    of::<Tables>("tables"),
    of::<TableText>("table_text"),
    of::<FsMap>("fs_map"),
    of::<RegistryOps>("registry_ops"),
    of::<WholeStack>("whole_stack"),
    of::<Interleaves>("interleave"),
    of::<BadblocksOps>("badblocks_ops"),
    of::<RecoveryOps>("recovery_ops"),
    #[cfg(feature = "text")]
    text::<Sfdisk>("text_sfdisk"),
    #[cfg(feature = "text")]
    text::<Lvm>("text_lvm"),
    #[cfg(feature = "text")]
    text::<Dmsetup>("text_dmsetup"),
    #[cfg(feature = "text")]
    text::<Fsmaps>("text_fsmap"),
    #[cfg(feature = "text")]
    text::<FileMaps>("text_file_maps"),
    #[cfg(feature = "text")]
    text::<BadblocksText>("text_badblocks"),
    #[cfg(feature = "text")]
    text::<BadRanges>("text_ranges"),
    #[cfg(feature = "text")]
    text::<MdExamine>("text_mdadm"),
    #[cfg(feature = "text")]
    text::<ThinDumps>("text_thin_dump"),
    #[cfg(feature = "text")]
    text::<AnyFormat>("text_any"),
    #[cfg(feature = "text")]
    text::<StackArchive>("stack_file"),
    #[cfg(feature = "text")]
    text::<ScenarioJson>("scenario"),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static FuzzTarget> {
    TARGETS.iter().find(|target| target.name == name)
}

impl FuzzTarget {
    /// Its name: that of the program in `fuzz/fuzz_targets`, and of its corpus.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Draws a case from the bytes and checks it.
    ///
    /// # Panics
    /// When the check fails.
    pub fn check(&self, bytes: &[u8]) {
        (self.check)(bytes);
    }

    /// Code that fails again on the smallest input found; see [`reproduction()`]. `None` when the input
    /// does not fail.
    #[must_use]
    pub fn reproduction(&self, bytes: &[u8]) -> Option<String> {
        let Small { bytes, shown } = (self.small)(bytes)?;
        let (name, bytes) = (self.name, bytes.escape_ascii());
        let check = format!("fuzz::target(\"{name}\").unwrap().check(b\"{bytes}\");");
        Some(format!("{shown}use badrange_testkit::fuzz;\n\n{check}"))
    }

    /// Words that its inputs consist of; none for cases that are drawn from bytes.
    #[must_use]
    pub fn words(&self) -> &'static [&'static str] {
        self.words
    }

    /// The same as a dictionary of libFuzzer.
    ///
    /// # Examples
    /// ```
    /// use badrange_testkit::fuzz;
    /// assert_eq!(fuzz::target("ranges").unwrap().dictionary(), "");
    /// ```
    #[must_use]
    pub fn dictionary(&self) -> String {
        self.words.iter().map(|word| format!("\"{}\"\n", quoted(word))).collect()
    }
}

/// What a dictionary allows between quotes: printable, and everything else in hex.
fn quoted(word: &str) -> String {
    let quote = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    word.bytes().map(quote).collect()
}

impl fmt::Debug for FuzzTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuzzTarget").field("name", &self.name).finish_non_exhaustive()
    }
}

fn fails<T: TestCase>(bytes: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| check_bytes::<T>(bytes))).is_err()
}

/// Smaller inputs that are tried.
const STEPS: u32 = 20_000;

/// The smallest input found that fails too, beginning from one that does: pieces are left out,
/// and what remains is lowered. `None` when the input does not fail.
///
/// Every failure is caught; the panic hook prints as usual, so a caller may want to silence it.
///
/// # Examples
/// ```
/// use badrange_testkit::{arbitrary::{self, Arbitrary}, case::TestCase, fuzz};
/// #[derive(Debug, Arbitrary)]
/// struct Small(Vec<u8>);
/// impl TestCase for Small {
///     fn check(&self) {
///         assert!(self.0.iter().all(|byte| *byte < 200));
///     }
/// }
/// # std::panic::set_hook(Box::new(|_| ()));
/// let small = fuzz::minimise::<Small>(&[1, 7, 1, 250, 1, 9, 1, 1]).unwrap();
/// assert_eq!(small, [1, 200]); // one element, and the lowest that fails
/// ```
#[must_use]
pub fn minimise<T: TestCase>(bytes: &[u8]) -> Option<Vec<u8>> {
    if !fails::<T>(bytes) {
        return None;
    }
    let mut left = STEPS;
    let mut fails_too = |candidate: &Vec<u8>| {
        left = left.saturating_sub(1);
        left > 0 && fails::<T>(candidate)
    };
    let mut best = bytes.to_vec();
    loop {
        let smaller = candidates(&best).find(&mut fails_too);
        match smaller {
            Some(smaller) => best = smaller,
            None => return Some(best),
        }
    }
}

/// Inputs that are smaller: shorter, or equally long with one byte lower.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let len = bytes.len();
    let sizes = core::iter::successors(Some(len / 2), |n| Some(n / 2)).take_while(|n| *n > 0);
    let cuts = sizes.flat_map(move |size| {
        (0..len).step_by(size).map(move |at| {
            let gone = at..at.saturating_add(size);
            let kept = bytes.iter().zip(0..).filter(move |(_, i)| !gone.contains(i));
            kept.map(|(byte, _)| *byte).collect()
        })
    });
    let lowered = bytes.iter().zip(0..).flat_map(move |(byte, at)| {
        [0, byte / 2, byte.saturating_sub(1)].into_iter().filter(move |b| b < byte).map(move |b| {
            let one = |(i, old): (usize, &u8)| if i == at { b } else { *old };
            bytes.iter().enumerate().map(one).collect()
        })
    });
    cuts.chain(lowered)
}

/// The smallest input found that fails, and the case that is drawn from it as a comment.
struct Small {
    bytes: Vec<u8>,
    shown: String,
}

impl Small {
    fn of<T: TestCase>(bytes: &[u8]) -> Option<Self> {
        let bytes = minimise::<T>(bytes)?;
        let case = T::arbitrary_take_rest(Unstructured::new(&bytes)).ok()?;
        let shown = format!("{case:#?}").lines().map(|line| format!("// {line}\n")).collect();
        Some(Self { bytes, shown })
    }
}

/// The smallest input found that fails, as code to paste into a test where the case is in scope: it
/// fails as long as the bug is there. The case that is drawn from the input is a comment. `None` when
/// the input does not fail.
///
/// # Examples
/// ```
/// use badrange_testkit::{arbitrary::{self, Arbitrary}, case::TestCase, fuzz};
/// #[derive(Debug, Arbitrary)]
/// struct Never(u8);
/// impl TestCase for Never {
///     fn check(&self) {
///         panic!("never in order");
///     }
/// }
/// let code = fuzz::reproduction::<Never>(&[3, 4]).unwrap();
/// let due = "// Never(\n//     0,\n// )\n\
///            use badrange_testkit::case::check_bytes;\n\ncheck_bytes::<Never>(b\"\\x00\");";
/// assert_eq!(code, due);
///
/// // Pasted:
/// let again = std::panic::catch_unwind(|| {
///     use badrange_testkit::case::check_bytes;
///
///     check_bytes::<Never>(b"\x00");
/// });
/// assert!(again.is_err());
/// ```
#[must_use]
pub fn reproduction<T: TestCase>(bytes: &[u8]) -> Option<String> {
    let Small { bytes, shown } = Small::of::<T>(bytes)?;
    let (name, bytes) = (short(type_name::<T>()), bytes.escape_ascii());
    let check = format!("check_bytes::<{name}>(b\"{bytes}\");");
    Some(format!("{shown}use badrange_testkit::case::check_bytes;\n\n{check}"))
}

/// A type's name without the modules: what a test writes that has it in scope.
fn short(name: &str) -> String {
    let words = name.split_inclusive(['<', ',', ' ', '>']);
    words.map(|word| word.rsplit("::").next().unwrap_or(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails on any three.
    #[derive(Debug, arbitrary::Arbitrary)]
    struct NoThree(Vec<u8>);

    impl TestCase for NoThree {
        fn check(&self) {
            assert!(!self.0.contains(&3));
        }
    }

    /// Whatever is printed of a target names it and the input, and nothing that is not in scope.
    #[test]
    fn what_a_target_prints_is_its_name_and_the_smallest_input() {
        let code = of::<NoThree>("no_three").reproduction(&[1, 7, 1, 3]).unwrap();
        let (comment, code): (Vec<&str>, Vec<&str>) =
            code.lines().partition(|line| line.starts_with("//"));
        assert_eq!(comment.join("\n"), "// NoThree(\n//     [\n//         3,\n//     ],\n// )");
        let check = r#"fuzz::target("no_three").unwrap().check(b"\x01\x03");"#;
        assert_eq!(code, ["use badrange_testkit::fuzz;", "", check]);
    }
}
