//! The engine against tables of bytes: a graph is who lies where, byte by byte; an event is a search
//! through it, for one byte after the other.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{conservation::outcome, *};

/// How far devices reach: some pages of the smallest size.
const FAR: u64 = if cfg!(miri) { 1200 } else { 5000 };
const MOST: usize = 7;

/// Numbers out of which a device is made, whatever is below it.
#[derive(Debug, Clone)]
struct Seed {
    kind: u8,
    numbers: [u64; 9],
    pages: Option<u8>,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let one = (any::<u8>(), any::<[u64; 9]>(), prop::option::weighted(0.4, any::<u8>()))
        .prop_map(|(kind, numbers, pages)| Seed { kind, numbers, pages });
    prop::collection::vec(one, 1..MOST)
}

/// Where a byte of a device below is above, per leg.
type Table = BTreeMap<u64, u64>;

/// A device as a table of bytes, and how it is described to the engine.
struct Dev {
    len: u64,
    legs: Vec<(usize, Table)>,
    own: bool,
    page: Option<PageSize>,
    mapping: Option<Arc<dyn Mapping>>,
}

/// `len` consecutive bytes, from one number to another.
fn table(lower: u64, upper: u64, len: u64) -> Table {
    (0..len).map(|i| (lower + i, upper + i)).collect()
}

impl Dev {
    fn of(seed: &Seed, below: &[Self]) -> Self {
        let page = seed.pages.map(|size| PageSize::new(512 << (size % 3)).unwrap());
        let made = match seed.kind % 5 {
            _ if below.is_empty() => Self::base(seed),
            0 => Self::base(seed),
            1 => Self::window(seed, below),
            2 => Self::striped(seed, below),
            3 => Self::mirror(seed, below),
            _ => Self::pieces(seed, below),
        };
        Self { page, ..made }
    }

    fn base(seed: &Seed) -> Self {
        let len = seed.numbers[0] % FAR + 1;
        Self { len, legs: vec![], own: true, page: None, mapping: None }
    }

    fn on(len: u64, legs: Vec<(usize, Table)>, mapping: impl Mapping + 'static) -> Self {
        let mapping: Option<Arc<dyn Mapping>> = Some(Arc::new(mapping));
        Self { len, legs, own: false, page: None, mapping }
    }

    fn window(seed: &Seed, below: &[Self]) -> Self {
        let (leg, start, len) = part(&seed.numbers, below);
        Self::on(len, vec![(leg, table(start, 0, len))], Window::new(at(start, len)))
    }

    /// Two or three legs, all from the same byte on.
    fn striped(seed: &Seed, below: &[Self]) -> Self {
        let [a, b, c, n, chunk, rows, from, ..] = seed.numbers;
        let n = n % 2 + 2;
        let legs: Vec<usize> = [a, b, c].iter().take(n as usize).map(|i| pick(*i, below)).collect();
        let shortest = legs.iter().map(|leg| below[*leg].len).min().unwrap();
        let chunk = (chunk % 300 + 1).min(shortest);
        let rows = (rows % 12 + 1).min(shortest / chunk).max(1);
        let from = from % (shortest - chunk * rows + 1);
        let leg = |i: u64| -> Table {
            let row = |row: u64| table(from + row * chunk, (row * n + i) * chunk, chunk);
            (0..rows).flat_map(row).collect()
        };
        let tables = legs.into_iter().zip((0..).map(leg)).collect();
        Self::on(n * chunk * rows, tables, Legs::striped(n, chunk, rows, from))
    }

    fn mirror(seed: &Seed, below: &[Self]) -> Self {
        let [a, b, len, start_a, start_b, ..] = seed.numbers;
        let legs = [pick(a, below), pick(b, below)];
        let len = len % below[legs[0]].len.min(below[legs[1]].len) + 1;
        let starts = [(legs[0], start_a), (legs[1], start_b)]
            .map(|(leg, start)| start % (below[leg].len - len + 1));
        let tables = legs.iter().zip(starts).map(|(leg, start)| (*leg, table(start, 0, len)));
        Self::on(len, tables.collect(), Legs::mirror(len, starts))
    }

