//! `[[memory]]`: all optional, one of it, and what depends on it.

use badrange_core::PageSize;
use badrange_input::{LogEvent, LogStream, MemoryFiles, Topology};

fn load(entries: &str) -> Result<Topology, String> {
    let text = format!("schema = \"badrange.stack/1\"\n{entries}");
    Topology::load("stack.toml", &text, &MemoryFiles::new()).map_err(|err| err.to_string())
}

const PMEM: &str = "[[pmem]]\nname = \"pmem0\"\nphys = \"0x100000000\"\nsize = 0x10000000\n\
                    data_offset = 0x200000\nmode = \"fsdax\"\n";

#[test]
fn memory_has_4_kib_pages_where_nothing_is_said() {
    for entries in ["", "[[memory]]\n", PMEM] {
        let topology = load(entries).unwrap();
        let memory = topology.memory();
        assert_eq!((memory.name.as_str(), memory.size, memory.page), ("phys", None, PageSize::K4));
    }
}

#[test]
fn every_key_of_memory_is_read() {
    let topology = load("[[memory]]\nname = \"ram\"\nsize = \"0x200000000\"\npage = \"64K\"\n");
    let memory = topology.unwrap().memory().clone();
    assert_eq!((memory.name.as_str(), memory.size), ("ram", Some(0x2_0000_0000)));
    assert_eq!(memory.page, PageSize::K64);
}

#[test]
fn what_memory_cannot_be_is_refused_at_its_line() {
    let refused = [
        ("[[memory]]\n[[memory]]\n", "a machine has one physical memory"),
        ("[[memory]]\nsize = 0\n", "a memory has bytes"),
        ("[[memory]]\npage = \"5K\"\n", "expected 4K, 16K or 64K"),
        ("[[memory]]\npages = \"4K\"\n", "unknown field `pages`"),
    ];
    for (entries, message) in refused {
        let err = load(entries).unwrap_err();
        assert!(err.contains(message) && err.starts_with("stack.toml:"), "{err}");
    }
    // One byte too short for the namespace, and exactly long enough.
    let err = load(&format!("[[memory]]\nsize = 0x10fffffff\n{PMEM}")).unwrap_err();
    assert!(err.contains("reach beyond the 4563402751 bytes of memory"), "{err}");
    assert!(load(&format!("[[memory]]\nsize = 0x110000000\n{PMEM}")).is_ok());
}

/// Byte ranges that a log names on a machine with such pages.
fn places(page: PageSize, text: &str) -> Vec<String> {
    let (mut log, mut events) = (LogStream::of_pages(page), Vec::new());
    log.push(text.as_bytes(), &mut events);
    log.finish(&mut events);
    let place = |event: &LogEvent| match event {
        LogEvent::Range(range) => range.place.to_string(),
        LogEvent::Unplaced(unplaced) => unplaced.what.clone(),
        LogEvent::Cut { .. } => "cut".to_owned(),
    };
    events.iter().map(place).collect()
}

#[test]
fn a_page_frame_number_counts_the_pages_of_its_machine() {
    let text = "Memory failure: 0x2: recovery action for dirty LRU page: Recovered\n";
    for page in [PageSize::K4, PageSize::K16, PageSize::K64] {
        assert_eq!(places(page, text), ["pfn:0x2+1"]);
    }
    // The last frame that has bytes in 64 bits with 4 KiB pages has none with 64 KiB pages.
    let far = "Memory failure: 0xffffffffffffe: recovery action for dirty LRU page: Recovered\n";
    assert_eq!(places(PageSize::K4, far), ["pfn:0xffffffffffffe+1"]);
    assert_eq!(
        places(PageSize::K64, far),
        ["pfn:0xffffffffffffe+1: does not fit in 64 bits of bytes"]
    );
}
