use proptest::prelude::*;

use super::{laws::tables, *};
use crate::dm::{LinearKind, MAX_LEGS_PER_TARGET, MAX_TARGETS, TableErrorKind as K};

proptest! {
    #[test]
    fn a_printed_table_reads_as_itself(targets in tables()) {
        let device = table(&targets);
        prop_assert_eq!(&Table::parse(&device.to_string()).unwrap(), &device);
        // Untidy, with comments and leading zeros, it prints tidily.
        let untidy: String = device
            .to_string()
            .lines()
            .map(|line| format!("\n# note\n\t00{}  \r\n", line.replace(' ', "  \t ")))
            .collect();
        prop_assert_eq!(Table::parse(&untidy).unwrap().to_string(), device.to_string());
    }

    #[test]
    fn no_text_panics_and_what_is_read_prints_and_reads_again(
        lines in prop::collection::vec(prop::collection::vec(words(), 0..9), 0..4),
    ) {
        let text = lines.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("\n");
        if let Ok(device) = Table::parse(&text) {
            prop_assert_eq!(Table::parse(&device.to_string()).unwrap(), device);
        }
    }
}

fn words() -> impl Strategy<Value = String> {
    let known = [
        "0",
        "1",
        "8",
        "16",
        "18446744073709551615",
        "18446744073709551616",
        "36028797018963967",
        "-1",
        "+1",
        "0x8",
        "linear",
        "striped",
        "error",
        "zero",
        "crypt",
        "flakey",
        "dust",
        "delay",
        "thin",
        "A",
        "8:0",
        "#",
        "",
    ];
    prop_oneof![6 => prop::sample::select(known.map(String::from).to_vec()), 1 => "\\PC{0,6}"]
}

#[test]
fn targets_that_place_bytes_like_linear_print_their_own_words() {
    let lines = [
        (
            "0 1249535 crypt aes-xts-plain64 :64:logon:cryptsetup:4f2a-d0 0 8:3 32768 1 allow_discards",
            LinearKind::Crypt,
            "8:3",
            32768,
        ),
        ("0 100 crypt aes-xts-plain64 0000 7 /dev/sdb1 16", LinearKind::Crypt, "/dev/sdb1", 16),
        ("0 33552384 dust /dev/vdb1 0 512", LinearKind::Dust, "/dev/vdb1", 0),
        ("0 2097152 flakey 8:16 5 30 5 1 drop_writes", LinearKind::Flakey, "8:16", 5),
        ("0 100 flakey 8:16 0 30 5", LinearKind::Flakey, "8:16", 0),
        ("0 100 delay 8:16 9 500", LinearKind::Delay, "8:16", 9),
        ("0 100 delay 8:16 9 500 8:16 9 0", LinearKind::Delay, "8:16", 9),
        ("0 100 delay 8:16 9 500 8:16 9 0 8:16 9 1", LinearKind::Delay, "8:16", 9),
        ("0 100 linear /dev/sda2 2048", LinearKind::Linear, "/dev/sda2", 2048),
    ];
    for (text, kind, name, offset) in lines {
        let device = Table::parse(text).unwrap();
        assert_eq!(device.to_string(), text);
        let Some((at, Target::Linear(linear))) = device.targets().next() else {
            panic!("one linear-like target: {text}");
        };
        assert_eq!((linear.kind(), linear.device()), (kind, name));
        assert_eq!(linear.on().start().get(), offset * 512, "{text}");
        assert_eq!(at, device.extent());
        let first = sectors(offset, 1);
        assert_eq!(rmap(&device, 0, first), [link(first, sectors(0, 1))]);
    }
    // The kernel prints a blank after the words of flakey.
    let flakey = Table::parse("0 114688 flakey 253:1 0 0 60 1 error_writes \n").unwrap();
    assert_eq!(flakey.to_string(), "0 114688 flakey 253:1 0 0 60 1 error_writes");
}

#[test]
fn error_and_zero_are_holes_of_their_kind() {
    let device = Table::parse("0 2 error\n2 3 zero\n").unwrap();
    let kinds: Vec<_> = map(&device, sectors(1, 9))
        .into_iter()
        .map(|part| match part {
            Mapped::Hole(kind, upper) => (kind, in_sectors(upper)),
            Mapped::To { .. } | Mapped::Own(_) => panic!("no leg"),
        })
        .collect();
    assert_eq!(
        kinds,
        [(HoleKind::Error, (1, 1)), (HoleKind::Zero, (2, 3)), (HoleKind::Unmapped, (5, 5)),]
    );
}