    /// Two pieces with gaps before, between and behind.
    fn pieces(seed: &Seed, below: &[Self]) -> Self {
        let n = seed.numbers;
        let (a, b) = (part(&n, below), part(&[n[3], n[4], n[5], 0, 0, 0, 0, 0, 0], below));
        let own = n[6] % 2 == 0;
        let first = n[7] % 100;
        let second = first + a.2 + n[8] % 100;
        let len = second + b.2 + n[6] % 50;
        let pieces = [(a, first), (b, second)].into_iter().zip((0..).map(Leg::new));
        let pieces = pieces.map(|(((_, start, len), upper), leg)| {
            (leg, Link::at(at(start, len), DevOffset::new(upper)).unwrap())
        });
        let rest = if own { Rest::Own } else { Rest::Hole(HoleKind::Zero) };
        let mapping = Piecewise::new(at(0, len), rest, pieces).unwrap();
        let tables = vec![(a.0, table(a.1, first, a.2)), (b.0, table(b.1, second, b.2))];
        Self { own, ..Self::on(len, tables, mapping) }
    }
}

fn pick(number: u64, below: &[Dev]) -> usize {
    (number % below.len() as u64) as usize
}

/// A device below, and a part of it.
fn part(numbers: &[u64; 9], below: &[Dev]) -> (usize, u64, u64) {
    let leg = pick(numbers[0], below);
    let start = numbers[1] % below[leg].len;
    (leg, start, numbers[2] % (below[leg].len - start) + 1)
}

/// A holder: where, what it settles, what it answers.
#[derive(Debug, Clone)]
struct Spec {
    device: usize,
    start: u64,
    len: u64,
    settles: Option<(u64, u64, Outcome)>,
    answer: Outcome,
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let settles = prop::option::of((0..FAR, 1..FAR / 4, outcome()));
    let one = (any::<u8>(), any::<u64>(), any::<u64>(), settles, outcome());
    let one = one.prop_map(|(device, start, len, settles, answer)| Spec {
        device: usize::from(device),
        start,
        len,
        settles,
        answer,
    });
    prop::collection::vec(one, 0..8)
}

impl Spec {
    fn fitted(mut self, devices: &[Dev]) -> Self {
        self.device %= devices.len();
        let len = devices[self.device].len;
        self.start %= len;
        self.len = self.len % (len - self.start) % (FAR / 3) + 1;
        self
    }

    fn says(&self, byte: u64) -> Outcome {
        match self.settles {
            Some((start, len, outcome)) if (start..start + len).contains(&byte) => outcome,
            Some(_) | None => self.answer,
        }
    }
}

/// A holder, or a device above and its leg.
#[derive(Debug, Clone, Copy)]
enum Over {
    Holder(usize),
    Leg(usize, usize),
}

/// The way of one byte: devices, and where it is on them.
type Way = Vec<(usize, u64)>;

struct Twin {
    devices: Vec<Dev>,
    specs: Vec<Spec>,
    /// By device, in order of start and age.
    over: Vec<Vec<Over>>,
}

impl Twin {
    fn new(seeds: &[Seed], specs: Vec<Spec>) -> Self {
        let mut devices: Vec<Dev> = Vec::new();
        for seed in seeds {
            devices.push(Dev::of(seed, &devices));
        }
        let specs: Vec<Spec> = specs.into_iter().map(|spec| spec.fitted(&devices)).collect();
        let mut over: Vec<Vec<(u64, Over)>> = devices.iter().map(|_| Vec::new()).collect();
        for (above, device) in devices.iter().enumerate() {
            for (leg, (below, table)) in device.legs.iter().enumerate() {
                over[*below].push((*table.keys().next().unwrap(), Over::Leg(above, leg)));
            }
        }
        for (holder, spec) in specs.iter().enumerate() {
            over[spec.device].push((spec.start, Over::Holder(holder)));
        }
        over.iter_mut().for_each(|all| all.sort_by_key(|(start, _)| *start));
        let over = over.into_iter().map(|all| all.into_iter().map(|(_, over)| over).collect());
        Self { over: over.collect(), devices, specs }
    }

