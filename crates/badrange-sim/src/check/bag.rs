//! One-to-one matches between what is expected and what there is.

use std::collections::VecDeque;

/// Above this many elements only the greedy match is made.
const LARGEST_EXACT: usize = 1024;

/// For every expected element the one it is matched with. `fits(e, g)` says whether element `g`
/// is what `e` expects; `weight(e)` is how much `e` asks for: those who ask for more choose first.
pub(super) fn matching(
    expected: usize,
    got: usize,
    fits: &dyn Fn(usize, usize) -> bool,
    weight: &dyn Fn(usize) -> usize,
) -> Vec<Option<usize>> {
    let mut pairs = Pairs { of_expected: vec![None; expected], of_got: vec![None; got] };
    let mut order: Vec<usize> = (0..expected).collect();
    order.sort_by_key(|e| core::cmp::Reverse(weight(*e)));
    for e in &order {
        let free = pairs.of_got.iter().enumerate().filter(|(_, pair)| pair.is_none());
        let found = free.map(|(g, _)| g).find(|g| fits(*e, *g));
        if let Some(g) = found {
            pairs.join(*e, g);
        }
    }
    if expected.max(got) <= LARGEST_EXACT {
        for e in order {
            if pairs.of_expected.get(e) == Some(&None) {
                pairs.augment(e, fits);
            }
        }
    }
    pairs.of_expected
}

struct Pairs {
    of_expected: Vec<Option<usize>>,
    of_got: Vec<Option<usize>>,
}

impl Pairs {
    fn join(&mut self, e: usize, g: usize) {
        if let (Some(a), Some(b)) = (self.of_expected.get_mut(e), self.of_got.get_mut(g)) {
            (*a, *b) = (Some(g), Some(e));
        }
    }

    /// Finds a partner for `from` by way of others who can take somebody else.
    fn augment(&mut self, from: usize, fits: &dyn Fn(usize, usize) -> bool) {
        let mut reached_by = vec![None; self.of_got.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(e) = queue.pop_front() {
            for g in 0..self.of_got.len() {
                if reached_by.get(g) != Some(&None) || !fits(e, g) {
                    continue;
                }
                if let Some(by) = reached_by.get_mut(g) {
                    *by = Some(e);
                }
                match self.of_got.get(g) {
                    Some(Some(other)) => queue.push_back(*other),
                    Some(None) | None => return self.shift(g, &reached_by),
                }
            }
        }
    }

    /// Gives `g` to who reached it, and what that one had to who reached that, to the beginning.
    fn shift(&mut self, g: usize, reached_by: &[Option<usize>]) {
        let mut next = Some(g);
        while let Some(g) = next {
            let Some(Some(e)) = reached_by.get(g).copied() else { return };
            next = self.of_expected.get(e).copied().flatten();
            self.join(e, g);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matching;

    #[test]
    fn a_greedy_choice_is_undone_where_it_has_to_be() {
        // 0 fits both, 1 fits only the first: greedy gives the first to 0.
        let fits = |e: usize, g: usize| e == 0 || g == 0;
        assert_eq!(matching(2, 2, &fits, &|_| 1), [Some(1), Some(0)]);
    }

    #[test]
    fn a_chain_of_three_is_shifted() {
        let table = [[true, true, false], [true, false, true], [true, false, false]];
        let fits = |e: usize, g: usize| table[e][g];
        assert_eq!(matching(3, 3, &fits, &|_| 1), [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn what_cannot_be_matched_is_left() {
        assert_eq!(matching(2, 1, &|_, _| true, &|e| e), [None, Some(0)]);
        assert_eq!(matching(1, 2, &|_, g| g == 1, &|_| 0), [Some(1)]);
    }
}
