//! Advice for what is no file data, and the words of steps that several subjects share.

use badrange_core::Leg;
use badrange_input::{Device, Filesystem, Layer};
use badrange_pmem::Mode;

use super::{
    Subject, Unit,
    build::{Draft, FilePart},
    memory,
    names::{Names, Word},
    span::united,
};
use crate::{
    Verdict,
    advice::{Action, ActionKind, Command, Risk, RiskLevel},
};

/// An area, or metadata of a file.
pub(super) fn subject(names: &mut Names<'_>, draft: Draft, number: &mut u64) -> Subject {
    let mut subject = Subject {
        verdict: draft.verdict,
        what: draft.what.clone(),
        lost: draft.lost,
        device: draft.device.clone(),
        file: draft.file.clone(),
        redundancy: draft.redundancy.clone(),
        bad: draft.shown_bad(),
        before: Vec::new(),
        units: Vec::new(),
        after: Vec::new(),
    };
    if draft.redundancy.is_some() {
        subject.after.push(rebuild(names, &draft));
        return subject;
    }
    match draft.verdict {
        Verdict::FsMetadata | Verdict::FsJournal | Verdict::FileMetadata => {
            filesystem(names, &draft, &mut subject);
        }
        Verdict::Device => device(names, &draft, &mut subject, number),
        Verdict::FsUnknown => subject.before.push(who_owns(names, &draft)),
        Verdict::LvmMetadata => lvm_metadata(names, &draft, &mut subject),
        Verdict::PartitionTable => partition_table(names, &draft, &mut subject),
        Verdict::ThinMetadata => thin_metadata(names, &draft, &mut subject),
        Verdict::MdMetadata => md_metadata(names, &draft, &mut subject),
        Verdict::MdParity => subject.after.push(rebuild(names, &draft)),
        Verdict::PmemMetadata => subject.after.push(pmem_metadata()),
        Verdict::NoOwner => subject.before.push(no_owner()),
        Verdict::Outside => {
            subject.before.push(nothing("there are no such bytes: check the numbers and the unit"));
        }
        Verdict::FileUnwritten
        | Verdict::ThinFree
        | Verdict::MdUnused
        | Verdict::FsFree
        | Verdict::LvmFree
        | Verdict::LvmTail
        | Verdict::Unpartitioned => {
            subject.before.push(nothing(
                "nobody stores anything there; the bytes stay bad until they are written",
            ));
        }
        // Data of a file always has a place in it, and is planned there.
        Verdict::File => {}
    }
    subject
}

fn nothing(why: &str) -> Action {
    Action { kind: ActionKind::Nothing, command: None, risk: Risk::none(), why: why.to_owned() }
}

fn no_owner() -> Action {
    Action {
        kind: ActionKind::Inspect,
        command: Some(Command::new("cat").arg("/proc/iomem")),
        risk: Risk::none(),
        why: "no device of the description is there: ordinary memory, or a device that is missing \
              from it"
            .to_owned(),
    }
}

/// An array that has the bytes once more writes them back itself.
pub(super) fn rebuild(names: &mut Names<'_>, draft: &Draft) -> Action {
    let members = draft.redundancy.as_ref().map_or_else(String::new, |r| {
        r.from
            .iter()
            .map(|member| Command::new(&**member).to_string())
            .collect::<Vec<_>>()
            .join(", ")
    });
    let command = array(names, draft);
    let hint = if command.is_some() { "" } else { "; no command is known for this kind of array" };
    let whence = if members.is_empty() { "" } else { ", and others have what they are made of: " };
    Action {
        kind: ActionKind::Rebuild,
        command,
        risk: Risk::new(
            RiskLevel::Overwrites,
            "reads every byte of the array; a second bad place in the same row cannot be rebuilt",
        ),
        why: format!(
            "the bytes are an array's{whence}{members}: a check finds what cannot be read, and \
             writes it back{hint}"
        ),
    }
}