    /// Up from the last byte of a way: every arrival, and every holder with the way to it.
    fn up(&self, way: &mut Way, seen: &mut dyn FnMut(&Way, Option<usize>)) {
        let (device, byte) = *way.last().unwrap();
        seen(way, None);
        for over in &self.over[device] {
            match *over {
                Over::Holder(holder) => {
                    let Spec { start, len, .. } = self.specs[holder];
                    if (start..start + len).contains(&byte) {
                        seen(way, Some(holder));
                    }
                }
                Over::Leg(above, leg) => {
                    if let Some(upper) = self.devices[above].legs[leg].1.get(&byte) {
                        way.push((above, *upper));
                        self.up(way, seen);
                        way.pop();
                    }
                }
            }
        }
    }

    /// Down from the last byte of a way: where it ends, and whether that is a hole.
    fn down(&self, way: &mut Way, seen: &mut dyn FnMut(&Way, bool)) {
        let (device, byte) = *way.last().unwrap();
        let mut lies = false;
        for (below, table) in &self.devices[device].legs {
            for (lower, _) in table.iter().filter(|(_, upper)| **upper == byte) {
                lies = true;
                way.push((*below, *lower));
                self.down(way, seen);
                way.pop();
            }
        }
        if !lies {
            seen(way, !self.devices[device].own);
        }
    }

    fn depth(&self, device: usize) -> usize {
        let legs = self.devices[device].legs.iter();
        1 + legs.map(|(below, _)| self.depth(*below)).max().unwrap_or(0)
    }
}

/// What should become of an event.
#[derive(Default)]
struct Expected {
    /// Of every byte, in order: arrivals, and calls with the holder.
    arrivals: BTreeMap<u64, Vec<Way>>,
    calls: BTreeMap<u64, Vec<(usize, Way)>>,
    states: BTreeMap<u64, Outcome>,
    /// Of devices with pages: what was said of every byte that arrived.
    paged: BTreeMap<usize, BTreeMap<u64, Outcome>>,
    /// Bytes that fell back somewhere, and that nobody handled.
    fell_back: BTreeSet<u64>,
}

impl Expected {
    fn of(twin: &Twin, device: usize, bad: Extent) -> Self {
        let mut all = Self::default();
        let end = bad.end().get().min(twin.devices[device].len);
        for byte in bad.start().get()..end {
            all.byte(twin, device, byte);
        }
        all.mark(twin);
        all
    }

    fn byte(&mut self, twin: &Twin, device: usize, byte: u64) {
        self.states.insert(byte, Outcome::Nothing);
        let paged = |way: &Way| -> Way {
            way.iter().copied().filter(|(d, _)| twin.devices[*d].page.is_some()).collect()
        };
        twin.up(&mut vec![(device, byte)], &mut |way, holder| {
            let said = match holder {
                None => {
                    self.arrivals.entry(byte).or_default().push(way.clone());
                    Outcome::Nothing
                }
                Some(holder) => {
                    self.calls.entry(byte).or_default().push((holder, way.clone()));
                    twin.specs[holder].says(way.last().unwrap().1)
                }
            };
            let state = self.states.get_mut(&byte).unwrap();
            *state = state.join(said);
            for (device, at) in paged(way) {
                let bytes = self.paged.entry(device).or_default();
                let state = bytes.entry(at).or_insert(Outcome::Nothing);
                *state = state.join(said);
            }
        });
    }

    fn mark(&mut self, twin: &Twin) {
        for (byte, ways) in &self.arrivals {
            let fell = |way: &Way| {
                let (device, at) = way.last().unwrap();
                twin.devices[*device].page.is_some() && self.paged[device][at].falls_back()
            };
            if self.states[byte].falls_back() && ways.iter().any(fell) {
                self.fell_back.insert(*byte);
            }
        }
    }

    /// The pages of a device with bytes for which this holds.
    fn pages(&self, device: usize, size: PageSize, which: fn(Outcome) -> bool) -> Vec<u64> {
        let bytes = self.paged.get(&device).into_iter().flatten();
        let pages: BTreeSet<u64> = bytes
            .filter(|(_, state)| which(**state))
            .map(|(byte, _)| byte / size.bytes())
            .collect();
        pages.into_iter().collect()
    }
}

