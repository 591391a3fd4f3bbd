use crate::{ParseError, ParseErrorKind, lines::Line, lines::is_digits};

/// Bytes of a size as the LVM reports print it: `2048S`, `4.00m`, `4194304B`.
///
/// `s` is sectors and `b` bytes in either case; of the others the lower case counts in 1024 and
/// the upper case in 1000. What was rounded for print is refused.
pub(super) fn bytes(line: Line<'_>, field: &'static str, text: &str) -> Result<u64, ParseError> {
    let wrong = |hint| line.err(ParseErrorKind::BadUnit, field, text, hint);
    if text.starts_with(['<', '>']) {
        return Err(wrong("it was rounded; report with --units b"));
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = unit(text.get(digits.len()..).unwrap_or_default())
        .ok_or_else(|| wrong("expected a size with its unit; report with --units b"))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let scale = u32::try_from(fraction.len()).ok().and_then(|n| 10_u128.checked_pow(n));
    if !is_digits(whole) || !is_digits(fraction) {
        let hint = "expected a decimal number and a unit";
        return Err(line.err(ParseErrorKind::BadNumber, field, text, hint));
    }
    let (Some(scale), Ok(fraction)) = (scale, fraction.parse::<u64>()) else {
        return Err(wrong("it was rounded; report with --units b"));
    };
    let parts = u128::from(fraction).checked_mul(u128::from(unit));
    let exact = parts.filter(|p| p.checked_rem(scale) == Some(0));
    let Some(below_one) = exact.and_then(|p| p.checked_div(scale)) else {
        return Err(wrong(
            "it is no whole number of bytes, so it was rounded; report with --units b",
        ));
    };
    let whole = line.number(field, whole, "units")?;
    let sum = whole.checked_mul(unit).zip(u64::try_from(below_one).ok());
    sum.and_then(|(a, b)| a.checked_add(b)).ok_or_else(|| line.too_large(field, text))
}

fn unit(suffix: &str) -> Option<u64> {
    const POWERS: &str = "kmgtpe";
    match suffix {
        "b" | "B" => return Some(1),
        "s" | "S" => return Some(512),
        _ => {}
    }
    let mut chars = suffix.chars();
    let (Some(letter), None) = (chars.next(), chars.next()) else { return None };
    let power = POWERS.find(letter.to_ascii_lowercase())?.checked_add(1)?;
    let base: u64 = if letter.is_ascii_lowercase() { 1024 } else { 1000 };
    base.checked_pow(u32::try_from(power).ok()?)
}
