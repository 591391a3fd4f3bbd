//! From what the holders were told to pieces that cover the query exactly.

use badrange_core::{DevOffset, Extent, PhysAddr, ReportOffset, Run, Space};
use badrange_fs::{FileId, Fork, Owner, Record, Special};
use badrange_input::{Filesystem, Layer, Topology};

use super::{
    Explanation, OwnerFound, PieceFound, Position, Query, Redundancy, Verdict,
    build::{Content, Finding},
};

/// More elements than this are not spelled out: the pieces then carry stride and count.
const MAX_SPELLED_OUT: u64 = 1 << 16;

/// The answer to a query in physical memory.
pub(super) fn memory(
    topology: &Topology,
    query: &Query,
    asked: Extent<PhysAddr>,
    found: &[Finding],
) -> Explanation {
    let unreached = Route::plain(Vec::new(), Verdict::NoOwner);
    let base = asked.start().get();
    explanation(topology, query, "phys", base, asked.len(), found, &unreached)
}

/// The answer to a query on a device.
pub(super) fn device(
    topology: &Topology,
    query: &Query,
    place: usize,
    asked: Extent<DevOffset>,
    found: &[Finding],
) -> Explanation {
    let Some(device) = topology.devices().get(place) else {
        return explanation_of(query, "", asked.start().get(), asked.len(), Vec::new());
    };
    let base = asked.start();
    let unreached = Route::plain(vec![(place, base)], Verdict::Outside);
    let mut found = found.to_vec();
    if let Layer::View { at, .. } = &device.layer {
        // Asked through a view, the way up begins with the view instead of what it is a view of.
        for finding in &mut found {
            if let Some((first, run)) = finding.trail.first_mut() {
                let seen = run.rebase(at.start(), DevOffset::new(0));
                (*first, *run) = (place, seen.unwrap_or(*run));
            }
        }
    }
    explanation(topology, query, &device.name, base.get(), asked.len(), &found, &unreached)
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

fn explanation(
    topology: &Topology,
    query: &Query,
    device: &str,
    base: u64,
    len: u64,
    found: &[Finding],
    unreached: &Route,
) -> Explanation {
    let elements = found.iter().map(|f| f.origin.count()).fold(0_u64, u64::saturating_add);
    let pieces = if elements <= MAX_SPELLED_OUT || any_overlap(found) {
        let spans = found.iter().flat_map(spell_out).collect();
        contiguous(topology, base, len, spans, unreached)
    } else {
        strided(topology, base, len, found, unreached)
    };
    explanation_of(query, device, base, len, pieces)
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

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) => a == b,
            (
                Self::Filesystem { fs: a, at: p, records: r },
                Self::Filesystem { fs: b, at: q, records: s },
            ) => (a, p, r) == (b, q, s),
            (Self::Plain(_), Self::Filesystem { .. })
            | (Self::Filesystem { .. }, Self::Plain(_)) => false,
        }
    }
}

impl Eq for Content {}

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

/// A finding as contiguous parts of the query, each with its route.
fn spell_out(finding: &Finding) -> impl Iterator<Item = (Extent<ReportOffset>, Route)> + '_ {
    finding.origin.elements().zip(0..).map(|(origin, index)| {
        let nth = |run: &Run<DevOffset>| run.element(index).map(|e| e.start());
        let trail = finding.trail.iter().filter_map(|(place, run)| Some((*place, nth(run)?)));
        let content = match &finding.content {
            Content::Plain(verdict) => Content::Plain(*verdict),
            Content::Filesystem { fs, at, records } => {
                let last = finding.trail.last().and_then(|(_, run)| nth(run));
                Content::Filesystem { fs: *fs, at: last.unwrap_or(*at), records: records.clone() }
            }
        };
        let (rebuilt, too_many) = (finding.rebuilt.clone(), finding.too_many);
        (origin, Route { trail: trail.collect(), content, rebuilt, too_many })
    })
}

/// Whether some bytes have several findings, judged by the totals: exact when they are disjoint.
fn any_overlap(found: &[Finding]) -> bool {
    let mut spans: Vec<_> = found.iter().map(|f| f.origin).collect();
    spans.sort_by_key(|run| run.first().start());
    let mut ends = spans.iter().zip(spans.iter().skip(1));
    ends.any(|(a, b)| a.span().end() > b.first().start() && a.overlaps(b).next().is_some())
}

/// Cuts the query wherever a finding begins or ends, and joins what continues.
fn contiguous(
    topology: &Topology,
    base: u64,
    len: u64,
    mut spans: Vec<(Extent<ReportOffset>, Route)>,
    unreached: &Route,
) -> Vec<PieceFound> {
    spans.sort_by_key(|(origin, _)| origin.start());
    let mut waiting = spans.into_iter().peekable();
    let mut active: Vec<(Extent<ReportOffset>, Route)> = Vec::new();
    let mut joiner = Joiner { topology, base, done: Vec::new(), open: None };
    let mut at = 0;
    while at < len {
        while let Some(span) = waiting.next_if(|(origin, _)| origin.start().get() <= at) {
            active.push(span);
        }
        active.retain(|(origin, _)| origin.end().get() > at);
        let next = waiting.peek().map(|(origin, _)| origin.start().get());
        let ends = active.iter().map(|(origin, _)| origin.end().get());
        let end = ends.chain(next).fold(len, u64::min);
        let routes: Vec<Route> = active
            .iter()
            .map(|(origin, route)| route.later(at.saturating_sub(origin.start().get())))
            .collect();
        let mut routes = if routes.is_empty() { vec![unreached.later(at)] } else { routes };
        // The order in which the holders were told is not the same for every byte.
        routes.sort_by(|a, b| a.trail.cmp(&b.trail));
        // NO-OVERFLOW: the loop runs while `at < len`, and no boundary lies at or before `at`.
        joiner.push(at, end.wrapping_sub(at), routes);
        at = end;
    }
    joiner.finish()
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

/// Disjoint findings with too many elements to spell out: one piece each, in order of the first
/// element; and what nobody was told of.
fn strided(
    topology: &Topology,
    base: u64,
    len: u64,
    found: &[Finding],
    unreached: &Route,
) -> Vec<PieceFound> {
    let mut cover = badrange_core::Cover::new();
    let mut pieces = Vec::new();
    for finding in found {
        cover.add(finding.origin, ());
        pieces.extend(strided_piece(topology, base, finding));
    }
    let window = Extent::new(ReportOffset::new(0), len).map(|all| cover.resolve(all));
    for (rest, _) in window.unwrap_or_default().iter().filter(|(_, told)| told.is_none()) {
        for part in rest.elements() {
            let route = unreached.later(part.start().get());
            let start = base.saturating_add(part.start().get());
            let says = telling(core::slice::from_ref(&route));
            pieces.push(piece(topology, start, part.len(), None, &[route], says));
        }
    }
    pieces.sort_by_key(|p| p.start);
    pieces
}

fn strided_piece(topology: &Topology, base: u64, finding: &Finding) -> Option<PieceFound> {
    let (first, route) = spell_out(finding).next()?;
    let start = base.checked_add(first.start().get())?;
    let run = finding.origin;
    let repeat = (run.count() > 1).then(|| (run.stride(), run.count()));
    let says = telling(core::slice::from_ref(&route));
    let mut found = piece(topology, start, first.len(), repeat, &[route], says);
    for (position, (_, at)) in found.routes.iter_mut().flatten().zip(&finding.trail) {
        let elsewhere = at.count() > 1 && at.stride() != run.stride();
        position.stride = elsewhere.then(|| at.stride());
    }
    Some(found)
}
