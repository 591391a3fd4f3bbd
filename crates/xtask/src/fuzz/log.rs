//! What libFuzzer prints, read back.

/// What a run reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Places of the code reached before and after.
    cov: (u64, u64),
    /// The same with how often each was reached.
    features: (u64, u64),
    executions: u64,
    per_second: u64,
}

impl Progress {
    /// The heading over [`row`](Self::row)s.
    pub(super) const HEAD: &'static str =
        "  target             executions  per second  coverage        features        new inputs";

    pub(super) fn read(output: &str) -> Self {
        let mut progress = Self::default();
        for line in output.lines() {
            if line.contains("INITED") {
                progress.cov.0 = after(line, "cov:");
                progress.features.0 = after(line, "ft:");
            }
            if line.starts_with('#') && line.contains("cov:") {
                progress.cov.1 = after(line, "cov:").max(progress.cov.1);
                progress.features.1 = after(line, "ft:").max(progress.features.1);
            }
            if line.contains("stat::number_of_executed_units:") {
                progress.executions = after(line, "units:");
            }
            if line.contains("stat::average_exec_per_sec:") {
                progress.per_second = after(line, "sec:");
            }
        }
        progress
    }

    pub(super) fn row(&self, target: &str, new: usize) -> String {
        let grown = |(before, now): (u64, u64)| format!("{before} -> {now}");
        let (cov, features) = (grown(self.cov), grown(self.features));
        let Self { executions, per_second, .. } = self;
        format!("  {target:<16} {executions:>12} {per_second:>11}  {cov:<15} {features:<15} {new}")
    }
}

/// The number that follows a word; 0 when there is none.
fn after(line: &str, word: &str) -> u64 {
    let rest = line.split_once(word).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_run_is_read() {
        let output = "INFO: Seed: 1\n\
            #13\tINITED cov: 120 ft: 340 corp: 12/300b exec/s: 0 rss: 40Mb\n\
            #99\tNEW    cov: 125 ft: 360 corp: 13/310b lim: 8 exec/s: 0 rss: 41Mb L: 1/2 MS: 1\n\
            #4096\tDONE   cov: 125 ft: 366 corp: 14/320b lim: 8 exec/s: 2048 rss: 41Mb\n\
            stat::number_of_executed_units: 4096\nstat::average_exec_per_sec:     2048\n";
        let progress = Progress::read(output);
        let due =
            Progress { cov: (120, 125), features: (340, 366), executions: 4096, per_second: 2048 };
        assert_eq!(progress, due);
        assert!(progress.row("ranges", 3).contains("120 -> 125"));
    }

    #[test]
    fn no_log_is_no_progress() {
        assert_eq!(Progress::read("sh: not found"), Progress::default());
    }
}
