//! What the machine can do: two loads, each of which has to wait for the one before.

use core::hint::black_box;

/// A set of words to be walked at random.
#[derive(Debug)]
pub(super) struct Chase(Vec<u64>);

impl Chase {
    /// A set of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(21);
        let len = (bytes / 8).max(2) as u64;
        Self((0..len).map(|_| rng.u64(0..len)).collect())
    }

    /// `count` times two loads from anywhere in the set; every load gives the address of the next.
    pub(super) fn walk(&self, count: usize) -> u64 {
        let mut at = 0;
        for step in 0..count as u64 {
            let first = self.load(at ^ step);
            at = self.load(first);
        }
        black_box(at)
    }

    #[inline]
    fn load(&self, at: u64) -> u64 {
        // Without the modulus a small set's walk would end in a short circle.
        let at = usize::try_from(at).unwrap_or(0);
        self.0.get(at).or_else(|| self.0.first()).copied().unwrap_or(0)
    }
}
