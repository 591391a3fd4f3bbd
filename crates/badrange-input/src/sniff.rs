use core::fmt;

use crate::{
    ParseError, ParseErrorKind, bmap, dmtable,
    fsmap::{self, FsmapForm},
    lines::{Line, is_digits},
    losetup,
};

/// How much of a file [`recognise`] looks at, at most: give it that much if there is.
pub const RECOGNISE_BYTES: usize = 64 << 10;

/// A format that this crate reads.
///
/// # Examples
/// ```
/// use badrange_input::{recognise, Format};
/// let format = recognise(b"swap: 0 24576 linear 8:2 2048\n")?;
/// assert_eq!(format, Format::DmTable);
/// assert_eq!(format.to_string(), "dmsetup table");
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// [`parse_sfdisk_dump`](crate::parse_sfdisk_dump).
    SfdiskDump,
    /// [`parse_sfdisk_json`](crate::parse_sfdisk_json).
    SfdiskJson,
    /// [`parse_vgcfg`](crate::parse_vgcfg).
    VgCfg,
    /// [`parse_lvs_json`](crate::parse_lvs_json).
    LvsJson,
    /// [`parse_pvs_json`](crate::parse_pvs_json).
    PvsJson,
    /// [`parse_dm_table`](crate::parse_dm_table).
    DmTable,
    /// [`parse_lsblk`](crate::parse_lsblk).
    Lsblk,
    /// [`parse_losetup`](crate::parse_losetup).
    Losetup,
    /// [`parse_mdadm_examine`](crate::parse_mdadm_examine).
    MdExamine,
    /// [`parse_thin_dump`](crate::parse_thin_dump).
    ThinDump,
    /// [`Fsmap`](crate::Fsmap).
    FsmapPlain,
    /// [`Fsmap`](crate::Fsmap).
    FsmapVerbose,
    /// [`Fsmap`](crate::Fsmap).
    FsmapMachine,
    /// [`XfsBmap`](crate::XfsBmap).
    XfsBmap,
    /// [`Filefrag`](crate::Filefrag).
    Filefrag,
    /// [`parse_badblocks`](crate::parse_badblocks).
    Badblocks,
    /// [`InodePaths`](crate::InodePaths).
    InodePaths,
}

impl Format {
    /// Every format, in the order that people are told of them.
    pub const ALL: &'static [Self] = &[
        Self::SfdiskDump,
        Self::SfdiskJson,
        Self::VgCfg,
        Self::LvsJson,
        Self::PvsJson,
        Self::DmTable,
        Self::Lsblk,
        Self::Losetup,
        Self::MdExamine,
        Self::ThinDump,
        Self::FsmapPlain,
        Self::FsmapVerbose,
        Self::FsmapMachine,
        Self::XfsBmap,
        Self::Filefrag,
        Self::Badblocks,
        Self::InodePaths,
    ];

    /// The command or file that writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SfdiskDump => "sfdisk -d",
            Self::SfdiskJson => "sfdisk --json",
            Self::VgCfg => "vgcfgbackup",
            Self::LvsJson => "lvs --reportformat json",
            Self::PvsJson => "pvs --segments --reportformat json",
            Self::DmTable => "dmsetup table",
            Self::Lsblk => "lsblk -J",
            Self::Losetup => "losetup --json",
            Self::MdExamine => "mdadm --examine",
            Self::ThinDump => "thin_dump",
            Self::FsmapPlain => "xfs_io -c fsmap",
            Self::FsmapVerbose => "xfs_io -c 'fsmap -v'",
            Self::FsmapMachine => "xfs_io -c 'fsmap -m'",
            Self::XfsBmap => "xfs_bmap -v",
            Self::Filefrag => "filefrag -v",
            Self::Badblocks => "badblocks list",
            Self::InodePaths => "inode paths",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells the format of a text by its content, from its first [`RECOGNISE_BYTES`] or all of it.
