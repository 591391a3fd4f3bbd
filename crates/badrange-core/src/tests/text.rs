//! How things are shown and read: numbers and names of the kernel, units, errors.

use core::{fmt, str::FromStr};
use std::string::String;

use super::*;

#[test]
fn flags_have_the_bits_and_names_of_the_kernel() {
    let all = [
        (MfFlags::COUNT_INCREASED, 1, "count_increased"),
        (MfFlags::ACTION_REQUIRED, 2, "action_required"),
        (MfFlags::MUST_KILL, 4, "must_kill"),
        (MfFlags::SOFT_OFFLINE, 8, "soft_offline"),
        (MfFlags::UNPOISON, 16, "unpoison"),
        (MfFlags::SW_SIMULATED, 32, "sw_simulated"),
        (MfFlags::NO_RETRY, 64, "no_retry"),
        (MfFlags::MEM_PRE_REMOVE, 128, "mem_pre_remove"),
    ];
    for (flag, bits, name) in all {
        assert_eq!((flag.bits(), flag.to_string().as_str()), (bits, name));
        assert_eq!((MfFlags::from_bits(bits), name.parse()), (flag, Ok(flag)));
    }
    assert_eq!(
        "must kill".parse::<MfFlags>().unwrap_err().to_string(),
        "no memory failure flag: \"must\""
    );
    assert_eq!((MfFlags::NONE.to_string().as_str(), "".parse()), ("", Ok(MfFlags::NONE)));
}

#[test]
fn a_set_of_flags_has_all_that_were_put_in_and_no_other() {
    let two = MfFlags::ACTION_REQUIRED.with(MfFlags::MUST_KILL);
    assert_eq!(two.bits(), 6);
    assert_eq!(two.with(MfFlags::MUST_KILL), two);
    assert!(two.contains(MfFlags::MUST_KILL) && two.contains(two) && two.contains(MfFlags::NONE));
    assert!(!two.contains(MfFlags::UNPOISON));
    assert!(!MfFlags::MUST_KILL.contains(two), "one of two is not both");
    let three = two.with(MfFlags::MEM_PRE_REMOVE);
    assert_eq!(three.to_string(), "action_required must_kill mem_pre_remove");
    assert_eq!(three.names().count(), 3);
    assert_eq!("must_kill|action_required, mem_pre_remove".parse(), Ok(three));
    for wrong in ["-must_kill", "MUST_KILL", "must_kill;no_retry", "4"] {
        assert!(wrong.parse::<MfFlags>().is_err(), "{wrong}");
    }
}

#[test]
fn ids_and_legs_are_their_numbers() {
    let id = DeviceId::new(9, 3, 7);
    assert_eq!((id.stack(), id.index(), id.generation()), (9, 3, 7));
    assert_eq!(id.to_string(), "device 3.7");
    assert_eq!((Leg::new(5).index(), &*Leg::new(5).to_string()), (5, "leg 5"));
    let kinds = [HoleKind::Error, HoleKind::Zero, HoleKind::Unmapped].map(|kind| kind.to_string());
    assert_eq!(kinds, ["error", "zero", "unmapped"]);
}

#[test]
fn errors_and_outcomes_say_what_they_are() {
    assert_eq!((Errno::EIO.to_string(), Errno::EBUSY.to_string()), ("EIO".into(), "EBUSY".into()));
    assert_eq!(Errno::new(200).to_string(), "errno 200");
    let failed = Outcome::Failed(Errno::EUCLEAN);
    let said = [Outcome::Nothing, Outcome::Handled, failed, Outcome::NotSupported];
    let said = said.map(|outcome| outcome.to_string());
    assert_eq!(said, ["nothing there", "handled", "failed (EUCLEAN)", "not supported"]);
}

#[test]
fn errors_have_the_numbers_of_the_kernel() {
    // include/uapi/asm-generic/errno-base.h and errno.h
    let numbers = [
        (5, "EIO"),
        (6, "ENXIO"),
        (14, "EFAULT"),
        (16, "EBUSY"),
        (19, "ENODEV"),
        (22, "EINVAL"),
        (25, "ENOTTY"),
        (28, "ENOSPC"),
        (34, "ERANGE"),
        (95, "EOPNOTSUPP"),
        (117, "EUCLEAN"),
        (133, "EHWPOISON"),
    ];
    for (number, name) in numbers {
        assert_eq!(
            (Errno::new(number).to_string().as_str(), name.parse()),
            (name, Ok(Errno::new(number)))
        );
    }
}

