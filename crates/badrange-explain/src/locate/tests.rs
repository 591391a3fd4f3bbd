use badrange_input::{MemoryFiles, Topology};

use super::{FileState, Located};
use crate::{Explainer, LocationErrorKind};

/// Two disks, half of each in a stripe of 16-sector chunks that begins at sector 64; an XFS on it.
/// File 12: 24 sectors from 8 on, 8 sectors from 64 on that were never written. File 13 shares
/// sectors 16..24 and is called `/a:0+1`. The second filesystem has a file `/one` too.
fn explainer() -> Explainer {
    let files = MemoryFiles::new()
        .with("dm.txt", "0 128 striped 2 16 a 64 b 64\n")
        .with(
            "map.txt",
            " EXT: DEV  BLOCK-RANGE  OWNER  FILE-OFFSET  AG  AG-OFFSET  TOTAL FLAGS\n\
             \t0: 0:0 [8..31]: 12 0..23 0 (8..31) 24 0000000\n\
             \t1: 0:0 [16..23]: 13 0..7 0 (16..23) 8 0100000\n\
             \t2: 0:0 [64..71]: 12 64..71 0 (64..71) 8 0010000\n",
        )
        .with(
            "plain.txt",
            "\t0: 8:1 [0..7]: inode 7 data 0..7 8\n\t1: 8:1 [8..15]: inode 8 data 0..7 8\n",
        )
        .with("paths.txt", "12 /one\n12 /dir/link\n13 /a:0+1\n")
        .with("same.txt", "7 /one\n8 /same\n9 /nowhere\n");
    let text = r#"
        schema = "badrange.stack/1"
        [[disk]]
        name = "a"
        sectors = 256
        [[disk]]
        name = "b"
        sectors = 256
        [[disk]]
        name = "c"
        sectors = 64
        [[dm]]
        name = "wide"
        table = "dm.txt"
        devices = { a = "a", b = "b" }
        [[fs]]
        device = "wide"
        kind = "xfs"
        map = ["map.txt"]
        paths = "paths.txt"
        mount = "/mnt/"
        block_size = 4096
        [[fs]]
        device = "c"
        kind = "ext4"
        map = ["plain.txt"]
        paths = "same.txt"
        block_size = 4096
    "#;
    Explainer::new(Topology::load("stack.toml", text, &files).unwrap()).unwrap()
}

type Way = Vec<(String, u64)>;

/// File start, length, state and ways, in sectors.
fn shown(located: &Located) -> Vec<(u64, u64, FileState, Vec<Way>)> {
    let way = |route: &Vec<crate::Position>| {
        route.iter().map(|p| (p.device.clone(), p.start / 512)).collect()
    };
    let pieces = located.pieces.iter();
    pieces
        .map(|p| (p.file_start / 512, p.len / 512, p.state, p.routes.iter().map(way).collect()))
        .collect()
}

fn way(positions: &[(&str, u64)]) -> Vec<Way> {
    vec![positions.iter().map(|(name, start)| ((*name).to_owned(), *start)).collect()]
}

#[test]
fn a_striped_file_is_cut_at_chunks_and_nowhere_else() {
    let located = explainer().locate_file("wide:/one:0+12288").unwrap();
    assert_eq!((located.fs.as_str(), located.ino), ("wide", Some(12)));
    assert_eq!(located.paths, ["/one", "/dir/link"]);
    // Sectors 8..32 of the stripe: 8 in chunk 0 on a, 16 in chunk 1 on b.
    let expected = [
        (0, 8, FileState::Data, way(&[("a", 72), ("wide", 8)])),
        (8, 16, FileState::Data, way(&[("b", 64), ("wide", 16)])),
    ];
    assert_eq!(shown(&located), expected);
}