/// Calls of holders, each with the way of its bytes.
type Told = Arc<Mutex<Vec<(usize, Vec<Hop>)>>>;

/// The engine with the same graph, and what it told holders and fallbacks.
struct Real {
    stack: Stack,
    ids: Vec<DeviceId>,
    pages: Vec<Arc<Pages>>,
    registrations: Vec<Registration>,
    told: Told,
}

impl Real {
    fn new(twin: &Twin) -> Self {
        let (stack, mut ids, mut pages) = (Stack::new(), Vec::new(), Vec::new());
        for (i, device) in twin.devices.iter().enumerate() {
            let legs: Vec<DeviceId> = device.legs.iter().map(|(below, _)| ids[*below]).collect();
            let mut spec = match &device.mapping {
                Some(mapping) => DeviceSpec::on(format!("{i}"), mapping.clone(), legs),
                None => DeviceSpec::base(format!("{i}"), at(0, device.len)),
            };
            pages.push(Arc::new(Pages::default()));
            if let Some(size) = device.page {
                spec = spec.fallback(size, pages[i].clone());
            }
            ids.push(stack.add_device(spec).unwrap());
        }
        let mut real = Self { stack, ids, pages, registrations: vec![], told: Arc::default() };
        twin.specs.iter().enumerate().for_each(|(i, spec)| real.register(i, spec));
        real.stack.snapshot().validate().unwrap();
        real
    }

    fn register(&mut self, holder: usize, spec: &Spec) {
        let (told, Spec { settles, answer, .. }) = (self.told.clone(), spec.clone());
        let fake = Fake::new(move |what: &Corruption<'_>| {
            let mut hops = Vec::new();
            what.trail(what.range(), &mut |hop| hops.push(hop));
            told.lock().unwrap().push((holder, hops));
            if let Some((start, len, outcome)) = settles {
                what.settle(at(start, len).into(), outcome);
            }
            answer
        });
        let range = at(spec.start, spec.len);
        let device = self.ids[spec.device];
        self.registrations.push(self.stack.register(device, range, fake).unwrap());
    }

    fn index(&self, id: DeviceId) -> usize {
        self.ids.iter().position(|known| *known == id).unwrap()
    }

    /// The ways of every byte of a trail, by the byte on its first device.
    fn ways(&self, hops: &[Hop]) -> Vec<(u64, Way)> {
        let mut ways: Vec<Way> = vec![Vec::new(); hops[0].at.total_len() as usize];
        for hop in hops {
            let device = self.index(hop.device);
            bytes(&hop.at).zip(&mut ways).for_each(|(byte, way)| way.push((device, byte)));
        }
        ways.into_iter().map(|way| (way[0].1, way)).collect()
    }
}

/// What a trace says, byte by byte: where each arrived, and who was told of it.
fn traced(real: &Real, steps: &[Step]) -> [BTreeMap<u64, Vec<(usize, u64)>>; 2] {
    let [mut arrivals, mut calls]: [BTreeMap<u64, Vec<(usize, u64)>>; 2] = Default::default();
    for step in steps {
        let (map, who, asked, here) = match step {
            Step::Arrived { device, asked, here, .. } => {
                (&mut arrivals, real.index(*device), asked, here)
            }
            Step::Notified { holder, asked, here, .. } => {
                let known = real.registrations.iter().position(|r| r.id() == *holder);
                (&mut calls, known.unwrap(), asked, here)
            }
            _ => continue,
        };
        bytes(asked).zip(bytes(here)).for_each(|(a, h)| map.entry(a).or_default().push((who, h)));
    }
    [arrivals, calls]
}

fn ends(way: &Way) -> (usize, u64) {
    *way.last().unwrap()
}

