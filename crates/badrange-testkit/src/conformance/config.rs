use core::time::Duration;

/// How much work the conformance kit does, and where it draws from.
///
/// # Examples
/// ```
/// use badrange_testkit::conformance::Config;
/// let config = Config::default().with_seed(7).with_random_ranges(1000);
/// assert_eq!(config, Config { seed: 7, random_ranges: 1000, ..Config::DEFAULT });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Where the random ranges begin; equal seeds, equal ranges.
    pub seed: u64,
    /// Random ranges, per leg and for the upper device.
    pub random_ranges: u32,
    /// Edges of extents whose surroundings are tried, per leg and for the upper device.
    pub edges: usize,
    /// Parts that are looked at of what one call emits; then the kit breaks off.
    pub parts: usize,
    /// Legs that are tried: so many of the first and so many of the last.
    pub legs: u32,
    /// Elements of the runs whose every element is compared.
    pub elements: u64,
    /// Smaller cases that are tried to make a failing one small.
    pub shrink_steps: u32,
    /// Whether a holder has to give equal bytes equal answers, however often it is notified of them and
    /// in whatever pieces. True of holders that only look things up; no part of the contract.
    pub repeatable: bool,
    /// How long one call of a holder may take, until it counts as one that never returns.
    pub timeout: Duration,
}

impl Config {
    /// A second or two for small devices, in a build without optimisation.
    pub const DEFAULT: Self = Self {
        seed: 0x5eed,
        random_ranges: 128,
        edges: 24,
        parts: 256,
        legs: 4,
        elements: 24,
        shrink_steps: 2000,
        repeatable: false,
        timeout: Duration::from_secs(10),
    };

    /// The same with another seed.
    #[must_use]
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same with another number of random ranges.
    #[must_use]
    pub const fn with_random_ranges(self, random_ranges: u32) -> Self {
        Self { random_ranges, ..self }
    }

    /// The same with another number of edges.
    #[must_use]
    pub const fn with_edges(self, edges: usize) -> Self {
        Self { edges, ..self }
    }

    /// The same with another number of parts per call.
    #[must_use]
    pub const fn with_parts(self, parts: usize) -> Self {
        Self { parts, ..self }
    }

    /// The same, and whether a holder has to give equal bytes equal answers.
    #[must_use]
    pub const fn with_repeatable(self, repeatable: bool) -> Self {
        Self { repeatable, ..self }
    }

    /// The same with another time for one call of a holder.
    #[must_use]
    pub const fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Every number by its name, as code writes it.
    pub(super) fn numbers(&self) -> [(&'static str, String); 9] {
        let timeout = self.timeout.as_millis();
        [
            ("seed", self.seed.to_string()),
            ("random_ranges", self.random_ranges.to_string()),
            ("edges", self.edges.to_string()),
            ("parts", self.parts.to_string()),
            ("legs", self.legs.to_string()),
            ("elements", self.elements.to_string()),
            ("shrink_steps", self.shrink_steps.to_string()),
            ("repeatable", self.repeatable.to_string()),
            ("timeout", format!("core::time::Duration::from_millis({timeout})")),
        ]
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}
