//! Words of each format in any order, and the negative control.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::*;

/// Checks `cases` texts, always the same ones; a failure prints the seed that repeats it.
fn smoke<F: TextFormat>(cases: u64) {
    const BYTES: u64 = 400;
    for seed in 1..=cases {
        arbtest::arbtest(|u| {
            u.arbitrary::<Text<F>>()?.check();
            Ok(())
        })
        .seed(seed << 32 | BYTES);
    }
}

#[test]
fn sfdisk_smoke() {
    smoke::<Sfdisk>(1500);
}

#[test]
fn lvm_smoke() {
    smoke::<Lvm>(1500);
}

#[test]
fn dmsetup_smoke() {
    smoke::<Dmsetup>(1500);
}

#[test]
fn fsmap_smoke() {
    smoke::<Fsmaps>(1500);
}

#[test]
fn file_maps_smoke() {
    smoke::<FileMaps>(1500);
}

#[test]
fn badblocks_smoke() {
    smoke::<BadblocksText>(1500);
}

#[test]
fn ranges_smoke() {
    smoke::<BadRanges>(1500);
}

#[test]
fn md_examine_smoke() {
    smoke::<MdExamine>(1500);
}

#[test]
fn thin_dump_smoke() {
    smoke::<ThinDumps>(1500);
}

#[test]
fn any_smoke() {
    smoke::<AnyFormat>(1500);
}

#[test]
fn stack_file_smoke() {
    smoke::<StackArchive>(600);
}

#[test]
fn scenario_smoke() {
    smoke::<ScenarioJson>(600);
}

fn fails(check: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

#[test]
fn a_reader_that_depends_on_the_size_of_a_read_is_found_out() {
    let first_read = |r: &mut dyn BufRead| Ok(r.fill_buf().map_or(0, <[u8]>::len));
    assert!(fails(|| drop(read(b"two", first_read))));
    assert!(!fails(|| drop(read(b"1", first_read))));
}

#[test]
fn an_error_about_a_line_that_is_not_there_is_found_out() {
    check_message(Some(2), "line 2", b"one\ntwo");
    assert!(fails(|| check_message(Some(3), "line 3", b"one\ntwo")));
    assert!(fails(|| check_message(Some(0), "line 0", b"one\ntwo")));
    assert!(fails(|| check_message(None, "\x1b[31m", b"")));
}

#[test]
fn a_text_is_its_bytes() {
    let text = Text::<AnyFormat>::arbitrary_take_rest(Unstructured::new(b"a\xff\n")).unwrap();
    assert_eq!(text.bytes(), b"a\xff\n");
    assert_eq!(format!("{text:?}"), r#"Text::new(b"a\xff\n")"#);
}