/// Text, kind and message of refusals.
fn refused(refusals: &[(&str, K, &str)]) {
    for (text, kind, message) in refusals {
        let err = Table::parse(text).unwrap_err();
        assert_eq!((err.kind(), err.to_string().as_str()), (*kind, *message), "{text:?}");
    }
}

#[test]
fn lines_that_are_no_target_say_what_and_where() {
    refused(&[
        ("", K::Empty, "table: has no targets; expected lines of 'start length type arguments'"),
        (
            "0",
            K::MissingField,
            "line 1: length: is missing; expected 'start length type arguments'",
        ),
        (
            "0 8",
            K::MissingField,
            "line 1: type: is missing; expected 'start length type arguments'",
        ),
        ("vg-lv: 0 8 zero", K::BadNumber, "line 1: start \"vg-lv:\": must be a decimal number"),
        ("0 0x8 zero", K::BadNumber, "line 1: length \"0x8\": must be a decimal number"),
        ("1 8 zero", K::Gap, "line 1: start \"1\": gap in table: must be 0"),
        (
            "0 8 zero\n\n7 8 zero",
            K::Gap,
            "line 3: start \"7\": overlaps the target before it: must be 8",
        ),
        ("0 0 zero", K::Zero, "line 1: length \"0\": must be at least 1 sector"),
        (
            "0 18446744073709551616 zero",
            K::Overflow,
            "line 1: length \"18446744073709551616\": does not fit in 64 bits",
        ),
        (
            "0 36028797018963968 zero",
            K::Overflow,
            "line 1: length \"36028797018963968\": start plus length does not fit in 64 bits of bytes",
        ),
        (
            "0 36028797018963967 zero\n36028797018963967 1 zero",
            K::Overflow,
            "line 2: length \"1\": start plus length does not fit in 64 bits of bytes",
        ),
        ("0 8 error 1", K::ArgumentCount, "line 1: error: arguments \"1\": takes none"),
        ("0 8 zero 1", K::ArgumentCount, "line 1: zero: arguments \"1\": takes none"),
        (
            "0 8 thin-pool A B 128 0",
            K::Unsupported,
            "line 1: type \"thin-pool\": is not supported: its bytes cannot be placed from this line",
        ),
        ("0 8 LINEAR A 0", K::UnknownTarget, "line 1: type \"LINEAR\": is not a known target type"),
    ]);
}

#[test]
fn refused_linear_and_striped_targets_say_what_and_where() {
    refused(&[
        (
            "0 8 linear",
            K::ArgumentCount,
            "line 1: linear: arguments: takes 2: device, offset; 'dmsetup status' does not print them",
        ),
        (
            "0 8 linear A",
            K::ArgumentCount,
            "line 1: linear: arguments \"A\": takes 2: device, offset",
        ),
        (
            "0 8 linear A 0 0",
            K::ArgumentCount,
            "line 1: linear: arguments \"A 0 0\": takes 2: device, offset",
        ),
        ("0 8 linear A b", K::BadNumber, "line 1: linear: offset \"b\": must be a decimal number"),
        (
            "0 8 linear A 36028797018963960",
            K::Overflow,
            "line 1: linear: offset \"36028797018963960\": offset plus length does not fit in 64 bits of bytes",
        ),
        (
            "0 8 linear A 18446744073709551615",
            K::Overflow,
            "line 1: linear: offset \"18446744073709551615\": offset plus length does not fit in 64 bits of bytes",
        ),
        (
            "0 8 striped 2",
            K::ArgumentCount,
            "line 1: striped: arguments \"2\": takes stripes, chunk, and device and offset of each stripe",
        ),
        ("0 8 striped 0 8", K::Zero, "line 1: striped: stripes \"0\": must be at least 1"),
        ("0 8 striped 65537 8", K::TooMany, "line 1: striped: stripes \"65537\": at most 65536"),
        ("0 8 striped 1 0 A 0", K::Zero, "line 1: striped: chunk \"0\": must be at least 1 sector"),
        (
            "0 8 striped 1 4294967296 A 0",
            K::Overflow,
            "line 1: striped: chunk \"4294967296\": must fit in 32 bits",
        ),
        (
            "0 8 striped 2 4 A 0",
            K::ArgumentCount,
            "line 1: striped: arguments \"2 4 A 0\": takes device and offset of each of 2 stripes after the chunk",
        ),
        (
            "0 8 striped 1 4 A 0 B",
            K::ArgumentCount,
            "line 1: striped: arguments \"1 4 A 0 B\": takes device and offset of each of 1 stripes after the chunk",
        ),
        (
            "0 8 striped 3 1 A 0 B 0 C 0",
            K::Uneven,
            "line 1: striped: length \"8\": must be a multiple of 3, the number of stripes",
        ),
        (
            "0 8 striped 2 3 A 0 B 0",
            K::Uneven,
            "line 1: striped: length \"8\": 4 sectors on each leg are not a multiple of chunk 3",
        ),
        (
            "0 8 striped 2 2 A 0 B 36028797018963966",
            K::Overflow,
            "line 1: striped: offset \"36028797018963966\": offset plus length does not fit in 64 bits of bytes",
        ),
    ]);
}

