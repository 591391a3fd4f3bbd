//! LVM's thin pools from `vgcfgbackup` and `thin_dump`: the answers of the tables that LVM loads.

use badrange::{
    explain::Explainer,
    input::{Discovery, MemoryFiles, StackError, Topology},
};

/// One disk of 16 extents of 8 sectors from sector 16 on: extent 0 has the pool's metadata, extents 1
/// and 2, and 8 and 9, its data, extent 3 the external origin.
fn group(volumes: &str) -> String {
    let linear = |start: u32, count: u32, first: u32| {
        format!(
            "start_extent = {start} extent_count = {count} type = \"striped\" stripe_count = 1 \
             stripes = [ \"pv0\", {first} ]"
        )
    };
    format!(
        "contents = \"Text Format Volume Group\"\nvg {{ extent_size = 8\n\
         physical_volumes {{ pv0 {{ device = \"/dev/sda\" pe_start = 16 pe_count = 16 }} }}\n\
         logical_volumes {{\n{volumes}\n\
         pool {{ status = [\"VISIBLE\"] segment_count = 1 segment1 {{\n\
         start_extent = 0 extent_count = 4 type = \"thin-pool\"\n\
         metadata = \"pool_tmeta\" pool = \"pool_tdata\" transaction_id = 3 chunk_size = 4 }} }}\n\
         base {{ status = [\"VISIBLE\"] segment_count = 1 segment1 {{ {} }} }}\n\
         pool_tmeta {{ segment_count = 1 segment1 {{ {} }} }}\n\
         pool_tdata {{ segment_count = 2 segment1 {{ {} }} segment2 {{ {} }} }} }} }}\n",
        linear(0, 1, 3),
        linear(0, 1, 0),
        linear(0, 2, 1),
        linear(2, 2, 8),
    )
}

fn thin(name: &str, extents: u32, words: &str) -> String {
    format!(
        "{name} {{ status = [\"VISIBLE\"] segment_count = 1 segment1 {{ start_extent = 0 \
         extent_count = {extents} type = \"thin\" thin_pool = \"pool\" transaction_id = 0 {words} }} }}"
    )
}

/// A volume, a snapshot of it, and a volume that takes what it has not from outside the pool.
fn volumes() -> String {
    let outside = "device_id = 7 external_origin = \"base\"";
    [
        thin("home", 4, "device_id = 1"),
        thin("snap", 4, "device_id = 2 origin = \"home\""),
        thin("copy", 2, outside),
    ]
    .join("\n")
}

const DUMP: &str = r#"<superblock uuid="" time="1" transaction="3" version="2" data_block_size="4" nr_data_blocks="8">
  <device dev_id="1" mapped_blocks="3" transaction="0" creation_time="0" snap_time="1">
    <range_mapping origin_begin="0" data_begin="3" length="2" time="0"/>
    <single_mapping origin_block="5" data_block="0" time="0"/>
  </device>
  <device dev_id="2" mapped_blocks="2" transaction="1" creation_time="1" snap_time="1">
    <range_mapping origin_begin="0" data_begin="3" length="2" time="0"/>
  </device>
  <device dev_id="7" mapped_blocks="1" transaction="2" creation_time="1" snap_time="1">
    <single_mapping origin_block="1" data_block="6" time="0"/>
  </device>
</superblock>
"#;

/// What LVM loads for the group.
const TABLES: &str = "vg-pool_tmeta: 0 8 linear sda 16\n\
    vg-pool_tdata: 0 16 linear sda 24\n\
    vg-pool_tdata: 16 16 linear sda 80\n\
    vg-base: 0 8 linear sda 40\n\
    vg-pool-tpool: 0 32 thin-pool vg-pool_tmeta vg-pool_tdata 4 0 1 skip_block_zeroing \n\
    vg-pool: 0 32 linear vg-pool-tpool 0\n\
    vg-home: 0 32 thin vg-pool-tpool 1\n\
    vg-snap: 0 32 thin vg-pool-tpool 2\n\
    vg-copy: 0 16 thin vg-pool-tpool 7 vg-base\n";

fn topology(vg: &str, tables: &str, dump: Option<&str>) -> Result<Topology, StackError> {
    let dm = if tables.is_empty() { "" } else { "[[dm]]\ntable = \"table\"\n" };
    let thin = dump.map_or("", |_| "[[thin]]\npool = \"vg-pool\"\nmetadata = \"dump\"\n");
    let toml = format!(
        "schema = \"badrange.stack/1\"\n[[disk]]\nname = \"sda\"\nsectors = 200\n\
         [[lvm]]\nmetadata = \"vg\"\ndevices = {{ pv0 = \"sda\" }}\n{dm}{thin}"
    );
    let files = MemoryFiles::new().with("vg", vg).with("table", tables);
    let files = files.with("dump", dump.unwrap_or_default());
    Topology::load("stack.toml", &toml, &files)
}

fn load(tables: &str) -> Explainer {
    let topology = topology(&group(&volumes()), tables, Some(DUMP)).unwrap();
    assert_eq!(topology.notes(), []);
    Explainer::new(topology).unwrap()
}

/// What a sector of the disk leads to, without the disk.
fn ways(explainer: &Explainer, sector: u64) -> Vec<String> {
    let answer = explainer.explain(&explainer.locate(&format!("sda:{sector}+1")).unwrap());
    let piece = &answer.queries[0].pieces[0];
    let mut ways = Vec::new();
    for route in &piece.routes {
        let above = route.iter().skip(1);
        let names: Vec<_> = above.map(|p| format!("{}:{}", p.device, p.start / 512)).collect();
        ways.push(names.join(">"));
    }
    ways
}

