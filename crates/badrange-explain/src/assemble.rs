//! From what stands above the bytes of a query to pieces that cover it exactly.

use core::num::NonZeroU64;

use badrange_core::{Cover, DevOffset, DeviceId, Extent, PhysAddr, Run, Space, sweep};
use badrange_fs::{FileId, Fork, Owner, Record, Special};
use badrange_input::{Filesystem, Topology};

use crate::{
    Explainer, Explanation, OwnerFound, PieceFound, Position, Query, Redundancy, Verdict,
    build::Finding, contents::Content,
};

/// More elements than this are not spelled out: the pieces then carry stride and count.
const MAX_SPELLED_OUT: u64 = 1 << 16;

/// The answer to a query in physical memory.
pub(crate) fn memory(
    explainer: &Explainer,
    query: &Query,
    asked: Extent<PhysAddr>,
    found: &[Finding],
) -> Explanation {
    let base = asked.start().get();
    let end = explainer.topology().memory().size.unwrap_or(u64::MAX);
    let unreached = Unreached {
        trail: Vec::new(),
        inside: Verdict::NoOwner,
        // Counted from the first byte of the query.
        end: end.saturating_sub(base),
    };
    let question = Question { explainer, base, len: asked.len_nonzero(), unreached };
    question.explanation(query, "phys", found, None)
}

/// The answer to a query on a device.
pub(crate) fn device(
    explainer: &Explainer,
    query: &Query,
    place: usize,
    asked: Extent,
    found: &[Finding],
) -> Explanation {
    let Some(device) = explainer.topology().devices().get(place) else {
        return explanation_of(query, "", asked.start().get(), asked.len(), Vec::new());
    };
    let base = asked.start();
    let unreached = Unreached {
        trail: vec![(place, base)],
        // Every byte of a device has contents.
        inside: Verdict::Device,
        end: device.extent.end().get().saturating_sub(base.get()),
    };
    let question = Question { explainer, base: base.get(), len: asked.len_nonzero(), unreached };
    // Asked through a view, the way up begins with the view instead of what it is a view of.
    let view = explainer.seen_from(place).filter(|(id, _)| explainer.place(*id) != Some(place));
    question.explanation(query, &device.name, found, view.map(|(_, start)| (place, start)))
}

fn explanation_of(
    query: &Query,
    device: &str,
    start: u64,
    len: u64,
    pieces: Vec<PieceFound>,
) -> Explanation {
    Explanation {
        at: query.at.clone(),
        device: device.to_owned(),
        start,
        len,
        confidence: query.confidence,
        line: query.line,
        pieces,
    }
}

/// What bytes are that the walk met nothing on.
struct Unreached {
    trail: Vec<(usize, DevOffset)>,
    inside: Verdict,
    /// The end of the space that was asked about, counted from the first byte of the query.
    end: u64,
}

impl Unreached {
    /// For bytes from `at` on, which lie on one side of the end.
    fn route(&self, at: u64) -> Route {
        let verdict = if at < self.end { self.inside } else { Verdict::Outside };
        Route::plain(self.trail.clone(), verdict).later(at)
    }
}

/// A query on its way to its pieces.
struct Question<'e> {
    explainer: &'e Explainer,
    /// First byte of the query in its space, and how many.
    base: u64,
    len: NonZeroU64,
    unreached: Unreached,
}