/// The command that lets the array which bytes belong to look at all of them.
fn array(names: &Names<'_>, draft: &Draft) -> Option<Command> {
    let devices = names.topology().devices();
    let is_array = |device: &&Device| device.layer.array_of(Leg::new(0)).is_some();
    let on_way = |device: &&Device| draft.way.contains(&device.name);
    let lies_on_it = |device: &&Device| {
        let below = device.layer.legs().iter().filter_map(|leg| devices.get(*leg));
        below.into_iter().any(|below| draft.way.contains(&below.name))
    };
    let arrays = || devices.iter().filter(is_array);
    let array = arrays().find(on_way).or_else(|| arrays().find(lies_on_it))?;
    if let Layer::Array { .. } = array.layer {
        let node = format!("/dev/{}", array.name);
        return Some(Command::new("mdadm").arg("--action=check").arg(node));
    }
    let (group, volume) = lv_of(&array.name)?;
    let syncaction = Command::new("lvchange").arg("--syncaction").arg("check");
    Some(syncaction.arg(format!("{group}/{volume}")))
}

/// Group and volume of a device-mapper name: the single dash parts them, doubled ones are dashes.
pub(super) fn lv_of(name: &str) -> Option<(String, String)> {
    let bytes = name.as_bytes();
    let is_dash = |at: usize| bytes.get(at) == Some(&b'-');
    let mut at = 0;
    while at < bytes.len() {
        if !is_dash(at) {
            at = at.saturating_add(1);
        } else if is_dash(at.saturating_add(1)) {
            at = at.saturating_add(2);
        } else {
            let plain = |part: &str| part.replace("--", "-");
            let after = name.get(at.saturating_add(1)..).filter(|after| !after.is_empty())?;
            let before = name.get(..at).filter(|before| !before.is_empty())?;
            return Some((plain(before), plain(after)));
        }
    }
    None
}

pub(super) fn find_inode(names: &mut Names<'_>, fs: &Filesystem, device: &str, ino: u64) -> Action {
    let mount = names.mount(fs, device);
    let find = mount.add_to(Command::new("find"), "");
    Action {
        kind: ActionKind::Inspect,
        command: Some(find.arg("-xdev").arg("-inum").arg(ino.to_string())),
        risk: Risk::none(),
        why: "the description has no path for this inode".to_owned(),
    }
}

pub(super) fn unwritten(path: &Word, parts: &[FilePart]) -> Action {
    let spans = united(parts.iter().map(|part| part.file));
    let command = spans.first().map(|span| {
        let punch = Command::new("fallocate").arg("--punch-hole");
        let punch =
            punch.arg(format!("--offset={}", span.start)).arg(format!("--length={}", span.len));
        path.add_to(punch.arg("--"), "")
    });
    let more = if spans.len() > 1 { "; the same for its other ranges" } else { "" };
    Action {
        kind: ActionKind::PunchHole,
        command,
        risk: Risk::new(RiskLevel::Overwrites, "whatever was written there since is gone"),
        why: format!(
            "nothing is lost: the bytes read as zeros. If the file is to keep away from the bad \
             blocks, give them back to the filesystem{more}"
        ),
    }
}

/// What a write to persistent memory does before it writes.
pub(super) fn clear_and_page(shared: bool, cxl: bool) -> Vec<Action> {
    if shared {
        return Vec::new();
    }
    let step = |kind, risk: &str, why: &str| Action {
        kind,
        command: None,
        risk: Risk::new(RiskLevel::Overwrites, risk),
        why: why.to_owned(),
    };
    let by_address = step(
        ActionKind::ClearPoison,
        "the bytes are zeros until the write below",
        "with the commands for the memory device, above: on CXL memory the write below does not \
         clear",
    );
    let by_write = vec![
        step(
            ActionKind::ClearPoison,
            "may clear a part only: then the write says EIO or is short, the list keeps its entries, \
             and the bytes read as whatever the device put there",
            "done by the write below, first: the device forgets that the bytes are bad",
        ),
        step(
            ActionKind::PageState,
            "between this and the write the old, meaningless bytes can be read",
            "done by the write below, second: the page is mapped again and loses its poison mark",
        ),
    ];
    if cxl { vec![by_address] } else { by_write }
}

