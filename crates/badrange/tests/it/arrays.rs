//! Software arrays: the truth of `6-md` is what was stamped on the raw disks; what an array can
//! rebuild follows from counting the members of a stripe by hand.

use badrange::explain::PieceFound;
use serde_json::{Value, json};

use super::captures::{agrees, dir, explainer, pieces, read};

fn md() -> String {
    read(dir("6-md").join("stack.toml"))
}

/// What was lost was not observed: pieces are compared without.
fn observed(_: &str, _: &mut Value) {}

#[test]
fn every_query_on_real_arrays_gives_the_pieces_found_on_the_disks() {
    assert_eq!(agrees("6-md", &md(), observed), 95);
    let toml = ["md0", "md5", "md10"].iter().fold(md(), |toml, fs| {
        toml.replace(&format!("\"fsmap.{fs}.txt\""), &format!("\"fsmap_m.{fs}.txt\""))
    });
    assert_eq!(agrees("6-md", &toml, observed), 95);
}

/// Place, verdict, loss and where else the bytes are; in sectors.
type Row = (u64, u64, String, Option<bool>, Vec<String>);

/// The pieces of all queries of one call.
fn told(toml: &str, at: &str) -> Vec<Row> {
    let explainer = explainer("6-md", toml);
    let answer = explainer.explain(&explainer.locate(at).unwrap());
    let all = answer.queries.iter().flat_map(|query| &query.pieces);
    all.map(as_row).collect()
}

fn as_row(piece: &PieceFound) -> Row {
    let from = piece.redundancy.as_ref().map(|r| r.from.clone()).unwrap_or_default();
    (piece.start / 512, piece.len / 512, piece.verdict.to_string(), piece.lost, from)
}

fn row(start: u64, len: u64, verdict: &str, lost: impl Into<Option<bool>>, from: &[&str]) -> Row {
    let from = from.iter().map(|d| (*d).to_owned()).collect();
    (start, len, verdict.to_owned(), lost.into(), from)
}

#[test]
fn a_mirror_has_the_bytes_once_more() {
    assert_eq!(
        told(&md(), "vdd:2046+4"),
        [row(2046, 2, "md-metadata", true, &[]), row(2048, 2, "device", false, &["vde"]),]
    );
    // Both legs bad, in part: two failures where they meet.
    assert_eq!(
        told(&md(), "vdd:3000+8,vde:3004+8"),
        [
            row(3000, 4, "device", false, &["vde"]),
            row(3004, 4, "device", None, &[]),
            row(3004, 4, "device", None, &[]),
            row(3008, 4, "device", false, &["vdd"]),
        ]
    );
}

#[test]
fn a_stripe_with_parity_bears_one_failure() {
    // Sector 11901 of vdf is file data, in stripe (11901 - 2048) / 64 = 153, at offset 61 of 64;
    // 153 % 3 = 0, so the parity is on vdh. Stripe 149 has its parity on vdf (149 % 3 = 2).
    assert_eq!(told(&md(), "vdf:11901+3"), [row(11901, 3, "file", false, &["vdg", "vdh"])]);
    assert_eq!(told(&md(), "vdf:11647+1"), [row(11647, 1, "md-parity", false, &["vdg", "vdh"])]);
    // One sector of the parity is bad, too.
    assert_eq!(
        told(&md(), "vdf:11901+3,vdh:11902+1"),
        [
            row(11901, 1, "file", false, &["vdg", "vdh"]),
            row(11902, 1, "file", true, &[]),
            row(11903, 1, "file", false, &["vdg", "vdh"]),
            row(11902, 1, "md-parity", false, &[]),
        ]
    );
    // The same height of another stripe is no second failure of this one.
    let other = told(&md(), "vdf:11901+3,vdh:11838+1");
    assert_eq!(other[0], row(11901, 3, "file", false, &["vdg", "vdh"]));
}

#[test]
fn exit_and_summary_count_only_what_nothing_can_rebuild() {
    let explainer = explainer("6-md", &md());
    let ask = |at: &str| explainer.explain(&explainer.locate(at).unwrap());
    let one = ask("vdf:11901+3");
    assert_eq!((one.exit_code(), one.summary.files_lost, one.summary.bytes_lost), (0, 0, 0));
    assert_eq!(
        pieces(&one.queries[0])[0]["redundancy"],
        json!({
            "state": "rebuildable", "from": ["vdg", "vdh"]
        })
    );
    let two = ask("vdf:11901+3,vdg:11901+1");
    assert_eq!(two.exit_code(), 1);
    assert_eq!((two.summary.files_lost, two.summary.bytes_lost), (1, 1024));
    // Asked of the array itself, there are no members to go to.
    let above = ask("md5:19645+3");
    assert_eq!((above.exit_code(), above.summary.bytes_lost), (1, 1536));
    // Superblocks are each member's own; raid0 has nothing twice.
    assert_eq!(ask("vdd:177").exit_code(), 2);
    assert_eq!(ask("vda:22364+3").exit_code(), 1);
    assert_eq!(ask("vdi:81840").exit_code(), 0);
}

