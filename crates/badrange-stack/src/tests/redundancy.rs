//! What could rebuild what, against a search for every byte.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Bytes of every base device.
const LEN: u64 = 48;

/// Rows of `data` chunks and `parity` more, each on a leg of its own; a mirror is one chunk of data
/// and copies of it.
#[derive(Debug, Clone)]
struct Array {
    data: u64,
    parity: u64,
    chunk: u64,
    rows: u64,
    copies: bool,
}

impl Array {
    fn legs(&self) -> u64 {
        self.data + self.parity
    }

    fn used(&self) -> Extent {
        at(0, self.chunk * self.rows)
    }

    /// Where the bytes of a leg are above: none of parity are.
    fn link(&self, leg: u64) -> Option<Link> {
        let lower = run(0, self.chunk, self.chunk, self.rows);
        let column = if self.copies { 0 } else { leg };
        let upper = run(column * self.chunk, self.chunk, self.data * self.chunk, self.rows);
        (self.copies || leg < self.data).then(|| Link::new(lower, upper).unwrap())
    }
}

impl Mapping for Array {
    fn extent(&self) -> Extent {
        at(0, self.data * self.chunk * self.rows)
    }
    fn legs(&self) -> u32 {
        self.legs() as u32
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        (u64::from(leg.index()) < self.legs()).then(|| self.used())
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        let links = (0..self.legs()).filter_map(|leg| self.link(leg));
        Legs { links: links.collect(), extent: self.extent() }.map(upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        match self.link(leg.index().into()) {
            Some(link) => link.rmap(lower, sink),
            None => ControlFlow::Continue(()),
        }
    }
    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        let leg = leg.index();
        if self.parity == 0 {
            return ControlFlow::Continue(());
        }
        let (kind, needed) = match self.copies {
            true => (BackingKind::Copy, 1),
            false if u64::from(leg) < self.data => (BackingKind::Data, self.data as usize),
            false => (BackingKind::Parity, self.data as usize),
        };
        lower.clip(self.used()).try_for_each(|lower| {
            let others = (0..self.legs() as u32).filter(|other| *other != leg);
            let sources: Vec<_> = others.map(|other| (Leg::new(other), lower)).collect();
            sink(Backing { lower, kind, needed, sources: &sources })
        })
    }
}

/// An array, or a window of another device.
#[derive(Debug, Clone)]
enum Layer {
    Array(Array, Vec<usize>),
    Window(usize, u64, u64),
}

#[derive(Debug, Clone)]
struct Seed {
    kind: u8,
    legs: [u8; 4],
    numbers: [u64; 3],
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let one = (any::<u8>(), any::<[u8; 4]>(), any::<[u64; 3]>());
    let one = one.prop_map(|(kind, legs, numbers)| Seed { kind, legs, numbers });
    prop::collection::vec(one, 1..5)
}

const BASES: usize = 5;

struct Twin {
    /// By device; the first ones are bases.
    lens: Vec<u64>,
    layers: Vec<Option<Layer>>,
    /// Bytes that failed.
    failed: BTreeSet<(usize, u64)>,
}

/// What is known of a byte of a leg.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    From(Vec<usize>),
    Lost,
    Single,
}

impl Twin {
    fn new(seeds: &[Seed]) -> Self {
        let (lens, layers) = (vec![LEN; BASES], vec![None; BASES]);
        let mut twin = Self { lens, layers, failed: BTreeSet::new() };
        seeds.iter().for_each(|seed| twin.add(seed));
        twin
    }

    fn add(&mut self, seed: &Seed) {
        let Seed { kind, numbers: [a, b, c], .. } = *seed;
        let legs: Vec<usize> =
            seed.legs.iter().map(|leg| usize::from(*leg) % self.lens.len()).collect();
        let (layer, len) = if kind % 4 == 0 {
            let start = a % self.lens[legs[0]];
            let len = b % (self.lens[legs[0]] - start) + 1;
            (Layer::Window(legs[0], start, len), len)
        } else {
            let (data, parity, copies) = match kind % 4 {
                1 => (1, 1 + a % 2, true),
                2 => (2, 1 + a % 2, false),
                _ => (2, 0, false),
            };
            let legs: Vec<usize> = legs.into_iter().take((data + parity) as usize).collect();
            let shortest = legs.iter().map(|leg| self.lens[*leg]).min().unwrap();
            let chunk = (b % 8 + 1).min(shortest);
            let rows = (c % 8 + 1).min(shortest / chunk);
            let array = Array { data, parity, chunk, rows, copies };
            let len = array.extent().len();
            (Layer::Array(array, legs), len)
        };
        self.lens.push(len);
        self.layers.push(Some(layer));
    }

