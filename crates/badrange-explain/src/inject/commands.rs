//! The words of each injector. Written for bash; `$dev` is the device on the test machine.

use badrange_core::SECTOR_SIZE;

use super::{Injector, Target};
use crate::advice::Command;

/// Commands, and those that take them back.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) run: Vec<String>,
    pub(super) undo: Vec<String>,
}

impl Script {
    fn run(&mut self, line: impl Into<String>) {
        self.run.push(line.into());
    }

    fn undo(&mut self, line: impl Into<String>) {
        self.undo.push(line.into());
    }
}

/// `number` tells the mapped devices of several targets apart.
pub(super) fn on(target: &Target<'_>, number: usize, injector: Injector) -> Script {
    let mut script = Script::default();
    let place = format!("dev={}", Command::new(&target.device.name));
    script.run(format!("{place}  # its name on the test machine"));
    script.undo(place);
    match injector {
        Injector::DmDust => dust(target, number, &mut script),
        Injector::DmError => error(target, number, &mut script),
        Injector::BlockErrorInjection => block(target, &mut script),
        Injector::NullBlk => null_blk(target, &mut script),
        Injector::Ndctl => ndctl(target, &mut script),
        Injector::ScsiDebug => scsi_debug(target, &mut script),
        Injector::Hwpoison => {}
    }
    script
}

/// # Kernel
/// `drivers/md/dm-dust.c`: block numbers count the block size of the table.
fn dust(target: &Target<'_>, number: usize, script: &mut Script) {
    let name = format!("badrange-dust{number}");
    script.run(instead(&name));
    let (sectors, granule) = (sectors(target), target.granule);
    let table = format!("0 {sectors} dust /dev/$dev 0 {granule}");
    script.run(format!("dmsetup create {name} --table \"{table}\""));
    for (first, count) in target.in_units(target.granule) {
        script.run(each(first, count, &format!("dmsetup message {name} 0 addbadblock \"$n\"")));
    }
    script.run(format!("dmsetup message {name} 0 enable"));
    script.undo = vec![format!("dmsetup remove {name}")];
}

/// # Kernel
/// `drivers/md/dm-target.c`, target `error`; a table has neither gaps nor overlaps.
fn error(target: &Target<'_>, number: usize, script: &mut Script) {
    let name = format!("badrange-error{number}");
    script.run(instead(&name));
    script.run(format!("dmsetup create {name} <<EOF"));
    let mut at = 0_u64;
    let all = sectors(target);
    for (first, count) in target.in_units(SECTOR_SIZE) {
        if let Some(good) = first.checked_sub(at).filter(|good| *good > 0) {
            script.run(format!("{at} {good} linear /dev/$dev {at}"));
        }
        script.run(format!("{first} {count} error"));
        at = first.saturating_add(count);
    }
    if let Some(good) = all.checked_sub(at).filter(|good| *good > 0) {
        script.run(format!("{at} {good} linear /dev/$dev {at}"));
    }
    script.run("EOF");
    script.undo = vec![format!("dmsetup remove {name}")];
}

/// # Kernel
/// `Documentation/block/error-injection.rst`.
fn block(target: &Target<'_>, script: &mut Script) {
    let file = "\"/sys/kernel/debug/block/$dev/error_injection\"";
    for (first, count) in target.in_units(SECTOR_SIZE) {
        script.run(format!(
            "echo 'add,op=READ,start={first},nr_sectors={count},status=MEDIUM' > {file}"
        ));
    }
    script.undo(format!("echo removeall > {file}"));
}

/// # Kernel
/// `drivers/block/null_blk`, attribute `badblocks`: both ends belong to the range.
fn null_blk(target: &Target<'_>, script: &mut Script) {
    let file = "\"/sys/kernel/config/nullb/$dev/badblocks\"";
    for (first, count) in target.in_units(SECTOR_SIZE) {
        let last = first.saturating_add(count.saturating_sub(1));
        script.run(format!("echo '+{first}-{last}' > {file}"));
        script.undo(format!("echo '-{first}-{last}' > {file}"));
    }
}

/// Blocks of 512 bytes from the first data byte of the namespace, which is byte 0 of its device.
fn ndctl(target: &Target<'_>, script: &mut Script) {
    let namespace = "namespace=$(ndctl list -N | jq -r --arg dev \"$dev\" \
                     '[.] | flatten | .[] | select(.blockdev == $dev) | .dev')";
    script.run(namespace);
    script.undo(namespace);
    for (first, count) in target.in_units(SECTOR_SIZE) {
        let block = format!("--block={first} --count={count} \"$namespace\"");
        script.run(format!("ndctl inject-error {block}"));
        script.undo(format!("ndctl inject-error --uninject {block}"));
    }
    script.undo("# the kernel keeps its list until the bytes are written: ndctl clear-errors");
}

/// One range, in logical blocks; the module makes the disk itself.
fn scsi_debug(target: &Target<'_>, script: &mut Script) {
    let Some((first, count)) = target.in_units(target.granule).next() else { return };
    let bytes = target.device.extent.len();
    // NO-OVERFLOW: 2^64 bytes are 2^44 MiB.
    let megabytes = bytes.div_ceil(1 << 20);
    script.run.clear();
    script.run(format!(
        "modprobe scsi_debug dev_size_mb={megabytes} sector_size={} opts=2 \
         medium_error_start={first} medium_error_count={count}",
        target.granule
    ));
    script.run("# the disk that appears is in /sys/bus/pseudo/drivers/scsi_debug/adapter0");
    script.undo = vec!["modprobe -r scsi_debug".to_owned()];
}

/// # Kernel
/// `mm/hwpoison-inject.c`.
pub(super) fn pages(pages: &[(u64, u64)]) -> Script {
    let mut script = Script::default();
    script.run("modprobe hwpoison-inject");
    for (first, count) in pages {
        let poison = "echo \"$n\" > /sys/kernel/debug/hwpoison/corrupt-pfn";
        script.run(each(*first, *count, poison));
        let unpoison = "echo \"$n\" > /sys/kernel/debug/hwpoison/unpoison-pfn";
        script.undo(each(*first, *count, unpoison));
    }
    script
}

fn instead(name: &str) -> String {
    format!("# build the rest of the stack on /dev/mapper/{name} instead of /dev/$dev")
}

fn sectors(target: &Target<'_>) -> u64 {
    target.device.extent.len() / SECTOR_SIZE
}

/// A command for each number of a range.
fn each(first: u64, count: u64, command: &str) -> String {
    let last = first.saturating_add(count.saturating_sub(1));
    format!("for n in $(seq {first} {last}); do {command}; done")
}
