//! Loop devices: a file of a filesystem that is a disk itself.

use badrange::{
    explain::{Answer, Explainer},
    input::{Discovery, Format, MemoryFiles, Topology, check, parse_losetup, recognise},
};

/// A disk with a filesystem on it. Inode 40 is the image of a disk: its sectors 0..64 are at 1000,
/// 64..96 were never written (at 2000), 96..128 are a hole, 128..160 are at 3000, and 160..168 are a
/// reflink of its first ones. The image is used from sector 8 on: a partition begins 16 behind.
const HOST: &str = "\
    \t0: 8:0 [0..7]: static fs metadata 8\n\
    \t1: 8:0 [1000..1063]: inode 40 data 0..63 64\n\
    \t2: 8:0 [1000..1007]: inode 40 data 160..167 8\n\
    \t3: 8:0 [3000..3031]: inode 40 data 128..159 32\n\
    \t4: 8:0 [4000..4007]: inode 41 data 0..7 8\n";
const GUEST: &str = "\
    \t0: 259:0 [0..7]: static fs metadata 8\n\
    \t1: 259:0 [8..15]: inode 7 data 0..7 8\n\
    \t2: 259:0 [104..111]: inode 8 data 0..7 8\n";
const PATHS: &str = "40 /vm.img\n41 /other\n";
const TOML: &str = r#"
    schema = "badrange.stack/1"
    [[loop]]
    name = "loop0"
    on = "sda"
    file = "/srv/vm.img"
    offset = 4096
    sectors = 160
    [[partition]]
    name = "loop0p1"
    on = "loop0"
    start = 16
    sectors = 144
    [[disk]]
    name = "sda"
    sectors = 8192
    [[fs]]
    device = "loop0p1"
    kind = "xfs"
    map = ["guest"]
    block_size = 4096
    [[fs]]
    device = "sda"
    kind = "xfs"
    map = ["host"]
    paths = "paths"
    mount = "/srv"
    block_size = 4096
"#;

fn files() -> MemoryFiles {
    MemoryFiles::new().with("host", HOST).with("guest", GUEST).with("paths", PATHS)
}

fn explainer(toml: &str) -> Explainer {
    Explainer::new(Topology::load("stack.toml", toml, &files()).unwrap()).unwrap()
}

fn ask(explainer: &Explainer, at: &str) -> Answer {
    explainer.explain(&explainer.locate(at).unwrap())
}

/// Each piece: first sector and sectors, ways, verdict, and the inodes.
fn shown(answer: &Answer) -> Vec<String> {
    let pieces = answer.queries.iter().flat_map(|query| &query.pieces);
    let shown = pieces.map(|piece| {
        let way = |way: &Vec<badrange::explain::Position>| {
            let hops = way.iter().map(|h| format!("{}:{}", h.device, h.start / 512));
            hops.collect::<Vec<_>>().join(">")
        };
        let ways: Vec<_> = piece.routes.iter().map(way).collect();
        let owners: Vec<_> =
            piece.owners.iter().map(|o| format!("{}/{}", o.fs, o.ino.unwrap())).collect();
        let (start, len) = (piece.start / 512, piece.len / 512);
        format!("{start}+{len} {} {} {}", ways.join(" "), piece.verdict.as_str(), owners.join(" "))
    });
    shown.collect()
}

#[test]
fn a_bad_sector_is_a_file_of_the_host_and_a_file_inside_it() {
    let explainer = explainer(TOML);
    // Sector 1032 is sector 32 of the image, 24 of the device, 8 of its partition: inode 7 there.
    // Sector 1031 is the metadata of the filesystem in it.
    assert_eq!(
        shown(&ask(&explainer, "sda:1031+2")),
        [
            "1031+1 sda:1031 sda:1031>loop0:23>loop0p1:7 fs-metadata sda/40",
            "1032+1 sda:1032 sda:1032>loop0:24>loop0p1:8 file loop0p1/7 sda/40",
        ]
    );
    // Behind the extent, and at another file, there is no way into the device.
    assert_eq!(
        shown(&ask(&explainer, "sda:1063+2")),
        ["1063+1 sda:1063 sda:1063>loop0:55>loop0p1:39 file sda/40", "1064+1 sda:1064 fs-unknown "]
    );
    assert_eq!(shown(&ask(&explainer, "sda:4000")), ["4000+1 sda:4000 file sda/41"]);
    // Sector 3000 is sector 128 of the image: 120 of the device, 104 of the partition.
    assert_eq!(
        shown(&ask(&explainer, "sda:3000")),
        ["3000+1 sda:3000 sda:3000>loop0:120>loop0p1:104 file loop0p1/8 sda/40"]
    );
}

#[test]
fn what_lies_before_the_offset_is_in_the_image_only() {
    let explainer = explainer(TOML);
    // Sectors 1000..1008 are the image's first ones, before its offset, and its sectors 160..168 once
    // more: 152..160 of the device, 136..144 of the partition, of which no map speaks.
    let [owner, twice] =
        [&shown(&ask(&explainer, "sda:1000"))[0], &shown(&ask(&explainer, "sda:1008"))[0]]
            .map(Clone::clone);
    assert_eq!(owner, "1000+1 sda:1000 sda:1000>loop0:152>loop0p1:136 file sda/40 sda/40");
    assert_eq!(twice, "1008+1 sda:1008 sda:1008>loop0:0 file sda/40");
    assert_eq!(
        shown(&ask(&explainer, "loop0p1:143+2")),
        ["143+1 loop0p1:143 fs-unknown ", "144+1 loop0p1:144 outside "]
    );
}

