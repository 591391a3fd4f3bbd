//! The commands of a plan, typed: in a made-up world of ordinary files they bring back every byte.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The file's extents: (file byte, device byte, bytes), scattered, and one of them not whole pages
/// from the next one.
const EXTENTS: [(usize, usize, usize); 3] =
    [(0, 1 << 20, 8 * PAGE), (8 * PAGE, 1 << 19, 4 * PAGE), (12 * PAGE, 3 << 19, 4 * PAGE)];
const FILE: usize = 16 * PAGE;

/// Byte `i` of the file: no two pages are alike, and neither are neighbours.
fn content() -> Vec<u8> {
    (0..FILE).map(|i| u8::try_from((i * 7 + i / PAGE * 13 + i / 251) % 251).unwrap()).collect()
}

/// What a byte of the file reads as that is lost.
const GARBAGE: u8 = 0xfe;

/// A disk, its filesystem's map, a mounted file and a backup of it, with bad bytes of the file.
struct World {
    dir: tempfile::TempDir,
    at: Vec<String>,
}

impl World {
    fn new(size: usize, bad: &[(usize, usize)]) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), at: at(bad) };
        let mut damaged = content();
        for (start, len) in bad {
            damaged[*start..start + len].fill(GARBAGE);
        }
        let mut disk = vec![0x55; 2 << 20];
        for (file, device, len) in EXTENTS {
            disk[device..device + len].copy_from_slice(&damaged[file..file + len]);
        }
        for dir in ["mnt", "backup", "work"] {
            fs::create_dir(world.path(dir)).unwrap();
        }
        fs::write(world.path("disk"), disk).unwrap();
        fs::write(world.path("mnt/db"), &damaged[..size]).unwrap();
        fs::write(world.path("backup/db"), &content()[..size]).unwrap();
        fs::write(world.path("stack.toml"), STACK).unwrap();
        fs::write(world.path("fsmap.txt"), fsmap()).unwrap();
        fs::write(world.path("paths.txt"), "131 /db\n").unwrap();
        world
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn plan(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_badrange"));
        command.arg("plan").arg("--json").arg("--stack").arg(self.path("stack.toml"));
        let out = self.at.iter().fold(&mut command, |command, at| command.args(["--at", at]));
        let out = out.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Types a command with the variables set. Direct I/O is left out: not every place for
    /// temporary files has it.
    fn run(&self, command: &str, size: usize) -> Output {
        let command = command.replace("flag=direct,", "flag=");
        Command::new("bash")
            .args(["-euc", &command])
            .env("DEV_SDA", self.path("disk"))
            .env("MNT_SDA", self.path("mnt"))
            .env("BACKUP_SDA", self.path("backup"))
            .env("WORK", self.path("work"))
            .env("SIZE_131", size.to_string())
            .output()
            .unwrap()
    }
}

/// The locations on the disk of bytes of the file.
fn at(bad: &[(usize, usize)]) -> Vec<String> {
    let place = |byte: usize| {
        let (file, device, _) = EXTENTS.into_iter().rfind(|(file, ..)| *file <= byte).unwrap();
        device + (byte - file)
    };
    bad.iter().map(|(start, len)| format!("sda:{}+{len}B", place(*start))).collect()
}

const STACK: &str = r#"
schema = "badrange.stack/1"
[[disk]]
name = "sda"
sectors = 4096
[[fs]]
device = "sda"
kind = "xfs"
map = ["fsmap.txt"]
paths = "paths.txt"
block_size = 4096
"#;

fn fsmap() -> String {
    let mut rows = EXTENTS.map(|(file, device, len)| {
        let (first, end) = (device / SECTOR, (device + len) / SECTOR);
        let (from, to) = (file / SECTOR, (file + len) / SECTOR);
        (
            first,
            format!(
                "8:0 [{first}..{}]: inode 131 data {from}..{} {}",
                end - 1,
                to - 1,
                end - first
            ),
        )
    });
    rows.sort();
    let numbered = rows.iter().enumerate().map(|(n, (_, row))| format!("\t{n}: {row}\n"));
    numbered.collect()
}

