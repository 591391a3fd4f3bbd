//! Loading: records come one by one, nearly always in order, and are never kept twice.

use super::{
    level::{FULL_LEAF, Level, compare},
    raw::Raw,
    tree::{LEVELS, Tree, level_of, of_level_mut},
};

/// Records that wait for a leaf, per level: within these the order may be any.
const WAITING: usize = 32 * FULL_LEAF;

/// A tree on its way. Beside it there are a few thousand records at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    tree: Tree,
    /// Of each level the last records, in order; all of them come after those in the tree.
    waiting: [Vec<Raw>; LEVELS],
}

impl Load {
    /// Adds a record. One that is there already has no effect.
    pub(super) fn push(&mut self, raw: Raw) {
        let number = level_of(&raw);
        let waiting = of_level_mut(&mut self.waiting, number);
        let level = of_level_mut(self.tree.levels_mut(), number);
        // Once there are any in the tree, some wait.
        if waiting.last().is_none_or(|last| compare(last, &raw).is_lt()) {
            waiting.push(raw);
        } else if waiting.first().is_some_and(|first| compare(&raw, first).is_lt()) {
            level.insert(raw);
        } else if let Err(at) = waiting.binary_search_by(|probe| compare(probe, &raw)) {
            waiting.insert(at, raw);
        }
        if waiting.len() >= WAITING {
            // The later half stays, for what comes out of order.
            flush(level, waiting.drain(..WAITING / 2).as_slice());
        }
    }

    pub(super) fn finish(mut self) -> Tree {
        for (level, waiting) in self.tree.levels_mut().iter_mut().zip(&self.waiting) {
            flush(level, waiting);
            level.index();
        }
        self.tree.note();
        self.tree
    }
}

fn flush(level: &mut Level, raws: &[Raw]) {
    raws.chunks(FULL_LEAF).for_each(|leaf| level.append(leaf));
}
