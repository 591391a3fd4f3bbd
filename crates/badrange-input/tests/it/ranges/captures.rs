//! Logs of a real kernel, in its four spellings.

use super::{super::fixture, listed};

#[test]
fn the_spellings_of_one_log_say_the_same() {
    let plain = listed(fixture("8-log/dmesg.txt"));
    assert_eq!(plain.len(), 23, "{plain:#?}");
    for name in ["dmesg_T.txt", "dmesg_r.txt", "dmesg_x.txt"] {
        assert_eq!(listed(fixture(&format!("8-log/{name}"))), plain, "{name}");
    }
    let text = String::from_utf8(fixture("8-log/dmesg.txt")).unwrap();
    let with = |f: &dyn Fn(&str) -> String| text.lines().map(f).collect::<String>();
    assert_eq!(listed(with(&|line| format!("{line}\r\n"))), plain, "line ends");
    let syslog = |line: &str| match line.strip_prefix('[') {
        Some(line) => format!("Nov 20 17:40:34 host kernel: [{line}\n"),
        None => format!("Nov 20 17:40:34 host kernel: {line}\n"),
    };
    assert_eq!(listed(with(&syslog)), plain, "syslog");
    let coloured =
        |line: &str| format!("\x1b[32m{}\x1b[0m\n", line.replace("error", "\x1b[31merror\x1b[0m"));
    assert_eq!(listed(with(&coloured)), plain, "colours");
}

/// What a capture names, as the tests that made it say: request starts and lengths are in the log,
/// the true bad sectors are those of `cases.json`.
#[test]
fn each_capture_names_its_requests() {
    let cases: &[(&str, &[&str])] = &[
        ("log-e1ext4-direct-4096.txt", &["vdd:70000+8 unknown-extent 1"]),
        ("log-e1ext4-direct-512.txt", &["vdd:70003+5 unknown-extent 1"]),
        (
            "log-e1ext4-buffered-65536.txt",
            &["vdd:69888+8 unknown-extent 1", "vdd:70000+8 unknown-extent 2"],
        ),
        ("log-e2xfs-direct-4096.txt", &["sda:100000+8 at-most 4"]),
        ("log-e2xfs-direct-512.txt", &["sda:100005+1 at-most 4"]),
        ("log-e2xfs-buffered-65536.txt", &["sda:99944+256 at-most 4"]),
        ("log-e3ext4-direct-512.txt", &["sdb:80100+1 at-most 60"]),
        ("log-e3ext4-buffered-65536.txt", &["sdb:80016+256 at-most 12", "sdb:80096+8 at-most 74"]),
        ("log-e4xfs-direct-4096.txt", &["nvme0n1:101232+8 at-most 1"]),
        ("log-e4xfs-direct-512.txt", &["nvme0n1:101234+1 at-most 1"]),
        ("log-e4xfs-buffered-65536.txt", &["nvme0n1:101224+256 at-most 1"]),
        ("log-e5ext4-direct-4096.txt", &["nvme1n1:90000+8 at-most 1"]),
        (
            "log-e5ext4-buffered-65536.txt",
            &["nvme1n1:90000+256 at-most 1", "nvme1n1:90000+8 at-most 3"],
        ),
        ("log-e8dm-raw-device-buffered.txt", &["dm-2:52000+8 at-most 1"]),
        (
            "log-md-raid1-first-run.txt",
            &["vdf:49912+8 unknown-extent 2", "md0:47864+8 unknown-extent 3"],
        ),
        ("md_badblocks.txt", &[]),
        ("mdadm_examine_bad.txt", &[]),
    ];
    for (name, expected) in cases {
        assert_eq!(listed(fixture(&format!("8-log/{name}"))), *expected, "{name}");
    }
}

#[test]
fn other_captures() {
    assert_eq!(
        listed(fixture("formats/dmesg_loop_eio.txt")),
        [
            "loop2:62466+6 unknown-extent 17",
            "loop2:65026+6 unknown-extent 18",
            "loop2:67586+6 unknown-extent 19",
            "loop2:70146+6 unknown-extent 20",
            "loop2:72706+6 unknown-extent 21",
            "loop2:75266+6 unknown-extent 22",
            "loop2:61440+8 unknown-extent 23",
        ]
    );
    let pages =
        ["pfn:0x100e1b+1 exact 394", "pfn:0x120c05+1 exact 396", "pfn:0x100e43+1 exact 397"];
    assert_eq!(listed(fixture("formats/vm/dmesg.txt")), pages);
    for name in ["ndctl-list-NRDBMX-human.json", "ndctl-list-NRDM-media-errors.json"] {
        let found = listed(fixture(&format!("formats/vm/{name}")));
        let places: Vec<_> = found.iter().filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(places, ["pmem0:8409+1", "dax2.0:4136+1"], "{name}");
    }
    assert_eq!(listed(fixture("formats/vm/ndctl-list-idle.json")), [""; 0]);
}