///
/// An empty badblocks list or path file cannot be told; whoever knows what a file is for parses
/// it without asking.
///
/// # Errors
/// [`ParseErrorKind::Unsupported`] for texts that are known but not what is needed: the message
/// says what it is and what to give instead. [`ParseErrorKind::NotThisFormat`] for unknown ones,
/// [`ParseErrorKind::MissingField`] for empty ones, [`ParseErrorKind::BadEncoding`] for binary
/// data and UTF-16.
///
/// # Examples
/// ```
/// use badrange_input::{recognise, ParseErrorKind};
/// let err = recognise(b"NAME   MAJ:MIN RM  SIZE RO TYPE MOUNTPOINTS\n").unwrap_err();
/// assert_eq!(err.kind(), ParseErrorKind::Unsupported);
/// assert!(err.to_string().contains("this is lsblk"));
/// ```
pub fn recognise(head: &[u8]) -> Result<Format, ParseError> {
    let head = head.get(..RECOGNISE_BYTES).unwrap_or(head);
    if head.contains(&0) || head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        let hint = "this is no UTF-8 text; give the text that the tool prints";
        return Err(ParseError::new(ParseErrorKind::BadEncoding, "text", "", hint));
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}');
    match text.trim_start().bytes().next() {
        None => {
            let hint = "the text is empty; was the capture made as root?";
            Err(ParseError::new(ParseErrorKind::MissingField, "content", "", hint))
        }
        Some(b'{') => json(text),
        Some(b'[') if begins_json_list(text) => json(text),
        Some(b'<') if text.contains("<superblock ") => Ok(Format::ThinDump),
        Some(_) => lines(text, head.len() == RECOGNISE_BYTES),
    }
}

/// Kernel logs begin with a bracket too.
fn begins_json_list(text: &str) -> bool {
    text.trim_start().strip_prefix('[').is_some_and(|t| t.trim_start().starts_with(['{', ']']))
}

fn lines(text: &str, cut: bool) -> Result<Format, ParseError> {
    // A head may end in the middle of a line.
    let before_last = text.rsplit_once('\n').filter(|_| cut);
    let whole = before_last.map_or(text, |(before, _)| before);
    let mut numbers = Numbers::default();
    for (number, text) in (1..).zip(whole.lines()) {
        let line = Line { number, text };
        if text.trim_ascii().is_empty() {
            continue;
        }
        if let Some(format) = decisive(line)? {
            return Ok(format);
        }
        numbers.add(text);
    }
    numbers.format().ok_or_else(|| unknown(text))
}

#[cold]
fn unknown(text: &str) -> ParseError {
    let first = text.lines().map(str::trim_ascii).find(|l| !l.is_empty()).unwrap_or_default();
    let known: Vec<_> = Format::ALL.iter().map(|format| format.as_str()).collect();
    let hint = format!("known are {}", known.join(", "));
    ParseError::new(ParseErrorKind::NotThisFormat, "text", first, hint)
}

/// What one line alone proves.
fn decisive(line: Line<'_>) -> Result<Option<Format>, ParseError> {
    let text = line.text.trim_ascii();
    let line = line.with_text(text);
    if let Some(format) = by_words(text) {
        return Ok(Some(format));
    }
    if losetup::is_row(text) {
        return Ok(Some(Format::Losetup));
    }
    if bmap::header(line)? || text.ends_with(": no extents") || bmap::is_row(text) {
        return Ok(Some(Format::XfsBmap));
    }
    if let Ok((_, form)) = fsmap::row(line, false) {
        return Ok(Some(fsmap_format(form)));
    }
    match dmtable::split(line) {
        Ok((_, Some(_))) => return Ok(Some(Format::DmTable)),
        Err(e) if e.kind() != ParseErrorKind::NotThisFormat => return Err(e),
        // The name of a device without a table looks like the name of a file of xfs_bmap.
        Ok((_, None)) | Err(_) => {}
    }
    match OTHERS.iter().find(|other| other.mark.is_in(text)) {
        Some(other) => Err(other.refuse(line.number, text)),
        None => Ok(None),
    }
}

fn by_words(text: &str) -> Option<Format> {
    const BEGINNINGS: [(&str, Format); 10] = [
        ("label: ", Format::SfdiskDump),
        ("label-id: ", Format::SfdiskDump),
        ("unit: ", Format::SfdiskDump),
        ("# partition table of ", Format::SfdiskDump),
        ("# Generated by LVM2", Format::VgCfg),
        ("contents = \"Text Format Volume Group\"", Format::VgCfg),
        ("Filesystem type is: ", Format::Filefrag),
        ("File size of ", Format::Filefrag),
        (dmtable::NO_DEVICES, Format::DmTable),
        ("Magic : a92b4efc", Format::MdExamine),
    ];
    let begins = BEGINNINGS.iter().find(|(begin, _)| text.starts_with(begin));
    begins.map(|(_, format)| *format).or_else(|| FsmapForm::of_header(text).map(fsmap_format))
}

