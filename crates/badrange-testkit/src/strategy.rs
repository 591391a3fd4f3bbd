//! Strategies for proptest: extents, runs, tables, namespaces, records, stacks and events.
//!
//! Everything lives in a space of about 60 units, where ranges collide. The plain structs come
//! with the twins to compare with ([`twin`](crate::twin)).
//!
//! ```
//! use badrange_testkit::{strategy, twin::{DrawnTarget, Twin}};
//! use proptest::prelude::*;
//!
//! proptest!(ProptestConfig::with_cases(16), |(
//!     targets in strategy::targets(), asked in strategy::drawn_extent(),
//! )| {
//!     let table = DrawnTarget::build_table(&targets).unwrap();
//!     Twin::table(&targets).check_map(&table, 512, asked.start, asked.len);
//! });
//! ```

use arbitrary::Unstructured;
use badrange_block::dm::Table;
use badrange_core::{Extent, PageSize, Pfn, Run, Space};
use badrange_fs::Record;
use badrange_pmem::{Mode, Namespace};
use proptest::{collection::vec, prelude::*};

use crate::{
    case::{DrawnExtent, DrawnRun, Event, StackPlan, TestCase, WholeStack},
    twin::{DrawnPlace, DrawnTarget, FsRecord},
};

/// An extent in plain numbers, in a space of 60 units and 60 more.
///
/// # Examples
/// ```
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(drawn in strategy::drawn_extent())| {
///     prop_assert!(drawn.has(drawn.start) && !drawn.has(drawn.start + drawn.len));
/// });
/// ```
pub fn drawn_extent() -> impl Strategy<Value = DrawnExtent> {
    (0..60_u64, 1..61_u64).prop_map(|(start, len)| DrawnExtent { start, len })
}

/// A run in plain numbers, in the same space and beyond.
///
/// # Examples
/// ```
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(drawn in strategy::drawn_run())| {
///     prop_assert!(drawn.has(drawn.start));
/// });
/// ```
pub fn drawn_run() -> impl Strategy<Value = DrawnRun> {
    (0..60_u64, 1..16_u64, 0..16_u64, 1..9_u64).prop_map(|(start, len, gap, count)| DrawnRun {
        start,
        len,
        gap,
        count,
    })
}

/// An extent of a space, in units of `unit`.
///
/// # Examples
/// ```
/// use badrange_core::DevOffset;
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(extent in strategy::extent::<DevOffset>(512))| {
///     prop_assert_eq!(extent.len() % 512, 0);
/// });
/// ```
pub fn extent<S: Space>(unit: u64) -> impl Strategy<Value = Extent<S>> {
    drawn_extent().prop_filter_map("beyond 64 bits", move |drawn| drawn.build(unit))
}

/// A run of a space, in units of `unit`.
///
/// # Examples
/// ```
/// use badrange_core::DevOffset;
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(run in strategy::run::<DevOffset>(256))| {
///     prop_assert!(run.count() <= 8);
/// });
/// ```
pub fn run<S: Space>(unit: u64) -> impl Strategy<Value = Run<S>> {
    drawn_run().prop_filter_map("beyond 64 bits", move |drawn| drawn.build(unit))
}

fn place() -> impl Strategy<Value = DrawnPlace> {
    (0..8_u64, 0..41_u64).prop_map(|(device, start)| DrawnPlace { device, start })
}

/// One to four targets of a table in plain numbers.
///
/// # Examples
/// See the [module](self).
pub fn targets() -> impl Strategy<Value = Vec<DrawnTarget>> {
    let target = prop_oneof![
        2 => (place(), 1..16_u64).prop_map(|(on, len)| DrawnTarget::Linear { on, len }),
        3 => (1..5_u64, 1..5_u64, vec(place(), 1..5))
            .prop_map(|(chunk, rows, legs)| DrawnTarget::Striped { chunk, rows, legs }),
        1 => (1..6_u64).prop_map(|len| DrawnTarget::Error { len }),
        1 => (1..6_u64).prop_map(|len| DrawnTarget::Zero { len }),
    ];
    vec(target, 1..5)
}

/// A table.
///
/// # Examples
/// ```
/// use badrange_core::Mapping;
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(table in strategy::table())| {
///     prop_assert!(table.legs() <= 16);
/// });
/// ```
pub fn table() -> impl Strategy<Value = Table> {
    targets().prop_filter_map("no table", |targets| DrawnTarget::build_table(&targets))
}

/// The text of a table.
///
/// # Examples
/// ```
/// use badrange_block::dm::Table;
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(text in strategy::table_text())| {
///     prop_assert_eq!(Table::parse(&text).unwrap().to_string(), text);
/// });
/// ```
pub fn table_text() -> impl Strategy<Value = String> {
    targets().prop_map(|targets| DrawnTarget::table_text(&targets))
}

/// A namespace in the first pages of memory, with or without metadata.
///
/// # Examples
/// ```
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(namespace in strategy::namespace())| {
///     prop_assert!(namespace.whole().contains_extent(namespace.data()));
/// });
/// ```
pub fn namespace() -> impl Strategy<Value = Namespace> {
    (0..60_u64, 0..3_u64, 512..60 * 512_u64).prop_filter_map(
        "no namespace",
        |(page, below, len)| {
            let start = Pfn::new(page).phys(PageSize::K4)?;
            let offset = below.checked_mul(PageSize::K4.bytes())?;
            let whole = Extent::new(start, offset.checked_add(len)?).ok()?;
            Namespace::new(whole, offset, Mode::Fsdax).ok()
        },
    )
}

/// A few records of a reverse map in plain numbers, which overlap as they like.
///
/// # Examples
/// ```
/// use badrange_testkit::{strategy, twin::FsTwin};
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(records in strategy::drawn_records())| {
///     let twin = FsTwin::new(&records);
///     prop_assert!(records.iter().all(|record| !twin.owners(record.start).is_empty()));
/// });
/// ```
pub fn drawn_records() -> impl Strategy<Value = Vec<FsRecord>> {
    let record = (0..60_u64, 1..16_u64, 0..10_u64, 0..32_u64, any::<bool>());
    let record = record.prop_map(|(start, len, owner, file_start, unwritten)| FsRecord {
        start,
        len,
        owner,
        file_start,
        unwritten,
    });
    vec(record, 0..12)
}

/// A few records of a reverse map, in blocks of `block` bytes.
///
/// # Examples
/// ```
/// use badrange_fs::ReverseMap;
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(records in strategy::records(4096))| {
///     let map: ReverseMap = records.iter().copied().collect();
///     prop_assert!(map.len() <= records.len());
/// });
/// ```
pub fn records(block: u64) -> impl Strategy<Value = Vec<Record>> {
    drawn_records().prop_filter_map("beyond 64 bits", move |records| {
        records.iter().map(|record| record.build(block)).collect()
    })
}

/// Any test case, drawn from bytes as a fuzzer would draw it; shrinks by its bytes.
///
/// # Examples
/// ```
/// use badrange_testkit::{case::{Ranges, TestCase}, strategy};
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(case in strategy::case::<Ranges>())| {
///     case.check();
/// });
/// ```
pub fn case<T: TestCase>() -> impl Strategy<Value = T> {
    drawn::<T>(512)
}

fn drawn<T: for<'a> arbitrary::Arbitrary<'a> + core::fmt::Debug>(
    bytes: usize,
) -> impl Strategy<Value = T> {
    vec(any::<u8>(), bytes)
        .prop_filter_map("too few bytes", |bytes| T::arbitrary(&mut Unstructured::new(&bytes)).ok())
}

/// A small stack with holders.
///
/// # Examples
/// ```
/// use badrange_testkit::strategy;
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(stack in strategy::stack())| {
///     prop_assert!(!stack.grounds.is_empty());
/// });
/// ```
pub fn stack() -> impl Strategy<Value = StackPlan> {
    drawn::<StackPlan>(512)
}

/// A failure somewhere in such a stack.
///
/// # Examples
/// ```
/// use badrange_testkit::{case::{TestCase, WholeStack}, strategy};
/// use proptest::prelude::*;
/// let both = (strategy::stack(), strategy::event());
/// proptest!(ProptestConfig::with_cases(8), |((stack, event) in both)| {
///     WholeStack { stack, events: vec![event] }.check();
/// });
/// ```
pub fn event() -> impl Strategy<Value = Event> {
    (0..8_u64, 0..151_u64, 1..81_u64, any::<bool>()).prop_map(|(on, start, len, removal)| Event {
        on,
        start,
        len,
        removal,
    })
}

/// A small stack with holders, and what fails in it.
///
/// # Examples
/// ```
/// use badrange_testkit::{case::TestCase, strategy};
/// use proptest::prelude::*;
/// proptest!(ProptestConfig::with_cases(8), |(case in strategy::whole_stack())| {
///     case.check();
/// });
/// ```
pub fn whole_stack() -> impl Strategy<Value = WholeStack> {
    (stack(), vec(event(), 1..4)).prop_map(|(stack, events)| WholeStack { stack, events })
}
