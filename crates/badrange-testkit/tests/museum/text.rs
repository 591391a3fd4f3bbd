//! Units: the same number means a sector, a block of 4 KiB or a byte, depending on who printed it.

use core::ops::ControlFlow;

use badrange_block::dm::Table;
use badrange_core::{Leg, Mapped, Mapping};
use badrange_input::{
    Filefrag, MemoryFiles, Topology, collect_files, parse_sfdisk_dump, parse_vgcfg,
};

use super::{at, plain};

/// Where the first byte of a device lies below.
fn first_byte(mapping: &dyn Mapping) -> u64 {
    let mut found = None;
    let _ = mapping.map(at(0, 1), &mut |part| {
        if let Mapped::To { link, .. } = part {
            found = Some(link.lower().first().start().get());
        }
        ControlFlow::Continue(())
    });
    found.unwrap()
}

#[test]
fn a_luks_offset_was_off_by_eight() {
    // A header of 16 MiB. A much read guide takes its sectors for blocks of 4096 bytes.
    let header_bytes = 16 << 20;
    let wrong = header_bytes / 4096;
    assert_eq!((wrong, header_bytes / 512), (4096, 32_768));
    let text =
        "0 1249535 crypt aes-xts-plain64 :64:logon:cryptsetup:4f2a-d0 0 8:3 32768 1 allow_discards";
    let table = Table::parse(text).unwrap();
    assert_eq!(first_byte(&table), header_bytes);
    assert_ne!(first_byte(&table), wrong * 512);
}

const VG: &str = r#"contents = "Text Format Volume Group"
version = 1
vg0 {
	extent_size = 8192
	physical_volumes {
		pv0 { device = "/dev/sda2" pe_start = 384 pe_count = 20000 }
	}
	logical_volumes {
		root {
			status = ["READ", "WRITE", "VISIBLE"]
			segment_count = 1
			segment1 {
				start_extent = 0
				extent_count = 7680
				type = "striped"
				stripe_count = 1
				stripes = ["pv0", 3072]
			}
		}
	}
}
"#;

/// The recipe of the guide: which extent a sector of the physical volume is in, without its start.
fn extent_without_pe_start(sector: u64) -> u64 {
    sector / 8192
}

#[test]
fn an_lvm_recipe_forgot_where_the_extents_begin() {
    let pe_start = 384;
    // The case of the guide: extent 4418 of the volume, found by luck.
    let found = 36_194_858;
    assert_eq!(extent_without_pe_start(found), 4418);
    assert_eq!((found - pe_start) / 8192, 4418);
    // The first 384 sectors behind each multiple of 8192 belong to the extent before.
    let trap = 8192 + 100;
    assert_eq!(extent_without_pe_start(trap), 1);
    assert_eq!((trap - pe_start) / 8192, 0);
    let groups = parse_vgcfg(VG.as_bytes()).unwrap();
    assert_eq!(groups[0].pvs[0].pe_start, pe_start * 512);
    // Through the whole stack: sector 36194858 of the volume is sector 11028650 of `root`.
    let toml = "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda2\"\nsectors = 200000000\n\
        [[lvm]]\nmetadata = \"vg.txt\"\ndevices = { pv0 = \"sda2\" }\n";
    let topology = Topology::load("s", toml, &MemoryFiles::new().with("vg.txt", VG)).unwrap();
    let root = topology.devices().iter().find(|device| device.name == "vg0-root").unwrap();
    let badrange_input::Layer::Mapped { table, .. } = &root.layer else { panic!("{root:?}") };
    let mut up = Vec::new();
    let _ = table.rmap(Leg::new(0), at(found * 512, 512).into(), &mut |part| {
        up.push(plain(part.upper().first()).0 / 512);
        ControlFlow::Continue(())
    });
    assert_eq!(up, [11_028_650]);
}

const FRAG: &str = "\
Filesystem type is: 58465342
File size of /a is 32768 (64 blocks of 512 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..      63:       1000..      1063:     64:             last,eof
/a: 1 extent found
";

#[test]
fn filefrag_counts_in_the_unit_of_its_header() {
    // `filefrag -b512`: sectors. Taken for the usual blocks of 4096 bytes, eight times too far.
    let wrong = 1000 * 4096;
    let files = collect_files(Filefrag::new(FRAG.as_bytes())).unwrap();
    let place = files[0].extents[0].place.device().unwrap();
    assert_eq!(plain(place), (1000 * 512, 64 * 512));
    assert_ne!(place.start().get(), wrong);
    let blocks = FRAG.replace("64 blocks of 512", "64 blocks of 4096").replace("32768", "262144");
    let files = collect_files(Filefrag::new(blocks.as_bytes())).unwrap();
    assert_eq!(plain(files[0].extents[0].place.device().unwrap()), (wrong, 64 * 4096));
}

const SFDISK: &str = "\
label: gpt
device: /dev/sdb
unit: sectors
sector-size: 4096

/dev/sdb1 : start=         256, size=        1024, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
";

#[test]
fn a_partition_table_of_a_4kn_disk_counts_in_its_own_sectors() {
    let wrong = 256 * 512;
    let table = parse_sfdisk_dump(SFDISK.as_bytes()).unwrap();
    assert_eq!(plain(table.entries[0].extent), (256 * 4096, 1024 * 4096));
    assert_ne!(table.entries[0].extent.start().get(), wrong);
}

#[test]
fn sysfs_counts_in_512_bytes_on_every_disk() {
    // /sys/class/block/sdb1/start of the same partition says 2048. A script multiplied it by the
    // hardware's sector size.
    let (start, hardware) = (2048_u64, 4096);
    let wrong = start * hardware;
    let toml = format!(
        "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sdb\"\nsectors = 1000000\n\
         logical_block = {hardware}\n[[partition]]\nname = \"sdb1\"\non = \"sdb\"\n\
         start = {start}\nsectors = 8192\n"
    );
    let topology = Topology::load("s", &toml, &MemoryFiles::new()).unwrap();
    let badrange_input::Layer::Partition { mapping, .. } = &topology.devices()[1].layer else {
        panic!("{topology:?}")
    };
    assert_eq!(first_byte(mapping), 256 * 4096);
    assert_ne!(first_byte(mapping), wrong);
}