const fn fsmap_format(form: FsmapForm) -> Format {
    match form {
        FsmapForm::Plain => Format::FsmapPlain,
        FsmapForm::Verbose => Format::FsmapVerbose,
        FsmapForm::Machine => Format::FsmapMachine,
    }
}

/// Lines that begin with a number prove something only together.
#[derive(Debug, Default)]
struct Numbers {
    pairs: u64,
    paths: u64,
    others: u64,
}

impl Numbers {
    fn add(&mut self, text: &str) {
        let (first, rest) = text.trim_ascii().split_once([' ', '\t']).unwrap_or((text, ""));
        let kind = match is_digits(first) {
            true if is_digits(rest.trim_ascii()) => &mut self.pairs,
            true if rest.starts_with(['/', '.']) => &mut self.paths,
            _ => &mut self.others,
        };
        *kind = kind.saturating_add(1);
    }

    fn format(&self) -> Option<Format> {
        match (self.pairs, self.paths, self.others) {
            (1.., 0, 0) => Some(Format::Badblocks),
            (_, 1.., 0) => Some(Format::InodePaths),
            _ => None,
        }
    }
}

/// A text that is known, and not read here.
struct Other {
    mark: Mark,
    what: &'static str,
    instead: &'static str,
}

enum Mark {
    Begin(&'static str),
    Within(&'static str),
    Test(fn(&str) -> bool),
}

impl Mark {
    fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Begin(mark) => text.starts_with(mark),
            Self::Within(mark) => text.contains(mark),
            Self::Test(test) => test(text),
        }
    }
}

impl Other {
    #[cold]
    fn refuse(&self, line: u64, text: &str) -> ParseError {
        let hint = format!("this is {}; {}", self.what, self.instead);
        ParseError::new(ParseErrorKind::Unsupported, "text", text, hint).at(line)
    }
}

const PARTITIONS: &str = "give sfdisk -d or sfdisk --json";
const VOLUMES: &str = "give vgcfgbackup, or lvs and pvs with --reportformat json";
const TABLE: &str = "give dmsetup table";
const FILES: &str = "give xfs_io -c 'fsmap -v', xfs_bmap -v or filefrag -v";
const LOG: &str = "give it to --log";
const LATER: &str = "it is not read yet";
const STACK: &str = "give the files that stack.toml names";
const EXAMINE: &str = "give mdadm --examine of each member";
const LOOPS: &str = "give losetup --json";
const THIN: &str = "give thin_dump";

const fn begins(mark: &'static str, what: &'static str, instead: &'static str) -> Other {
    Other { mark: Mark::Begin(mark), what, instead }
}

const fn within(mark: &'static str, what: &'static str, instead: &'static str) -> Other {
    Other { mark: Mark::Within(mark), what, instead }
}

const fn test(test: fn(&str) -> bool, what: &'static str, instead: &'static str) -> Other {
    Other { mark: Mark::Test(test), what, instead }
}

