//! Numbers as people write them.

/// A `u64` in decimal, or in hex after `0x`; `_` may stand between two digits.
///
/// # Examples
/// ```
/// use badrange_input::parse_u64;
/// assert_eq!(parse_u64("0x1_0000"), Some(65536));
/// assert_eq!(parse_u64("71870"), Some(71870));
/// assert_eq!(parse_u64("_1"), None);
/// assert_eq!(parse_u64("+1"), None);
/// ```
#[must_use]
pub fn parse_u64(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    let known = digits.chars().all(|c| c == '_' || c.is_digit(radix));
    if misplaced || !known || digits.is_empty() {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), radix).ok()
}
