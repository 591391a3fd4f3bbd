//! What layers say of their redundancy is checked.

use super::*;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// More than was asked.
    NotClipped,
    /// The copy on the leg itself.
    OwnCopy,
    /// A copy of another length.
    Shorter,
    /// A copy beyond the end of its leg.
    Beyond,
    /// The same twice.
    Twice,
    /// The same copy as two sources.
    SourceTwice,
    /// Another byte than the copy is.
    OtherByte,
    /// It takes none of the sources.
    NeedsNone,
    /// Bytes of the device called parity.
    Parity,
    /// One answer for a whole and another for its halves.
    ByLength,
    /// Throws the sink's answer away.
    DoesNotStop,
    /// Says that it is broken.
    Broken,
    /// A leg that is not there.
    NoLeg,
}

/// Two copies of 4096 bytes, at 0 and at 1000 of their legs.
#[derive(Debug)]
struct Copies(Wrong);

impl Copies {
    fn is(&self, wrong: Wrong) -> bool {
        self.0 == wrong
    }

    fn link(leg: u32) -> Link {
        Link::at(at(u64::from(leg) * 1000, 4096), DevOffset::new(0)).unwrap()
    }

    fn backing(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        let other = 1 - leg.index();
        let asked =
            if self.is(Wrong::NotClipped) { Self::link(leg.index()).lower() } else { lower };
        let link = Self::link(leg.index()).of_lower(asked).unwrap();
        let copy = Self::link(other).of_upper(link.upper()).unwrap().lower();
        let moved = |by: u64| {
            let first = at(copy.first().start().get() + by, copy.element_len());
            Run::new(first, copy.stride(), copy.count()).unwrap()
        };
        let copy = match self.0 {
            Wrong::Shorter if copy.element_len() > 1 => {
                let first = at(copy.first().start().get(), copy.element_len() - 1);
                Run::new(first, copy.stride(), copy.count()).unwrap()
            }
            Wrong::Beyond => moved(4096),
            Wrong::OtherByte if copy.span().end().get() < 4000 => moved(1),
            _ => copy,
        };
        let at = match self.0 {
            Wrong::OwnCopy => leg,
            Wrong::NoLeg => Leg::new(2),
            _ => Leg::new(other),
        };
        let sources = [(at, copy), (at, copy)];
        let sources = if self.is(Wrong::SourceTwice) { &sources[..] } else { &sources[..1] };
        let none = self.is(Wrong::ByLength) && lower.total_len() < 1024;
        let parity = self.is(Wrong::Parity) && lower.total_len() < 16;
        let kind = if parity { BackingKind::Parity } else { BackingKind::Copy };
        let needed = usize::from(!self.is(Wrong::NeedsNone));
        let sources = if none { &[] } else { sources };
        sink(Backing { lower: asked, kind, needed, sources })
    }
}

impl Mapping for Copies {
    fn extent(&self) -> Extent {
        at(0, 4096)
    }
    fn legs(&self) -> u32 {
        2
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (leg.index() < 2).then(|| Self::link(leg.index()).lower().span())
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        for leg in 0..2 {
            for link in Self::link(leg).clip_upper(upper) {
                sink(Mapped::To { leg: Leg::new(leg), link })?;
            }
        }
        beyond(self.extent(), upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match leg.index() {
            0 | 1 => Self::link(leg.index()).rmap(lower, sink),
            _ => ControlFlow::Continue(()),
        }
    }
    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        if self.is(Wrong::Broken) {
            return ControlFlow::Break(Stop::Broken("the members do not fit"));
        }
        let Some(area) = self.leg_extent(leg) else { return ControlFlow::Continue(()) };
        for part in lower.clip(area) {
            let flow = self.backing(leg, part, sink);
            if self.is(Wrong::Twice) {
                self.backing(leg, part, sink)?;
            }
            if !self.is(Wrong::DoesNotStop) {
                flow?;
            }
        }
        ControlFlow::Continue(())
    }
}

fn found(wrong: Wrong) -> Violation {
    mapping(&Copies(wrong), &Config::DEFAULT).unwrap_err()
}

#[test]
fn two_copies_keep_the_laws() {
    passes(&Copies(Wrong::Nothing));
}

#[test]
fn what_is_wrong_about_redundancy_is_law_6() {
    for wrong in [
        Wrong::NotClipped,
        Wrong::OwnCopy,
        Wrong::Shorter,
        Wrong::Beyond,
        Wrong::Twice,
        Wrong::SourceTwice,
        Wrong::OtherByte,
        Wrong::NeedsNone,
        Wrong::Parity,
        Wrong::ByLength,
        Wrong::NoLeg,
    ] {
        let violation = found(wrong);
        assert_eq!(violation.law(), Law::Redundancy, "{wrong:?}: {violation}");
        assert!(matches!(violation.case(), Case::Redundancy { .. }), "{violation}");
        let again = violation.case().check_mapping(&Copies(wrong), &Config::DEFAULT);
        assert_eq!(again, Err(violation));
    }
    assert_eq!(found(Wrong::Broken).law(), Law::Total);
    assert!(found(Wrong::Broken).detail().ends_with("the members do not fit"));
    assert_eq!(found(Wrong::DoesNotStop).law(), Law::Stops);
}
