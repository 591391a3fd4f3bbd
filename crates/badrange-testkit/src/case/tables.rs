#![expect(
    clippy::arithmetic_side_effects,
    reason = "drawn numbers are small, and a panic is a failed check"
)]

use arbitrary::Arbitrary;
use badrange_block::dm::Table;
use badrange_core::{DevOffset, Extent, Leg, Mapping, SECTOR_SIZE, Window};

use super::{DrawnExtent, DrawnRun, TestCase};
use crate::{
    draw::few,
    twin::{DrawnTarget, Twin},
};

/// Half a sector: what begins and ends inside sectors is tried too.
const SLOT: u64 = SECTOR_SIZE / 2;
const SLOTS_PER_SECTOR: u64 = 2;

/// Device-mapper tables and partitions against their pictures, as numbers and as text.
///
/// # Examples
/// ```
/// use badrange_testkit::{case::{DrawnExtent, Tables, TestCase}, twin::DrawnTarget};
/// let asked = DrawnExtent { start: 0, len: 9 };
/// Tables { targets: vec![DrawnTarget::Error { len: 4 }], asked: vec![asked], runs: vec![] }.check();
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct Tables {
    /// The targets.
    #[arbitrary(with = few::<_, 1, 4>)]
    pub targets: Vec<DrawnTarget>,
    /// Ranges to ask for, in half sectors.
    #[arbitrary(with = few::<_, 1, 5>)]
    pub asked: Vec<DrawnExtent>,
    /// Runs to ask for, in half sectors.
    #[arbitrary(with = few::<_, 0, 4>)]
    pub runs: Vec<DrawnRun>,
}

impl TestCase for Tables {
    fn check(&self) {
        let table = DrawnTarget::build_table(&self.targets).expect("drawn targets make a table");
        self.check_text(&table);
        self.check_legs(&table);
        let sectors: u64 = self.targets.iter().map(DrawnTarget::len).sum();
        let whole = Extent::new(DevOffset::new(0), sectors * SECTOR_SIZE).expect("small");
        assert_eq!(table.extent(), whole);
        self.check_mapping(&table, &Twin::table(&self.targets).refined(SLOTS_PER_SECTOR));
        for on in &self.asked {
            let bytes = Extent::new(DevOffset::new(on.start * SLOT), on.len * SLOT).expect("small");
            self.check_mapping(&Window::new(bytes), &Twin::partition(on.start, on.len));
        }
    }
}

impl Tables {
    fn check_mapping(&self, mapping: &dyn Mapping, twin: &Twin) {
        assert_eq!(mapping.legs(), twin.legs());
        for leg in [twin.legs(), twin.legs() + 1, u32::MAX] {
            assert_eq!(mapping.leg_extent(Leg::new(leg)), None);
        }
        for asked in &self.asked {
            twin.check_map(mapping, SLOT, asked.start, asked.len);
            for leg in 0..twin.legs() + 2 {
                twin.check_rmap(mapping, SLOT, leg, (asked.start, asked.len));
            }
        }
        for run in &self.runs {
            for leg in 0..twin.legs() + 2 {
                twin.check_rmap_run(mapping, SLOT, leg, run.quad());
            }
        }
    }

    fn check_legs(&self, table: &Table) {
        let legs: Vec<_> = self
            .targets
            .iter()
            .flat_map(|target| target.legs().iter().map(|leg| (*leg, target.width())))
            .collect();
        let real: Vec<_> = table.legs_info().collect();
        assert_eq!(real.len(), legs.len());
        for (info, (place, width)) in real.iter().zip(legs) {
            let start = DevOffset::new(place.start * SECTOR_SIZE);
            let on = Extent::new(start, width * SECTOR_SIZE).expect("small");
            assert_eq!((info.device, info.on), (place.name(), on));
            assert_eq!(table.leg_extent(info.leg), Some(on));
            assert_eq!(table.leg_device(info.leg), Some(place.name()));
        }
    }

    fn check_text(&self, table: &Table) {
        let text = DrawnTarget::table_text(&self.targets);
        assert_eq!(table.to_string(), text);
        assert_eq!(Table::parse(&text).as_ref(), Ok(table), "{text}");
        assert_eq!(Table::parse(&format!("\n# table\n {text}\n\n")).as_ref(), Ok(table));
    }
}

/// One word of a line that may be a table's.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Word {
    Due,
    Number(u8),
    Huge,
    Kind(Kind),
    Device(u8),
    Garbage(char),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Linear,
    Striped,
    Error,
    Zero,
    Crypt,
    Delay,
    Flakey,
    Dust,
    Thin,
}

/// Lines that may be a table, read back when they are.
///
/// # Examples
/// ```
/// badrange_testkit::case::check_bytes::<badrange_testkit::case::TableText>(&[3; 200]);
/// ```
#[derive(Debug, Clone, Arbitrary)]
pub struct TableText {
    /// Lines that are in order, before the others.
    #[arbitrary(with = few::<_, 0, 2>)]
    targets: Vec<DrawnTarget>,
    #[arbitrary(with = few::<_, 0, 3>)]
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Arbitrary)]
struct Line {
    /// Whether it begins where the line before ends, with a length.
    placed: bool,
    #[arbitrary(with = few::<_, 0, 8>)]
    words: Vec<Word>,
}

impl TableText {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = DrawnTarget::table_text(&self.targets);
        let due: u64 = self.targets.iter().map(DrawnTarget::len).sum();
        for line in &self.lines {
            let start = if line.placed { format!("{due} 24") } else { String::new() };
            let words: String = line.words.iter().map(|w| format!(" {}", w.text(due))).collect();
            text = format!("{text}\n{start}{words}");
        }
        text
    }
}

impl Word {
    fn text(self, due: u64) -> String {
        match self {
            Self::Due => due.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Huge => u64::MAX.to_string(),
            Self::Kind(kind) => format!("{kind:?}").to_lowercase(),
            Self::Device(n) => format!("8:{n}"),
            Self::Garbage(c) => c.to_string(),
        }
    }
}

impl TestCase for TableText {
    fn check(&self) {
        let text = self.text();
        match Table::parse(&text) {
            Ok(table) => {
                let printed = table.to_string();
                assert_eq!(Table::parse(&printed).as_ref(), Ok(&table), "{text:?}: {printed:?}");
                // What was in order before is there unchanged.
                let before = DrawnTarget::table_text(&self.targets);
                assert!(printed.starts_with(&before), "{printed:?} does not begin with {before:?}");
                let sectors: u64 = table.targets().map(|(_, target)| target.len_sectors()).sum();
                assert_eq!(table.extent().len(), sectors * SECTOR_SIZE);
            }
            Err(err) => {
                let lines = text.lines().count() as u64;
                let first_drawn = self.targets.len() as u64;
                if let Some(line) = err.line() {
                    assert!((1..=lines).contains(&line), "{err} of {lines} lines");
                    assert!(line > first_drawn, "{err}: that line is in order");
                }
            }
        }
    }
}
