//! A directory of saved outputs gives the answers of a written description.

use std::fs;

use badrange::input::{
    DirFiles, Discovery, LsblkDevice, MemoryFiles, Severity, Topology, check, parse_lsblk,
};

use super::captures::{agrees, as_it_is, dir, read, with_mount};

fn discover(folder: &str) -> Discovery {
    let entries = fs::read_dir(dir(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    Discovery::new(folder, &names, &DirFiles::new(dir(folder))).unwrap()
}

fn left_out<'f>(found: &'f Discovery, file: &str) -> &'f str {
    found.left_out.iter().find(|(name, _)| name == file).map_or("", |(_, why)| why)
}

#[test]
fn a_pool_with_its_volumes_is_put_together() {
    let found = discover("4-thin");
    assert_eq!(agrees("4-thin", &found.toml, as_it_is), 66);
    assert_eq!(found.missing, Vec::<String>::new());
    assert_eq!(left_out(&found, "fsmap.vol.txt"), "another map of vol tells as much or more");
    assert!(left_out(&found, "thin_dump_msnap.xml").contains("thin pool"));
    assert!(left_out(&found, "stack.toml").contains("text"));
}

#[test]
fn arrays_are_put_together_from_their_members() {
    let found = discover("6-md");
    assert_eq!(agrees("6-md", &found.toml, as_it_is), 95);
    assert_eq!(left_out(&found, "mdadm_examine.md12.A.txt"), "another superblock of vda");
}

#[test]
fn partitions_and_their_filesystems_are_put_together() {
    let found = discover("3-dos-4kn");
    assert!(agrees("3-dos-4kn", &found.toml, with_mount) > 0);
    assert_eq!(left_out(&found, "sfdisk.A.json"), "the partition table of vda once more");
}

fn listed(folder: &str) -> Vec<LsblkDevice> {
    parse_lsblk(read(dir(folder).join("lsblk.json")).as_bytes()).unwrap()
}

fn checked(folder: &str, toml: &str) -> Vec<(Severity, &'static str, String)> {
    let topology = Topology::load("stack.toml", toml, &DirFiles::new(dir(folder))).unwrap();
    let found = check(&topology, &listed(folder));
    found.into_iter().map(|f| (f.severity, f.code, f.message)).collect()
}

#[test]
fn real_stacks_agree_with_their_listing() {
    for folder in ["4-thin", "6-md", "3-dos-4kn"] {
        let found = checked(folder, &read(dir(folder).join("stack.toml")));
        let worse: Vec<_> = found.iter().filter(|f| f.0 < Severity::Note).collect();
        assert!(worse.is_empty(), "{folder}: {worse:#?}");
    }
}

#[test]
fn what_does_not_agree_is_found() {
    let thin = read(dir("4-thin").join("stack.toml"));
    let has = |toml: &str, code: &str, text: &str| {
        let found = checked("4-thin", toml);
        assert!(
            found.iter().any(|f| f.1 == code && f.2.contains(text)),
            "{code} {text}: {found:#?}"
        );
    };
    has(
        &thin.replace("sectors = 16384", "sectors = 16392"),
        "size-differs",
        "vdb has 8392704 bytes",
    );
    has(
        &thin
            .replace("\"253:2\" = \"vol\"", "\"253:2\" = \"snap\"")
            .replace("\"253:4\" = \"snap\"", "\"253:4\" = \"vol\""),
        "number-differs",
        "253:2 is snap",
    );
    has(
        &thin.replace("fsmap_v.vol.txt", "fsmap_v.snap.txt"),
        "stale-map",
        "the map of vol was made of device 253:4, which is snap here",
    );
    let dos = read(dir("3-dos-4kn").join("stack.toml"));
    let moved = dos.replace(
        "table = \"sfdisk_d.K.txt\"",
        "table = \"sfdisk_d.K.txt\"\nnames = [\"vdb1\", \"vdb3\", \"vdb2\"]",
    );
    let topology = Topology::load("stack.toml", &moved, &DirFiles::new(dir("3-dos-4kn")));
    // Either the map no longer fits the device, or the place differs.
    if let Ok(topology) = topology {
        let found = check(&topology, &listed("3-dos-4kn"));
        assert!(found.iter().any(|f| f.code == "start-differs"), "{found:#?}");
    }
}

#[test]
fn a_filesystem_without_a_map_is_missing_its_map() {
    let listed = r#"{"blockdevices": [
        {"name":"sda", "maj:min":"8:0", "type":"disk", "size":1048576, "fstype":"xfs"},
        {"name":"sdb", "maj:min":"8:16", "type":"disk", "size":1048576, "fstype":"btrfs"},
        {"name":"sdc", "maj:min":"8:32", "type":"disk", "size":1048576, "mountpoint":"/srv"},
        {"name":"sdd", "maj:min":"8:48", "type":"disk", "size":1048576, "fstype":"swap",
         "mountpoint":"[SWAP]"}]}"#;
    let files = MemoryFiles::new().with("lsblk.json", listed);
    let found = Discovery::new("saved", &["lsblk.json".to_owned()], &files).unwrap();
    assert_eq!(
        found.missing,
        [
            "where the files of sda are: xfs_io -c 'fsmap -v' MOUNT",
            "where the files of sdb are: btrfs is not supported yet, what is hit there is reported \
             as the device's",
            "where the files of sdc are: filefrag -v of them",
        ]
    );
}
