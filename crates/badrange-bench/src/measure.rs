//! Interleaved pairs and their ratios.

use core::{fmt, hint::black_box, time::Duration};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread so far: what others do on the machine does not count, except through
/// the caches that are shared with them.
#[must_use]
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// CPU time of one call, in seconds, and what it returned.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = cpu_time();
    let value = black_box(work());
    (cpu_time().saturating_sub(before).as_secs_f64(), value)
}

/// Wall-clock time of one call, in seconds, and what it returned: for work of several threads.
pub fn timed_wall<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = Instant::now();
    let value = black_box(work());
    (before.elapsed().as_secs_f64(), value)
}

/// Seconds of the two of a pair, round by round.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// Ours, then the rival's.
    pub rounds: Vec<(f64, f64)>,
}

/// A round that takes longer is not repeated, and is reported as over the limit.
pub const LIMIT_SECONDS: f64 = 20.0;

impl Pair {
    /// Runs both `rounds` times, alternating which goes first, after one round that is not
    /// counted. Ends early when either is over [`LIMIT_SECONDS`].
    pub fn measure(rounds: usize, mut ours: impl FnMut(), mut rival: impl FnMut()) -> Self {
        let mut pair = Self::default();
        let (mine, theirs) = (timed(&mut ours).0, timed(&mut rival).0);
        if mine.max(theirs) > LIMIT_SECONDS {
            pair.rounds.push((mine, theirs));
            return pair;
        }
        for round in 0..rounds {
            let (mine, theirs) = if round % 2 == 0 {
                let mine = timed(&mut ours).0;
                (mine, timed(&mut rival).0)
            } else {
                let theirs = timed(&mut rival).0;
                (timed(&mut ours).0, theirs)
            };
            pair.rounds.push((mine, theirs));
        }
        pair
    }

    /// How many times the rival's time is ours, over the rounds.
    #[must_use]
    pub fn ratio(&self) -> Ratio {
        Ratio::of(self.rounds.iter().map(|(ours, rival)| rival / ours).collect())
    }

    /// Our median, in seconds.
    #[must_use]
    pub fn ours(&self) -> f64 {
        Ratio::of(self.rounds.iter().map(|(ours, _)| *ours).collect()).median
    }

    /// The rival's median, in seconds.
    #[must_use]
    pub fn rival(&self) -> f64 {
        Ratio::of(self.rounds.iter().map(|(_, rival)| *rival).collect()).median
    }
}

/// Nanoseconds of one of `count` things that took `seconds` together.
#[must_use]
pub fn nanos_each(seconds: f64, count: usize) -> f64 {
    seconds * 1e9 / count.max(1) as f64
}

/// A median with the least and the greatest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Ratio {
    /// Of any values; all `NaN` for none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (low, high) = (at(values.len().saturating_sub(1) / 2), at(values.len() / 2));
        Self {
            median: f64::midpoint(low, high),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

/// `5.2x (4.9-5.6)`
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { usize::from(self.median < 100.0) };
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$}x ({least:.digits$}-{most:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_rivals_time_over_ours() {
        let pair = Pair { rounds: vec![(1.0, 4.0), (2.0, 6.0), (1.0, 5.0)] };
        assert_eq!(pair.ratio(), Ratio { median: 4.0, least: 3.0, most: 5.0 });
        assert_eq!(pair.ratio().to_string(), "4.00x (3.00-5.00)");
        assert_eq!(Ratio::of(vec![1.0, 2.0]).median, 1.5);
    }

    #[test]
    fn both_of_a_pair_run_once_more_than_the_rounds() {
        let (mut ours, mut rival) = (0, 0);
        let pair = Pair::measure(3, || ours += 1, || rival += 1);
        assert_eq!((ours, rival, pair.rounds.len()), (4, 4, 3));
    }
}
