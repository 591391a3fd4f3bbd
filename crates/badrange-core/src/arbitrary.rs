//! Values for fuzzing: every value of a type can come out, and nothing else.
//!
//! Any bytes make a range: what is drawn later is drawn from what is then still possible. Numbers
//! are as likely small as large, so that ranges meet, and some lie at the end of the scale.

use core::num::NonZeroU64;

use arbitrary::{Arbitrary, Error, Result, Unstructured, size_hint};

use crate::{
    BlockSize, DevOffset, DeviceId, Errno, Extent, FileOffset, FsBlock, HoleKind, Leg, Link,
    MfFlags, Outcome, PageSize, Pfn, PhysAddr, Run, Sector, Space,
};

type SizeHint = (usize, Option<usize>);

/// Types that any number of a size is one of.
macro_rules! number {
    ($($name:ident: $form:ty, $make:expr;)*) => {$(
        impl<'a> Arbitrary<'a> for $name {
            fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
                <$form>::arbitrary(u).map($make)
            }

            fn size_hint(depth: usize) -> SizeHint {
                <$form>::size_hint(depth)
            }
        }
    )*};
}

number! {
    PhysAddr: u64, Self::new;
    DevOffset: u64, Self::new;
    FileOffset: u64, Self::new;
    Pfn: u64, Self::new;
    Sector: u64, Self::new;
    FsBlock: u64, Self::new;
    Errno: u16, Self::new;
    Leg: u32, Self::new;
    MfFlags: u8, Self::from_bits;
    DeviceId: (u32, u32, u32), |(stack, index, generation)| Self::new(stack, index, generation);
}

/// Sizes: a power of two of at least 512.
macro_rules! size {
    ($($name:ident)*) => {$(
        impl<'a> Arbitrary<'a> for $name {
            fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
                let shift = u.int_in_range(9..=63_u8)?;
                Self::new(1 << shift).map_err(|_| Error::IncorrectFormat)
            }

            fn size_hint(depth: usize) -> SizeHint {
                u8::size_hint(depth)
            }
        }
    )*};
}

size! { PageSize BlockSize }

/// A number from 0 to `max`, of any magnitude alike.
fn up_to(u: &mut Unstructured<'_>, max: u64) -> Result<u64> {
    let bits = u.int_in_range(0..=u64::BITS.saturating_sub(max.leading_zeros()))?;
    let largest = u64::MAX.checked_shr(u64::BITS.saturating_sub(bits)).unwrap_or(0); // of 0 bits
    u.int_in_range(0..=largest.min(max))
}

/// One in eight times counted from the end.
fn place(u: &mut Unstructured<'_>, max: u64) -> Result<u64> {
    let by = up_to(u, max)?;
    Ok(if u.ratio(1_u8, 8)? { max.saturating_sub(by) } else { by })
}

/// Bytes of so many calls of [`place`] at most.
fn places(n: usize) -> SizeHint {
    (0, n.checked_mul(size_of::<u32>().saturating_add(size_of::<u64>()).saturating_add(1)))
}

/// A number from 1 to `max`.
fn length(u: &mut Unstructured<'_>, max: u64) -> Result<NonZeroU64> {
    Ok(NonZeroU64::MIN.saturating_add(up_to(u, max.saturating_sub(1))?))
}

/// An extent of this length, before the end of the scale.
fn extent<S: Space>(u: &mut Unstructured<'_>, len: NonZeroU64) -> Result<Extent<S>> {
    let start = place(u, u64::MAX.saturating_sub(len.get()))?;
    Ok(Extent::from_zero(len).moved(start))
}

/// A run of this shape, whose elements together are no longer than the scale.
fn run<S: Space>(u: &mut Unstructured<'_>, len: NonZeroU64, count: NonZeroU64) -> Result<Run<S>> {
    let packed: Extent<S> = extent(u, len.saturating_mul(count))?;
    let first = packed.part(0, len);
    let Some(steps) = NonZeroU64::new(count.get().saturating_sub(1)) else {
        return Ok(first.into());
    };
    let most = u64::MAX.saturating_sub(first.raw_end()) / steps;
    let stride = len.saturating_add(up_to(u, most.saturating_sub(len.get()))?);
    Ok(Run::repeated(first, stride, count.get()))
}

/// Half of all runs are extents, as most are that travel.
fn shape(u: &mut Unstructured<'_>) -> Result<(NonZeroU64, NonZeroU64)> {
    let len = length(u, u64::MAX)?;
    let count = if bool::arbitrary(u)? { length(u, u64::MAX / len)? } else { NonZeroU64::MIN };
    Ok((len, count))
}

impl<'a, S: Space> Arbitrary<'a> for Extent<S> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let len = length(u, u64::MAX)?;
        extent(u, len)
    }

    fn size_hint(_: usize) -> SizeHint {
        places(2)
    }
}

impl<'a, S: Space> Arbitrary<'a> for Run<S> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (len, count) = shape(u)?;
        run(u, len, count)
    }

    fn size_hint(_: usize) -> SizeHint {
        places(5)
    }
}

impl<'a> Arbitrary<'a> for Link {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (len, count) = shape(u)?;
        Ok(Self::of_one_shape(run(u, len, count)?, run(u, len, count)?))
    }

    fn size_hint(_: usize) -> SizeHint {
        places(7)
    }
}

impl<'a> Arbitrary<'a> for Outcome {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=3_u8)? {
            0 => Self::Nothing,
            1 => Self::Handled,
            2 => Self::NotSupported,
            _ => Self::Failed(u.arbitrary()?),
        })
    }

    fn size_hint(depth: usize) -> SizeHint {
        size_hint::and(u8::size_hint(depth), (0, Errno::size_hint(depth).1))
    }
}

impl<'a> Arbitrary<'a> for HoleKind {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        u.choose(&[Self::Error, Self::Zero, Self::Unmapped]).copied()
    }

    fn size_hint(depth: usize) -> SizeHint {
        (0, usize::size_hint(depth).1)
    }
}