#[test]
fn ranges_that_cannot_exist_are_shown_with_the_numbers_given() {
    let extent = |start, len| Extent::new(Sector::new(start), len).unwrap_err();
    let bounds = |start, end| Extent::from_bounds(Pfn::new(start), Pfn::new(end)).unwrap_err();
    let run = |stride, count| Run::new(at(1, 16), stride, count).unwrap_err();
    let link = Link::new(every(0, 8, 8, 3), every(0, 9, 9, 2)).unwrap_err();
    let pages = Extent::new(Pfn::new(1 << 52), 2).unwrap().bytes(PageSize::K4).unwrap_err();
    let said = [
        (extent(8, 0), "range of sectors at 0x8+0x0: length is zero"),
        (
            extent(u64::MAX, 2),
            "range of sectors at 0xffffffffffffffff+0x2: end does not fit in 64 bits",
        ),
        (bounds(9, 8), "range of pfns [0x9..0x8): end lies before the start"),
        (bounds(9, 9), "range of pfns at 0x9+0x0: length is zero"),
        (
            run(8, 3),
            "run of device bytes at 0x1+0x10 x3 every 0x8: stride is smaller than the element",
        ),
        (
            run(0, 3),
            "run of device bytes at 0x1+0x10 x3 every 0x0: stride is smaller than the element",
        ),
        (run(16, 0), "run of device bytes at 0x1+0x10 x0 every 0x10: count is zero"),
        (
            run(u64::MAX, 2),
            "run of device bytes at 0x1+0x10 x2 every 0xffffffffffffffff: end does not fit in 64 bits",
        ),
        (link, "link of 0x8 x3 to 0x9 x2: the two sides differ in element length or count"),
        (pages, "range of pfns at 0x10000000000000+0x2: end does not fit in 64 bits"),
        (
            BlockSize::new(1000).unwrap_err(),
            "size of 1000 block bytes: not a power of two of at least 512",
        ),
        (
            PageSize::new(256).unwrap_err(),
            "size of 256 page bytes: not a power of two of at least 512",
        ),
    ];
    for (err, text) in said {
        assert_eq!(err.to_string(), format!("invalid {text}"));
    }
}

#[test]
fn sizes_are_powers_of_two_of_at_least_a_sector() {
    for wrong in [0, 1, 256, 511, 513, 1000, 4095, u64::MAX] {
        assert_eq!(BlockSize::new(wrong).unwrap_err().kind(), RangeErrorKind::PowerOfTwo);
        assert_eq!(PageSize::new(wrong).unwrap_err().kind(), RangeErrorKind::PowerOfTwo);
    }
    for shift in 9..64 {
        assert_eq!(BlockSize::new(1 << shift).map(BlockSize::get), Ok(1 << shift));
        assert_eq!(PageSize::new(1 << shift).map(PageSize::bytes), Ok(1 << shift));
    }
}

#[test]
fn extents_and_runs_are_shown_half_open() {
    let extent = at(0x40, 0x10);
    assert_eq!(format!("{extent} {extent:?}"), "device bytes [0x40..0x50) dev:0x40..0x50");
    let run = Run::new(extent, 0x100, 3).unwrap();
    assert_eq!(run.to_string(), "device bytes [0x40..0x50) x3 every 0x100");
    assert_eq!(format!("{run:?}"), "dev:0x40..0x50 x3 every 0x100");
    assert_eq!(Run::from(extent).to_string(), extent.to_string());
}

/// What is shown is read as what it was.
fn round_trip<T>(value: T) -> Result<(), TestCaseError>
where
    T: FromStr<Err = FromTextError> + fmt::Display + fmt::Debug + PartialEq,
{
    prop_assert_eq!(value.to_string().parse(), Ok(value));
    Ok(())
}