impl Question<'_> {
    fn topology(&self) -> &Topology {
        self.explainer.topology()
    }

    /// All of the query, counted from its first byte.
    fn window(&self) -> Extent {
        Extent::from_zero(self.len)
    }

    fn explanation(
        &self,
        query: &Query,
        device: &str,
        found: &[Finding],
        view: Option<(usize, DevOffset)>,
    ) -> Explanation {
        let found: Vec<Found> = found.iter().map(|f| self.found(f, view)).collect();
        let elements = found.iter().map(|f| f.origin.count()).fold(0_u64, u64::saturating_add);
        let pieces = if elements <= MAX_SPELLED_OUT || any_overlap(&found) {
            self.contiguous(found.iter().flat_map(Found::spell_out).collect())
        } else {
            self.strided(&found)
        };
        explanation_of(query, device, self.base, self.len.get(), pieces)
    }

    /// A finding with its trail over devices of the topology.
    fn found(&self, finding: &Finding, view: Option<(usize, DevOffset)>) -> Found {
        let hops = finding.way.iter();
        let mut trail: Vec<(usize, Run)> =
            hops.filter_map(|hop| Some((self.explainer.place(hop.device)?, hop.at))).collect();
        if let (Some((place, start)), Some((first, run))) = (view, trail.first_mut()) {
            let seen = run.rebase(start, DevOffset::new(0));
            debug_assert!(seen.is_some(), "what is asked through a view is in the view");
            (*first, *run) = (place, seen.unwrap_or(*run));
        }
        let place = |device: &DeviceId| self.explainer.place(*device);
        let rebuilt = finding.rebuilt.as_ref().map(|from| from.iter().filter_map(place).collect());
        let content = finding.content.clone();
        Found { origin: finding.origin, trail, content, rebuilt, too_many: finding.too_many }
    }
}

/// A finding in devices of the topology.
struct Found {
    origin: Run,
    trail: Vec<(usize, Run)>,
    content: Content,
    rebuilt: Option<Vec<usize>>,
    too_many: bool,
}

/// One way up of some bytes, and what they are at its end. Positions are those of the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    trail: Vec<(usize, DevOffset)>,
    content: Content,
    /// The devices that an array has the bytes from once more.
    rebuilt: Option<Vec<usize>>,
    too_many: bool,
}

impl Route {
    fn plain(trail: Vec<(usize, DevOffset)>, verdict: Verdict) -> Self {
        Self { trail, content: Content::Plain(verdict), rebuilt: None, too_many: false }
    }

    /// The same route for bytes that begin `by` later.
    fn later(&self, by: u64) -> Self {
        let move_up = |at: &DevOffset| at.checked_add(by).unwrap_or(*at);
        let trail = self.trail.iter().map(|(place, at)| (*place, move_up(at))).collect();
        let content = match &self.content {
            Content::Plain(verdict) => Content::Plain(*verdict),
            Content::Filesystem { fs, at, records } => {
                Content::Filesystem { fs: *fs, at: move_up(at), records: records.clone() }
            }
        };
        Self { trail, content, rebuilt: self.rebuilt.clone(), too_many: self.too_many }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        match &self.content {
            Content::Plain(verdict) => vec![*verdict],
            Content::Filesystem { records, .. } if records.is_empty() => vec![Verdict::FsUnknown],
            Content::Filesystem { records, .. } => records.iter().map(Verdict::of_record).collect(),
        }
    }

    /// Which metadata it is that gives this verdict, for verdicts that say so.
    fn what(&self, verdict: Verdict) -> Option<Special> {
        let Content::Filesystem { records, .. } = &self.content else { return None };
        let gives_it = records.iter().filter(|record| Verdict::of_record(record) == verdict);
        gives_it.into_iter().find_map(|record| match record.owner {
            Owner::Special(Special::Free | Special::Unknown) | Owner::File { .. } => None,
            Owner::Special(special) => Some(special),
        })
    }

    fn owners(&self, topology: &Topology, len: u64) -> Vec<OwnerFound> {
        let Content::Filesystem { fs, at, records } = &self.content else { return Vec::new() };
        let Some(filesystem) = topology.filesystems().get(*fs) else { return Vec::new() };
        let device = topology.devices().get(filesystem.device);
        let name = device.map_or("", |d| d.name.as_str());
        records.iter().filter_map(|r| owner(filesystem, name, *at, r, len)).collect()
    }
}

