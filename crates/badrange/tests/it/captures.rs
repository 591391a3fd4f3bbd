//! `explain` on real stacks: the truth is what was found on the raw disks, or what a kernel
//! recorded, never what this program printed.

use std::{fs, path::PathBuf};

use badrange::{
    explain::{Explainer, Explanation},
    input::{DirFiles, MemoryFiles, Topology},
};
use serde_json::{Value, json};

pub(crate) fn dir(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

pub(crate) fn explainer(folder: &str, toml: &str) -> Explainer {
    let files = DirFiles::new(dir(folder));
    let topology = Topology::load("stack.toml", toml, &files).unwrap_or_else(|e| panic!("{e}"));
    Explainer::new(topology).unwrap()
}

pub(crate) fn pieces(found: &Explanation) -> Value {
    serde_json::to_value(&found.pieces).unwrap()
}

/// Asks every query of an expectation file; returns how many there were.
pub(crate) fn agrees(folder: &str, toml: &str, adjust: impl Fn(&str, &mut Value)) -> usize {
    let explainer = explainer(folder, toml);
    let expected: Value =
        serde_json::from_str(&read(dir(folder).join("expected-explain.json"))).unwrap();
    let queries = expected["queries"].as_array().unwrap();
    for query in queries {
        let at = query["at"].as_str().unwrap();
        let mut wanted = query.clone();
        adjust(at, &mut wanted);
        let answer = explainer.explain(&explainer.locate(at).unwrap());
        let mut got = pieces(&answer.queries[0]);
        if wanted["pieces"][0].get("lost").is_none() {
            only_observed(&mut got); // what was not observed is not compared
        }
        assert_eq!(got, wanted["pieces"], "{at} in {folder}");
        if let Some(exit) = wanted["exit"].as_u64() {
            assert_eq!(u64::from(answer.exit_code()), exit, "exit of {at} in {folder}");
        }
    }
    queries.len()
}

fn only_observed(pieces: &mut Value) {
    for piece in pieces.as_array_mut().unwrap() {
        let piece = piece.as_object_mut().unwrap();
        piece.remove("lost");
        piece.remove("redundancy");
    }
}

pub(crate) fn as_it_is(_: &str, _: &mut Value) {}

fn golden() -> String {
    read(dir("golden").join("stack.toml"))
}

#[test]
fn golden_every_query_gives_exactly_the_expected_pieces() {
    assert_eq!(agrees("golden", &golden(), as_it_is), 18);
}

#[test]
fn golden_partitions_may_come_as_json() {
    let toml = golden().replace("sfdisk_d.txt", "sfdisk.json");
    assert_eq!(agrees("golden", &toml, as_it_is), 18);
}

#[test]
fn golden_volumes_may_come_as_lvs_and_pvs_reports() {
    let toml = golden()
        .replace("metadata = \"vgcfg.txt\"", "lvs = \"lvs.json\"\npvs = \"pvs_segments.json\"")
        .replace("{ pv0 = \"disk2\" }", "{ \"/dev/loop4\" = \"disk2\" }");
    assert_eq!(agrees("golden", &toml, as_it_is), 18);
}

#[test]
fn golden_device_mapper_tables_know_volumes_but_not_the_rest_of_the_physical_volume() {
    let start = golden().find("[[lvm]]").unwrap();
    let end = golden().find("[[fs]]").unwrap();
    let dm = "[[dm]]\ntable = \"dmsetup.txt\"\ndevices = { \"8:2\" = \"disk2\" }\n\n";
    let toml = [&golden()[..start], dm, &golden()[end..]].concat();
    let no_lvm = |_: &str, query: &mut Value| {
        let mut touched = false;
        for piece in query["pieces"].as_array_mut().unwrap() {
            if piece["verdict"].as_str().unwrap().starts_with("lvm-") {
                piece["verdict"] = json!("device");
                piece["lost"] = json!(null);
                touched = true;
            }
        }
        join_devices(&mut query["pieces"]);
        let worst = query["exit"].as_u64().unwrap();
        if touched && worst == 0 {
            query["exit"] = json!(3);
        }
    };
    assert_eq!(agrees("golden", &toml, no_lvm), 18);
}

/// Neighbours that are both `device` and continue are one piece: of `lvm-free` and `lvm-tail`.
fn join_devices(pieces: &mut Value) {
    let mut joined: Vec<Value> = Vec::new();
    for piece in pieces.as_array().unwrap() {
        if let Some(last) = joined.last_mut() {
            let len = last["len"].as_u64().unwrap();
            let moved = |v: &Value| {
                let hops = v.as_array().unwrap().iter();
                hops.map(|h| (h["device"].clone(), h["start"].as_u64().unwrap()))
                    .collect::<Vec<_>>()
            };
            let next: Vec<_> =
                moved(&last["trail"]).into_iter().map(|(d, s)| (d, s + len)).collect();
            if last["verdict"] == "device"
                && piece["verdict"] == "device"
                && next == moved(&piece["trail"])
            {
                last["len"] = json!(len + piece["len"].as_u64().unwrap());
                continue;
            }
        }
        joined.push(piece.clone());
    }
    *pieces = Value::Array(joined);
}

/// Plain and machine fsmap carry no flags: what is preallocated looks written.
fn without_flags(_: &str, query: &mut Value) {
    let mut files = false;
    for piece in query["pieces"].as_array_mut().unwrap() {
        if piece["verdict"] == "file-unwritten" {
            piece["verdict"] = json!("file");
            piece["lost"] = json!(true);
        }
        files |= piece["verdict"] == "file";
    }
    if files {
        query["exit"] = json!(1); // no query of the golden stack has files and metadata
    }
}

#[test]
fn golden_plain_and_machine_fsmap_agree_up_to_the_flags_they_lack() {
    for form in ["fsmap.txt", "fsmap_m.txt"] {
        let toml = golden().replace("fsmap_v.txt", form);
        assert_eq!(agrees("golden", &toml, without_flags), 18);
        // With filefrag beside it, which has the flag, nothing is lacking.
        let toml = golden().replace("\"fsmap_v.txt\"", &format!("\"{form}\", \"filefrag_v.txt\""));
        assert_eq!(agrees("golden", &toml, as_it_is), 18);
    }
}

#[test]
fn golden_filefrag_alone_knows_files_and_nothing_else() {
    let toml = golden().replace("fsmap_v.txt", "filefrag_v.txt");
    let files_only = |_: &str, query: &mut Value| {
        let mut verdicts = Vec::new();
        for piece in query["pieces"].as_array_mut().unwrap() {
            let verdict = piece["verdict"].as_str().unwrap().to_owned();
            if verdict.starts_with("fs-") {
                piece["verdict"] = json!("fs-unknown");
                piece["lost"] = json!(null);
                piece.as_object_mut().unwrap().remove("what");
            }
            verdicts.push((piece["verdict"].clone(), piece["lost"].clone()));
        }
        join_unknown(&mut query["pieces"]);
        let exit = if verdicts.iter().any(|(_, lost)| *lost == json!(true)) {
            1
        } else if verdicts.iter().any(|(_, lost)| lost.is_null()) {
            3
        } else {
            0
        };
        query["exit"] = json!(exit);
    };
    assert_eq!(agrees("golden", &toml, files_only), 18);
}

fn join_unknown(pieces: &mut Value) {
    let mut joined: Vec<Value> = Vec::new();
    for piece in pieces.as_array().unwrap() {
        match joined.last_mut() {
            Some(last) if last["verdict"] == "fs-unknown" && piece["verdict"] == "fs-unknown" => {
                last["len"] = json!(last["len"].as_u64().unwrap() + piece["len"].as_u64().unwrap());
            }
            _ => joined.push(piece.clone()),
        }
    }
    *pieces = Value::Array(joined);
}

fn dos() -> String {
    read(dir("3-dos-4kn").join("stack.toml"))
}

#[test]
fn dos_4kn_every_query_gives_exactly_the_expected_pieces() {
    assert!(agrees("3-dos-4kn", &dos(), as_it_is) > 0);
}

#[test]
fn dos_4kn_the_json_form_of_the_stack_agrees_up_to_flags() {
    // stack-json.toml takes plain fsmaps for XFS: filefrag has the flag they lack.
    let toml = read(dir("3-dos-4kn").join("stack-json.toml"))
        .replace("\"fsmap.a6.txt\"", "\"fsmap.a6.txt\", \"filefrag_v.a6.txt\"")
        .replace("\"fsmap.k3.txt\"", "\"fsmap.k3.txt\", \"filefrag_v.k3.txt\"");
    assert!(agrees("3-dos-4kn", &toml, as_it_is) > 0);
}

#[test]
fn dos_4kn_xfs_bmap_refines_the_map_but_does_not_know_what_is_unwritten() {
    let toml = dos()
        .replace("\"fsmap_v.a6.txt\"", "\"fsmap.a6.txt\", \"xfs_bmap_v.a6.txt\"")
        .replace("\"fsmap_v.k3.txt\"", "\"fsmap.k3.txt\", \"xfs_bmap_v.k3.txt\"");
    let on_xfs = |piece: &Value| {
        let hops = piece["trail"].as_array().unwrap();
        hops.iter().any(|h| h["device"] == "vda6" || h["device"] == "vdb3")
    };
    let adjust = |_: &str, query: &mut Value| {
        let mut changed = false;
        for piece in query["pieces"].as_array_mut().unwrap() {
            if piece["verdict"] == "file-unwritten" && on_xfs(piece) {
                piece["verdict"] = json!("file");
                piece["lost"] = json!(true);
                changed = true;
            }
        }
        if changed {
            query.as_object_mut().unwrap().remove("exit");
            join_files(&mut query["pieces"]);
        }
    };
    assert!(agrees("3-dos-4kn", &toml, adjust) > 0);
}

/// Written and formerly unwritten neighbours of one file are one piece where they continue.
fn join_files(pieces: &mut Value) {
    let mut joined: Vec<Value> = Vec::new();
    for piece in pieces.as_array().unwrap() {
        let len = piece["len"].as_u64().unwrap();
        let goes_on = joined.last().is_some_and(|last| {
            let (a, b) = (&last["owners"][0], &piece["owners"][0]);
            a.is_object()
                && a["ino"] == b["ino"]
                && a["start"].as_u64().unwrap() + a["len"].as_u64().unwrap()
                    == b["start"].as_u64().unwrap()
        });
        match joined.last_mut() {
            Some(last) if goes_on => {
                last["len"] = json!(last["len"].as_u64().unwrap() + len);
                last["owners"][0]["len"] = last["len"].clone();
            }
            _ => joined.push(piece.clone()),
        }
    }
    *pieces = Value::Array(joined);
}

#[test]
fn dos_4kn_machine_fsmap_and_filefrag_agree() {
    let mut toml = dos();
    for fs in ["a1", "a5", "k1"] {
        toml = toml.replace(&format!("\"fsmap.{fs}.txt\""), &format!("\"fsmap_m.{fs}.txt\""));
    }
    for fs in ["a6", "k3"] {
        let both = format!("\"fsmap_m.{fs}.txt\", \"filefrag_v.{fs}.txt\"");
        toml = toml.replace(&format!("\"fsmap_v.{fs}.txt\""), &both);
    }
    assert!(agrees("3-dos-4kn", &toml, as_it_is) > 0);
}

#[test]
fn dos_4kn_paths_may_carry_the_mount_point() {
    let toml = dos().replace("inode_paths.", "inode_paths_mnt.");
    assert!(agrees("3-dos-4kn", &toml, with_mount) > 0);
}

pub(crate) fn with_mount(_: &str, query: &mut Value) {
    for piece in query["pieces"].as_array_mut().unwrap() {
        let Some(owners) = piece.get_mut("owners").and_then(Value::as_array_mut) else {
            continue;
        };
        for owner in owners {
            let fs = owner["fs"].as_str().unwrap().to_owned();
            let mount = match fs.as_str() {
                "vda1" => "/srv/a1",
                "vda5" => "/srv/a5",
                "vda6" => "/srv/a6",
                "vdb1" => "/srv/k1",
                _ => "/srv/k3",
            };
            for path in owner["paths"].as_array_mut().unwrap() {
                *path = json!(format!("{mount}{}", path.as_str().unwrap()));
            }
        }
    }
}

#[test]
fn recorded_kernels_had_every_file_page_where_explain_says() {
    let all: Value = serde_json::from_str(&read(dir("locations").join("locations.json"))).unwrap();
    let mut asked = 0;
    for stack in all.as_array().unwrap() {
        let name = stack["name"].as_str().unwrap();
        let mut files = MemoryFiles::new();
        for (file, text) in stack["files"].as_object().unwrap() {
            files = files.with(file, text.as_str().unwrap());
        }
        let topology = Topology::load("stack.toml", stack["stack"].as_str().unwrap(), &files)
            .unwrap_or_else(|err| panic!("{name}: {err}"));
        let explainer = Explainer::new(topology).unwrap();
        for query in stack["queries"].as_array().unwrap() {
            location_agrees(&explainer, name, query);
            asked += 1;
        }
    }
    assert!(asked >= 62, "only {asked} locations");
}

fn location_agrees(explainer: &Explainer, name: &str, query: &Value) {
    let at = query["at"].as_str().unwrap();
    let expect = &query["expect"];
    let answer = explainer.explain(&explainer.locate(at).unwrap());
    let pieces = pieces(&answer.queries[0]);
    let piece = &pieces[0];
    assert_eq!(piece["trail"], expect["trail"], "{name} {at}");
    if let Some(owners) = expect["owners"].as_array() {
        let got = piece["owners"].as_array().unwrap();
        assert_eq!(got.len(), owners.len(), "{name} {at}");
        for owner in owners {
            let same =
                |g: &Value| owner.as_object().unwrap().iter().all(|(key, value)| g[key] == *value);
            assert!(got.iter().any(same), "{name} {at}: {owner} is not in {got:?}");
        }
    }
    if let Some(what) = expect["what"].as_str() {
        assert_eq!(piece["what"].as_str().or(what_of(piece)), Some(what), "{name} {at}");
    }
    if expect["unwritten"] == json!(true) {
        assert_eq!(piece["verdict"], "file-unwritten", "{name} {at}");
    }
}

/// Free and unknown space carry no `what` in the answer: the verdict says it.
fn what_of(piece: &Value) -> Option<&'static str> {
    match piece["verdict"].as_str()? {
        "fs-free" => Some("free space"),
        "fs-unknown" => Some("unknown"),
        _ => None,
    }
}