#[test]
fn refused_targets_like_linear_say_what_and_where() {
    refused(&[
        (
            "0 8 crypt c k 0 A",
            K::ArgumentCount,
            "line 1: crypt: arguments \"c k 0 A\": takes at least 5: cipher, key, iv_offset, device, offset",
        ),
        (
            "0 8 crypt c k x A 0",
            K::BadNumber,
            "line 1: crypt: iv_offset \"x\": must be a decimal number",
        ),
        (
            "0 8 flakey A 0 1",
            K::ArgumentCount,
            "line 1: flakey: arguments \"A 0 1\": takes at least 4: device, offset, up interval, down interval",
        ),
        (
            "0 8 flakey A 0 x 1",
            K::BadNumber,
            "line 1: flakey: up interval \"x\": must be a decimal number",
        ),
        (
            "0 8 flakey A 0 1 x",
            K::BadNumber,
            "line 1: flakey: down interval \"x\": must be a decimal number",
        ),
        (
            "0 8 dust A 0",
            K::ArgumentCount,
            "line 1: dust: arguments \"A 0\": takes 3: device, offset, block size",
        ),
        (
            "0 8 dust A 0 x",
            K::BadNumber,
            "line 1: dust: block size \"x\": must be a decimal number",
        ),
        (
            "0 8 delay A 0",
            K::ArgumentCount,
            "line 1: delay: arguments \"A 0\": takes 3, 6 or 9: device, offset, delay each",
        ),
        (
            "0 8 delay A 0 1 B 0 1",
            K::Unsupported,
            "line 1: delay: type \"delay\": is not supported: writes or flushes go elsewhere than reads",
        ),
        (
            "0 8 delay A 0 1 A 1 1",
            K::Unsupported,
            "line 1: delay: type \"delay\": is not supported: writes or flushes go elsewhere than reads",
        ),
        (
            "0 8 delay A 0 1 A 0 1 A 1 1",
            K::Unsupported,
            "line 1: delay: type \"delay\": is not supported: writes or flushes go elsewhere than reads",
        ),
    ]);
}

#[test]
fn types_known_but_not_placed_are_refused_by_name() {
    for name in "thin thin-pool snapshot snapshot-merge cache era multipath verity \
                 integrity log-writes clone writecache switch unstriped vdo zoned"
        .split_whitespace()
    {
        let err = Table::parse(&format!("0 8 {name} 1 2 3")).unwrap_err();
        assert_eq!((err.kind(), err.field(), err.value()), (K::Unsupported, "type", name));
    }
}

#[test]
fn arrays_are_read_and_printed() {
    // Real lines: a log in memory, a log on a device, options behind the devices; lvm's raid types.
    for (line, legs, upper) in [
        ("0 96 mirror core 2 1024 nosync 2 A 8 B 0 1 handle_errors", 2, 96),
        ("0 96 mirror disk 3 L 1024 sync 3 A 8 B 0 C 0", 3, 96),
        ("0 96 raid raid1 4 0 nosync region_size 1024 2 M A - -", 1, 96),
        ("0 96 raid raid5_ls 3 16 region_size 1024 3 M A N B O C", 3, 96),
        ("0 96 raid raid6_zr 5 16 region_size 1024 rebuild 1 4 M A N B O C P D", 4, 96),
        (
            "0 96 raid raid10 7 16 raid10_copies 2 raid10_format far region_size 1024 2 M A N B",
            2,
            96,
        ),
        ("0 96 raid raid0 1 16 2 - A - B", 2, 96),
        ("0 96 snapshot-origin A", 1, 96),
    ] {
        let table = Table::parse(line).unwrap_or_else(|err| panic!("{line}: {err}"));
        assert_eq!(table.to_string(), line);
        assert_eq!((table.legs(), table.extent()), (legs, sectors(0, upper)), "{line}");
    }
    let kind = |line: &str| Table::parse(line).unwrap_err().kind();
    assert_eq!(kind("0 96 raid raid9 1 16 2 - A - B"), K::Unsupported);
    assert_eq!(kind("0 96 raid raid1 3 0 new_word 1 2 - A - B"), K::Unsupported);
    assert_eq!(kind("0 96 raid raid5_ls 3 16 delta_disks 1 3 M A N B O C"), K::Unsupported);
    assert_eq!(kind("0 96 raid raid1 1 0 2 - A -"), K::ArgumentCount);
    assert_eq!(kind("0 96 raid raid1 1 0 2 - - - -"), K::Uneven);
    assert_eq!(kind("0 97 raid raid5_ls 1 16 3 M A N B O C"), K::Uneven);
    assert_eq!(kind("0 96 mirror core 1 1024 2 A 8 B"), K::ArgumentCount);
    assert_eq!(kind("0 96 snapshot-origin A 0"), K::ArgumentCount);
}

