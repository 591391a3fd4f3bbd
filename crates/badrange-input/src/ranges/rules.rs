//! The vocabulary: which messages name a bad range, and what each of them says.
//!
//! Every message is matched from its beginning, after what stands in front of it is taken away.
//! The words are those that the kernel and the tools print; where they changed, every form stands.

use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};

use super::said::Said;

pub(super) use self::memory::is_incomplete;

mod block;
mod filesystems;
mod memory;
mod tools;

/// What the groups of a pattern mean.
type Reading = fn(&Groups<'_>) -> Option<Said>;

/// A message: its pattern, and what its groups mean.
pub(super) type Rule = (&'static str, Reading);

/// All of them compiled.
struct Vocabulary {
    set: RegexSet,
    rules: Vec<(Regex, Reading)>,
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let all = [block::RULES, filesystems::RULES, memory::RULES, tools::RULES].concat();
    let set = RegexSet::new(all.iter().map(|(pattern, _)| pattern));
    Vocabulary {
        set: set.unwrap_or_else(|_| RegexSet::empty()),
        rules: all.into_iter().map(|(pattern, read)| (compiled(pattern), read)).collect(),
    }
});

/// Compiles a pattern of this crate. One that does not compile matches nothing; a test says so.
pub(super) fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|_| never())
}

#[expect(clippy::unwrap_used, reason = "a constant that a test compiles")]
fn never() -> Regex {
    Regex::new("[^\u{0}-\u{10ffff}]").unwrap()
}

/// What a message says; `None` for a message that names nothing bad.
pub(super) fn said(message: &str) -> Option<Said> {
    let vocabulary = &*VOCABULARY;
    for index in vocabulary.set.matches(message) {
        let (regex, read) = vocabulary.rules.get(index)?;
        let said = regex.captures(message).and_then(|found| read(&Groups(found)));
        if said.is_some() {
            return said;
        }
    }
    None
}

/// The groups of a pattern that matched.
pub(super) struct Groups<'t>(Captures<'t>);

impl<'t> Groups<'t> {
    /// A group; empty when it took no part.
    fn text(&self, group: usize) -> &'t str {
        self.0.get(group).map_or("", |m| m.as_str())
    }

    /// A decimal number; `None` when the group took no part. One beyond 64 bits is the largest,
    /// which nothing can be placed at.
    fn number(&self, group: usize) -> Option<u64> {
        let text = self.0.get(group)?.as_str();
        Some(text.parse().unwrap_or(u64::MAX))
    }

    /// A hex number without `0x`.
    fn hex(&self, group: usize) -> Option<u64> {
        let text = self.0.get(group)?.as_str();
        Some(u64::from_str_radix(text, 16).unwrap_or(u64::MAX))
    }

    /// Decimal, or hex after `0x`.
    fn either(&self, group: usize) -> Option<u64> {
        let text = self.0.get(group)?.as_str();
        Some(crate::parse_u64(text).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for (pattern, _) in [block::RULES, filesystems::RULES, memory::RULES, tools::RULES].concat()
        {
            assert!(Regex::new(pattern).is_ok(), "{pattern}");
            assert!(pattern.starts_with('^'), "{pattern}");
        }
        assert!(!never().is_match("") && !never().is_match("x"));
        assert_eq!(VOCABULARY.set.len(), VOCABULARY.rules.len());
    }
}