#[test]
fn what_a_table_calls_unpartitioned_is_the_device_s_that_uses_it() {
    let files = MemoryFiles::new()
        .with(
            "parts.txt",
            "label: dos\nunit: sectors\n\n/dev/sda1 : start=2048, size=64, type=83\n",
        )
        .with("dm.txt", "x: 0 16 linear sda 3000\n");
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 4096\n\
                [[partitions]]\non = \"sda\"\ntable = \"parts.txt\"\n[[dm]]\ntable = \"dm.txt\"\n";
    let topology = Topology::load("stack.toml", toml, &files).unwrap();
    let explainer = Explainer::new(topology).unwrap();
    let answer = explainer.explain(&explainer.locate("sda:2999+18").unwrap());
    let found: Vec<_> = answer.queries[0]
        .pieces
        .iter()
        .map(|p| (p.len, p.routes.len(), p.verdict.as_str()))
        .collect();
    assert_eq!(found, [(512, 1, "unpartitioned"), (8192, 1, "device"), (512, 1, "unpartitioned")]);
}

#[test]
fn partitions_given_one_by_one_say_nothing_about_the_rest() {
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 4096\n\
                [[partition]]\nname = \"sda1\"\non = \"sda\"\nstart = 2048\nsectors = 64\n";
    let topology = Topology::load("stack.toml", toml, &MemoryFiles::new()).unwrap();
    let explainer = Explainer::new(topology).unwrap();
    let answer = explainer.explain(&explainer.locate("sda:2047+2").unwrap());
    let found: Vec<_> =
        answer.queries[0].pieces.iter().map(|p| (p.routes[0].len(), p.verdict.as_str())).collect();
    assert_eq!(found, [(1, "device"), (2, "device")]);
}