#[test]
fn an_array_beside_other_targets_begins_where_it_stands() {
    let table = Table::parse("0 8 linear A 0\n8 8 mirror core 1 1024 2 B 100 C 200").unwrap();
    let parts = map(&table, sectors(4, 8));
    let to = |leg, upper, lower| Mapped::To { leg: Leg::new(leg), link: link(lower, upper) };
    assert_eq!(
        parts,
        [
            to(0, sectors(4, 4), sectors(4, 4)),
            to(1, sectors(8, 4), sectors(100, 4)),
            to(2, sectors(8, 4), sectors(200, 4)),
        ]
    );
    let back = rmap(&table, 2, sectors(190, 12));
    assert_eq!(back, [link(sectors(200, 2), sectors(8, 2))]);
}

#[test]
fn builders_refuse_what_the_text_cannot_say() {
    let on = Extent::new(Sector::new(0), 8).unwrap();
    for name in ["", "a b", "a\nb", "a\u{a0}b", "\u{7}"] {
        assert_eq!(Linear::new(name, on).unwrap_err().kind(), K::DeviceName, "{name:?}");
    }
    let err = Linear::new("", on).unwrap_err();
    assert_eq!(err.to_string(), "linear: device: must be one word: a path or major:minor");
    let kind = |len, chunk, legs: &[_]| Striped::new(len, chunk, legs).unwrap_err().kind();
    let leg = ("A", Sector::new(0));
    assert_eq!(kind(8, 1, &[]), K::Zero);
    assert_eq!(kind(0, 1, &[leg]), K::Zero);
    assert_eq!(kind(8, 0, &[leg]), K::Zero);
    assert_eq!(kind(9, 1, &[leg, leg]), K::Uneven);
    assert_eq!(Table::new([]).unwrap_err().kind(), K::Empty);
}

#[test]
fn the_limits_hold_and_one_more_is_refused() {
    let most = MAX_LEGS_PER_TARGET;
    let mut legs: Vec<_> = (0..most).map(|i| ("A", Sector::new(i.into()))).collect();
    let striped = Striped::new(u64::from(most) * 2, 2, &legs).unwrap();
    assert_eq!(striped.legs(), most);
    let device = Table::new([striped.into()]).unwrap();
    assert_eq!(Table::parse(&device.to_string()).unwrap(), device);
    legs.push(("A", Sector::new(0)));
    let err = Striped::new((u64::from(most) + 1) * 2, 2, &legs).unwrap_err();
    assert_eq!(err.kind(), K::TooMany);

    let one = Target::Zero { len_sectors: NonZeroU64::MIN };
    let device = Table::new(core::iter::repeat_n(one.clone(), MAX_TARGETS)).unwrap();
    assert_eq!(device.extent(), sectors(0, MAX_TARGETS as u64));
    assert_eq!(map(&device, sectors(MAX_TARGETS as u64 - 1, 2)).len(), 2);
    drop(device);
    let err = Table::new(core::iter::repeat_n(one, MAX_TARGETS + 1)).unwrap_err();
    assert_eq!(err.kind(), K::TooMany);
    assert_eq!(err.to_string(), "targets: a table has at most 1000000");
}

#[test]
fn a_long_value_is_repeated_only_in_part() {
    let err = Table::parse(&format!("0 8 {}", "x".repeat(1000))).unwrap_err();
    assert_eq!(err.value(), format!("{}...", "x".repeat(80)));
}