fn owner(
    filesystem: &Filesystem,
    fs: &str,
    at: DevOffset,
    record: &Record,
    len: u64,
) -> Option<OwnerFound> {
    let Owner::File { id, fork } = record.owner else { return None };
    let (ino, paths) = match id {
        FileId::Ino(ino) => (Some(ino), filesystem.paths.get(&ino).cloned().unwrap_or_default()),
        FileId::Name(number) => {
            let place = usize::try_from(number).ok();
            (None, place.and_then(|p| filesystem.names.get(p)).cloned().into_iter().collect())
        }
    };
    let start = record.file_at(at).map(badrange_core::FileOffset::get);
    debug_assert!(start.is_some() || fork == Fork::ExtentMap, "a clipped record holds its bytes");
    let len = start.map(|_| len);
    Some(OwnerFound { fs: fs.to_owned(), ino, fork: fork.as_str(), start, len, paths })
}

impl Found {
    /// As contiguous parts of the query, each with its route.
    fn spell_out(&self) -> impl Iterator<Item = (Extent, Route)> + '_ {
        self.origin.elements().zip(0..).map(|(origin, index)| {
            let nth = |run: &Run| run.element(index).map(|e| e.start());
            let trail = self.trail.iter().filter_map(|(place, run)| Some((*place, nth(run)?)));
            let content = match &self.content {
                Content::Plain(verdict) => Content::Plain(*verdict),
                Content::Filesystem { fs, at, records } => {
                    let last = self.trail.last().and_then(|(_, run)| nth(run));
                    Content::Filesystem {
                        fs: *fs,
                        at: last.unwrap_or(*at),
                        records: records.clone(),
                    }
                }
            };
            let (rebuilt, too_many) = (self.rebuilt.clone(), self.too_many);
            (origin, Route { trail: trail.collect(), content, rebuilt, too_many })
        })
    }
}

/// Whether some bytes have several findings.
fn any_overlap(found: &[Found]) -> bool {
    let mut spans: Vec<_> = found.iter().map(|f| f.origin).collect();
    spans.sort_by_key(|run| run.first().start());
    let mut ends = spans.iter().zip(spans.iter().skip(1));
    ends.any(|(a, b)| a.span().end() > b.first().start() && a.overlaps(b).next().is_some())
}

impl Question<'_> {
    /// Cuts the query wherever a finding begins or ends, and joins what continues.
    fn contiguous(&self, spans: Vec<(Extent, Route)>) -> Vec<PieceFound> {
        let mut joiner =
            Joiner { topology: self.topology(), base: self.base, done: Vec::new(), open: None };
        sweep(self.window(), spans, &mut |part, active| {
            let at = part.start();
            let later = |(origin, route): &(Extent, Route)| {
                route.later(at.get().saturating_sub(origin.start().get()))
            };
            let mut routes: Vec<Route> = active.iter().map(later).collect();
            if routes.is_empty() {
                return self.each_unreached(part, &mut |part, route| {
                    joiner.push(part.start().get(), part.len(), vec![route]);
                });
            }
            // The order of the walk is not the same for every byte.
            routes.sort_by(|a, b| a.trail.cmp(&b.trail));
            joiner.push(at.get(), part.len(), routes);
        });
        joiner.finish()
    }

    /// Cuts bytes that the walk met nothing on at the end of the space.
    fn each_unreached(&self, part: Extent, sink: &mut dyn FnMut(Extent, Route)) {
        let (inside, outside) = part.split_at(DevOffset::new(self.unreached.end));
        for part in inside.into_iter().chain(outside) {
            sink(part, self.unreached.route(part.start().get()));
        }
    }
}

/// Joins neighbours in which everything continues.
struct Joiner<'t> {
    topology: &'t Topology,
    base: u64,
    done: Vec<PieceFound>,
    open: Option<Open>,
}

/// A piece that may still grow: its beginning, its routes there, and every verdict so far by route.
struct Open {
    start: u64,
    len: u64,
    routes: Vec<Route>,
    says: Vec<Vec<Verdict>>,
}