fn check_steps(real: &Real, expected: &Expected, steps: &[Step]) -> Result<(), TestCaseError> {
    let [arrivals, calls] = traced(real, steps);
    let arrived = |(byte, ways): (&u64, &Vec<Way>)| (*byte, ways.iter().map(ends).collect());
    prop_assert_eq!(arrivals, expected.arrivals.iter().map(arrived).collect());
    let called = |(byte, all): (&u64, &Vec<(usize, Way)>)| {
        (*byte, all.iter().map(|(holder, way)| (*holder, ends(way).1)).collect())
    };
    prop_assert_eq!(calls, expected.calls.iter().map(called).collect());
    let mut told: BTreeMap<u64, Vec<(usize, Way)>> = BTreeMap::new();
    for (holder, hops) in real.told.lock().unwrap().drain(..) {
        real.ways(&hops)
            .into_iter()
            .for_each(|(byte, way)| told.entry(byte).or_default().push((holder, way)));
    }
    prop_assert_eq!(&told, &expected.calls, "trails");
    Ok(())
}

fn check_report(real: &Real, expected: &Expected, report: &Report) -> Result<(), TestCaseError> {
    let mut states = BTreeMap::new();
    for (run, state) in report.states() {
        for byte in bytes(run) {
            prop_assert_eq!(states.insert(byte, *state), None, "two states");
        }
    }
    prop_assert_eq!(&states, &expected.states);
    let rest: BTreeSet<u64> = report.remainder().flat_map(|run| bytes(&run)).collect();
    let falls = expected.states.iter().filter(|(_, state)| state.falls_back());
    prop_assert_eq!(rest, falls.map(|(byte, _)| *byte).collect());
    let marked: Vec<u64> = report.fell_back().iter().flat_map(bytes).collect();
    prop_assert_eq!(marked.len(), expected.fell_back.len(), "each once");
    prop_assert_eq!(&marked.into_iter().collect::<BTreeSet<_>>(), &expected.fell_back);
    let counts = report.counts();
    prop_assert_eq!((counts.panicked, counts.broken, counts.overrouted), (0, 0, 0));
    prop_assert!(!report.cut_short() && real.told.lock().unwrap().is_empty());
    Ok(())
}

fn sorted(mut pages: Vec<u64>) -> Vec<u64> {
    pages.sort_unstable();
    pages
}

fn check_pages(
    twin: &Twin,
    real: &Real,
    expected: &Expected,
    report: &Report,
) -> Result<(), TestCaseError> {
    let mut widened = 0;
    for (device, pages) in real.pages.iter().enumerate() {
        let failed = sorted(core::mem::take(&mut *pages.failed.lock().unwrap()));
        let unmapped = sorted(pages.unmapped_pages());
        pages.unmapped.lock().unwrap().clear();
        let listed = report.fallback().iter().filter(|(id, _)| *id == real.ids[device]);
        let listed: Vec<u64> = listed.flat_map(|(_, p)| p.iter()).map(|p| p.pfn().get()).collect();
        prop_assert_eq!(&sorted(listed), &failed);
        let size = twin.devices[device].page.unwrap_or(PageSize::K4);
        prop_assert_eq!(&failed, &expected.pages(device, size, Outcome::falls_back), "{}", device);
        prop_assert_eq!(unmapped, expected.pages(device, size, |_| true), "{}", device);
        let fallen = expected.paged.get(&device).into_iter().flatten();
        let fallen = fallen.filter(|(_, state)| state.falls_back()).count() as u64;
        widened += failed.len() as u64 * size.bytes() - fallen;
    }
    prop_assert_eq!(report.counts().widened, widened);
    let depths = report.fallback().iter().map(|(id, _)| twin.depth(real.index(*id)));
    prop_assert!(depths.collect::<Vec<_>>().is_sorted_by(|a, b| a >= b), "the topmost first");
    Ok(())
}

/// What a walk up shows is what an event does.
fn check_up(
    real: &Real,
    expected: &Expected,
    device: usize,
    bad: Extent,
) -> Result<(), TestCaseError> {
    let mut calls: BTreeMap<u64, Vec<(usize, Way)>> = BTreeMap::new();
    let mut arrivals: BTreeMap<u64, Vec<Way>> = BTreeMap::new();
    let visit = &mut |visit: &Visit<'_>| {
        let mut hops = Vec::new();
        visit.trail(visit.here(), &mut |hop| hops.push(hop));
        for (byte, way) in real.ways(&hops) {
            match visit.at() {
                At::Arrived => arrivals.entry(byte).or_default().push(way),
                At::Registered { id, .. } => {
                    let holder = real.registrations.iter().position(|r| r.id() == id).unwrap();
                    calls.entry(byte).or_default().push((holder, way));
                }
                other => panic!("{other:?}"),
            }
        }
        ControlFlow::Continue(())
    };
    real.stack.snapshot().up(real.ids[device], bad.into(), visit).unwrap();
    prop_assert_eq!(&arrivals, &expected.arrivals);
    prop_assert_eq!(&calls, &expected.calls);
    Ok(())
}

