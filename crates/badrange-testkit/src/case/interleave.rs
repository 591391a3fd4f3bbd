#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the textbook formulas as they stand; drawn numbers are small, and a panic is a failed check"
)]

use arbitrary::Arbitrary;
use badrange_block::interleave::{Granularity, Interleave, Ways};
use badrange_core::{DevOffset, Extent, HoleKind, Leg, Mapping, PhysAddr};

use super::{DrawnExtent, DrawnRun, TestCase};
use crate::{
    draw::{few, within},
    twin::{Slot, Twin},
};

/// Half a granule of the smallest size: what begins and ends inside granules is tried too.
const SLOT: u64 = 128;
const GRANULE: u64 = 256;
const SLOTS_PER_GRANULE: u64 = GRANULE / SLOT;

/// How many ways there can be.
const WAYS: [u64; 8] = [1, 2, 4, 8, 16, 3, 6, 12];

/// CXL regions, with modulo and with XOR arithmetic, against pictures of them.
///
/// # Examples
/// ```
/// use badrange_testkit::case::{DrawnExtent, Interleaves, TestCase};
/// let asked = vec![DrawnExtent { start: 0, len: 9 }];
/// let case = Interleaves { ways: 2, rows: 4, base: 0, starts: vec![], maps: vec![], asked, runs: vec![] };
/// case.check(); // 4 ways, all beginning at DPA 0
/// Interleaves { maps: vec![9, 18], ..case }.check(); // bits 8 and 11, bits 9 and 12
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct Interleaves {
    /// Which of the eight numbers of ways.
    #[arbitrary(with = within::<0, 7>)]
    pub ways: u64,
    /// Granules on each.
    #[arbitrary(with = within::<1, 4>)]
    pub rows: u64,
    /// Where the region begins, in rows of 16 ways.
    #[arbitrary(with = within::<0, 3>)]
    pub base: u64,
    /// Where each decoder begins, in granules; 0 where none is given.
    #[arbitrary(with = few::<_, 0, 4>)]
    pub starts: Vec<u8>,
    /// XOR maps, shifted to where granules begin; without any, modulo arithmetic.
    #[arbitrary(with = few::<_, 0, 4>)]
    pub maps: Vec<u8>,
    /// Ranges to ask for, in half granules.
    #[arbitrary(with = few::<_, 1, 4>)]
    pub asked: Vec<DrawnExtent>,
    /// Runs to ask for, in half granules.
    #[arbitrary(with = few::<_, 0, 3>)]
    pub runs: Vec<DrawnRun>,
}

impl TestCase for Interleaves {
    fn check(&self) {
        let Some(region) = self.build() else { return };
        let twin = self.picture();
        assert_eq!(u64::from(region.legs()), self.ways());
        for asked in &self.asked {
            twin.check_map(&region, SLOT, asked.start, asked.len);
            for leg in 0..=twin.legs() {
                twin.check_rmap(&region, SLOT, leg, (asked.start, asked.len));
            }
        }
        for run in &self.runs {
            for leg in 0..=twin.legs() {
                twin.check_rmap_run(&region, SLOT, leg, run.quad());
            }
        }
        self.check_points(&region, &twin);
    }
}

impl Interleaves {
    fn ways(&self) -> u64 {
        WAYS[self.ways as usize % WAYS.len()]
    }

    fn hpa(&self) -> u64 {
        self.base * 16 * GRANULE
    }

    /// Where a leg begins, in slots.
    fn start(&self, leg: u64) -> u64 {
        let granules = self.starts.get(leg as usize).copied().map_or(0, u64::from);
        granules * SLOTS_PER_GRANULE
    }

    fn maps(&self) -> Vec<u64> {
        self.maps.iter().map(|map| u64::from(*map) * GRANULE).collect()
    }

    /// The real region; `None` where there can be none, which has to be said in one line.
    fn build(&self) -> Option<Interleave> {
        let len = self.ways() * self.rows * GRANULE;
        let hpa = Extent::new(PhysAddr::new(self.hpa()), len).expect("small");
        let bases: Vec<DevOffset> =
            (0..self.ways()).map(|leg| DevOffset::new(self.start(leg) * SLOT)).collect();
        let granularity = Granularity::new(GRANULE).expect("the smallest there is");
        let region = Interleave::new(hpa, granularity, &bases);
        let region = match self.maps.is_empty() {
            true => region,
            false => region.and_then(|r| {
                let ways = Ways::new(self.ways() as u32)?;
                r.with_xor(ways, &self.maps())
            }),
        };
        region.inspect_err(|err| assert!(!err.to_string().contains('\n'), "{err}")).ok()
    }

    /// Granule after granule goes to the next way; then each map in order sets its lowest bit to
    /// the parity of the bits that it looks at.
    fn picture(&self) -> Twin {
        let len = self.ways() * self.rows * SLOTS_PER_GRANULE;
        let mut slots = vec![Slot::Hole(HoleKind::Unmapped); len as usize];
        let needed = match self.ways() {
            2 | 6 => 1,
            4 | 12 => 2,
            8 => 3,
            16 => 4,
            _ => 0,
        };
        for leg in 0..self.ways() {
            for by in 0..self.rows * SLOTS_PER_GRANULE {
                let (row, within) = (by / SLOTS_PER_GRANULE, by % SLOTS_PER_GRANULE);
                let mut address = self.hpa() + (row * self.ways() + leg) * GRANULE + within * SLOT;
                for map in self.maps().into_iter().take(needed) {
                    let bit = map & map.wrapping_neg();
                    let odd = (address & map).count_ones() % 2 == 1;
                    address = if odd { address | bit } else { address & !bit };
                }
                let upper = (address - self.hpa()) / SLOT;
                slots[upper as usize] = Slot::On { leg: leg as u32, at: self.start(leg) + by };
            }
        }
        Twin::from_slots(self.ways() as u32, slots)
    }

    /// Single addresses, both ways, and just outside.
    fn check_points(&self, region: &Interleave, twin: &Twin) {
        for (upper, slot) in (0..).zip(twin.slots()) {
            let hpa = PhysAddr::new(self.hpa() + upper * SLOT + 1);
            let Slot::On { leg, at } = slot else { panic!("every byte lies somewhere: {self:?}") };
            let dpa = DevOffset::new(at * SLOT + 1);
            assert_eq!(region.hpa_to_dpa(hpa), Some((Leg::new(*leg), dpa)));
            assert_eq!(region.dpa_to_hpa(Leg::new(*leg), dpa), Some(hpa));
        }
        let end = PhysAddr::new(self.hpa() + twin.len() * SLOT);
        assert_eq!(region.hpa_to_dpa(end), None);
        let beyond = DevOffset::new((self.start(0) + self.rows * SLOTS_PER_GRANULE) * SLOT);
        assert_eq!(region.dpa_to_hpa(Leg::new(0), beyond), None);
        assert_eq!(region.dpa_to_hpa(Leg::new(twin.legs()), DevOffset::new(0)), None);
    }
}