#[test]
fn a_file_inside_is_found_at_the_bottom() {
    let explainer = explainer(TOML);
    let located = explainer.locate_file("loop0p1:<8>:0+4096").unwrap();
    let way: Vec<_> =
        located.pieces[0].routes[0].iter().map(|p| (&*p.device, p.start / 512)).collect();
    assert_eq!(way, [("sda", 3000), ("loop0", 120), ("loop0p1", 104)]);
}

#[test]
fn an_image_that_no_map_knows_is_said_and_the_rest_is_answered() {
    let without_host = TOML[..TOML.rfind("[[fs]]").unwrap()].to_owned();
    for (instead, why) in [
        (TOML.replace("vm.img", "gone.img"), "has no file \"/srv/gone.img\""),
        (
            TOML.replace("/srv/vm.img", "<40>").replace("offset = 4096", "offset = 900000"),
            "no written",
        ),
        (without_host, "no [[fs]] is on \"sda\""),
    ] {
        let topology = Topology::load("stack.toml", &instead, &files()).unwrap();
        let note = topology.notes()[0].to_string();
        assert!(
            note.contains(why) && note.starts_with("stack.toml:6: what loop0 lies on"),
            "{note}"
        );
        let explainer = Explainer::new(topology).unwrap();
        let told = shown(&ask(&explainer, "loop0p1:8"));
        assert_eq!(told, ["8+1 loop0p1:8 file loop0p1/7"]);
    }
}

#[test]
fn what_cannot_be_is_refused_at_its_line() {
    let refused = |toml: &str, host: &str| {
        let files = files().with("host", host);
        Topology::load("stack.toml", toml, &files).unwrap_err().to_string()
    };
    let two_places = [HOST, "\t5: 8:0 [5000..5007]: inode 40 data 56..63 8\n"].concat();
    assert_eq!(
        refused(TOML, &two_places),
        "stack.toml:6: the maps give two places for byte 28672 of it: save them again"
    );
    let nowhere = TOML.replace("on = \"sda\"", "on = \"sdb\"");
    assert_eq!(refused(&nowhere, HOST), "stack.toml:5: there is no device \"sdb\" in this stack");
    let empty = TOML.replace("sectors = 160", "sectors = 0");
    assert!(refused(&empty, HOST).starts_with("stack.toml:8: "));
    let typo = TOML.replace("offset =", "ofset =");
    assert!(refused(&typo, HOST).contains("ofset"));
}

#[test]
fn saved_outputs_tell_what_is_behind_a_loop_device() {
    let lsblk = r#"{"blockdevices": [
        {"name":"sda", "maj:min":"8:0", "type":"disk", "size":4194304, "mountpoint":"/srv"},
        {"name":"sdb", "maj:min":"8:16", "type":"disk", "size":4194304},
        {"name":"loop0", "maj:min":"7:0", "type":"loop", "size":81920,
         "children": [{"name":"loop0p1", "maj:min":"259:0", "type":"part", "size":73728, "start":16}]},
        {"name":"loop1", "maj:min":"7:1", "type":"loop", "size":8192},
        {"name":"loop2", "maj:min":"7:2", "type":"loop", "size":8192}]}"#;
    let losetup = "/dev/loop0: [2048]:40 (/srv/vm.img), offset 4096\n\
                   /dev/loop1: [0005]:9 (/dev/sdb), offset 8192, sizelimit 8192\n\
                   /dev/loop2: [0064]:9 (/elsewhere/x (deleted))\n";
    let files = files().with("lsblk", lsblk).with("losetup", losetup).with("paths.sda", PATHS);
    let names = ["guest", "host", "losetup", "lsblk", "paths.sda"].map(str::to_owned);
    let found = Discovery::new("saved", &names, &files).unwrap();
    let topology = Topology::load("saved", &found.toml, &files).unwrap();
    assert_eq!(check(&topology, &[]).iter().filter(|f| f.code == "overlap").count(), 0);
    let explainer = Explainer::new(topology).unwrap();
    assert_eq!(
        shown(&ask(&explainer, "sda:1032")),
        ["1032+1 sda:1032 sda:1032>loop0:24>loop0p1:8 file loop0p1/7 sda/40"]
    );
    assert_eq!(shown(&ask(&explainer, "sdb:16")), ["16+1 sdb:16>loop1:0 device "]);
    assert_eq!(shown(&ask(&explainer, "sdb:32")), ["32+1 sdb:32 device "]);
    assert_eq!(shown(&ask(&explainer, "loop2:1")), ["1+1 loop2:1 device "]);
}

#[test]
fn both_forms_of_losetup_are_read_and_recognised() {
    // As util-linux 2.38 prints them.
    let json = "{\n   \"loopdevices\": [\n      {\"name\":\"/dev/loop0\", \"sizelimit\":0, \
                \"offset\":4096, \"autoclear\":false, \"ro\":false, \"back-file\":\"/a (b), c.img\", \
                \"dio\":false, \"log-sec\":512}\n   ]\n}\n";
    let rows = "/dev/loop0: []: (/a (b), c.img), offset 4096\n";
    let [json, rows] = [json, rows].map(|text| {
        assert_eq!(recognise(text.as_bytes()), Ok(Format::Losetup));
        parse_losetup(text.as_bytes()).unwrap()
    });
    assert_eq!(json, rows);
    assert_eq!((&*rows[0].file, rows[0].offset, rows[0].size_limit), ("/a (b), c.img", 4096, None));
    let people = "NAME       SIZELIMIT OFFSET AUTOCLEAR RO BACK-FILE DIO LOG-SEC\n";
    assert!(recognise(people.as_bytes()).unwrap_err().to_string().contains("losetup --json"));
    let rounded =
        "{\"loopdevices\": [{\"name\":\"loop0\", \"offset\":\"1M\", \"back-file\":\"/a\"}]}";
    assert!(parse_losetup(rounded.as_bytes()).unwrap_err().to_string().contains("\"1M\""));
}
