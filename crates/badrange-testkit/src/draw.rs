//! Bounded draws from the bytes of a fuzzer: small numbers collide, large ones never meet.

use arbitrary::{Arbitrary, Result, Unstructured};

/// A number in `MIN..=MAX`.
pub(crate) fn within<const MIN: u64, const MAX: u64>(u: &mut Unstructured<'_>) -> Result<u64> {
    u.int_in_range(MIN..=MAX)
}

/// `MIN..=MAX` values.
pub(crate) fn few<'a, T: Arbitrary<'a>, const MIN: usize, const MAX: usize>(
    u: &mut Unstructured<'a>,
) -> Result<Vec<T>> {
    let count = u.int_in_range(MIN..=MAX)?;
    (0..count).map(|_| T::arbitrary(u)).collect()
}
