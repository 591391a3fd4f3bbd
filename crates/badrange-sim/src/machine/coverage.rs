/// How many ranges hold each byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    /// Where the number changes, and what it is from there on; ascending.
    steps: Vec<(u64, i64)>,
}

impl Coverage {
    /// `[from, to)` cut where the number changes: (from, to, number).
    pub(crate) fn pieces(&self, from: u64, to: u64) -> Vec<(u64, u64, i64)> {
        let first = self.steps.partition_point(|(at, _)| *at <= from);
        let before = first.checked_sub(1).and_then(|i| self.steps.get(i));
        let mut pieces = Vec::new();
        let (mut at, mut count) = (from, before.map_or(0, |(_, count)| *count));
        for (step, next) in self.steps.iter().skip(first).take_while(|(step, _)| *step < to) {
            pieces.push((at, *step, count));
            (at, count) = (*step, *next);
        }
        pieces.push((at, to, count));
        pieces
    }
}

/// From `[start, end)` ranges.
impl FromIterator<(u64, u64)> for Coverage {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut changes: Vec<(u64, i64)> =
            ranges.into_iter().flat_map(|(start, end)| [(start, 1), (end, -1)]).collect();
        changes.sort_unstable();
        let mut steps: Vec<(u64, i64)> = Vec::new();
        let mut count = 0_i64;
        for (at, change) in changes {
            // NO-OVERFLOW: there are far fewer ranges than 2^63.
            count = count.wrapping_add(change);
            match steps.last_mut() {
                Some(last) if last.0 == at => last.1 = count,
                Some(_) | None => steps.push((at, count)),
            }
        }
        Self { steps }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_like_counting(
            ranges in prop::collection::vec((0_u64..30, 1_u64..10), 0..8),
            from in 0_u64..30,
            len in 1_u64..20,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(at, len)| (at, at + len)).collect();
            let pieces = ranges.iter().copied().collect::<Coverage>().pieces(from, from + len);
            let mut at = from;
            for (start, end, count) in pieces {
                prop_assert_eq!(start, at);
                prop_assert!(start < end);
                for byte in start..end {
                    let holds = ranges.iter().filter(|r| r.0 <= byte && byte < r.1).count();
                    prop_assert_eq!(i64::try_from(holds).unwrap(), count);
                }
                at = end;
            }
            prop_assert_eq!(at, from + len);
        }
    }
}