const OTHERS: [Other; 53] = [
    begins(
        "xfs_io: ",
        "an error message of xfs_io",
        "give its output on a mounted filesystem, as root",
    ),
    begins("filefrag: ", "an error message of filefrag", "give its output, as root"),
    begins("--- Logical volume ---", "lvdisplay", VOLUMES),
    begins("--- Physical volume ---", "pvdisplay", VOLUMES),
    begins("--- Volume group ---", "vgdisplay", VOLUMES),
    test(|t| words(t, &["LV", "VG"]), "lvs for humans", VOLUMES),
    test(|t| words(t, &["PV", "VG"]) || words(t, &["PV", "PE"]), "pvs for humans", VOLUMES),
    test(|t| words(t, &["VG", "#PV"]), "vgs for humans", VOLUMES),
    begins("Disk /dev/", "fdisk, sgdisk or parted for humans", PARTITIONS),
    begins("Note: sector size is ", "fdisk for humans", PARTITIONS),
    begins("Units: sectors of ", "fdisk for humans", PARTITIONS),
    begins("GPT fdisk (gdisk)", "gdisk for humans", PARTITIONS),
    begins("Model: ", "parted for humans", PARTITIONS),
    test(|t| matches!(t, "BYT;" | "CHS;" | "CYL;"), "parted -m", PARTITIONS),
    test(|t| words(t, &["major", "minor", "#blocks"]), "/proc/partitions", PARTITIONS),
    test(|t| words(t, &["NAME", "MAJ:MIN"]), "lsblk", STACK),
    begins("NAME=\"", "lsblk -P", STACK),
    test(|t| words(t, &["NAME", "SIZELIMIT", "OFFSET"]), "losetup for humans", LOOPS),
    test(is_dm_deps, "dmsetup deps", TABLE),
    test(is_dm_name_number, "dmsetup ls", TABLE),
    test(|t| words(t, &["Name", "Maj", "Min"]), "dmsetup info -c", TABLE),
    test(|t| t.starts_with("Name:  "), "dmsetup info", TABLE),
    begins("<?xml", "XML", "give the text that a known tool prints"),
    begins("begin superblock:", "thin_dump --format human_readable", THIN),
    test(|t| t.starts_with("data ") && t.contains(" -> thin("), "thin_rmap", THIN),
    begins(
        "Magic : ",
        "mdadm --examine of another maker's array",
        "only Linux's own metadata is read",
    ),
    begins("MBR Magic : ", "mdadm --examine of a partitioned disk", "give it of the partition"),
    begins("Creation Time : ", "mdadm --detail", EXAMINE),
    begins("Personalities : ", "/proc/mdstat", EXAMINE),
    begins("ARRAY /dev/", "mdadm --detail --scan", EXAMINE),
    begins(
        "Bad-blocks ",
        "mdadm --examine-badblocks",
        "give /sys/block/MD/md/dev-MEMBER/bad_blocks",
    ),
    begins("btrfs-progs v", "btrfs inspect-internal dump-tree", LATER),
    within("(FIRST_CHUNK_TREE CHUNK_ITEM ", "btrfs inspect-internal dump-tree", LATER),
    begins("# Mapfile. Created by GNU ddrescue", "a ddrescue map", LOG),
    within("I/O error, dev ", "a kernel log", LOG),
    within("[Hardware Error]", "a kernel log", LOG),
    test(is_log_line, "a kernel log", LOG),
    begins("meta-data=", "xfs_info", FILES),
    begins("fd.path = ", "xfs_io statfs", FILES),
    begins("from      to extents", "xfs_spaceman freesp", FILES),
    begins("debugfs ", "debugfs", FILES),
    begins("Block\tInode number", "debugfs icheck", FILES),
    begins("Inode\tPathname", "debugfs ncheck", "give lines of '<inode> <path>'"),
    within("block not found", "debugfs icheck", FILES),
    begins("Searching for sector range", "ntfscluster", FILES),
    test(|t| t.starts_with("inode ") && t.contains(" root "), "btrfs logical-resolve", FILES),
    test(is_digits, "a list of badblocks(8)", "give /sys/block/DEV/badblocks, whose unit is known"),
    test(is_iomem, "/proc/iomem", STACK),
    begins("LUKS header information", "cryptsetup luksDump", "give dmsetup table, with the offset"),
    test(|t| t.starts_with("Inode ") && t.contains(" /"), "ntfscluster", FILES),
    within(" attrfork ", "xfs_db fsmap", FILES),
    test(is_mountinfo, "/proc/self/mountinfo", "give lsblk -J, which has the mount points"),
    test(is_process_map, "/proc/PID/maps", STACK),
];

/// Whether a line begins with these words.
fn words(text: &str, expected: &[&str]) -> bool {
    let mut found = text.split_ascii_whitespace();
    expected.iter().all(|word| found.next() == Some(word))
}

/// `cat: 2 dependencies : (259, 5) (259, 1)`, with a tab before the second colon.
fn is_dm_deps(text: &str) -> bool {
    text.contains(" dependencies\t: (") || text.contains(" dependencies : (")
}