pub(super) fn badblocks(shared: bool) -> Action {
    let why = if shared {
        "not done: the shared blocks stay on the list; when no file has them any more they are free \
         space, and are cleared when somebody writes there"
    } else {
        "done by the write above, last: readers are held off until the data is there"
    };
    Action { kind: ActionKind::Badblocks, command: None, risk: Risk::none(), why: why.to_owned() }
}

/// The way out where writing fails or there is no backup.
pub(super) fn punch(path: &Word, unit: &Unit) -> Action {
    let punch = Command::new("fallocate").arg("--punch-hole");
    let punch = punch.arg(format!("--offset={}", unit.start)).arg(format!("--length={}", unit.len));
    Action {
        kind: ActionKind::PunchHole,
        command: Some(path.add_to(punch.arg("--"), "")),
        risk: Risk::new(
            RiskLevel::Overwrites,
            "the pages read as zeros until they are written again; the bad blocks are free space then",
        ),
        why: "only where the write above fails (EIO, EFAULT): frees the blocks, so that the write \
              gets others"
            .to_owned(),
    }
}

/// The tools of a kind of filesystem.
struct Checker {
    /// Copies the metadata.
    dump: Command,
    /// Looks and changes nothing.
    check: Command,
    repair: Command,
    /// What to know before a repair.
    caution: &'static str,
}

fn checker(kind: &str) -> Option<Checker> {
    match kind {
        "xfs" => Some(Checker {
            dump: Command::new("xfs_metadump").arg("-g"),
            check: Command::new("xfs_repair").arg("-n"),
            repair: Command::new("xfs_repair"),
            caution: "only after -n, and with a backup at hand; mount once before, so that the log \
                      is replayed. With a bad log it asks for -L, which throws away the last changes",
        }),
        "ext4" => Some(Checker {
            dump: Command::new("e2image").arg("-r"),
            check: Command::new("e2fsck").arg("-f").arg("-n"),
            repair: Command::new("e2fsck").arg("-f"),
            caution: "only after -n, and with a backup at hand; asks before each change",
        }),
        _ => None,
    }
}

fn filesystem(names: &mut Names<'_>, draft: &Draft, subject: &mut Subject) {
    let node = names.place(&draft.device).map(|place| names.device(place));
    let Some((node, fs)) = node.zip(names.filesystem(&draft.device)) else { return };
    let offline = "the filesystem is unmounted meanwhile";
    let mount = names.mount(fs, &draft.device);
    subject.before.push(Action {
        kind: ActionKind::Preserve,
        command: Some(mount.add_to(Command::new("umount").arg("--"), "")),
        risk: Risk::new(RiskLevel::Offline, offline),
        why: "metadata is hit: every further write may make it worse".to_owned(),
    });
    match checker(&fs.kind) {
        Some(tools) => {
            let image = names.work("metadata.img");
            subject.before.push(Action {
                kind: ActionKind::Preserve,
                command: Some(image.add_to(node.add_to(tools.dump, ""), "")),
                risk: Risk::new(RiskLevel::Reads, "may stop at the bad sectors"),
                why: "a copy of the metadata as it is, to ask others about".to_owned(),
            });
            subject.after.push(Action {
                kind: ActionKind::Check,
                command: Some(node.add_to(tools.check, "")),
                risk: Risk::new(RiskLevel::Reads, offline),
                why: "looks and changes nothing; says what it would do".to_owned(),
            });
            subject.after.push(Action {
                kind: ActionKind::Repair,
                command: Some(node.add_to(tools.repair, "")),
                risk: Risk::new(
                    RiskLevel::Destroys,
                    "files whose metadata was there end in lost+found or are cut off; make an \
                     image of the device first",
                ),
                why: tools.caution.to_owned(),
            });
        }
        None => subject.after.push(Action {
            kind: ActionKind::Check,
            command: None,
            risk: Risk::none(),
            why:
                "the filesystem's own checker, in its mode that changes nothing; none is known here"
                    .to_owned(),
        }),
    }
    subject.after.push(lost_with_metadata(names, draft));
}