#[test]
fn raid10_near_pairs_its_members() {
    let toml = md();
    assert_eq!(told(&toml, "vdi:16510+2")[0], row(16510, 2, "file", false, &["vdj"]));
    assert_eq!(told(&toml, "vdl:9344+1")[0], row(9344, 1, "file", false, &["vdk"]));
    assert_eq!(told(&toml, "vdl:9344+1,vdk:9344+1")[0], row(9344, 1, "file", true, &[]));
    assert_eq!(told(&toml, "vdl:9344+1,vdj:9344+1")[0], row(9344, 1, "file", false, &["vdk"]));
}

/// A member that is not given, or was left behind, is no source; its bytes are of no use.
#[test]
fn degraded_arrays_have_nothing_to_rebuild_from() {
    let toml = md().replace("\"mdadm_examine.G.txt\", ", "").replace("\"vdg\", ", "");
    let without = |at: &str| told(&toml, at);
    assert_eq!(without("vdf:11901+3"), [row(11901, 3, "file", true, &[])]);
    assert_eq!(without("vdf:11647+1"), [row(11647, 1, "md-parity", false, &[])]);
    // The mirror: the examine text of a member that was kicked out two events ago.
    let fresh = read(dir("6-md").join("mdadm_examine.D.txt"));
    let fresh = fresh.replace("Events : 2", "Events : 4").replace("State : AA ", "State : A. ");
    let mut files = badrange::input::MemoryFiles::new();
    files = files.with("d", fresh).with("e", read(dir("6-md").join("mdadm_examine.E.txt")));
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"vdd\"\nsectors = 81920\n\
                [[disk]]\nname = \"vde\"\nsectors = 81920\n[[md]]\nname = \"md1\"\n\
                devices = [\"vdd\", \"vde\"]\nexamine = [\"d\", \"e\"]\n";
    let topology = badrange::input::Topology::load("stack.toml", toml, &files).unwrap();
    assert_eq!(topology.notes().len(), 2, "{:?}", topology.notes());
    let explainer = badrange::explain::Explainer::new(topology).unwrap();
    let answer = explainer.explain(&explainer.locate("vdd:3000+1,vde:3000+1").unwrap());
    let verdicts: Vec<_> =
        answer.queries.iter().map(|q| (q.pieces[0].verdict.as_str(), q.pieces[0].lost)).collect();
    assert_eq!(verdicts, [("device", None), ("md-unused", Some(false))]);
}

fn superblock(role: &str, more: &str) -> String {
    format!(
        "/dev/x:\n Magic : a92b4efc\n Array UUID : 1:2:3:4\n Raid Devices : 4\n Events : 7\n \
         Device Role : {role}\n Array State : AAAA\n{more}"
    )
}

/// Four disks of 2048 sectors with these superblocks, and what explain says of places on them.
fn four(superblocks: [String; 4], at: &str) -> Vec<Row> {
    let names = ["a", "b", "c", "d"];
    let mut files = badrange::input::MemoryFiles::new();
    let mut toml = "schema = \"badrange.stack/1\"\n".to_owned();
    for (name, text) in names.iter().zip(superblocks) {
        files = files.with(*name, text);
        toml += &format!("[[disk]]\nname = \"{name}\"\nsectors = 2048\n");
    }
    toml += "[[md]]\nname = \"md\"\ndevices = [\"a\", \"b\", \"c\", \"d\"]\n\
             examine = [\"a\", \"b\", \"c\", \"d\"]\n";
    let topology = badrange::input::Topology::load("stack.toml", &toml, &files)
        .unwrap_or_else(|err| panic!("{err}"));
    let explainer = badrange::explain::Explainer::new(topology).unwrap();
    let answer = explainer.explain(&explainer.locate(at).unwrap());
    answer.queries.iter().flat_map(|query| &query.pieces).map(as_row).collect()
}

fn actives(more: &str) -> [String; 4] {
    [0, 1, 2, 3].map(|role| superblock(&format!("Active device {role}"), more))
}

