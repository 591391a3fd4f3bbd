//! The table against a sorted list, and what lookups cost.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers, and a panic is a failed test")]

use core::{cell::Cell, ops::ControlFlow};

use badrange_core::DevOffset;
use proptest::prelude::*;

use super::*;

std::thread_local! {
    static VISITED: Cell<usize> = const { Cell::new(0) };
}

/// Counts rows that a lookup looked at.
pub(super) fn visited(rows: usize) {
    VISITED.with(|all| all.set(all.get() + rows));
}

fn visits(lookup: impl FnOnce()) -> usize {
    VISITED.with(|all| all.set(0));
    lookup();
    VISITED.with(Cell::get)
}

fn at(start: u64, len: u64) -> Extent {
    Extent::new(DevOffset::new(start), len).unwrap()
}

fn entry(range: Extent, order: u64) -> Entry {
    Entry { range, order, above: Above::Device { index: 0, leg: Leg::new(0) } }
}

fn found(table: &Table, range: Extent) -> Vec<Key> {
    let mut keys = Vec::new();
    let _ = table.overlapping(range, &mut |entry| {
        keys.push(entry.key());
        ControlFlow::Continue(())
    });
    keys
}

fn all(table: &Table) -> Vec<Key> {
    let mut keys = Vec::new();
    table.each(&mut |entry| keys.push(entry.key()));
    keys
}

/// The invariants of [`Table`]: how deep the node is; the keys in it are in order.
fn check(node: &Node, is_root: bool) -> usize {
    let rows = match node {
        Node::Leaf(rows) => rows.0.len(),
        Node::Inner(rows) => rows.0.len(),
    };
    assert!(rows <= ROWS && (is_root || rows > 0), "{rows} rows");
    let Node::Inner(rows) = node else { return 1 };
    assert!(rows.0.len() > 1 || !is_root, "a level for one row");
    let depths: Vec<_> = rows.0.iter().map(|(_, row)| check(&row.above, false)).collect();
    assert!(depths.iter().all(|depth| *depth == depths[0]), "leaves are equally deep");
    for (_, row) in rows.0.iter() {
        let (range, order) = match &row.above {
            Node::Leaf(rows) => rows.summary(),
            Node::Inner(rows) => rows.summary(),
        }
        .unwrap();
        assert_eq!((range, order), (row.range, row.order));
    }
    depths[0] + 1
}

#[derive(Debug, Clone)]
enum Op {
    With(u64, u64),
    /// Takes out the entry that has this place, counted round and round.
    Without(usize),
    Unknown(u64),
    /// Keeps what does not begin at a multiple of this.
    Retain(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..200_u64, 1..40_u64).prop_map(|(start, len)| Op::With(start, len)),
        1 => (0..200_u64).prop_map(|start| Op::With(start, 10_000)),
        4 => any::<usize>().prop_map(Op::Without),
        1 => (0..200_u64).prop_map(Op::Unknown),
        1 => (2..9_u64).prop_map(Op::Retain),
    ];
    proptest::collection::vec(op, 0..if cfg!(miri) { 40 } else { 400 })
}

proptest! {
    /// Against a sorted list, after every step; and no table changes when another is made from it.
    #[test]
    fn a_table_is_a_sorted_list(ops in ops(), asked in (0..260_u64, 1..30_u64)) {
        let (mut table, mut twin) = (Table::default(), Vec::<(Key, u64)>::new());
        for (order, op) in (0..).zip(ops) {
            let (before, keys) = (table.clone(), all(&table));
            table = match op {
                Op::With(start, len) => {
                    twin.push(((DevOffset::new(start), order), start + len));
                    twin.sort_unstable();
                    table.with(entry(at(start, len), order))
                }
                Op::Without(place) if !twin.is_empty() => {
                    let place = place % twin.len();
                    let (key, _) = twin.remove(place);
                    table.without(key)
                }
                Op::Without(_) => table.without((DevOffset::new(0), 0)),
                Op::Unknown(start) => table.without((DevOffset::new(start), u64::MAX)),
                Op::Retain(of) => {
                    twin.retain(|((start, _), _)| start.get() % of != 0);
                    table.retain(|entry| entry.range.start().get() % of != 0)
                }
            };
            prop_assert_eq!(all(&before), keys);
            check(&table.root, true);
            prop_assert_eq!(table.validate(), Ok(()));
            prop_assert_eq!(table.len(), twin.len());
            prop_assert_eq!(all(&table), twin.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            let hit = |(key, end): &(Key, u64)| {
                (key.0.get() < asked.0 + asked.1 && *end > asked.0).then_some(*key)
            };
            let expected: Vec<_> = twin.iter().filter_map(hit).collect();
            prop_assert_eq!(found(&table, at(asked.0, asked.1)), expected);
        }
    }
}

fn table_of(entries: impl Iterator<Item = Entry>) -> Table {
    entries.fold(Table::default(), |table, entry| table.with(entry))
}

/// Entries that are hit by nothing cost nothing, however long one of them is.
#[test]
fn one_giant_entry_over_many_small_ones_costs_a_few_rows() {
    let count: u64 = if cfg!(miri) { 100 } else { 4096 };
    let small = |i: u64| entry(at(i * 10, 10), i + 1);
    let plain = table_of((0..count).map(small));
    let giant = plain.with(entry(at(0, count * 10), 0));
    for i in [0, count / 2, count - 1] {
        let without = visits(|| assert_eq!(found(&plain, at(i * 10, 1)).len(), 1));
        let with = visits(|| assert_eq!(found(&giant, at(i * 10, 1)).len(), 2));
        let levels = check(&plain.root, true);
        assert!(without <= levels * ROWS, "{without} rows in {levels} levels");
        assert!(with <= without + levels * ROWS, "{with} rows instead of {without}");
    }
}

/// What is left of many levels took a level for one row.
#[test]
fn a_table_that_shrinks_loses_all_levels_that_it_does_not_need() {
    let key = |i| (DevOffset::new(i * 10), i);
    let full = table_of((0..4097).map(|i| entry(at(i * 10, 10), i)));
    assert_eq!(check(&full.root, true), 4);
    let last = (0..4096).fold(full, |table, i| table.without(key(i)));
    assert_eq!((check(&last.root, true), all(&last)), (1, vec![key(4096)]));
    let none = last.without(key(4096));
    assert_eq!((none.validate(), none.len(), all(&none)), (Ok(()), 0, vec![]));
}

#[test]
fn registering_in_ascending_order_fills_the_nodes() {
    let table = table_of((0..256).map(|i| entry(at(i * 10, 10), i)));
    assert_eq!(check(&table.root, true), 2, "256 entries are 16 full leaves");
}