    fn legs(&self, device: usize) -> Vec<usize> {
        match &self.layers[device] {
            None => vec![],
            Some(Layer::Window(below, ..)) => vec![*below],
            Some(Layer::Array(_, legs)) => legs.clone(),
        }
    }

    /// Where a byte of a leg is above.
    fn above(&self, device: usize, leg: usize, lower: u64) -> Option<u64> {
        match self.layers[device].as_ref()? {
            Layer::Window(_, start, len) => lower.checked_sub(*start).filter(|by| by < len),
            Layer::Array(array, _) => {
                let Array { data, chunk, rows, copies, .. } = *array;
                let (row, by) = (lower / chunk, lower % chunk);
                let column = if copies { 0 } else { leg as u64 };
                (row < rows && column < data).then(|| (row * data + column) * chunk + by)
            }
        }
    }

    /// What an array can do for a byte of a leg.
    fn verdict(&self, device: usize, leg: usize, lower: u64) -> Verdict {
        let Some(Layer::Array(array, legs)) = &self.layers[device] else { return Verdict::Single };
        if array.parity == 0 || lower >= array.chunk * array.rows {
            return Verdict::Single;
        }
        let others = (0..legs.len()).filter(|other| *other != leg);
        let mut good: Vec<usize> = others.filter(|o| !self.is_bad(legs[*o], lower)).collect();
        let needed = if array.copies { 1 } else { array.data as usize };
        if good.len() < needed {
            return Verdict::Lost;
        }
        if !array.copies {
            good.truncate(needed);
        }
        Verdict::From(good.into_iter().map(|leg| legs[leg]).collect())
    }

    /// Whether a byte cannot be read, nor rebuilt by what is below.
    fn is_bad(&self, device: usize, byte: u64) -> bool {
        let bad_below = |(leg, below): (usize, usize)| {
            (0..self.lens[below]).any(|lower| {
                self.above(device, leg, lower) == Some(byte)
                    && self.is_bad(below, lower)
                    && !matches!(self.verdict(device, leg, lower), Verdict::From(_))
            })
        };
        self.failed.contains(&(device, byte))
            || self.legs(device).into_iter().enumerate().any(bad_below)
    }

    /// The verdict on a byte that took a way, one device after the other.
    fn on_way(&self, way: &[(usize, u64)]) -> (Option<Vec<usize>>, bool) {
        let mut tried = false;
        let mut verdicts = Vec::new();
        for (hop, (below, lower)) in way.iter().enumerate() {
            match way.get(hop + 1) {
                Some((device, upper)) => {
                    let mut legs = self.legs(*device).into_iter().enumerate();
                    let leads = |(leg, on): &(usize, usize)| {
                        on == below && self.above(*device, *leg, *lower) == Some(*upper)
                    };
                    let (leg, _) = legs.find(leads).unwrap();
                    verdicts.push(self.verdict(*device, leg, *lower));
                }
                None => self.parity(*below, *lower, &mut verdicts),
            }
        }
        for verdict in verdicts {
            match verdict {
                Verdict::From(from) => return (Some(from), true),
                Verdict::Lost => tried = true,
                Verdict::Single => {}
            }
        }
        (None, tried)
    }

    /// The verdicts of the arrays whose parity a byte is.
    fn parity(&self, below: usize, lower: u64, verdicts: &mut Vec<Verdict>) {
        for (device, layer) in self.layers.iter().enumerate() {
            let Some(Layer::Array(array, legs)) = layer else { continue };
            for (leg, on) in legs.iter().enumerate() {
                let parity = !array.copies && leg as u64 >= array.data;
                if parity && *on == below && lower < array.chunk * array.rows {
                    verdicts.push(self.verdict(device, leg, lower));
                }
            }
        }
    }
}