fn small(files: MemoryFiles, toml: &str) -> Explainer {
    let toml = format!("schema = \"badrange.stack/1\"\n{toml}");
    Explainer::new(Topology::load("stack.toml", &toml, &files).unwrap()).unwrap()
}

const DISK_D: &str = "[[disk]]\nname = \"d\"\nsectors = 400\n[[dm]]\ntable = \"dm\"\n";

#[test]
fn a_stripe_on_a_stripe_keeps_the_whole_way() {
    let dm = "a: 0 32 striped 2 4 d 3 d 29\nb: 0 10 striped 2 1 a 16 a 26\n";
    let explainer = small(MemoryFiles::new().with("dm", dm), DISK_D);
    let answer = explainer.explain(&explainer.locate("d:41+3").unwrap());
    let tops: Vec<_> = answer.queries[0]
        .pieces
        .iter()
        .map(|p| p.routes[0].iter().map(|h| (h.device.as_str(), h.start / 512)).collect::<Vec<_>>())
        .collect();
    // Sector 12 of the second leg is chunk 3 of it: sectors 28..32 of a, 12..16 of b's first leg
    // and 2..6 of its second, which begins at 26.
    assert_eq!(
        tops,
        [
            vec![("d", 41), ("a", 28), ("b", 5)],
            vec![("d", 42), ("a", 29), ("b", 7)],
            vec![("d", 43), ("a", 30), ("b", 9)],
        ]
    );
}

