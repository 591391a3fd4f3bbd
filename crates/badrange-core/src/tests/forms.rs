//! What `serde` writes and reads.

use core::fmt::Debug;

use ::serde::{Serialize, de::DeserializeOwned};

use super::*;

/// Writes a value as `json`, and reads it back.
fn is_written<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, json: &str) {
    assert_eq!(serde_json::to_string(&value).unwrap(), json);
    assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
}

/// What is said of text that is no value.
fn refused<T: DeserializeOwned + Debug>(json: &str) -> std::string::String {
    serde_json::from_str::<T>(json).unwrap_err().to_string()
}

#[test]
fn the_documented_forms_are_written_and_read() {
    is_written(DevOffset::new(4096), "4096");
    is_written(PhysAddr::new(u64::MAX), "18446744073709551615");
    is_written(Pfn::new(7), "7");
    is_written(Sector::new(0), "0");
    is_written(FileOffset::new(1 << 53), "9007199254740992");
    is_written(FsBlock::new(3), "3");
    is_written(at(4096, 512), r#"{"start":4096,"len":512}"#);
    is_written(Extent::new(Pfn::new(1), 2).unwrap(), r#"{"start":1,"len":2}"#);
    is_written(Run::from(at(4096, 512)), r#"{"start":4096,"len":512}"#);
    is_written(every(0, 512, 4096, 8), r#"{"start":0,"len":512,"stride":4096,"count":8}"#);
    let link = Link::new(every(8, 2, 2, 3), every(0, 2, 6, 3)).unwrap();
    let sides = [
        r#"{"lower":{"start":8,"len":2,"stride":2,"count":3},"#,
        r#""upper":{"start":0,"len":2,"stride":6,"count":3}}"#,
    ];
    is_written(link, &sides.concat());
    is_written(BlockSize::new(4096).unwrap(), "4096");
    is_written(PageSize::K64, "65536");
    is_written(MfFlags::NONE, "[]");
    is_written(
        MfFlags::MUST_KILL.with(MfFlags::ACTION_REQUIRED),
        r#"["action_required","must_kill"]"#,
    );
    is_written(Outcome::Nothing, r#""nothing""#);
    is_written(Outcome::Handled, r#""handled""#);
    is_written(Outcome::Failed(Errno::EUCLEAN), r#"{"failed":117}"#);
    is_written(Outcome::NotSupported, r#""not_supported""#);
    is_written(Errno::EIO, "5");
    is_written(Leg::new(2), "2");
    is_written(DeviceId::new(0, 3, 1), r#"{"stack":0,"index":3,"generation":1}"#);
    for kind in [HoleKind::Error, HoleKind::Zero, HoleKind::Unmapped] {
        is_written(kind, &format!("\"{kind}\""));
    }
}

#[test]
fn other_spellings_of_the_same_are_read() {
    let read = |json| serde_json::from_str::<Run>(json).unwrap();
    assert_eq!(read(r#"{"len":8,"start":4,"count":1,"stride":99}"#), at(4, 8).into());
    assert_eq!(read(r#"{"count":2,"len":8,"stride":8,"start":4}"#), every(4, 8, 8, 2));
    let flags: MfFlags = serde_json::from_str(r#"["must_kill","must_kill"]"#).unwrap();
    assert_eq!(flags, MfFlags::MUST_KILL);
}

#[test]
fn a_range_that_cannot_exist_is_not_read() {
    let end = u64::MAX;
    let said = refused::<Extent>(r#"{"start":8,"len":0}"#);
    assert!(said.starts_with("invalid range of device bytes at 0x8+0x0: length is zero"), "{said}");
    let said = refused::<Extent<Pfn>>(&format!(r#"{{"start":{end},"len":1}}"#));
    assert!(
        said.contains("invalid range of pfns at 0xffffffffffffffff+0x1: end does not"),
        "{said}"
    );
    let run = |len, stride, count| {
        refused::<Run>(&format!(r#"{{"start":1,"len":{len},"stride":{stride},"count":{count}}}"#))
    };
    assert!(run(0, 8, 2).contains("length is zero"));
    assert!(run(8, 8, 0).contains("count is zero"));
    assert!(run(8, 7, 2).contains("stride is smaller than the element"));
    assert!(run(8, end, 2).contains("end does not fit in 64 bits"));
    let link = r#"{"lower":{"start":0,"len":8},"upper":{"start":0,"len":9}}"#;
    assert!(refused::<Link>(link).contains("the two sides differ"));
    let link = r#"{"lower":{"start":0,"len":0},"upper":{"start":0,"len":0}}"#;
    assert!(refused::<Link>(link).contains("length is zero"));
}

#[test]
fn a_form_with_more_or_less_than_its_fields_is_not_read() {
    assert!(refused::<Extent>(r#"{"start":8}"#).starts_with("missing field `len`"));
    assert!(
        refused::<Extent>(r#"{"start":8,"len":1,"length":1}"#).contains("unknown field `length`")
    );
    assert!(refused::<Extent>(r#"{"start":8,"len":1,"len":1}"#).contains("duplicate field `len`"));
    // A run is no extent, and half of a stride is no run.
    let run = r#"{"start":0,"len":8,"stride":8,"count":2}"#;
    assert!(refused::<Extent>(run).contains("unknown field `stride`"));
    assert!(refused::<Run>(r#"{"start":0,"len":8,"count":2}"#).contains("missing field `stride`"));
    assert!(refused::<Run>(r#"{"start":0,"len":8,"stride":8}"#).contains("missing field `count`"));
    assert!(refused::<Run>(r#"{"start":0,"len":8,"step":8}"#).contains("unknown field `step`"));
    assert!(refused::<Link>(r#"{"lower":{"start":0,"len":8}}"#).contains("missing field `upper`"));
    assert!(refused::<DeviceId>(r#"{"index":3,"generation":1}"#).contains("missing field `stack`"));
    assert!(refused::<Extent>("5").contains("expected an extent: `start` and `len`"));
}

#[test]
fn numbers_and_names_that_mean_nothing_are_not_read() {
    for wrong in ["-1", "1.5", "18446744073709551616", "\"1\"", "null", "[1]"] {
        refused::<DevOffset>(wrong);
        refused::<Pfn>(wrong);
        refused::<Leg>(wrong);
        refused::<Errno>(wrong);
    }
    refused::<Leg>("4294967296");
    refused::<Errno>("65536");
    assert!(refused::<BlockSize>("1000").contains("1000 block bytes: not a power of two"));
    assert!(refused::<PageSize>("256").contains("256 page bytes: not a power of two"));
    assert!(
        refused::<MfFlags>(r#"["must_kill","kill"]"#).contains("no memory failure flag: \"kill\"")
    );
    refused::<MfFlags>(r#"["must_kill no_retry"]"#);
    refused::<MfFlags>(r#""must_kill""#);
    refused::<MfFlags>("4");
    refused::<HoleKind>(r#""full""#);
    refused::<Outcome>(r#""failed""#);
    refused::<Outcome>(r#"{"handled":5}"#);
    refused::<Outcome>(r#""Handled""#);
}

proptest! {
    #[test]
    fn every_value_is_read_as_it_was_written(
        start in any::<u64>(), len in any::<u64>(), stride in any::<u64>(), count in any::<u64>(),
        bits in any::<u8>(),
    ) {
        // Whatever the numbers: reading says what building says.
        let built = Extent::new(Sector::new(start), len);
        let json = format!(r#"{{"start":{start},"len":{len}}}"#);
        let read = serde_json::from_str::<Extent<Sector>>(&json).ok();
        prop_assert_eq!(read, built.ok());
        if let Some(extent) = read {
            prop_assert_eq!(serde_json::to_string(&extent).unwrap(), json);
        }
        let (len, stride) = (len >> 40, stride >> 30);
        let run = Extent::new(DevOffset::new(start), len).and_then(|e| Run::new(e, stride, count >> 34));
        let json = format!(
            r#"{{"start":{start},"len":{len},"stride":{stride},"count":{}}}"#, count >> 34
        );
        let read = serde_json::from_str::<Run>(&json).ok();
        prop_assert_eq!(read, run.ok());
        if let Some(run) = read {
            let text = serde_json::to_string(&run).unwrap();
            prop_assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
            let link = serde_json::to_string(&Link::same(run)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Link>(&link).unwrap(), Link::same(run));
        }
        let flags = MfFlags::from_bits(bits);
        let text = serde_json::to_string(&flags).unwrap();
        prop_assert_eq!(serde_json::from_str::<MfFlags>(&text).unwrap(), flags);
    }
}