#[test]
fn the_answers_are_those_of_the_tables_that_lvm_loads() {
    let (alone, with_tables) = (load(""), load(TABLES));
    for at in ["sda:0+200", "vg-home:0+32", "vg-snap:0+32", "vg-copy:0+16", "vg-pool-tpool:0+32"] {
        let ask =
            |explainer: &Explainer| explainer.explain(&explainer.locate(at).unwrap()).to_json();
        assert_eq!(ask(&alone), ask(&with_tables), "{at}");
    }
}

#[test]
fn a_pool_with_cropped_metadata_is_a_pool() {
    let vg = group(&volumes()).replace("\"thin-pool\"", "\"thin-pool+CROP_METADATA\"");
    assert_eq!(topology(&vg, "", Some(DUMP)).unwrap().notes(), []);
    // A mark that nobody knows is a pool that nobody knows: nothing is guessed.
    let vg = group(&volumes()).replace("\"thin-pool\"", "\"thin-pool+NEWER\"");
    let loaded = topology(&vg, "", None).unwrap();
    let notes: Vec<_> = loaded.notes().iter().map(ToString::to_string).collect();
    assert!(notes[0].contains("segment type \"thin-pool+NEWER\" is not supported"), "{}", notes[0]);
    assert!(notes[1].contains("vg-home is not translated"), "{}", notes[1]);
    assert!(notes[1].ends_with("vg-pool is not known as a thin pool"), "{}", notes[1]);
    let stack = Explainer::new(loaded).unwrap();
    assert_eq!(ways(&stack, 36), ["vg-pool_tdata:12"]);
}

#[test]
fn a_block_of_the_pool_is_in_the_volume_and_in_its_snapshot() {
    let stack = load("");
    // Block 3 is sectors 12 to 15 of the data, of which sector 0 is sector 24 of the disk.
    let both = ["vg-pool_tdata:12>vg-home:0", "vg-pool_tdata:12>vg-snap:0"];
    assert_eq!(ways(&stack, 36), both);
    assert_eq!(ways(&stack, 35), ["vg-pool_tdata:11"], "the block before is nobody's");
    // Block 4 begins with the second part of the data, at sector 80.
    assert_eq!(ways(&stack, 80), ["vg-pool_tdata:16>vg-home:4", "vg-pool_tdata:16>vg-snap:4"]);
    assert_eq!(ways(&stack, 24), ["vg-pool_tdata:0>vg-home:20"]);
    // The origin outside shows where the copy has no block of its own: all but sectors 4 to 7.
    assert_eq!(ways(&stack, 43), ["vg-base:3>vg-copy:3"]);
    assert_eq!(ways(&stack, 44), ["vg-base:4"]);
    assert_eq!(ways(&stack, 48), [""], "behind the origin");
}

#[test]
fn without_a_dump_the_volumes_are_unexplained_and_say_what_to_give() {
    let loaded = topology(&group(&volumes()), "", None).unwrap();
    let notes: Vec<_> = loaded.notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 3);
    assert!(notes[0].contains("vg-home is not translated"), "{}", notes[0]);
    assert!(notes[0].contains("thin_dump in [[thin]]"), "{}", notes[0]);
}

#[test]
fn a_snapshot_that_is_being_merged_is_left_unexplained() {
    let volumes = thin("snap", 4, "device_id = 2 origin = \"home\" merge = \"home\"");
    let loaded = topology(&group(&volumes), "", Some(DUMP)).unwrap();
    let notes: Vec<_> = loaded.notes().iter().map(ToString::to_string).collect();
    assert!(notes[0].contains("segment type \"thin\" is not supported"), "{}", notes[0]);
}

#[test]
fn a_dump_of_another_pool_is_refused() {
    let dump = DUMP.replace("data_block_size=\"4\"", "data_block_size=\"8\"");
    let err = topology(&group(&volumes()), "", Some(&dump)).unwrap_err().to_string();
    assert!(err.contains("this is another pool's dump"), "{err}");
    let older = DUMP.replace("dev_id=\"7\"", "dev_id=\"8\"");
    let err = topology(&group(&volumes()), "", Some(&older)).unwrap_err().to_string();
    assert!(err.contains("no device 7, which vg-copy is"), "{err}");
}

#[test]
fn saved_outputs_of_a_host_that_is_down_lead_to_the_volumes() {
    let listed =
        r#"{"blockdevices": [{"name":"sda", "maj:min":"8:0", "type":"disk", "size":102400}]}"#;
    let names = ["lsblk.json", "vg", "dump.xml"].map(str::to_owned);
    let files = MemoryFiles::new().with("lsblk.json", listed).with("vg", group(&volumes()));
    let found = Discovery::new("saved", &names, &files.clone().with("dump.xml", DUMP)).unwrap();
    assert!(found.toml.contains("[[thin]]\npool = \"vg-pool-tpool\""), "{}", found.toml);
    let topology =
        Topology::load("stack.toml", &found.toml, &files.clone().with("dump.xml", DUMP)).unwrap();
    let stack = Explainer::new(topology).unwrap();
    assert_eq!(ways(&stack, 24), ["vg-pool_tdata:0>vg-home:20"]);
    let without = Discovery::new("saved", &names[..2], &files).unwrap();
    let missing = "what is mapped in thin pool vg-pool-tpool: thin_dump";
    assert!(without.missing.iter().any(|m| m == missing), "{:?}", without.missing);
}