impl Joiner<'_> {
    fn push(&mut self, start: u64, len: u64, routes: Vec<Route>) {
        let says = telling(&routes);
        if let Some(open) = &mut self.open {
            if continues(&open.routes, open.len, &routes) {
                // NO-OVERFLOW: both are parts of one query.
                open.len = open.len.wrapping_add(len);
                // What continues has the same routes in the same order.
                for (all, more) in open.says.iter_mut().zip(says) {
                    all.extend(more);
                    *all = sorted(core::mem::take(all));
                }
                return;
            }
        }
        self.close();
        self.open = Some(Open { start, len, routes, says });
    }

    fn close(&mut self) {
        if let Some(Open { start, len, routes, says }) = self.open.take() {
            // NO-OVERFLOW: an offset into the query.
            let start = self.base.wrapping_add(start);
            self.done.push(piece(self.topology, start, len, None, &routes, says));
        }
    }

    fn finish(mut self) -> Vec<PieceFound> {
        self.close();
        self.done
    }
}

/// Whether `next` goes on where `open` ends after `len` bytes: every position, every owner, and
/// what the bytes are. Record boundaries alone do not part them.
fn continues(open: &[Route], len: u64, next: &[Route]) -> bool {
    let trails = |routes: &[Route], by: u64| {
        let moved = |(place, at): &(usize, DevOffset)| (*place, at.get().checked_add(by));
        routes.iter().map(|r| r.trail.iter().map(moved).collect()).collect::<Vec<Vec<_>>>()
    };
    trails(open, len) == trails(next, 0) && Sense::of(open, len) == Sense::of(next, 0)
}

/// What a piece says besides its positions, owners by their place `by` bytes later.
#[derive(Debug, PartialEq, Eq)]
struct Sense {
    verdict: Verdict,
    lost: Option<bool>,
    what: Option<Special>,
    owners: Vec<(usize, FileId, Fork, Option<u64>)>,
    redundancy: Option<Vec<usize>>,
}

impl Sense {
    fn of(routes: &[Route], by: u64) -> Self {
        let verdicts: Vec<_> = routes.iter().flat_map(Route::verdicts).collect();
        let mut owners = Vec::new();
        for route in routes {
            let Content::Filesystem { fs, at, records } = &route.content else { continue };
            for record in records {
                let Owner::File { id, fork } = record.owner else { continue };
                let start = record.file_at(*at).and_then(|start| start.get().checked_add(by));
                owners.push((*fs, id, fork, start));
            }
        }
        owners.sort_unstable();
        owners.dedup();
        // The order of the verdicts is their precedence.
        let verdict = verdicts.iter().min().copied().unwrap_or(Verdict::Outside);
        Self {
            verdict,
            lost: combined_loss(routes),
            what: routes.iter().find_map(|route| route.what(verdict)),
            owners,
            redundancy: redundancy(routes),
        }
    }
}

/// One piece of the answer.
fn piece(
    topology: &Topology,
    start: u64,
    len: u64,
    repeat: Option<(u64, u64)>,
    routes: &[Route],
    says: Vec<Vec<Verdict>>,
) -> PieceFound {
    let Sense { verdict, lost, what, redundancy, .. } = Sense::of(routes, 0);
    let mut owners: Vec<_> = routes.iter().flat_map(|r| r.owners(topology, len)).collect();
    owners.sort();
    owners.dedup();
    let name =
        |place: &usize| topology.devices().get(*place).map_or_else(String::new, |d| d.name.clone());
    let position = |(place, at): &(usize, DevOffset)| Position {
        device: name(place),
        start: at.get(),
        stride: None,
    };
    let route_positions = |r: &Route| r.trail.iter().map(position).collect::<Vec<_>>();
    let verdicts = sorted(says.concat());
    let mut ways: Vec<_> = routes.iter().map(route_positions).zip(says).collect();
    ways.sort_by(|(a, _), (b, _)| by_names(a).cmp(by_names(b)));
    if let [(only, _)] = ways.as_slice() {
        if only.is_empty() {
            ways.clear();
        }
    }
    let (ways, says) = ways.into_iter().unzip();
    PieceFound {
        start,
        len,
        repeat,
        routes: ways,
        verdict,
        verdicts,
        says,
        what: what.map(|special| special.to_string()),
        lost,
        redundancy: redundancy.map(|from| Redundancy { from: from.iter().map(name).collect() }),
        too_many: routes.iter().any(|route| route.too_many),
        owners,
    }
}

