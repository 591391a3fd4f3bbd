//! Persistent memory without a filesystem: character devices and raw block devices.

use core::num::NonZeroU64;

use badrange_core::{PageSize, SECTOR_SIZE};
use badrange_input::Layer;
use badrange_pmem::Namespace;

use super::{
    Salvage, Span, Subject, Unit, advise,
    build::Draft,
    devices::lowest,
    names::{Names, Word},
    span::{united, without},
};
use crate::{
    Position,
    advice::{Action, ActionKind, Command, Risk, RiskLevel},
};

const SECTOR: NonZeroU64 = NonZeroU64::new(SECTOR_SIZE).expect("sectors have bytes");

/// A device-dax character device: no read, no write, no list of its own.
pub(super) fn devdax(
    names: &mut Names<'_>,
    draft: &Draft,
    place: usize,
    namespace: Namespace,
    subject: &mut Subject,
    number: &mut u64,
) {
    let node = names.dax(place, &draft.device);
    let unit = namespace.align().map_or_else(
        || "a whole mapping unit".to_owned(),
        |align| format!("{align}, the mapping unit"),
    );
    subject.before.push(Action {
        kind: ActionKind::Inspect,
        command: Some(node.add_to(Command::new("fuser").arg("--verbose"), "")),
        risk: Risk::none(),
        why: format!("stop whoever has it mapped: touching a bad byte costs a process {unit}"),
    });
    let page = names.page();
    subject.units = units(page, draft, number, |unit, number| {
        let mut steps: Vec<_> =
            unit.salvage.iter().map(|s| dax_read(&node, s, number, names)).collect();
        steps.push(no_backup(unit));
        steps
    });
    let clear = Command::new("ndctl").arg("clear-errors").arg("--scrub");
    let namespace = names.namespace(place, &draft.device);
    subject.after = vec![
        Action {
            kind: ActionKind::ClearPoison,
            command: Some(namespace.add_to(clear, "")),
            risk: Risk::new(
                RiskLevel::Destroys,
                "takes the namespace offline and clears every bad block of its data, not these \
                 only; the bytes are undefined until they are written",
            ),
            why: "a character device has no write that could clear; this goes through the region"
                .to_owned(),
        },
        Action {
            kind: ActionKind::PageState,
            command: None,
            risk: Risk::none(),
            why: "done with it: the pages are fresh when the namespace comes back".to_owned(),
        },
    ];
    for (unit, number) in subject.units.iter().zip(first_number(&subject.units, *number)..) {
        let image = names.work(&format!("unit-{number}"));
        subject.after.push(dax_write(&node, unit, &image));
    }
    subject.after.push(Action {
        kind: ActionKind::Badblocks,
        command: Some(namespace.add_to(
            Command::new("ndctl").arg("list").arg("--namespaces").arg("--media-errors"),
            "--namespace=",
        )),
        risk: Risk::none(),
        why: "the list was cleared with the poison: it should be empty now".to_owned(),
    });
}

/// The number of the first of these units, when the last one has `last`.
fn first_number(units: &[Unit], last: u64) -> u64 {
    let count = u64::try_from(units.len()).unwrap_or(u64::MAX);
    last.saturating_sub(count).saturating_add(1)
}

/// A block device on memory of which nobody said what is on it.
pub(super) fn block(
    names: &mut Names<'_>,
    draft: &Draft,
    place: usize,
    subject: &mut Subject,
    number: &mut u64,
) {
    let node = names.device(place);
    let is_cxl = lowest(names.explainer(), place, 0)
        .and_then(|(below, _)| names.topology().devices().get(below))
        .is_some_and(|below| matches!(below.layer, Layer::Memdev));
    let page = names.page();
    subject.units = units(page, draft, number, |unit, number| {
        let image = names.work(&format!("unit-{number}"));
        let copies = unit.salvage.iter().map(|salvage| block_read(&node, salvage, unit, &image));
        let mut steps: Vec<_> = copies.collect();
        steps.push(no_backup(unit));
        steps.extend(advise::clear_and_page(false, is_cxl));
        steps.push(block_write(page, &node, unit, &image));
        steps.push(advise::badblocks(false));
        steps
    });
}