fn lost_with_metadata(names: &Names<'_>, draft: &Draft) -> Action {
    let why = match (&draft.file, draft.verdict) {
        (Some(file), _) => format!(
            "{} lost its {}: restore it as a whole",
            names.shown(file),
            draft.what.as_deref().unwrap_or("metadata")
        ),
        (None, Verdict::FsJournal) => {
            "what was in the log only: changes of the last seconds before".to_owned()
        }
        (None, _) => "what the checker reports as lost".to_owned(),
    };
    let risk = Risk::new(RiskLevel::None, "changes nothing by itself");
    Action { kind: ActionKind::Restore, command: None, risk, why }
}

fn who_owns(names: &mut Names<'_>, draft: &Draft) -> Action {
    let fs = names.filesystem(&draft.device);
    let command = fs.map(|fs| {
        let mount = names.mount(fs, &draft.device);
        match fs.kind.as_str() {
            "xfs" => mount.add_to(Command::new("xfs_io").arg("-r").arg("-c").arg("fsmap -v"), ""),
            _ => mount
                .add_to(Command::new("find"), "")
                .arg("-xdev")
                .arg("-type")
                .arg("f")
                .arg("-exec")
                .arg("filefrag")
                .arg("-v")
                .arg("{}")
                .arg("+"),
        }
    });
    Action {
        kind: ActionKind::Inspect,
        command,
        risk: Risk::none(),
        why: "no map says whose the bytes are: save this output, name it under map in the \
              description, and ask again"
            .to_owned(),
    }
}

fn device(names: &mut Names<'_>, draft: &Draft, subject: &mut Subject, number: &mut u64) {
    let Some(place) = names.place(&draft.device) else { return };
    let node = names.device(place);
    let layer = names.topology().devices().get(place).map(|device| &device.layer);
    if let Some(Layer::Pmem { namespace, .. }) = layer {
        if namespace.mode() == Mode::Devdax {
            return memory::devdax(names, draft, place, *namespace, subject, number);
        }
    }
    subject.before.push(Action {
        kind: ActionKind::Inspect,
        command: Some(node.add_to(Command::new("lsblk").arg("--fs").arg("--paths"), "")),
        risk: Risk::none(),
        why: "nobody described what is on this device: find out, add it to the description, and \
              ask again"
            .to_owned(),
    });
    if let Some(Layer::Pmem { .. }) = layer {
        memory::block(names, draft, place, subject, number);
    }
}

fn lvm_metadata(names: &mut Names<'_>, draft: &Draft, subject: &mut Subject) {
    let Some(place) = names.place(&draft.device) else { return };
    let node = names.device(place);
    let dump = |what: &str| Some(node.add_to(Command::new("pvck").arg("--dump").arg(what), ""));
    subject.before.push(Action {
        kind: ActionKind::Preserve,
        command: Some(Command::new("vgcfgbackup")),
        risk: Risk::none(),
        why: "writes the metadata that the running system still has to /etc/lvm/backup".to_owned(),
    });
    subject.before.push(Action {
        kind: ActionKind::Check,
        command: dump("headers"),
        risk: Risk::new(RiskLevel::Reads, "fails where the header itself is bad"),
        why: "whether the label and the metadata header can be read".to_owned(),
    });
    subject.before.push(Action {
        kind: ActionKind::Check,
        command: dump("metadata_search"),
        risk: Risk::new(RiskLevel::Reads, "skips what cannot be read"),
        why: "the copies of the metadata that are still there: most of the area is older copies, \
              and losing those loses nothing"
            .to_owned(),
    });
    subject.after.push(Action {
        kind: ActionKind::Repair,
        command: None,
        risk: Risk::new(
            RiskLevel::Destroys,
            "with the wrong file or UUID all volumes are misplaced",
        ),
        why: "only if the current copy is damaged: pvcreate --restorefile with the old UUID, then \
              vgcfgrestore, both from the saved metadata; see lvmraid(7) and pvck(8)"
            .to_owned(),
    });
}