fn build(twin: &Twin) -> (Stack, Vec<DeviceId>) {
    let (stack, mut ids) = (Stack::new(), Vec::new());
    for (i, layer) in twin.layers.iter().enumerate() {
        let name = format!("{i}");
        let legs: Vec<DeviceId> = twin.legs(i).into_iter().map(|leg| ids[leg]).collect();
        let spec = match layer {
            None => DeviceSpec::base(name, at(0, LEN)),
            Some(Layer::Window(_, start, len)) => {
                DeviceSpec::on(name, window(at(*start, *len)), legs)
            }
            Some(Layer::Array(array, _)) => DeviceSpec::on(name, Arc::new(array.clone()), legs),
        };
        ids.push(stack.add_device(spec).unwrap());
    }
    (stack, ids)
}

/// Every way of these bytes up to a device.
fn ways(snapshot: &Snapshot, device: DeviceId, bytes: Run) -> Vec<Vec<Hop>> {
    let mut ways = Vec::new();
    let visit = &mut |visit: &Visit<'_>| {
        let mut way = Vec::new();
        visit.trail(visit.here(), &mut |hop| way.push(hop));
        ways.push(way);
        ControlFlow::Continue(())
    };
    snapshot.up(device, bytes, visit).unwrap();
    ways
}

type Found = BTreeMap<u64, (Option<Vec<usize>>, bool)>;

fn found(snapshot: &Snapshot, ids: &[DeviceId], way: &[Hop], damage: &Damage) -> Found {
    let mut found = Found::new();
    let index = |id: &DeviceId| ids.iter().position(|known| known == id).unwrap();
    let visit = &mut |rebuilt: Rebuilt<'_>| {
        for byte in bytes(&rebuilt.part) {
            let from = rebuilt.from.map(|from| from.iter().map(index).collect());
            assert_eq!(found.insert(byte, (from, rebuilt.tried)), None, "twice");
        }
    };
    snapshot.redundancy(way, damage, visit).unwrap();
    found
}