fn sorted(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    verdicts.sort();
    verdicts.dedup();
    verdicts
}

/// Devices and places of a way, to put several in order.
fn by_names(way: &[Position]) -> impl Iterator<Item = (&str, u64)> {
    way.iter().map(|hop| (hop.device.as_str(), hop.start))
}

/// What the routes say that nothing can rebuild; if all can be rebuilt, what all say.
fn telling(routes: &[Route]) -> Vec<Vec<Verdict>> {
    let all = routes.iter().all(|route| route.rebuilt.is_some());
    let told = |route: &Route| all || route.rebuilt.is_none();
    routes.iter().map(|r| if told(r) { sorted(r.verdicts()) } else { Vec::new() }).collect()
}

/// Where the bytes can be had from whichever way one looks at them; none if one way has no other.
fn redundancy(routes: &[Route]) -> Option<Vec<usize>> {
    let mut from = Vec::new();
    for route in routes {
        let more = route.rebuilt.as_ref()?.iter().filter(|place| !from.contains(*place));
        let more: Vec<usize> = more.copied().collect();
        from.extend(more);
    }
    Some(from).filter(|from| !from.is_empty())
}

/// True if any is true, else unknown if any is unknown. What can be rebuilt is not lost.
fn combined_loss(routes: &[Route]) -> Option<bool> {
    let lossy = routes.iter().filter(|route| route.rebuilt.is_none());
    let losses: Vec<_> = lossy.flat_map(Route::verdicts).map(Verdict::lost).collect();
    if losses.contains(&Some(true)) {
        Some(true)
    } else if losses.contains(&None) {
        None
    } else {
        Some(false)
    }
}

impl Question<'_> {
    /// Disjoint findings with too many elements to spell out: one piece each, in order of the first
    /// element; and what the walk met nothing on.
    fn strided(&self, found: &[Found]) -> Vec<PieceFound> {
        let mut cover = Cover::new();
        let mut pieces = Vec::new();
        for finding in found {
            cover.add(finding.origin, ());
            pieces.extend(self.strided_piece(finding));
        }
        let mut rest = Vec::new();
        cover.resolve(self.window(), &mut |run, met| rest.extend(met.is_none().then_some(run)));
        for part in rest.iter().flat_map(Run::elements) {
            self.each_unreached(part, &mut |part, route| {
                let start = self.base.saturating_add(part.start().get());
                let says = telling(core::slice::from_ref(&route));
                pieces.push(piece(self.topology(), start, part.len(), None, &[route], says));
            });
        }
        pieces.sort_by_key(|p| p.start);
        pieces
    }

    fn strided_piece(&self, finding: &Found) -> Option<PieceFound> {
        let (first, route) = finding.spell_out().next()?;
        let start = self.base.checked_add(first.start().get())?;
        let run = finding.origin;
        let repeat = (run.count() > 1).then(|| (run.stride(), run.count()));
        let says = telling(core::slice::from_ref(&route));
        let mut found = piece(self.topology(), start, first.len(), repeat, &[route], says);
        for (position, (_, at)) in found.routes.iter_mut().flatten().zip(&finding.trail) {
            let elsewhere = at.count() > 1 && at.stride() != run.stride();
            position.stride = elsewhere.then(|| at.stride());
        }
        Some(found)
    }
}
