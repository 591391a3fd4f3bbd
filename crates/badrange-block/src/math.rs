/// The greatest common divisor; the other number where one is 0.
pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::gcd;

    #[test]
    fn the_greatest_common_divisor_divides_both() {
        for (a, b, common) in [(12, 18, 6), (18, 12, 6), (7, 9, 1), (0, 5, 5), (5, 0, 5), (8, 8, 8)]
        {
            assert_eq!(gcd(a, b), common, "{a} {b}");
        }
    }
}