/// What a walk down shows, byte by byte.
type Landings = BTreeMap<u64, Vec<(Way, bool, bool)>>;

fn landings(real: &Real, device: usize, asked: Extent) -> (Landings, Vec<(DeviceId, Link)>) {
    let (mut all, mut places) = (Landings::new(), Vec::new());
    let visit = &mut |visit: &Visit<'_>| {
        let hole = match visit.at() {
            At::Bottom => false,
            At::Hole(_) => true,
            other => panic!("{other:?}"),
        };
        places.push((visit.device(), visit.link()));
        let mut hops = Vec::new();
        visit.trail(visit.here(), &mut |hop| hops.push(hop));
        hops.reverse(); // highest first, as the walk goes
        for (byte, way) in real.ways(&hops) {
            all.entry(byte).or_default().push((way, hole, visit.is_copy()));
        }
        ControlFlow::Continue(())
    };
    real.stack.snapshot().down(real.ids[device], asked, visit).unwrap();
    (all, places)
}

/// Down, and up again from where that ends.
fn check_down(twin: &Twin, real: &Real, device: usize, asked: Extent) -> Result<(), TestCaseError> {
    let mut expected = Landings::new();
    for byte in asked.start().get()..asked.end().get().min(twin.devices[device].len) {
        let all = expected.entry(byte).or_default();
        twin.down(&mut vec![(device, byte)], &mut |way, hole| {
            let copy = !all.is_empty();
            all.push((way.clone(), hole, copy));
        });
    }
    let (landings, places) = landings(real, device, asked);
    prop_assert_eq!(&landings, &expected);
    for (landed, link) in places.iter().take(8) {
        let mut found: BTreeSet<(u64, u64)> = BTreeSet::new();
        let visit = &mut |visit: &Visit<'_>| {
            if visit.device() == real.ids[device] && matches!(visit.at(), At::Arrived) {
                found.extend(bytes(&visit.asked()).zip(bytes(&visit.here())));
            }
            ControlFlow::Continue(())
        };
        real.stack.snapshot().up(*landed, link.upper(), visit).unwrap();
        let mut all = bytes(&link.upper()).zip(bytes(&link.lower()));
        prop_assert!(all.all(|pair| found.contains(&pair)), "down from there, and not up again");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 128 }))]

    #[test]
    fn an_event_is_what_a_search_for_every_byte_finds(
        seeds in seeds(), specs in specs(),
        events in prop::collection::vec((any::<u8>(), any::<u64>(), 1..FAR / 2), 1..4),
    ) {
        let twin = Twin::new(&seeds, specs);
        let real = Real::new(&twin);
        for (device, start, len) in events {
            let device = usize::from(device) % twin.devices.len();
            // Some reach past the end, and some begin there.
            let bad = at(start % (twin.devices[device].len + 20), len);
            let expected = Expected::of(&twin, device, bad);
            let (steps, report) = trace(&real.stack, real.ids[device], bad);
            check_steps(&real, &expected, &steps)?;
            check_report(&real, &expected, &report)?;
            check_pages(&twin, &real, &expected, &report)?;
            check_up(&real, &expected, device, bad)?;
        }
    }

    #[test]
    fn down_and_up_lead_to_the_same_bytes(
        seeds in seeds(), device in any::<u8>(), start in any::<u64>(), len in 1..FAR / 4,
    ) {
        let twin = Twin::new(&seeds, vec![]);
        let real = Real::new(&twin);
        for device in [usize::from(device) % twin.devices.len(), twin.devices.len() - 1] {
            let asked = at(start % (twin.devices[device].len + 20), len);
            check_down(&twin, &real, device, asked)?;
        }
    }
}