fn expected(twin: &Twin, ids: &[DeviceId], way: &[Hop]) -> Found {
    let mut all: Vec<Vec<(usize, u64)>> = vec![Vec::new(); way[0].at.total_len() as usize];
    for hop in way {
        let device = ids.iter().position(|known| *known == hop.device).unwrap();
        bytes(&hop.at).zip(&mut all).for_each(|(byte, way)| way.push((device, byte)));
    }
    all.iter().map(|way| (way[0].1, twin.on_way(way))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

    #[test]
    fn what_can_rebuild_a_byte_is_what_a_search_finds(
        seeds in seeds(), failed in prop::collection::vec((any::<u8>(), 0..LEN, 1..24_u64), 1..5),
    ) {
        let mut twin = Twin::new(&seeds);
        let (stack, ids) = build(&twin);
        let snapshot = stack.snapshot();
        let failed: Vec<(usize, Extent)> =
            failed.iter().map(|(d, from, len)| (usize::from(*d) % ids.len(), at(*from, *len))).collect();
        for (device, bad) in &failed {
            let inside = bad.start().get()..bad.end().get().min(twin.lens[*device]);
            twin.failed.extend(inside.map(|byte| (*device, byte)));
        }
        let runs = failed.iter().map(|(device, bad)| (ids[*device], Run::from(*bad)));
        let damage = snapshot.damage(runs).unwrap();
        for (device, bad) in &failed {
            for way in ways(&snapshot, ids[*device], (*bad).into()) {
                let answer = found(&snapshot, &ids, &way, &damage);
                prop_assert_eq!(answer, expected(&twin, &ids, &way));
            }
        }
    }
}

fn mirror(rows: u64) -> Arc<Array> {
    Arc::new(Array { data: 1, parity: 1, chunk: 4, rows, copies: true })
}

fn raid5(rows: u64) -> Arc<Array> {
    Arc::new(Array { data: 2, parity: 1, chunk: 4, rows, copies: false })
}

/// What of `bad` on the first device can be rebuilt, by the last way up from it.
fn asked(stack: &Stack, bad: &[(DeviceId, Extent)]) -> Vec<(Run, Option<Vec<DeviceId>>, bool)> {
    let snapshot = stack.snapshot();
    let runs = bad.iter().map(|(device, at)| (*device, Run::from(*at)));
    let damage = snapshot.damage(runs).unwrap();
    let way = ways(&snapshot, bad[0].0, bad[0].1.into()).pop().unwrap();
    let mut found = Vec::new();
    let visit = &mut |r: Rebuilt<'_>| found.push((r.part, r.from.map(<[_]>::to_vec), r.tried));
    snapshot.redundancy(&way, &damage, visit).unwrap();
    found
}

fn bases<const N: usize>(stack: &Stack) -> [DeviceId; N] {
    core::array::from_fn(|i| {
        stack.add_device(DeviceSpec::base(format!("d{i}"), at(0, 64))).unwrap()
    })
}

#[test]
fn a_copy_serves_where_it_is_good_itself() {
    let stack = Stack::new();
    let [a, b] = bases(&stack);
    let _md = on(&stack, "md", mirror(8), [a, b]);
    let found = asked(&stack, &[(a, at(0, 16)), (b, at(4, 2)), (b, at(15, 20))]);
    let part = |start, len, from: Option<DeviceId>| {
        (Run::from(at(start, len)), from.map(|from| vec![from]), true)
    };
    let expected = [part(0, 4, Some(b)), part(4, 2, None), part(6, 9, Some(b)), part(15, 1, None)];
    assert_eq!(found, expected);
}

/// Two members of one stripe are one too many; the mirror above has another copy.
#[test]
fn what_one_array_cannot_rebuild_the_next_one_can() {
    let stack = Stack::new();
    let [a, b, c, d] = bases(&stack);
    let stripes = on(&stack, "stripes", raid5(4), [a, b, c]);
    let _md = on(&stack, "md", mirror(8), [stripes, d]);
    assert_eq!(asked(&stack, &[(a, at(0, 4))]), [(at(0, 4).into(), Some(vec![b, c]), true)]);
    let found = asked(&stack, &[(a, at(0, 4)), (c, at(2, 2))]);
    let expected =
        [(at(0, 2).into(), Some(vec![b, c]), true), (at(2, 2).into(), Some(vec![d]), true)];
    assert_eq!(found, expected);
    // Bytes 0..4 of the leg are 0..4 of the stripes, and of the mirror.
    let found = asked(&stack, &[(a, at(0, 4)), (c, at(0, 4)), (d, at(3, 1))]);
    assert_eq!(found[1], (at(3, 1).into(), None, true));
}

/// The parity of a stripe is no byte of anything above.
#[test]
fn parity_is_rebuilt_from_its_stripe() {
    let stack = Stack::new();
    let [a, b, c] = bases(&stack);
    let _stripes = on(&stack, "stripes", raid5(4), [a, b, c]);
    assert_eq!(asked(&stack, &[(c, at(1, 6))]), [(at(1, 6).into(), Some(vec![a, b]), true)]);
    let lost = asked(&stack, &[(c, at(0, 2)), (b, at(1, 8))]);
    let expected = [(at(0, 1).into(), Some(vec![a, b]), true), (at(1, 1).into(), None, true)];
    assert_eq!(lost, expected);
}

/// The first byte said of which array all of them are the parity, and of that array alone.
#[test]
fn bytes_may_be_the_parity_of_several_arrays() {
    let stack = Stack::new();
    let [a, b, c, d, e] = bases(&stack);
    let _short = on(&stack, "short", raid5(1), [a, b, c]);
    let _long = on(&stack, "long", raid5(4), [d, e, c]);
    let part =
        |start, len, from: [DeviceId; 2]| (Run::from(at(start, len)), Some(from.to_vec()), true);
    assert_eq!(asked(&stack, &[(c, at(2, 4))]), [part(2, 2, [a, b]), part(4, 2, [d, e])]);
    let found = asked(&stack, &[(c, at(0, 4)), (b, at(1, 1))]);
    assert_eq!(found, [part(0, 1, [a, b]), part(1, 1, [d, e]), part(2, 2, [a, b])]);
}

/// Every leg has data up to byte 8, and parity from there on.
#[derive(Debug)]
struct Rotating(Array);

impl Mapping for Rotating {
    fn extent(&self) -> Extent {
        self.0.extent()
    }
    fn legs(&self) -> u32 {
        Mapping::legs(&self.0)
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.0.leg_extent(leg)
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        self.0.map(upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        self.0.rmap(leg, lower, sink)
    }
    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        let kinds = [(at(0, 8), BackingKind::Data), (at(8, 1 << 20), BackingKind::Parity)];
        kinds.into_iter().try_for_each(|(window, kind)| {
            let mut as_kind = |backing: Backing<'_>| sink(Backing { kind, ..backing });
            lower.clip(window).try_for_each(|part| self.0.redundancy(leg, part, &mut as_kind))
        })
    }
}

/// The first byte used to say for all of them whether they are parity.
#[test]
fn of_bytes_at_the_end_of_the_way_only_parity_is_the_arrays() {
    let stack = Stack::new();
    let [a, b, c] = bases(&stack);
    let array = Array { data: 2, parity: 1, chunk: 4, rows: 8, copies: false };
    let _md = on(&stack, "md", Arc::new(Rotating(array)), [a, b, c]);
    let snapshot = stack.snapshot();
    for bad in [at(4, 8), at(7, 3), at(8, 2)].map(Run::from) {
        let damage = snapshot.damage([(a, bad)]).unwrap();
        let way = [Hop { device: a, at: bad }];
        let mut parity = BTreeMap::new();
        let visit = &mut |r: Rebuilt<'_>| {
            parity.extend(bytes(&r.part).map(|byte| (byte, (r.from.map(<[_]>::to_vec), r.tried))));
        };
        snapshot.redundancy(&way, &damage, visit).unwrap();
        let expected = bytes(&bad).map(|byte| match byte {
            0..8 => (byte, (None, false)),
            _ => (byte, (Some(vec![b, c]), true)),
        });
        assert_eq!(parity, expected.collect());
    }
}

