//! From a CXL memory device through its region to files. Every number is worked out by hand.

use badrange::{
    explain::plan::Plan,
    explain::{Answer, Explainer, Verdict},
    input::{MemoryFiles, Topology},
};

/// Two ways of 4 KiB at `0x1_0000_0000`; mem0 from DPA `0x4000_0000`, mem1 from 0. The namespace takes
/// the region, its data begins 2 MiB in. File 131 is the first two pages of the device.
const STACK: &str = r#"
    schema = "badrange.stack/1"
    [[cxl]]
    name = "region0"
    resource = "0x100000000"
    size = 0x1000000
    granularity = 4096
    memdevs = [
        { name = "mem0", dpa = "0x40000000" },
        { name = "mem1", dpa = 0, size = 0x2000000 },
    ]
    [[pmem]]
    name = "pmem0"
    phys = "0x100000000"
    size = 0x1000000
    data_offset = 0x200000
    mode = "fsdax"
    [[fs]]
    device = "pmem0"
    kind = "xfs"
    map = ["map.txt"]
    paths = "paths.txt"
    block_size = 4096
"#;

fn load(text: &str) -> Result<Explainer, String> {
    let files = MemoryFiles::new()
        .with("map.txt", "\t0: 259:0 [0..15]: inode 131 data 0..15 16\n")
        .with("paths.txt", "131 /a\n");
    let topology = Topology::load("stack.toml", text, &files).map_err(|err| err.to_string())?;
    Explainer::new(topology).map_err(|err| err.to_string())
}

fn ask(explainer: &Explainer, at: &str) -> Answer {
    explainer.explain(&explainer.locate(at).unwrap())
}

type Found<'a> = (u64, u64, Verdict, Vec<(&'a str, u64)>);

fn found(answer: &Answer) -> Vec<Found<'_>> {
    let pieces = answer.queries.iter().flat_map(|query| &query.pieces);
    pieces
        .map(|piece| {
            let way = piece.routes.first().into_iter().flatten();
            let way = way.map(|at| (at.device.as_str(), at.start)).collect();
            (piece.start, piece.len, piece.verdict, way)
        })
        .collect()
}

#[test]
fn a_memory_device_leads_to_the_file() {
    let explainer = load(STACK).unwrap();
    // The data begins at byte 0x200000 of the region: row 256, position 0. So page 0 of pmem0 is
    // on mem0 at 0x4000_0000 + 256 * 4096 = 0x4010_0000, and page 1 on mem1 at 0x10_0000.
    let answer = ask(&explainer, "mem0:0x400fffc0+128B,mem1:0x100000+64B");
    assert_eq!(
        found(&answer),
        [
            // The last bytes of the row before: host memory 0x1001f_efc0, below the data.
            (
                0x400f_ffc0,
                64,
                Verdict::PmemMetadata,
                vec![("mem0", 0x400f_ffc0), ("region0", 0x1f_efc0)]
            ),
            (
                0x4010_0000,
                64,
                Verdict::File,
                vec![("mem0", 0x4010_0000), ("region0", 0x20_0000), ("pmem0", 0)]
            ),
            (
                0x10_0000,
                64,
                Verdict::File,
                vec![("mem1", 0x10_0000), ("region0", 0x20_1000), ("pmem0", 4096)]
            ),
        ]
    );
    assert_eq!(answer.queries[1].pieces[0].owners[0].start, Some(4096));
}

#[test]
fn host_memory_in_a_region_is_the_regions() {
    let explainer = load(STACK).unwrap();
    let answer =
        ask(&explainer, "phys:0xfffffff0+0x20,phys:0x1001fffc0+0x80,phys:0x100fffff0+0x20");
    let verdicts: Vec<_> = found(&answer).iter().map(|piece| (piece.1, piece.2)).collect();
    assert_eq!(
        verdicts,
        [
            (16, Verdict::NoOwner),
            (16, Verdict::PmemMetadata),
            (64, Verdict::PmemMetadata),
            (64, Verdict::File),
            (16, Verdict::FsUnknown),
            (16, Verdict::NoOwner),
        ]
    );
    // The same bytes asked about twice count once, from whichever side.
    let twice = ask(&explainer, "phys:0x100200000+64,mem0:0x40100000+64B,pmem0:0+64B");
    assert_eq!((twice.summary.bytes_lost, twice.summary.bytes_queried), (64, 192));
}

