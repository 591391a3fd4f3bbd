//! Thin volumes on a real pool, with a snapshot that shares blocks.

use badrange::explain::plan::Plan;

use super::captures::{agrees, as_it_is, dir, explainer, read};

fn thin() -> String {
    read(dir("4-thin").join("stack.toml"))
}

#[test]
fn every_query_on_a_real_pool_gives_exactly_the_expected_pieces() {
    assert_eq!(agrees("4-thin", &thin(), as_it_is), 66);
    // A dump of a metadata snapshot does not know how many blocks there are.
    let snapshot = thin().replace("thin_dump.xml", "thin_dump_msnap.xml");
    assert_eq!(agrees("4-thin", &snapshot, as_it_is), 66);
}

#[test]
fn pool_metadata_and_the_pool_by_name() {
    let explainer = explainer("4-thin", &thin());
    let ask = |at: &str| {
        let answer = explainer.explain(&explainer.locate(at).unwrap());
        let piece = &answer.queries[0].pieces[0];
        let way = piece.routes[0].iter().map(|h| format!("{}:{}", h.device, h.start / 512));
        (piece.verdict.as_str(), way.collect::<Vec<_>>().join(" > "), answer.exit_code())
    };
    assert_eq!(ask("vdb:100"), ("thin-metadata", "vdb:100".to_owned(), 2));
    assert_eq!(ask("pool:741"), ("fs-journal", "pool:741 > vol:80229".to_owned(), 2));
    assert_eq!(ask("tdata:741"), ("fs-journal", "tdata:741 > vol:80229".to_owned(), 2));
    assert_eq!(ask("pool:300012"), ("thin-free", "pool:300012".to_owned(), 0));
    assert_eq!(ask("vdb:16384"), ("outside", "vdb:16384".to_owned(), 3));
    // The last block of vol2 is used by a quarter: nothing tells what the rest of it is.
    assert_eq!(ask("tdata:25631").0, "fs-free");
    assert_eq!(ask("tdata:25632"), ("device", "tdata:25632".to_owned(), 3));
}

#[test]
fn without_its_dump_a_pool_is_opaque_but_its_metadata_are_known() {
    let start = thin().find("[[thin]]").unwrap();
    let end = thin().find("[[fs]]").unwrap();
    let toml = [&thin()[..start], &thin()[end..]].concat();
    let explainer = explainer("4-thin", &toml);
    assert_eq!(explainer.topology().notes().len(), 3);
    let ask = |at: &str| {
        let answer = explainer.explain(&explainer.locate(at).unwrap());
        answer.queries[0].pieces[0].verdict.as_str()
    };
    assert_eq!(ask("vda:200741+1"), "device");
    assert_eq!(ask("vdb:1"), "thin-metadata");
    assert_eq!(ask("vol:80229"), "fs-journal");
}

#[test]
fn metadata_that_two_filesystems_share_is_to_be_mended_in_both() {
    let explainer = explainer("4-thin", &thin());
    let answer = explainer.explain(&explainer.locate("vda:205244+2").unwrap());
    let piece = &answer.queries[0].pieces[0];
    assert_eq!(piece.says, vec![piece.verdicts.clone(); 2]);
    let plan = Plan::new(&explainer, &answer);
    let subjects: Vec<_> =
        plan.subjects.iter().map(|s| (s.device.as_str(), s.verdict.as_str())).collect();
    assert_eq!(subjects, [("snap", "fs-journal"), ("vol", "fs-journal")]);
    // A block that the volume has by itself is in one of them only.
    let answer = explainer.explain(&explainer.locate("vol:80229+1").unwrap());
    let plan = Plan::new(&explainer, &answer);
    let subjects: Vec<_> = plan.subjects.iter().map(|s| s.device.as_str()).collect();
    assert_eq!(subjects, ["vol"]);
}
