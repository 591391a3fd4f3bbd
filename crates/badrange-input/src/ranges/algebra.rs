//! Sets of bad ranges: and, or, not.

use std::collections::BTreeMap;

use badrange_core::{DevOffset, Extent, PhysAddr};

use super::place::{NamedRange, Place, RangeList};

/// Which bytes of two lists are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Both,
    Either,
    FirstOnly,
}

impl RangeList {
    /// Bytes that both lists name. Of two claims the weaker counts; lines are those of this list.
    ///
    /// Physical memory is one space, whether pages or bytes are named. What nobody can place is kept
    /// from both lists.
    ///
    /// # Examples
    /// ```
    /// use badrange_input::{RangeOptions, read_ranges};
    /// let read = |text: &str| read_ranges(text.as_bytes(), &RangeOptions::default());
    /// let shown = |list: badrange_input::RangeList| {
    ///     list.ranges.iter().map(|r| r.place.to_string()).collect::<Vec<_>>().join(" ")
    /// };
    /// let (a, b) = (read("0 8\n16 8\n")?, read("4 16\n")?);
    /// assert_eq!(shown(a.clone().and(b.clone())), "?:4+4 ?:16+4");
    /// assert_eq!(shown(a.clone().or(b.clone())), "?:0+24");
    /// assert_eq!(shown(a.not(b)), "?:0+4 ?:20+4");
    /// # Ok::<(), badrange_input::ParseError>(())
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.combine(other, Keep::Both)
    }

    /// Bytes that either list names, each once. Of two claims the stronger counts.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.combine(other, Keep::Either)
    }

    /// Bytes that this list names and the other does not.
    #[must_use]
    pub fn not(self, other: Self) -> Self {
        self.combine(other, Keep::FirstOnly)
    }

    fn combine(mut self, other: Self, keep: Keep) -> Self {
        let (mut spaces, mut others): (Spaces, Vec<NamedRange>) = (BTreeMap::new(), Vec::new());
        let second = other.ranges.into_iter().map(|range| (range, true));
        let all = self.ranges.into_iter().map(|range| (range, false)).chain(second);
        for (range, second) in all {
            match space(&range.place) {
                Some((space, start, end)) => {
                    spaces.entry(space).or_default().push(Claim { start, end, range, second });
                }
                // Blocks of unknown size are in no set: what is not taken away is kept.
                None if !second || keep == Keep::Either => others.push(range),
                None => {}
            }
        }
        self.ranges = spaces.into_values().flat_map(|claims| sweep(&claims, keep)).collect();
        self.ranges.extend(others);
        self.ranges.sort_by(|a, b| (a.line, &a.place).cmp(&(b.line, &b.place)));
        if keep != Keep::FirstOnly {
            self.unplaced.extend(other.unplaced);
        }
        self.truncated = self.truncated.or(other.truncated);
        self
    }
}

/// Ranges by what they are ranges of: a device by its name, or memory.
type Spaces = BTreeMap<(bool, Option<String>), Vec<Claim>>;

struct Claim {
    start: u64,
    end: u64,
    range: NamedRange,
    second: bool,
}

fn space(place: &Place) -> Option<((bool, Option<String>), u64, u64)> {
    match place {
        Place::Device { device, extent } => {
            Some(((false, device.clone()), extent.start().get(), extent.end().get()))
        }
        Place::Pages(extent, _) | Place::Memory(extent) => {
            Some(((true, None), extent.start().get(), extent.end().get()))
        }
        Place::Blocks { .. } => None,
    }
}

/// Between any two neighbouring bounds the same claims hold.
fn sweep(claims: &[Claim], keep: Keep) -> Vec<NamedRange> {
    let mut bounds: Vec<(u64, bool, usize)> = Vec::new();
    for (at, claim) in claims.iter().enumerate() {
        bounds.push((claim.start, true, at));
        bounds.push((claim.end, false, at));
    }
    bounds.sort_unstable();
    let mut active = [std::collections::BTreeSet::new(), std::collections::BTreeSet::new()];
    let mut out: Vec<NamedRange> = Vec::new();
    let mut from = 0;
    for (at, begins, claim) in bounds {
        if at > from {
            push(&mut out, from, at, decide(claims, &active, keep));
        }
        from = at;
        let Some(second) = claims.get(claim).map(|c| c.second) else { continue };
        let [one, two] = &mut active;
        let set = if second { two } else { one };
        if begins {
            set.insert(claim);
        } else {
            set.remove(&claim);
        }
    }
    out
}

/// The claim that counts where these hold.
fn decide(
    claims: &[Claim],
    [first, second]: &[std::collections::BTreeSet<usize>; 2],
    keep: Keep,
) -> Option<NamedRange> {
    let best = |set: &std::collections::BTreeSet<usize>| {
        let ranges = set.iter().filter_map(|at| claims.get(*at)).map(|claim| &claim.range);
        ranges.min_by_key(|range| (range.confidence, range.line)).cloned()
    };
    match (keep, best(first), best(second)) {
        (Keep::Both, Some(mut one), Some(two)) => {
            one.confidence = one.confidence.max(two.confidence);
            Some(one)
        }
        (Keep::Either, Some(one), Some(two)) if two.confidence < one.confidence => Some(two),
        (Keep::Either, one, two) => one.or(two),
        (Keep::FirstOnly, one, None) => one,
        (Keep::Both | Keep::FirstOnly, ..) => None,
    }
}

/// Adds bytes to the last range where the same claim goes on.
fn push(out: &mut Vec<NamedRange>, from: u64, to: u64, claim: Option<NamedRange>) {
    let Some(mut claim) = claim else { return };
    let grown = out.last_mut().is_some_and(|last| {
        let goes_on = space(&last.place).is_some_and(|(.., end)| end == from)
            && last.confidence == claim.confidence
            && (last.line == claim.line || claim.confidence == crate::Confidence::Exact);
        if let (true, Some((_, start, _))) = (goes_on, space(&last.place)) {
            last.place = between(&last.place, start, to).unwrap_or_else(|| last.place.clone());
            last.line = last.line.min(claim.line);
        }
        goes_on
    });
    if !grown {
        if let Some(place) = between(&claim.place, from, to) {
            claim.place = place;
            out.push(claim);
        }
    }
}

/// Other bytes of the same space.
fn between(place: &Place, start: u64, end: u64) -> Option<Place> {
    Some(match place {
        Place::Device { device, .. } => Place::Device {
            device: device.clone(),
            extent: Extent::from_bounds(DevOffset::new(start), DevOffset::new(end)).ok()?,
        },
        Place::Pages(_, page) => {
            let extent = Extent::from_bounds(PhysAddr::new(start), PhysAddr::new(end)).ok()?;
            let whole = extent.whole_pages(*page).and_then(|pages| pages.bytes(*page).ok());
            if whole == Some(extent) { Place::Pages(extent, *page) } else { Place::Memory(extent) }
        }
        Place::Memory(_) => {
            Place::Memory(Extent::from_bounds(PhysAddr::new(start), PhysAddr::new(end)).ok()?)
        }
        Place::Blocks { .. } => return None,
    })
}