/// `cat (254:1)`, `cat (254, 1)`, with a blank or a tab.
fn is_dm_name_number(text: &str) -> bool {
    let number = text.rsplit_once(" (").or_else(|| text.rsplit_once("\t("));
    number.and_then(|(_, n)| n.strip_suffix(')')).is_some_and(|n| {
        n.split_once([':', ',']).is_some_and(|(a, b)| is_digits(a) && is_digits(b.trim_ascii()))
    })
}

/// `[   17.354127] ...`, `<3>[   17.354127] ...`, `[Fri Nov 20 17:40:35 2026] ...`
fn is_log_line(text: &str) -> bool {
    let text = text.strip_prefix('<').and_then(|t| t.split_once('>')).map_or(text, |(_, t)| t);
    // `dmesg -x` puts facility and level in front.
    let levelled = text.split_once(": [").filter(|_| !text.starts_with('['));
    let text = levelled.map_or(text, |(_, t)| t);
    let stamp = text.trim_start_matches('[').split_once(']').map_or("", |(stamp, _)| stamp);
    stamp.split_once('.').is_some_and(|(a, b)| is_digits(a.trim_ascii()) && is_digits(b))
        || (text.starts_with('[') && stamp.split(':').count() == 3)
}

/// `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw`
fn is_mountinfo(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let numbers = words.by_ref().take(2).all(is_digits);
    let device = words.next().and_then(|number| number.split_once(':'));
    numbers && device.is_some_and(|(a, b)| is_digits(a) && is_digits(b)) && text.contains(" - ")
}

/// `5564df62e000-5564df634000 r-xp 00002000 fe:00 247282  /usr/bin/head`
fn is_process_map(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let hex = |t: &str| t.bytes().all(|b| b.is_ascii_hexdigit());
    let range = words.next().and_then(|range| range.split_once('-'));
    let modes = words.next().is_some_and(|m| m.len() == 4 && m.ends_with(['p', 's']));
    range.is_some_and(|(a, b)| hex(a) && hex(b)) && modes
}

/// `00001000-0009fbff : System RAM`
fn is_iomem(text: &str) -> bool {
    let hex = |t: &str| t.len() >= 8 && t.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_once(" : ")
        .and_then(|(range, _)| range.split_once('-'))
        .is_some_and(|(a, b)| hex(a) && hex(b))
}

/// JSON is told by its keys; the text may be cut anywhere.
fn json(text: &str) -> Result<Format, ParseError> {
    let has = |key: &str| has_key(text, key);
    let lvs = has("lv") || has("seg");
    let pvs = has("pvseg") || has("pv");
    let refuse = |what, instead| Err(Other { mark: Mark::Begin(""), what, instead }.refuse(1, ""));
    if has("partitiontable") {
        return Ok(Format::SfdiskJson);
    }
    if has("report") {
        return match (lvs, pvs) {
            (true, false) => Ok(Format::LvsJson),
            (false, true) => Ok(Format::PvsJson),
            (true, true) => {
                refuse("lvm fullreport", "give the reports of lvs and of pvs, one by one")
            }
            (false, false) => refuse("a report of other LVM columns", VOLUMES),
        };
    }
    if has("blockdevices") {
        return Ok(Format::Lsblk);
    }
    if has("loopdevices") {
        return Ok(Format::Losetup);
    }
    if has("filesystems") {
        return refuse("findmnt", STACK);
    }
    if ["memdev", "decoder", "media_errors_trace"].iter().any(|key| has(key)) {
        return refuse("cxl list", LOG);
    }
    let ndctl = ["provider", "regions", "namespaces", "badblocks", "blockdev", "chardev"];
    if ndctl.iter().any(|key| has(key)) {
        return refuse("ndctl or daxctl list", LOG);
    }
    Err(unknown(text))
}

/// Whether the text has this as a key: in quotes, before a colon.
pub(crate) fn has_key(text: &str, key: &str) -> bool {
    text.match_indices(key).any(|(at, _)| {
        let before = text.get(..at).is_some_and(|t| t.ends_with('"'));
        let after = text.get(at.saturating_add(key.len())..).unwrap_or_default();
        before && after.strip_prefix('"').is_some_and(|t| t.trim_start().starts_with(':'))
    })
}
