//! Memory per extent: how much a process of its own grows while it builds one contender.

use core::hint::black_box;
use std::{env, fs, process::Command};

use badrange_fs::ReverseMap;

use super::{
    rivals::{self, Contender},
    table::Table,
};
use crate::{Options, data, data::Shape};

/// Measures all of them at the largest size.
pub(super) fn measure(options: &Options, table: &mut Table) -> Result<(), String> {
    let Some(&n) = options.sizes.iter().max() else { return Ok(()) };
    for (name, _) in CONTENDERS {
        let program = env::current_exe().map_err(|e| e.to_string())?;
        let answer = Command::new(program)
            .args(["--memory-of", name, "--sizes", &n.to_string(), "index"])
            .output()
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let bytes: f64 = text.trim().parse().map_err(|_| format!("memory of {name}: {text:?}"))?;
        table.note_memory(name, n, bytes);
    }
    Ok(())
}

type Grow = fn(&[badrange_fs::Record]) -> u64;

const CONTENDERS: [(&str, Grow); 11] = [
    ("badrange", grow::<ReverseMap>),
    ("badrange, packed", packed),
    (rivals::Ranges::NAME, grow::<rivals::Ranges>),
    (rivals::BTree::NAME, grow::<rivals::BTree>),
    (rivals::GrownBTree::NAME, grow::<rivals::GrownBTree>),
    (rivals::Coi::NAME, grow::<rivals::Coi>),
    (rivals::Super::NAME, grow::<rivals::Super>),
    (rivals::Iset::NAME, grow::<rivals::Iset>),
    (rivals::Nodit::NAME, grow::<rivals::Nodit>),
    (rivals::Centered::NAME, grow::<rivals::Centered>),
    (rivals::Lapped::NAME, grow::<rivals::Lapped>),
];

/// What the process that `measure` starts does: builds one contender and returns its bytes per
/// extent.
///
/// # Errors
/// No such contender.
pub fn child(name: &str, n: usize) -> Result<f64, String> {
    let found = CONTENDERS.iter().find(|(known, _)| *known == name);
    let (_, grow) = found.ok_or_else(|| format!("no contender {name:?}"))?;
    let records = data::records(Shape::Disjoint, n, 1);
    Ok(grow(&records) as f64 / n as f64)
}

fn grow<C: Contender>(records: &[badrange_fs::Record]) -> u64 {
    let before = resident();
    let built = C::build(records);
    let after = resident();
    black_box(&built);
    after.saturating_sub(before)
}

/// The large form is still there while the small one is measured.
fn packed(records: &[badrange_fs::Record]) -> u64 {
    let map = ReverseMap::build(records);
    let before = resident();
    let built = map.packed();
    let after = resident();
    black_box((&map, &built));
    after.saturating_sub(before)
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.map_or(0, |kib: u64| kib << 10)
}
