//! What `arbitrary` makes of bytes.

use ::arbitrary::{Arbitrary, Unstructured};

use super::*;

fn drawn<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> T {
    T::arbitrary(&mut Unstructured::new(bytes)).unwrap()
}

/// That no more bytes are taken than the type says.
fn takes_what_it_says<T: for<'a> Arbitrary<'a>>() {
    let (least, most) = T::size_hint(0);
    let bytes = [0xa5; 256];
    let mut u = Unstructured::new(&bytes);
    T::arbitrary(&mut u).unwrap();
    let taken = bytes.len() - u.len();
    assert!(least <= taken && most.is_some_and(|most| taken <= most), "{taken} {least} {most:?}");
}

proptest! {
    /// The constructors accept what was drawn, so the invariants hold.
    #[test]
    fn any_bytes_make_a_value_that_can_be_built(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let extent: Extent = drawn(&bytes);
        prop_assert_eq!(Extent::new(extent.start(), extent.len()), Ok(extent));
        let run: Run<Pfn> = drawn(&bytes);
        let first = Extent::new(run.first().start(), run.element_len()).unwrap();
        prop_assert_eq!(Run::new(first, run.stride(), run.count()), Ok(run));
        prop_assert!(run.total_len() <= run.span().len());
        let link: Link = drawn(&bytes);
        prop_assert_eq!(Link::new(link.lower(), link.upper()), Ok(link));
        for side in [link.lower(), link.upper()] {
            prop_assert_eq!(Run::new(side.first(), side.stride(), side.count()), Ok(side));
        }
        prop_assert_eq!(PageSize::new(drawn::<PageSize>(&bytes).bytes()), Ok(drawn(&bytes)));
        prop_assert_eq!(BlockSize::new(drawn::<BlockSize>(&bytes).get()), Ok(drawn(&bytes)));
    }
}

/// Values drawn from many different bytes.
fn many<T: for<'a> Arbitrary<'a>>() -> Vec<T> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut draw = || drawn(&core::array::from_fn::<u8, 96, _>(|_| next()));
    (0..4000).map(|_| draw()).collect()
}

#[test]
fn values_of_every_kind_come_out() {
    let extents: Vec<Extent> = many();
    assert!(extents.iter().any(|e| e.end().get() == u64::MAX), "to the end of the scale");
    assert!(extents.iter().any(|e| e.start().get() == 0 && e.len() == 1));
    assert!(extents.iter().any(|e| e.len() > 1 << 62));
    assert!(extents.iter().any(|e| e.start().get() < SCALE && e.len() < SCALE), "small ones");

    let runs: Vec<Run> = many();
    assert!(runs.iter().any(|run| run.count() == 1));
    assert!(runs.iter().any(|run| run.count() > 1 << 32));
    assert!(runs.iter().any(|run| run.count() > 1 && run.as_extent().is_some()), "elements touch");
    assert!(runs.iter().any(|run| run.count() > 1 && run.as_extent().is_none()), "with gaps");
    assert!(
        runs.iter().any(|run| run.count() > 1 && run.span().end().get() < 1 << 20),
        "small ones"
    );

    let links: Vec<Link> = many();
    assert!(links.iter().any(|link| link.lower().stride() != link.upper().stride()));
    let outcomes: Vec<Outcome> = many();
    for kind in [Outcome::Nothing, Outcome::Handled, Outcome::NotSupported] {
        assert!(outcomes.contains(&kind));
    }
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_))));
    let kinds: Vec<HoleKind> = many();
    for kind in [HoleKind::Error, HoleKind::Zero, HoleKind::Unmapped] {
        assert!(kinds.contains(&kind));
    }
    let sizes: BTreeSet<u64> = many::<PageSize>().into_iter().map(PageSize::bytes).collect();
    assert_eq!(sizes.len(), 64 - 9);
    let flags: BTreeSet<u8> = many::<MfFlags>().into_iter().map(MfFlags::bits).collect();
    assert_eq!(flags.len(), 256);
    let ids: Vec<DeviceId> = many();
    assert!(ids.iter().any(|id| id.stack() != id.index() && id.index() != id.generation()));
}

#[test]
fn no_type_takes_more_bytes_than_it_says() {
    takes_what_it_says::<Extent>();
    takes_what_it_says::<Run>();
    takes_what_it_says::<Link>();
    takes_what_it_says::<DevOffset>();
    takes_what_it_says::<PhysAddr>();
    takes_what_it_says::<Pfn>();
    takes_what_it_says::<Sector>();
    takes_what_it_says::<FileOffset>();
    takes_what_it_says::<FsBlock>();
    takes_what_it_says::<BlockSize>();
    takes_what_it_says::<PageSize>();
    takes_what_it_says::<MfFlags>();
    takes_what_it_says::<Outcome>();
    takes_what_it_says::<Errno>();
    takes_what_it_says::<DeviceId>();
    takes_what_it_says::<Leg>();
    takes_what_it_says::<HoleKind>();
}