#[test]
fn a_target_that_is_not_supported_leaves_the_targets_beside_it() {
    let dm = "a: 0 100 linear d 0\na: 100 8 cache 1 - d\n";
    let explainer = small(MemoryFiles::new().with("dm", dm), DISK_D);
    assert_eq!(explainer.topology().notes().len(), 1);
    let answer = explainer.explain(&explainer.locate("d:95+10").unwrap());
    let found: Vec<_> =
        answer.queries[0].pieces.iter().map(|p| (p.len / 512, p.routes[0].len())).collect();
    assert_eq!(found, [(5, 2), (5, 1)]);
}

#[test]
fn a_lost_partition_table_is_lost_whoever_else_uses_its_sectors() {
    let files = MemoryFiles::new()
        .with("dm", "a: 0 400 linear d 0\n")
        .with("parts", "label: dos\nunit: sectors\n\n/dev/d1 : start=100, size=50, type=83\n");
    let toml = format!("{DISK_D}[[partitions]]\non = \"d\"\ntable = \"parts\"\n");
    let explainer = small(files, &toml);
    let answer = explainer.explain(&explainer.locate("d:0+1").unwrap());
    assert_eq!(answer.exit_code(), 2, "the partition table is metadata");
    assert_eq!(answer.queries[0].pieces[0].routes.len(), 2);
    let answer = explainer.explain(&explainer.locate("d:1+1").unwrap());
    assert_eq!(answer.queries[0].pieces[0].routes.len(), 1, "no use is no route");
    assert_eq!(answer.exit_code(), 3);
}