/// Redundant only from byte 8 on: as an array that is being rebuilt, or whose first part is not.
#[derive(Debug)]
struct Late(Array);

impl Mapping for Late {
    fn extent(&self) -> Extent {
        self.0.extent()
    }
    fn legs(&self) -> u32 {
        Mapping::legs(&self.0)
    }
    fn leg_extent(&self, leg: Leg) -> Option<Extent> {
        self.0.leg_extent(leg)
    }
    fn map(&self, upper: Extent, sink: Sink<'_, Mapped>) -> Flow {
        self.0.map(upper, sink)
    }
    fn rmap(&self, leg: Leg, lower: Run, sink: Sink<'_, Link>) -> Flow {
        self.0.rmap(leg, lower, sink)
    }
    fn redundancy(&self, leg: Leg, lower: Run, sink: &mut dyn FnMut(Backing<'_>) -> Flow) -> Flow {
        lower.clip(at(8, 1 << 20)).try_for_each(|lower| self.0.redundancy(leg, lower, sink))
    }
}

/// The first byte of a leg stood for all of it: where that has no copy, the damage of the others was
/// not looked at, and a bad copy passed for a good one; and the bytes without a copy for tried.
#[test]
fn a_leg_that_is_redundant_in_part_is_looked_at_in_whole() {
    let stack = Stack::new();
    let [a, b] = bases(&stack);
    let array = Array { data: 1, parity: 1, chunk: 4, rows: 8, copies: true };
    let _md = on(&stack, "md", Arc::new(Late(array)), [a, b]);
    let mut found = asked(&stack, &[(a, at(4, 12)), (b, at(12, 8))]);
    found.sort_by_key(|(part, ..)| part.first());
    let expected = [
        (at(4, 4).into(), None, false),
        (at(8, 4).into(), Some(vec![b]), true),
        (at(12, 4).into(), None, true),
    ];
    assert_eq!(found, expected);
}

/// A damage is of all devices that are read, also through others.
#[test]
fn damage_climbs_through_windows_and_strides() {
    let stack = Stack::new();
    let [a, b, c, d] = bases(&stack);
    let plain = Array { data: 2, parity: 0, chunk: 4, rows: 8, copies: false };
    let striped = on(&stack, "striped", Arc::new(plain), [a, b]);
    let part = on(&stack, "part", window(at(8, 32)), [striped]);
    let _md = on(&stack, "md", mirror(8), [part, c]);
    // Bytes 4..8 of b are 12..16 of the stripe and 4..8 of the part.
    let found = asked(&stack, &[(c, at(0, 12)), (b, at(4, 4)), (d, at(0, 64))]);
    let expected = [
        (at(0, 4).into(), Some(vec![part]), true),
        (at(4, 4).into(), None, true),
        (at(8, 4).into(), Some(vec![part]), true),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_way_of_nothing_asks_nothing() {
    let snapshot = Stack::new().snapshot();
    let damage = snapshot.damage([]).unwrap();
    snapshot.redundancy(&[], &damage, &mut |r| panic!("{r:?}")).unwrap();
}
