//! Nothing panics, whatever the bytes; how they are cut into pieces makes no difference.

use badrange_input::{LogEvent, LogStream, MAX_LOG_LINE_BYTES, Place, read_ranges};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{super::fixture, listed, options};

const TEXTS: &[&str] = &[
    "8-log/dmesg.txt",
    "8-log/dmesg_x.txt",
    "8-log/md_badblocks.txt",
    "formats/ddrescue.map",
    "formats/vm/ndctl-list-NRDM-media-errors.json",
    "formats/vm/dmesg.txt",
];

fn events(pieces: &[&[u8]]) -> Vec<LogEvent> {
    let (mut stream, mut events) = (LogStream::new(), Vec::new());
    pieces.iter().for_each(|piece| stream.push(piece, &mut events));
    stream.finish(&mut events);
    events
}

/// Pieces of a text, cut at these places.
fn cut<'t>(text: &'t [u8], at: &[Index]) -> Vec<&'t [u8]> {
    let mut at: Vec<usize> = at.iter().map(|at| at.index(text.len() + 1)).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in at {
        pieces.push(&text[from..to]);
        from = to;
    }
    pieces.push(&text[from..]);
    pieces
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[    1.000000] ".to_owned()),
        Just("I/O error, dev sda, sector ".to_owned()),
        Just("sd 0:0:0:0: [sda] tag#1 CDB: Read(10) 28 00 00 00 00 ".to_owned()),
        Just("nvme0n1: Read(0x2) @ LBA ".to_owned()),
        Just(" blocks, ".to_owned()),
        Just("Memory failure: 0x".to_owned()),
        Just("Buffer I/O error on dev sda, logical block ".to_owned()),
        Just("XFS (sda): metadata I/O error in \"f\" at daddr 0x".to_owned()),
        Just(" len ".to_owned()),
        Just(" error 5".to_owned()),
        Just("mce: Uncorrected hardware memory error in user-access at ".to_owned()),
        Just("Bad-blocks on /dev/sda1:\n".to_owned()),
        Just(" for 8 sectors\n".to_owned()),
        Just("==> /sys/block/pmem0/badblocks <==\n".to_owned()),
        Just("\x1b[31m".to_owned()),
        Just("{\"badblocks\":[{\"offset\":".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| format!("{n:x}")),
        "[0-9a-f :.,/\\[\\](){}\"-]{0,6}",
        Just("\n".to_owned()),
    ]
}

proptest! {
    #[test]
    fn any_words_are_read(words in vec(words(), 0..40)) {
        let text = words.concat();
        let list = read_ranges(text.as_bytes(), &options());
        // Every line that is named is one of the text.
        let lines = text.lines().count() as u64;
        for range in list.into_iter().flat_map(|list| list.ranges) {
            prop_assert!(range.line >= 1 && range.line <= lines, "{range:?} of {lines}");
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..400)) {
        let _ = read_ranges(bytes.as_slice(), &options());
        events(&[&bytes]);
    }

    #[test]
    fn a_changed_capture_is_read(which in 0..TEXTS.len(), changes in vec((any::<Index>(), 0..8_usize, "[0-9a-f :,\\[\\]\n]{0,6}"), 1..6)) {
        let mut text = fixture(TEXTS[which]);
        for (at, gone, new) in &changes {
            let at = at.index(text.len() + 1);
            let end = (at + gone).min(text.len());
            text.splice(at..end, new.bytes());
        }
        let _ = read_ranges(text.as_slice(), &options());
    }

    #[test]
    fn pieces_make_no_difference(words in vec(words(), 0..30), at in vec(any::<Index>(), 0..8)) {
        let text = words.concat();
        prop_assert_eq!(events(&cut(text.as_bytes(), &at)), events(&[text.as_bytes()]));
    }

    #[test]
    fn a_request_is_at_the_sector_that_is_named(
        first in 0..u64::from(u32::MAX), blocks in 1..=0xffff_u64, large: bool
    ) {
        let per_block = if large { 8 } else { 1 };
        let sector = first * per_block;
        let text = format!(
            "[1.0] nvme0n1: Read(0x2) @ LBA {first}, {blocks} blocks, Error\n\
             [1.1] critical medium error, dev nvme0n1, sector {sector} op 0x0:(READ)\n"
        );
        let list = read_ranges(text.as_bytes(), &options()).unwrap();
        prop_assert_eq!(list.ranges.len(), 1);
        let Place::Device { extent, .. } = &list.ranges[0].place else { panic!("{list:?}") };
        prop_assert_eq!(extent.start().get(), sector * 512);
        if first > 0 {
            prop_assert_eq!(extent.len(), blocks * per_block * 512);
        }
    }
}

#[test]
fn a_capture_cut_anywhere_says_the_same() {
    let text = fixture("8-log/dmesg.txt");
    let whole = events(&[&text]);
    for size in [1, 7, 4096] {
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        assert_eq!(events(&pieces), whole, "{size}");
    }
}

#[test]
fn a_line_without_end_takes_no_memory_and_hides_nothing_after_it() {
    let mut text = vec![b'x'; 3 * MAX_LOG_LINE_BYTES];
    text.extend(b"\nI/O error, dev sda, sector 8\n");
    assert_eq!(listed(&text), ["sda:8+8 unknown-extent 2"]);
    let nul = b"\0\0\0\xff\xfe[1.0] junk\n[1.1] I/O error, dev sda, sector 8\n";
    assert_eq!(listed(nul), ["sda:8+8 unknown-extent 2"]);
}