/// The pages of the device with bad bytes.
fn units(
    page: PageSize,
    draft: &Draft,
    number: &mut u64,
    mut steps: impl FnMut(&Unit, u64) -> Vec<Action>,
) -> Vec<Unit> {
    let bad = united(draft.bad.iter().copied());
    let mut units = Vec::new();
    for whole in united(bad.iter().map(|span| span.round_out(page.nonzero()))) {
        *number = number.saturating_add(1);
        let bad: Vec<Span> = bad.iter().filter_map(|span| span.intersect(whole)).collect();
        let restore = united(bad.iter().map(|span| span.round_out(SECTOR)));
        let good = without(whole, &restore).into_iter().map(|span| Salvage {
            start: span.start,
            len: span.len,
            from: Some(Position { device: draft.device.clone(), start: span.start, stride: None }),
        });
        let mut unit = Unit {
            start: whole.start,
            len: whole.len,
            bad,
            salvage: good.collect(),
            restore,
            shared_with: Vec::new(),
            steps: Vec::new(),
        };
        unit.steps = steps(&unit, *number);
        units.push(unit);
    }
    units
}

fn dax_read(node: &Word, part: &Salvage, number: u64, names: &mut Names<'_>) -> Action {
    let image = names.work(&format!("unit-{number}-at-{}", part.start));
    let command = node.add_to(Command::new("daxio"), "--input=");
    let command = image.add_to(command, "--output=");
    Action {
        kind: ActionKind::Salvage,
        command: Some(
            command.arg(format!("--skip={}", part.start)).arg(format!("--len={}", part.len)),
        ),
        risk: Risk::new(RiskLevel::Reads, "killed with SIGBUS if more is bad than was asked about"),
        why: format!(
            "good bytes beside the hole: {}..{}",
            part.start,
            part.start.saturating_add(part.len)
        ),
    }
}

fn dax_write(node: &Word, unit: &Unit, image: &Word) -> Action {
    let command = node.add_to(image.add_to(Command::new("daxio"), "--input="), "--output=");
    Action {
        kind: ActionKind::WriteData,
        command: Some(
            command.arg(format!("--seek={}", unit.start)).arg(format!("--len={}", unit.len)),
        ),
        risk: Risk::new(RiskLevel::Overwrites, "what was there is gone"),
        why: format!("bytes {}..{} of the device", unit.start, unit.start.saturating_add(unit.len)),
    }
}

fn no_backup(unit: &Unit) -> Action {
    let lost: Vec<_> = unit.restore.iter().map(|s| format!("{}..{}", s.start, s.end())).collect();
    Action {
        kind: ActionKind::Restore,
        command: None,
        risk: Risk::new(RiskLevel::None, "changes nothing by itself"),
        why: format!(
            "lost: bytes {} of the device. Whoever keeps data there has to say what they were: put \
             them and the salvaged bytes together in one image of {} bytes",
            lost.join(", "),
            unit.len
        ),
    }
}

fn block_read(node: &Word, part: &Salvage, unit: &Unit, image: &Word) -> Action {
    let command = image.add_to(node.add_to(Command::new("dd"), "if="), "of=");
    let command = command
        .arg(format!("bs={SECTOR_SIZE}"))
        .arg("iflag=direct,skip_bytes,count_bytes")
        .arg(format!("skip={}", part.start))
        .arg(format!("count={}", part.len))
        .arg("oflag=seek_bytes")
        .arg(format!("seek={}", part.start.saturating_sub(unit.start)))
        .arg("conv=notrunc");
    Action {
        kind: ActionKind::Salvage,
        command: Some(command),
        risk: Risk::new(RiskLevel::Reads, "if this fails, more is bad than was asked about"),
        why: format!(
            "good bytes beside the hole: {}..{}",
            part.start,
            part.start.saturating_add(part.len)
        ),
    }
}

fn block_write(page: PageSize, node: &Word, unit: &Unit, image: &Word) -> Action {
    let command = node.add_to(image.add_to(Command::new("dd"), "if="), "of=");
    let command = command
        .arg(format!("bs={}", page.bytes()))
        .arg(format!("count={}", unit.len / page.nonzero()))
        .arg("oflag=direct,seek_bytes")
        .arg(format!("seek={}", unit.start))
        .arg("conv=notrunc,fsync");
    Action {
        kind: ActionKind::WriteData,
        command: Some(command),
        risk: Risk::new(
            RiskLevel::Destroys,
            "under a mounted filesystem this corrupts it: only when it is known that nothing else \
             writes here",
        ),
        why: "writing whole pages clears them; less than a page does not".to_owned(),
    }
}