/// The kinds of step that are typed one after the other when all goes well.
const TYPED: [&str; 4] = ["salvage", "restore", "write-data", "verify"];

fn mend(world: &World, size: usize) -> Vec<String> {
    let plan = world.plan();
    let mut kinds = Vec::new();
    for subject in plan["subjects"].as_array().unwrap() {
        let units = subject["units"].as_array().unwrap();
        let steps = units.iter().flat_map(|unit| unit["steps"].as_array().unwrap());
        for step in steps.chain(subject["after"].as_array().unwrap()) {
            let kind = step["kind"].as_str().unwrap();
            let Some(command) = step["command"].as_str().filter(|_| TYPED.contains(&kind)) else {
                continue;
            };
            let out = world.run(command, size);
            let err = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{kind}: {command}\n{err}");
            kinds.push(kind.to_owned());
        }
    }
    kinds
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn every_byte_comes_back() {
    let cases: [&[(usize, usize)]; 6] = [
        &[(2 * PAGE + 512, 512)],
        &[(0, 512), (7 * PAGE + 3584, 512)],
        &[(3 * PAGE, PAGE)],
        // Over the end of an extent: the two parts lie far from each other.
        &[(8 * PAGE - 512, 512), (8 * PAGE, 1024)],
        // Two holes of one page, and one over two pages.
        &[(5 * PAGE, 512), (5 * PAGE + 2048, 512), (9 * PAGE + 3072, 2048)],
        &[(15 * PAGE + 3584, 512)],
    ];
    for bad in cases {
        let world = World::new(FILE, bad);
        let before = read(&world.path("disk"));
        let kinds = mend(&world, FILE);
        assert!(kinds.contains(&"write-data".to_owned()), "{bad:?}");
        assert!(read(&world.path("mnt/db")) == content(), "{bad:?}");
        assert!(read(&world.path("disk")) == before, "nothing is written to the device");
        assert!(read(&world.path("backup/db")) == content());
    }
}

#[test]
fn a_file_that_ends_within_a_page_keeps_its_size() {
    let size = 15 * PAGE + 700;
    let world = World::new(size, &[(15 * PAGE, 512)]);
    mend(&world, size);
    assert!(read(&world.path("mnt/db")) == content()[..size]);
}

/// Without a backup, all but the holes comes back, and the holes are what the plan says is lost.
#[test]
fn what_is_salvaged_is_all_but_the_holes() {
    let bad = [(2 * PAGE + 512, 512), (2 * PAGE + 2048, 1024), (9 * PAGE, 512)];
    let world = World::new(FILE, &bad);
    let plan = world.plan();
    let mut lost = vec![false; FILE];
    for unit in plan["subjects"][0]["units"].as_array().unwrap() {
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let (start, len) = (number(&unit["start"]), number(&unit["len"]));
        for step in unit["steps"].as_array().unwrap() {
            let command = step["command"].as_str().unwrap_or_default();
            if step["kind"] == "salvage" && command.contains("$DEV_SDA") {
                assert!(world.run(command, FILE).status.success(), "{command}");
            }
        }
        let name = |step: &Value| {
            Some(step["command"].as_str()?.split("/unit-").nth(1)?.split(' ').next()?.to_owned())
        };
        let image = unit["steps"].as_array().unwrap().iter().find_map(name).unwrap();
        let image = read(&world.path(&format!("work/unit-{image}")));
        for hole in unit["restore"].as_array().unwrap() {
            let from = number(&hole["start"]);
            lost[from..from + number(&hole["len"])].fill(true);
        }
        for byte in (start..start + len).filter(|byte| !lost[*byte]) {
            assert_eq!(image.get(byte - start), Some(&content()[byte]), "byte {byte}");
        }
    }
    for (byte, lost) in lost.into_iter().enumerate() {
        let bad = bad.iter().any(|(start, len)| (*start..start + len).contains(&byte));
        assert_eq!(lost, bad, "byte {byte}");
    }
}
