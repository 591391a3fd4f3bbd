//! Numbers as people type them.

use alloc::string::String;

/// Decimal or `0x` hex, with `_` allowed between digits; `None` for anything else, and beyond 64
/// bits.
pub(crate) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let between = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    // `from_str_radix` takes a sign; a position has none.
    let only_digits = !plain.is_empty() && plain.chars().all(|c| c.is_digit(radix));
    (between && only_digits).then(|| u64::from_str_radix(&plain, radix).ok())?
}
