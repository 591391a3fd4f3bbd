//! LVM's arrays from `vgcfgbackup` alone: the answers of the tables that LVM loads for them.

use badrange::{
    explain::Explainer,
    input::{MemoryFiles, Topology},
};

/// Four disks of 10 extents of 8 sectors, the first at sector 16. Metadata volumes in extent 0 of each
/// disk, images in extents 1 and 2: of 16 sectors each.
fn group(segment: &str, extents: u64, status: &str) -> String {
    let disk = |n: u32| {
        format!("pv{n} {{ id = \"i{n}\" device = \"/dev/sd{n}\" pe_start = 16 pe_count = 10 }}\n")
    };
    let hidden = |name: String, n: u32, first: u32, count: u32, status: &str| {
        format!(
            "{name} {{ status = [\"READ\", \"WRITE\"{status}] segment_count = 1 segment1 {{ \
             start_extent = 0 extent_count = {count} type = \"striped\" stripe_count = 1 \
             stripes = [ \"pv{n}\", {first} ] }} }}\n"
        )
    };
    let disks: String = (0..4).map(disk).collect();
    let mut volumes = String::new();
    for n in 0..4 {
        volumes += &hidden(format!("r_rmeta_{n}"), n, 0, 1, "");
        volumes += &hidden(format!("r_rimage_{n}"), n, 1, 2, if n == 1 { status } else { "" });
    }
    format!(
        "contents = \"Text Format Volume Group\"\nvg {{ extent_size = 8\n\
         physical_volumes {{\n{disks}}}\nlogical_volumes {{\n\
         r {{ status = [\"VISIBLE\"] segment_count = 1 segment1 {{ start_extent = 0 extent_count = \
         {extents}\n{segment} }} }}\n{volumes}}} }}\n"
    )
}

const DISKS: &str = "schema = \"badrange.stack/1\"\n\
    [[disk]]\nname = \"sd0\"\nsectors = 100\n[[disk]]\nname = \"sd1\"\nsectors = 100\n\
    [[disk]]\nname = \"sd2\"\nsectors = 100\n[[disk]]\nname = \"sd3\"\nsectors = 100\n\
    [[lvm]]\nmetadata = \"vg\"\ndevices = { pv0 = \"sd0\", pv1 = \"sd1\", pv2 = \"sd2\", pv3 = \"sd3\" }\n";

fn load(vg: &str, table: Option<&str>) -> Explainer {
    let files = MemoryFiles::new().with("vg", vg).with("table", table.unwrap_or_default());
    let with_table = table.map_or(String::new(), |_| {
        "[[dm]]\ntable = \"table\"\ndevices = { \"vg-r_rmeta_0\" = \"vg-r_rmeta_0\" }\n".to_owned()
    });
    let toml = [DISKS, &with_table].concat();
    let topology = Topology::load("stack.toml", &toml, &files).unwrap();
    assert_eq!(topology.notes(), []);
    Explainer::new(topology).unwrap()
}

/// What every sector of every disk, and the array itself, is answered with.
fn answers(explainer: &Explainer) -> Vec<String> {
    let spaces = ["sd0:0+100", "sd1:0+100", "sd2:0+100", "sd3:0+100", "vg-r:0+64"];
    spaces
        .into_iter()
        .map(|at| explainer.explain(&explainer.locate(at).unwrap()).to_json())
        .collect()
}

fn raids(images: u32) -> String {
    let all: Vec<_> = (0..images).map(|n| format!("\"r_rmeta_{n}\", \"r_rimage_{n}\"")).collect();
    format!("raids = [ {} ]", all.join(", "))
}

/// The lines of the tables of the hidden volumes, and this one of the array.
fn tables(array: &str) -> String {
    let mut all = format!("vg-r: {array}\n");
    for n in 0..4 {
        all += &format!("vg-r_rmeta_{n}: 0 8 linear sd{n} 16\n");
        all += &format!("vg-r_rimage_{n}: 0 16 linear sd{n} 24\n");
    }
    all
}

