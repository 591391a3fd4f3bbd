//! The numbers behind seeds: `SplitMix64`. The same seed gives the same numbers in every version.

/// What the state grows by: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers that look random.
#[derive(Debug, Clone)]
pub(crate) struct Prng(u64);

impl Prng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `n`; 0 for 0. Numbers differ in how often they come by less than n / 2^64.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // NO-OVERFLOW: two factors of 64 bits, and the upper half of their product.
        let product = u128::from(self.next()).wrapping_mul(u128::from(n)) >> 64;
        u64::try_from(product).unwrap_or(0)
    }
}

/// The finalizer of `SplitMix64`: every bit of the input moves every bit of the result.
const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Place `index` of a shuffle of `0..n`: every number below `n` comes once. Needs no memory.
///
/// A Feistel network of four rounds over the next power of four, walked until it is below `n`.
pub(crate) fn shuffled(index: u64, n: u64, seed: u64) -> u64 {
    let Some(last) = n.checked_sub(1) else { return 0 };
    let half = (u64::BITS.saturating_sub(last.leading_zeros())).div_ceil(2).max(1);
    let mask = u64::MAX.checked_shr(u64::BITS.saturating_sub(half)).unwrap_or(0);
    let mut at = index;
    loop {
        let (mut left, mut right) = (at.checked_shr(half).unwrap_or(0), at & mask);
        let mut keys = Prng::new(seed);
        for _ in 0..4_u32 {
            (left, right) = (right, left ^ (mix(keys.next() ^ right) & mask));
        }
        at = left.checked_shl(half).unwrap_or(0) | right;
        if at < n {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test vector of `SplitMix64` for the seed 1234567.
    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut prng = Prng::new(1_234_567);
        assert_eq!(prng.next(), 6_457_827_717_110_365_317);
        assert_eq!(prng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_shuffle_has_every_number_once() {
        for n in [1, 2, 3, 16, 17, 1000] {
            let mut all: Vec<u64> = (0..n).map(|i| shuffled(i, n, 7)).collect();
            assert!(n < 16 || all.windows(2).any(|w| w[0] > w[1]), "{n}: not shuffled");
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
        assert_ne!(
            (shuffled(0, 1000, 1), shuffled(1, 1000, 1)),
            (shuffled(0, 1000, 2), shuffled(1, 1000, 2))
        );
    }

    #[test]
    fn below_is_below() {
        let mut prng = Prng::new(1);
        assert_eq!(prng.below(0), 0);
        assert!((0..1000).all(|_| prng.below(3) < 3));
    }
}