fn partition_table(names: &mut Names<'_>, draft: &Draft, subject: &mut Subject) {
    let Some(place) = names.place(&draft.device) else { return };
    let node = names.device(place);
    subject.before.push(Action {
        kind: ActionKind::Check,
        command: Some(node.add_to(Command::new("sfdisk").arg("--verify"), "")),
        risk: Risk::new(RiskLevel::Reads, "fails where the table cannot be read"),
        why: "whether the kernel's idea of the partitions can still be read from the disk"
            .to_owned(),
    });
    subject.before.push(Action {
        kind: ActionKind::Preserve,
        command: Some(Command::new("cat").arg("/proc/partitions")),
        risk: Risk::none(),
        why: "do not reboot: the running kernel still knows every partition and its size"
            .to_owned(),
    });
    subject.after.push(Action {
        kind: ActionKind::Repair,
        command: None,
        risk: Risk::new(
            RiskLevel::Destroys,
            "a table with wrong numbers misplaces every partition",
        ),
        why: "write the saved table back with sfdisk, from the very text that the description \
              names; a GPT has a second copy at the other end of the disk, which gdisk can use"
            .to_owned(),
    });
}

fn thin_metadata(names: &mut Names<'_>, draft: &Draft, subject: &mut Subject) {
    let Some(place) = names.place(&draft.device) else { return };
    let node = names.device(place);
    let dump = names.work("thin.xml");
    let dump = dump.add_to(Command::new("thin_dump").arg("--repair"), "--output=");
    subject.before.push(Action {
        kind: ActionKind::Check,
        command: Some(node.add_to(Command::new("thin_check"), "")),
        risk: Risk::new(RiskLevel::Offline, "the pool is inactive meanwhile"),
        why: "whether the mappings are still whole".to_owned(),
    });
    subject.before.push(Action {
        kind: ActionKind::Preserve,
        command: Some(node.add_to(dump, "")),
        risk: Risk::new(RiskLevel::Offline, "the pool is inactive meanwhile"),
        why: "the mappings that can be read, as text".to_owned(),
    });
    subject.after.push(Action {
        kind: ActionKind::Repair,
        command: None,
        risk: Risk::new(RiskLevel::Destroys, "volumes whose mappings were there lose their data"),
        why: "lvconvert --repair of the pool writes mended metadata to the spare volume; keep the \
              old one until every volume was looked at"
            .to_owned(),
    });
}

fn md_metadata(names: &mut Names<'_>, draft: &Draft, subject: &mut Subject) {
    let Some(place) = names.place(&draft.device) else { return };
    let node = names.device(place);
    subject.before.push(Action {
        kind: ActionKind::Check,
        command: Some(node.add_to(Command::new("mdadm").arg("--examine"), "")),
        risk: Risk::new(RiskLevel::Reads, "fails where the superblock itself is bad"),
        why: "whether the superblock can be read: most of the area beside it is not used"
            .to_owned(),
    });
    subject.after.push(Action {
        kind: ActionKind::Repair,
        command: None,
        risk: Risk::new(
            RiskLevel::Destroys,
            "without redundancy the array loses this member's data",
        ),
        why: "the running array writes its superblock again when something changes. If the member \
              was thrown out: mdadm --re-add, and only while every other member is whole. Never \
              --create over it"
            .to_owned(),
    });
}

fn pmem_metadata() -> Action {
    Action {
        kind: ActionKind::Restore,
        command: None,
        risk: Risk::new(RiskLevel::Destroys, "making the namespace again loses its data"),
        why: "below the data there are the info block and the page descriptions of the namespace: \
              the device itself cannot write there. Save all data, destroy the namespace, make it \
              again, restore"
            .to_owned(),
    }
}
