//! The ledger against one number per page.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers, and a panic is a failed test"
)]

use badrange_core::{DevOffset, PageSize};
use proptest::prelude::*;

use super::*;

fn pages(start: u64, len: u64) -> Extent<Pfn> {
    Extent::new(Pfn::new(start), len).unwrap()
}

#[test]
fn the_last_pfn_of_all_is_a_page_too() {
    let ledger = PoisonLedger::new();
    let last = pages(u64::MAX - 1, 1);
    assert_eq!(ledger.fail(last), 1);
    assert_eq!(ledger.failed_in(pages(0, u64::MAX)), [last]);
    assert_eq!(ledger.clear(last, ledger.token()).pages, 1);
    assert_eq!(ledger.failed_pages(), 0);
}

/// The ledger counts what an event unmaps: every page that failed, whoever handled it, once. What
/// is around it hears of everything.
#[test]
fn accounting_counts_pages_and_passes_everything_on() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);
    impl Fallback for Heard {
        fn memory_failure(&self, page: Granule, _: MfFlags) {
            self.0.lock().push(format!("one {page}"));
        }
        fn memory_failure_run(&self, pages: Granules, _: MfFlags) {
            self.0.lock().push(format!("run {pages}"));
        }
        fn unmap(&self, pages: Granules) {
            self.0.lock().push(format!("unmap {pages}"));
        }
    }
    let (ledger, heard) = (Arc::new(PoisonLedger::new()), Arc::new(Heard::default()));
    let accounting = ledger.accounting(heard.clone());
    let bytes = Extent::new(DevOffset::new(2 * 65536 - 1), 2).unwrap();
    let run = Granules::containing(bytes, PageSize::K64);
    accounting.memory_failure(run.iter().next().unwrap(), MfFlags::NONE);
    accounting.memory_failure_run(run, MfFlags::NONE);
    assert_eq!(ledger.failed_pages(), 0, "nothing counts twice");
    accounting.unmap(run);
    accounting.clone().unmap(run);
    assert_eq!(ledger.failed_in(pages(0, 100)), [pages(1, 2)]);
    let all = ["one pfn 0x1", "run pfns [0x1..0x3)", "unmap pfns [0x1..0x3)"];
    assert_eq!(*heard.0.lock(), [all[0], all[1], all[2], all[2]]);
}

#[derive(Debug, Clone)]
enum Op {
    Fail(u64, u64),
    FailEvery { start: u64, len: u64, stride: u64, count: u64 },
    TakeToken,
    Clear { start: u64, len: u64, token: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let token = any::<prop::sample::Index>();
    prop_oneof![
        4 => (0..50_u64, 1..15_u64).prop_map(|(start, len)| Op::Fail(start, len)),
        1 => (0..20_u64, 1..4_u64, 0..4_u64, 1..4_u64).prop_map(|(start, len, gap, count)| {
            Op::FailEvery { start, len, stride: len + gap, count }
        }),
        1 => Just(Op::TakeToken),
        3 => (0..50_u64, 1..15_u64, token).prop_map(|(start, len, token)| {
            Op::Clear { start, len, token: token.index(8) }
        }),
    ]
}

proptest! {
    /// A page is bad from a failure on until a clear whose token is not older than its last
    /// failure; the count is the number of bad pages.
    #[test]
    fn a_page_is_bad_until_its_last_failure_is_cleared(ops in prop::collection::vec(op(), 0..30)) {
        let ledger = PoisonLedger::new();
        let mut twin: Vec<Option<usize>> = vec![None; 100]; // when each page failed last
        let mut tokens = vec![(ledger.token(), 0)];
        for (now, op) in (1..).zip(ops) {
            match op {
                Op::Fail(start, len) => {
                    let hit = &mut twin[start as usize..(start + len) as usize];
                    let fresh = hit.iter().filter(|page| page.is_none()).count() as u64;
                    hit.fill(Some(now));
                    prop_assert_eq!(ledger.fail(pages(start, len)), fresh);
                }
                Op::FailEvery { start, len, stride, count } => {
                    let run = Run::new(pages(start, len), stride, count).unwrap();
                    let mut fresh = 0;
                    for page in run.elements().flat_map(|e| e.start().get()..e.end().get()) {
                        fresh += u64::from(twin[page as usize].replace(now).is_none());
                    }
                    prop_assert_eq!(ledger.fail(run), fresh);
                }
                Op::TakeToken => tokens.push((ledger.token(), now)),
                Op::Clear { start, len, token } => {
                    let (token, taken) = tokens[token % tokens.len()];
                    let mut expected = Cleared { pages: 0, newer: 0 };
                    for page in &mut twin[start as usize..(start + len) as usize] {
                        match *page {
                            None => {}
                            Some(failed) if failed > taken => expected.newer += 1,
                            Some(_) => {
                                expected.pages += 1;
                                *page = None;
                            }
                        }
                    }
                    prop_assert_eq!(ledger.clear(pages(start, len), token), expected);
                }
            }
            let bad: Vec<u64> = (0..100).filter(|page| twin[*page as usize].is_some()).collect();
            let parts = ledger.failed_in(pages(0, 1000));
            let said: Vec<u64> =
                parts.iter().flat_map(|e| e.start().get()..e.end().get()).collect();
            prop_assert_eq!(&said, &bad);
            prop_assert!(parts.windows(2).all(|w| w[0].end() < w[1].start()));
            prop_assert_eq!(ledger.failed_pages(), bad.len() as u64);
        }
    }
}