#[test]
fn every_array_of_lvm_is_the_table_that_it_loads() {
    let on = |images: u32| {
        let all = (0..images).map(|n| format!(" vg-r_rmeta_{n} vg-r_rimage_{n}"));
        format!("{images}{}", all.collect::<String>())
    };
    let stripe = "stripe_size = 8";
    for (segment, extents, table) in [
        (
            format!("type = \"raid1\" device_count = 2 {}", raids(2)),
            2,
            format!("0 16 raid raid1 1 0 {}", on(2)),
        ),
        (
            format!("type = \"raid5\" {stripe} {}", raids(3)),
            4,
            format!("0 32 raid raid5_ls 1 8 {}", on(3)),
        ),
        (
            format!("type = \"raid6\" {stripe} {}", raids(4)),
            4,
            format!("0 32 raid raid6_zr 1 8 {}", on(4)),
        ),
        (
            format!("type = \"raid4\" {stripe} {}", raids(3)),
            4,
            format!("0 32 raid raid4 1 8 {}", on(3)),
        ),
        (
            format!("type = \"raid10\" data_copies = 2 {stripe} {}", raids(4)),
            4,
            format!("0 32 raid raid10 1 8 {}", on(4)),
        ),
        (
            format!("type = \"raid0\" {stripe} raid0_lvs = [ \"r_rimage_0\", \"r_rimage_1\" ]"),
            4,
            "0 32 raid raid0 1 8 2 - vg-r_rimage_0 - vg-r_rimage_1".to_owned(),
        ),
        (
            "type = \"mirror\" mirror_count = 2 mirrors = [ \"r_rimage_0\", 0, \"r_rimage_1\", 0 ]"
                .to_owned(),
            2,
            "0 16 mirror core 1 1024 2 vg-r_rimage_0 0 vg-r_rimage_1 0".to_owned(),
        ),
    ] {
        let vg = group(&segment, extents, "");
        let alone = load(&vg, None);
        let with_table = load(&vg, Some(&tables(&table)));
        assert_eq!(answers(&alone), answers(&with_table), "{segment}");
    }
}

#[test]
fn a_raid1_of_lvm_is_rebuilt_from_its_other_image() {
    let vg = |status| group(&format!("type = \"raid1\" {}", raids(2)), 2, status);
    let ask = |explainer: &Explainer, at: &str| {
        let answer = explainer.explain(&explainer.locate(at).unwrap());
        let piece = &answer.queries[0].pieces[0];
        let way: Vec<_> =
            piece.routes[0].iter().map(|p| format!("{}:{}", p.device, p.start / 512)).collect();
        (piece.verdict.as_str(), piece.lost, way.join(">"), piece.redundancy.is_some())
    };
    let plain = load(&vg(""), None);
    // Extent 1 of the disk begins at sector 24; the sector before it is metadata.
    let way = "sd0:24>vg-r_rimage_0:0>vg-r:0".to_owned();
    assert_eq!(ask(&plain, "sd0:24"), ("device", Some(false), way, true));
    assert_eq!(ask(&plain, "sd0:23").0, "md-metadata");
    assert_eq!(ask(&plain, "sd0:40").0, "lvm-free");
    // While the other image is being rebuilt, it has nothing to give.
    let stale = load(&vg(", \"REBUILD\""), None);
    assert!(!ask(&stale, "sd0:24").3);
    assert!(ask(&stale, "sd1:24").3);
}

#[test]
fn an_array_that_changes_its_shape_or_place_is_left_unexplained() {
    let reshaped = format!("type = \"raid5\" stripe_size = 8 reshape_count = 1 {}", raids(3));
    // pvmove copies extents of one physical volume to another as a mirror.
    let moved = "type = \"mirror\" mirrors = [ \"pv0\", 4, \"pv1\", 4 ]".to_owned();
    let shifted = "type = \"mirror\" mirrors = [ \"r_rimage_0\", 1, \"r_rimage_1\", 0 ]".to_owned();
    for (segment, kind) in [(reshaped, "raid5"), (moved, "mirror"), (shifted, "mirror")] {
        let files = MemoryFiles::new().with("vg", group(&segment, 1, ""));
        let topology = Topology::load("stack.toml", DISKS, &files).unwrap();
        let note = topology.notes()[0].to_string();
        assert!(note.contains(&format!("segment type {kind:?} is not supported")), "{note}");
    }
}