#[test]
fn lost_bytes_do_not_depend_on_what_else_is_asked() {
    // Both halves of a lie on the same sectors of d, which are a file of a.
    let dm = "a: 0 100 linear d 0\na: 100 100 linear d 0\n";
    let map = "\t0: 8:1 [0..199]: inode 5 data 0..199 200\n";
    let toml = format!(
        "{DISK_D}[[fs]]\ndevice = \"a\"\nkind = \"xfs\"\nmap = [\"map\"]\nblock_size = 512\n"
    );
    let explainer = small(MemoryFiles::new().with("dm", dm).with("map", map), &toml);
    let lost = |at: &str| explainer.explain(&explainer.locate(at).unwrap()).summary.bytes_lost;
    assert_eq!(lost("a:0+200"), 102_400);
    assert_eq!(lost("a:0+200,d:300+1"), 102_400);
    assert_eq!(lost("a:0+10,a:5+10"), 15 * 512);
    assert_eq!(lost("a:0+10,d:0+10"), 5120, "the same sectors, asked about twice");
    assert_eq!(lost("d:0+10,a:5+10"), 15 * 512);
}

#[test]
fn contradictory_stacks_are_refused_where_they_stand() {
    let pmem = |name: &str, phys: u64| {
        format!(
            "[[pmem]]\nname = \"{name}\"\nphys = {phys}\nsize = 8192\ndata_offset = 0\nmode = \"raw\"\n"
        )
    };
    let part = |name: &str, start: u64| {
        format!("[[partition]]\nname = \"{name}\"\non = \"d\"\nstart = {start}\nsectors = 10\n")
    };
    let disk = "[[disk]]\nname = \"d\"\nsectors = 400\n";
    let cases = [
        (pmem("p", 4096) + &pmem("q", 8192), "are in namespace \"p\" too"),
        (format!("{disk}{}{}", part("d1", 0), part("d2", 9)), "are in partition \"d1\" too"),
        (disk.replace("\"d\"", "\"phys\""), "means physical memory"),
        ("[[lvm]]\nlvs = \"x\"\n".to_owned(), "both lvs and pvs"),
    ];
    for (toml, expected) in cases {
        let toml = format!("schema = \"badrange.stack/1\"\n{toml}");
        let err = Topology::load("stack.toml", &toml, &MemoryFiles::new()).unwrap_err();
        assert!(err.message().contains(expected), "{err}");
        assert!(err.line().is_some(), "{err}");
    }
}
