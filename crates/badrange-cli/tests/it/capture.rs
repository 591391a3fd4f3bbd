//! The script of `badrange capture`, run against a host that is made up: its commands are small
//! scripts, and nothing else is in the path but what every system has.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const BASE: [&str; 10] =
    ["cat", "find", "grep", "head", "id", "mkdir", "readlink", "rm", "sh", "stat"];

fn badrange(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_badrange")).args(args).output().unwrap()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A directory with the commands of a system, and these.
fn commands(dir: &Path, fakes: &[(&str, &str)]) {
    fs::create_dir_all(dir).unwrap();
    for name in BASE {
        let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(name));
        let real = places.iter().find(|path| path.exists());
        symlink(real.unwrap(), dir.join(name)).unwrap();
    }
    for (name, says) in fakes {
        let path = dir.join(name);
        write(&path, &format!("#!/bin/sh\n{says}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// `/sys` and `/proc` of a host with one disk, two partitions, and a mapping with XFS on the second.
fn host(root: &Path) {
    let block = root.join("sys/class/block");
    let device = |name: &str, number: &str, sectors: &str| {
        write(&block.join(name).join("dev"), &format!("{number}\n"));
        write(&block.join(name).join("size"), &format!("{sectors}\n"));
    };
    device("vda", "254:0", "8192");
    write(&block.join("vda/queue/logical_block_size"), "512\n");
    for (name, start) in [("vda1", "64"), ("vda2", "2048")] {
        device(name, if name == "vda1" { "254:1" } else { "254:2" }, "1024");
        for below in [block.join(name), block.join("vda").join(name)] {
            write(&below.join("partition"), "1\n");
            write(&below.join("start"), &format!("{start}\n"));
            write(&below.join("size"), "1024\n");
        }
    }
    device("dm-0", "253:0", "1000");
    write(&block.join("dm-0/dm/name"), "vg-data\n");
    device("ram0", "1:0", "8192");
    device("loop0", "7:0", "0");
    for (name, file, offset) in
        [("loop1", "mnt/dir/file", "1024\n"), ("loop2", "gone (deleted)", "0\n")]
    {
        device(name, if name == "loop1" { "7:1" } else { "7:2" }, "4");
        let behind = format!("{}/{file}\n", root.display());
        write(&block.join(name).join("loop/backing_file"), &behind);
        write(&block.join(name).join("loop/offset"), offset);
    }
    fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    symlink("../../devices/virtual/block/dm-0", root.join("sys/dev/block/253:0")).unwrap();
    let mounts = format!(
        "22 1 253:0 / {0}/mnt rw,noatime shared:1 - xfs /dev/mapper/vg-data rw\n\
         23 1 253:0 / {0}/with\\040blank rw - xfs /dev/mapper/vg-data rw\n\
         24 1 0:5 / /proc rw - proc proc rw\n",
        root.display()
    );
    write(&root.join("proc/self/mountinfo"), &mounts);
    write(&root.join("proc/mdstat"), "unused devices: <none>\n");
    write(&root.join("mnt/dir/file"), "data");
}

fn capture(temp: &Path, fakes: &[(&str, &str)]) -> PathBuf {
    let script = badrange(&["capture"]);
    assert!(script.status.success());
    write(&temp.join("capture.sh"), &String::from_utf8(script.stdout).unwrap());
    host(&temp.join("root"));
    commands(&temp.join("bin"), fakes);
    let out = temp.join("out");
    let ran = Command::new("/bin/sh")
        .arg(temp.join("capture.sh"))
        .arg(&out)
        .env_clear()
        .env("PATH", temp.join("bin"))
        .env("BADRANGE_ROOT", temp.join("root"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    out
}

/// Exit status and first piece of what sector 17 of the second partition is.
fn explained(stack: &str) -> (Option<i32>, serde_json::Value) {
    let out = badrange(&["explain", "--stack", stack, "--at", "vda:2065+1", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    (out.status.code(), answer["queries"][0]["pieces"][0].clone())
}

const TABLE: &str = "echo 'vg-data: 0 1000 linear 254:2 8'";
const FSMAP: &str = "printf '\\t0: 253:0 [0..7]: static fs metadata 8\\n\\t1: 253:0 [8..15]: inode 77 data 0..7 8\\n'";
const SFDISK: &str = "printf 'label: dos\\ndevice: /dev/vda\\nunit: sectors\\n\\n/dev/vda1 : start=64, size=1024, type=83\\n/dev/vda2 : start=2048, size=1024, type=83\\n'";

#[test]
fn as_root_everything_is_there_and_explains() {
    let temp = tempfile::tempdir().unwrap();
    let fakes = [
        ("dmsetup", TABLE),
        ("xfs_io", FSMAP),
        ("sfdisk", SFDISK),
        ("dmesg", "echo '[    1.0] hello'"),
    ];
    let out = capture(temp.path(), &fakes);
    let stack = out.join("stack.toml");
    let stack = stack.to_str().unwrap();
    let checked = badrange(&["check-stack", "--stack", stack, "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let (status, piece) = explained(stack);
    assert_eq!(status, Some(1), "{piece}");
    assert_eq!(
        (&piece["owners"][0]["ino"], &piece["owners"][0]["start"]),
        (&77.into(), &512.into())
    );
    assert_eq!(piece["trail"][2]["device"], "vg-data", "{piece}");
    let notes = fs::read_to_string(out.join("capture.txt")).unwrap();
    let written = fs::read_to_string(stack).unwrap();
    let entry = "[[loop]]\nname = \"loop1\"\non = \"vg-data\"\nfile = \"/dir/file\"\noffset = 1024\nsectors = 4\n";
    assert!(written.contains(entry), "{written}");
    assert!(written.contains("[[disk]]\nname = \"loop2\"\nsectors = 4\n"), "{written}");
    assert!(notes.contains("loop2: what is behind it cannot be named"), "{notes}");
    assert!(notes.contains("lsblk.json: missing: there is no command lsblk"), "{notes}");
    assert!(notes.contains("not looked at: its name has special characters"), "{notes}");
    let paths = fs::read_to_string(out.join("paths.vg-data.txt")).unwrap();
    assert!(paths.lines().any(|line| line.ends_with(" /dir/file")), "{paths}");
}

#[test]
fn without_root_the_rest_is_there_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let denied = "echo 'permission denied' >&2; exit 1";
    let out = capture(temp.path(), &[("dmsetup", denied), ("xfs_io", denied), ("sfdisk", denied)]);
    let stack = out.join("stack.toml");
    let (status, piece) = explained(stack.to_str().unwrap());
    assert_eq!(status, Some(3), "{piece}");
    assert_eq!(piece["trail"][1]["device"], "vda2", "{piece}");
    let written = fs::read_to_string(&stack).unwrap();
    assert!(written.contains("[[disk]]\nname = \"loop1\"\n"), "no map, no way: {written}");
    let notes = fs::read_to_string(out.join("capture.txt")).unwrap();
    assert!(
        notes.contains("dmsetup_table.txt: missing: dmsetup table: status 1: permission"),
        "{notes}"
    );
}

#[test]
fn the_script_is_clean() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/capture.sh");
    match Command::new("shellcheck").args(["--shell=sh", script]).output() {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout)),
        Err(_) => eprintln!("SKIPPED: no shellcheck here; on Debian: apt-get install shellcheck"),
    }
}