#[test]
fn raid6_bears_two_failures_and_no_third() {
    // 16 sectors of offset, chunks of 8 sectors. Stripe 0, left-symmetric: P on d, Q on a, data on
    // b and c.
    let all = actives(
        " Version : 1.1\n Raid Level : raid6\n Layout : left-symmetric\n Chunk Size : 4K\n \
         Avail Dev Size : 2032 sectors\n Data Offset : 16 sectors\n Super Offset : 0 sectors\n",
    );
    let ask = |at: &str| four(all.clone(), at);
    assert_eq!(
        ask("b:15+2"),
        [row(15, 1, "md-metadata", true, &[]), row(16, 1, "device", false, &["c", "d"]),]
    );
    assert_eq!(ask("d:16"), [row(16, 1, "md-parity", false, &["b", "c"])]);
    assert_eq!(ask("a:16"), [row(16, 1, "md-parity", false, &["b", "c"])]);
    assert_eq!(
        ask("b:16,d:16"),
        [row(16, 1, "device", false, &["a", "c"]), row(16, 1, "md-parity", false, &["a", "c"]),]
    );
    assert_eq!(ask("b:16,c:16")[0], row(16, 1, "device", false, &["a", "d"]));
    assert_eq!(ask("b:16,c:16,d:16")[1], row(16, 1, "device", None, &[]));
    // 2032 sectors are 254 whole chunks; the end is reached exactly.
    assert_eq!(ask("c:2047+2")[1], row(2048, 1, "outside", None, &[]));
}

#[test]
fn superblocks_at_the_end_are_where_they_are() {
    // 1.0: 8 KiB before the end, 4 KiB long. 1000 of 2032 sectors are used.
    let all = actives(
        " Version : 1.0\n Raid Level : raid1\n Avail Dev Size : 2016 sectors\n \
         Used Dev Size : 1000 sectors\n Super Offset : 2032 sectors\n",
    );
    let ask = |at: &str| four(all.clone(), at);
    assert_eq!(ask("a:0"), [row(0, 1, "device", false, &["b", "c", "d"])]);
    assert_eq!(
        ask("b:999+2"),
        [row(999, 1, "device", false, &["a", "c", "d"]), row(1000, 1, "md-unused", false, &[]),]
    );
    assert_eq!(
        ask("a:2031+10"),
        [
            row(2031, 1, "md-unused", false, &[]),
            row(2032, 8, "md-metadata", true, &[]),
            row(2040, 1, "md-unused", false, &[]),
        ]
    );
}

#[test]
fn spares_and_unfinished_members_are_no_sources() {
    let common = " Version : 1.2\n Raid Level : raid1\n Avail Dev Size : 1024 sectors\n \
                  Data Offset : 1024 sectors\n Super Offset : 8 sectors\n";
    let mut all = actives(common);
    all[3] = superblock("spare", common);
    all[2] += " Recovery Offset : 100 sectors\n";
    let ask = |at: &str| four(all.clone(), at);
    assert_eq!(
        ask("a:1120+8"),
        [row(1120, 4, "device", false, &["b", "c"]), row(1124, 4, "device", false, &["b"]),]
    );
    assert_eq!(ask("a:1124,b:1124")[0], row(1124, 1, "device", None, &[]));
    assert_eq!(ask("c:1124"), [row(1124, 1, "device", false, &["a", "b"])]);
    assert_eq!(
        ask("d:1023+2"),
        [row(1023, 1, "md-metadata", true, &[]), row(1024, 1, "md-unused", false, &[]),]
    );
}

/// RAID 0 over two mirrors of device-mapper: what a mirror rebuilds is not bad above it.
#[test]
fn arrays_on_arrays_fail_from_below() {
    let disks: String = ["a", "b", "c"]
        .iter()
        .map(|d| format!("[[disk]]\nname = \"{d}\"\nsectors = 64\n"))
        .collect();
    let toml = format!("schema = \"badrange.stack/1\"\n{disks}[[dm]]\ntable = \"t\"\n");
    let table = "m: 0 64 mirror core 1 8 2 a 0 b 0\n\
                 top: 0 64 raid raid1 3 0 region_size 8 2 - m - c\n";
    let files = badrange::input::MemoryFiles::new().with("t", table);
    let topology = badrange::input::Topology::load("stack.toml", &toml, &files).unwrap();
    let explainer = badrange::explain::Explainer::new(topology).unwrap();
    let ask = |at: &str| {
        let answer = explainer.explain(&explainer.locate(at).unwrap());
        let pieces: Vec<Row> = answer.queries.iter().flat_map(|q| &q.pieces).map(as_row).collect();
        pieces
    };
    assert_eq!(ask("a:5"), [row(5, 1, "device", false, &["b"])]);
    // Both legs of m: m itself is bad there, and c has it.
    assert_eq!(ask("a:5,b:5")[0], row(5, 1, "device", false, &["c"]));
    // One leg of m and c: m has it still.
    assert_eq!(
        ask("a:5,c:5"),
        [row(5, 1, "device", false, &["b"]), row(5, 1, "device", false, &["m"])]
    );
    assert_eq!(ask("a:5,b:5,c:5")[2], row(5, 1, "device", None, &[]));
}