proptest! {
    #[test]
    fn what_is_shown_is_read_as_what_it_was(
        raw in any::<u64>(), bits in any::<u8>(), errno in any::<u16>(), shift in 9..64_u32,
    ) {
        round_trip(PhysAddr::new(raw))?;
        round_trip(Pfn::new(raw))?;
        round_trip(Sector::new(raw))?;
        round_trip(DevOffset::new(raw))?;
        round_trip(FileOffset::new(raw))?;
        round_trip(FsBlock::new(raw))?;
        round_trip(PageSize::new(1 << shift).unwrap())?;
        round_trip(MfFlags::from_bits(bits))?;
        round_trip(Errno::new(errno))?;
    }

    #[test]
    fn a_number_is_read_in_each_of_its_spellings(raw in any::<u64>()) {
        let spellings = [
            format!("{raw}"), format!("{raw:#x}"), format!("0X{raw:X}"), format!("0x{raw:020x}"),
        ];
        for text in spellings {
            prop_assert_eq!(text.parse(), Ok(DevOffset::new(raw)), "{}", text);
        }
    }

    /// Nothing but digits with `_` between them is a number.
    #[test]
    fn other_text_is_no_number(text in "[0-9a-fA-FxX_+ .-]{0,6}") {
        let number = text.parse::<Sector>().ok().map(Sector::get);
        let digits = |text: &str, radix| {
            let groups: Vec<&str> = text.split('_').collect();
            let plain = groups.iter().all(|g| !g.is_empty() && g.chars().all(|c| c.is_digit(radix)));
            plain.then(|| u64::from_str_radix(&groups.concat(), radix).unwrap())
        };
        let due = match text.get(..2) {
            Some("0x" | "0X") => digits(&text[2..], 16),
            _ => digits(&text, 10),
        };
        prop_assert_eq!(number, due);
    }
}

/// What is wrong as any number: signs, blanks, `_` at ends, too much, and what is none.
const NO_NUMBERS: [&str; 24] = [
    "",
    "-1",
    "+1",
    "-0",
    " 1",
    "1 ",
    "1 2",
    "\t1",
    "_1",
    "1_",
    "1__0",
    "_",
    "0x",
    "0x_1",
    "0x1_",
    "0x-1",
    "0x+1",
    "x1",
    "1q",
    "0xg",
    "1.0",
    "1e3",
    "\u{ff11}",
    "0x1_0000_0000_0000_0000",
];

fn is_refused<T: FromStr<Err = FromTextError> + fmt::Debug>(text: &str, expected: &str) {
    let err = text.parse::<T>().unwrap_err();
    assert_eq!(err.to_string(), format!("no {expected}: {text:?}"));
}

#[test]
fn text_that_is_no_number_is_refused_and_named() {
    for text in NO_NUMBERS.into_iter().chain(["18446744073709551616"]) {
        is_refused::<PhysAddr>(text, "number of physical bytes");
        is_refused::<Pfn>(text, "number of pfns");
        is_refused::<Sector>(text, "number of sectors");
        is_refused::<DevOffset>(text, "number of device bytes");
        is_refused::<FileOffset>(text, "number of file bytes");
        is_refused::<FsBlock>(text, "number of filesystem blocks");
        is_refused::<Errno>(text, "kernel error number");
        is_refused::<PageSize>(text, "page size (4K, 16K, 64K)");
        is_refused::<PageSize>(&format!("{text}K"), "page size (4K, 16K, 64K)");
    }
    assert_eq!("18_446_744_073_709_551_615".parse(), Ok(Sector::new(u64::MAX)));
    assert_eq!("0xffff_ffff_ffff_ffff".parse(), Ok(Pfn::new(u64::MAX)));
}

#[test]
fn page_sizes_are_read_with_and_without_a_unit() {
    let sizes = [
        ("4096", 4096),
        ("0x1000", 4096),
        ("4K", 4096),
        ("4k", 4096),
        ("16K", 16384),
        ("64K", 65536),
        ("2M", 2 << 20),
        ("1g", 1 << 30),
        ("512", 512),
    ];
    for (text, bytes) in sizes {
        assert_eq!(text.parse::<PageSize>().map(PageSize::bytes), Ok(bytes), "{text}");
    }
    for wrong in ["5K", "0", "0K", "256", "K", "4KK", "4 K", "4KiB", "4_K", "18014398509481984K"] {
        is_refused::<PageSize>(wrong, "page size (4K, 16K, 64K)");
    }
    let odd = PageSize::new(512).unwrap();
    assert_eq!((odd.to_string().as_str(), PageSize::K64.to_string().as_str()), ("512", "64K"));
}

#[test]
fn errors_are_read_by_name_and_by_number() {
    assert_eq!("EUCLEAN".parse(), Ok(Errno::EUCLEAN));
    assert_eq!(("117".parse(), "0x75".parse()), (Ok(Errno::EUCLEAN), Ok(Errno::EUCLEAN)));
    assert_eq!("errno 200".parse(), Ok(Errno::new(200)));
    for wrong in
        ["euclean", "EUCLEAN ", "-117", "65536", "errno", "errno ", "errno -5", "errno EIO"]
    {
        is_refused::<Errno>(wrong, "kernel error number");
    }
    let max: Result<Errno, _> = String::from("65535").parse();
    assert_eq!(max, Ok(Errno::new(u16::MAX)));
}