#[test]
fn bytes_that_no_map_lists_are_said_to_be_unlisted() {
    let located = explainer().locate_file("wide:/one:11776+25088").unwrap(); // sectors 23..72
    let expected = [
        (23, 1, FileState::Data, way(&[("b", 79), ("wide", 31)])),
        (24, 40, FileState::Unlisted, vec![]),
        (64, 8, FileState::Unwritten, way(&[("a", 96), ("wide", 64)])),
    ];
    assert_eq!(shown(&located), expected);
}

#[test]
fn pieces_cover_the_range_exactly_to_the_byte() {
    let explainer = explainer();
    for (start, len) in [(0, 1), (4095, 2), (511, 40_000), (100_000, 7), (12_287, 2)] {
        let located = explainer.locate_file(&format!("wide:/one:{start}+{len}")).unwrap();
        let mut at = start;
        for piece in &located.pieces {
            assert_eq!(piece.file_start, at);
            at += piece.len;
        }
        assert_eq!(at, start + len, "{start}+{len}");
    }
}

#[test]
fn what_locate_says_explain_says_back() {
    let explainer = explainer();
    let located = explainer.locate_file("wide:/one:1000+9000").unwrap();
    for piece in located.pieces.iter().filter(|piece| !piece.routes.is_empty()) {
        let bottom = &piece.routes[0][0];
        let at = format!("{}:{}+{}B", bottom.device, bottom.start, piece.len);
        let answer = explainer.explain(&explainer.locate(&at).unwrap());
        let mut file = piece.file_start;
        for found in &answer.queries[0].pieces {
            let owner = found.owners.iter().find(|owner| owner.ino == Some(12)).unwrap();
            assert_eq!(owner.start, Some(file));
            file += found.len;
        }
        assert_eq!(file, piece.file_start + piece.len);
    }
}

#[test]
fn names_are_found_with_mount_point_filesystem_or_inode() {
    let explainer = explainer();
    let same =
        ["/dir/link:0+1", "/mnt/dir/link:0+1", "wide:/one:0+1", "wide:/mnt/dir/link:0", "<12>:0+1"];
    for name in same {
        let found = explainer.locate_file(name).unwrap();
        assert_eq!((found.fs, found.ino), ("wide".to_owned(), Some(12)), "{name}");
    }
    // Without an offset: everything that is listed, from the first byte to the last.
    let all = explainer.locate_file("wide:/one").unwrap();
    assert_eq!((all.start, all.len), (0, 72 * 512));
    // A name that looks like a range is a name first.
    let odd = explainer.locate_file("/a:0+1").unwrap();
    assert_eq!((odd.ino, odd.start, odd.len), (Some(13), 0, 4096));
    assert_eq!(explainer.locate_file("/a:0+1:512+1").unwrap().start, 512);
}

#[test]
fn names_that_do_not_tell_one_file_are_refused() {
    let explainer = explainer();
    let refused = |name: &str| {
        let err = explainer.locate_file(name).unwrap_err();
        (err.kind(), err.to_string())
    };
    let (kind, said) = refused("/one:0+1");
    assert_eq!(kind, LocationErrorKind::Ambiguous);
    assert_eq!(
        said,
        "file \"/one:0+1\": \"/one\" is the name of inode 12 of wide and of inode 7 of c: \
         write FS:PATH or FS:<INODE> to say which"
    );
    let (kind, said) = refused("/elsewhere/link:0+1");
    assert_eq!(kind, LocationErrorKind::UnknownFile);
    assert!(said.ends_with("did you mean \"/dir/link\"?"), "{said}");
    assert_eq!(refused("/dir/link:0+0").0, LocationErrorKind::Empty);
    assert_eq!(refused("/dir/link:x").0, LocationErrorKind::Number);
    assert_eq!(refused("/dir/link:1x").0, LocationErrorKind::Number);
    assert_eq!(refused("/dir/link:18446744073709551615+2").0, LocationErrorKind::Overflow);
    assert_eq!(refused("<99>:0+1").0, LocationErrorKind::UnknownFile);
    // Named by `paths`, listed by no map.
    assert_eq!(refused("c:<9>").0, LocationErrorKind::Empty);
}