#[test]
fn bytes_of_a_memory_device_outside_the_region_are_nobodys() {
    let explainer = load(STACK).unwrap();
    let answer = ask(&explainer, "mem1:0x7ffff0+32B,mem0:0x407ffff0+32B,mem0:0+1B");
    let verdicts: Vec<_> = found(&answer).iter().map(|piece| (piece.1, piece.2)).collect();
    // mem1 is said to be longer than what the region uses of it; mem0 is not.
    assert_eq!(
        verdicts,
        [
            (16, Verdict::FsUnknown),
            (16, Verdict::Device),
            (16, Verdict::FsUnknown),
            (16, Verdict::Outside),
            (1, Verdict::Device),
        ]
    );
}

#[test]
fn xor_maps_move_the_pages() {
    // Map 0x5000: bit 12 becomes the parity of bits 12 and 14. In the row of bit 14, pages change
    // places: host 0x1_0020_4000 has bits 14 and 21 of the offset, so page 4 of pmem0 is on mem1.
    let text = STACK.replace(
        "granularity = 4096",
        "granularity = 4096\n    xor = { host_bridges = 2, maps = [\"0x5000\"] }",
    );
    let explainer = load(&text).unwrap();
    // Row 258 of both devices: modulo offsets 0x204000 and 0x205000, stirred to the other.
    let answer = ask(&explainer, "mem0:0x40102000+64B,mem1:0x102000+64B");
    let at: Vec<_> = found(&answer).iter().map(|piece| piece.3[1].1).collect();
    assert_eq!(at, [0x20_5000, 0x20_4000]);
    let refused = load(&text.replace("0x5000", "0")).unwrap_err();
    assert!(refused.contains("stack.toml:8: XOR map 0x0"), "{refused}");
}

#[test]
fn what_does_not_fit_is_refused_with_its_line() {
    for (from, to, why) in [
        ("granularity = 4096", "granularity = 100", "stack.toml:7: interleave granularity 0x64"),
        (
            "granularity = 4096",
            "granularity = 4096\n    ways = 4",
            "ways = 4, but there are 2 memdevs",
        ),
        (
            "size = 0x1000000\n    granularity",
            "size = 0x1001000\n    granularity",
            "region size 0x1001000",
        ),
        ("0x2000000 }", "0x1000 }", "4096 bytes: the region uses them up to 8388608"),
        ("\"mem1\"", "\"mem0\"", "used twice"),
        ("\"mem1\"", "\"pmem0\"", "device name \"pmem0\" is given twice"),
        ("size = 0x1000000\n    data", "size = 0x2000000\n    data", "of it are in a CXL region"),
        ("dpa = 0,", "dpa = 0, hpa = 1,", "unknown field `hpa`"),
        ("resource = \"0x100000000\"", "resource = 4096", "region base 0x1000"),
    ] {
        assert!(STACK.contains(from), "{from}");
        // The two ways of the same device overlap only where both begin alike.
        let text = STACK.replacen(from, to, 1);
        let text = if why == "used twice" {
            text.replace("dpa = 0,", "dpa = \"0x40001000\",")
        } else {
            text
        };
        match load(&text) {
            Err(err) => assert!(err.contains(why), "{err}"),
            Ok(_) => panic!("{to} is taken"),
        }
    }
}

#[test]
fn a_plan_clears_by_device_addresses() {
    let explainer = load(STACK).unwrap();
    let plan = Plan::new(&explainer, &ask(&explainer, "phys:0x100201000+128"));
    let device = plan.devices.iter().find(|device| device.device == "mem1").unwrap();
    let commands: Vec<_> = device.actions.iter().filter_map(|a| a.command.as_ref()).collect();
    let shown: Vec<_> = commands.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "cxl list --memdevs mem1 --media-errors",
            "cxl clear-media-poison mem1 --address=0x100000",
            "cxl clear-media-poison mem1 --address=0x100040",
        ]
    );
}
