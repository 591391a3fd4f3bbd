use core::num::NonZeroU64;

use badrange_core::Sector;

use super::{
    Linear, LinearKind, Raid, Striped, Table, TableError, TableErrorKind, Target,
    striped::no_length, table::Builder, target::Area,
};

/// Target types that exist but are not placed here: most by metadata, by copies, or by choice between
/// devices.
const UNSUPPORTED: [&str; 19] = [
    "bow",
    "cache",
    "clone",
    "ebs",
    "era",
    "integrity",
    "log-writes",
    "multipath",
    "pcache",
    "snapshot",
    "snapshot-merge",
    "switch",
    "thin",
    "thin-pool",
    "unstriped",
    "vdo",
    "verity",
    "writecache",
    "zoned",
];

impl Table {
    /// Reads the lines `start length type arguments` of one device, numbers in 512-byte sectors.
    ///
    /// Empty lines and lines that begin with `#` are skipped, as `dmsetup` does. Lines with a
    /// device name in front are those of several devices and are not read here.
    ///
    /// # Errors
    /// What the kernel's constructors refuse, target types that cannot be placed from the table
    /// alone, and tables beyond the limits: see [`TableErrorKind`].
    ///
    /// # Kernel
    /// `dm_table_add_target()` and the constructors of the targets.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::dm::Table;
    /// let table = Table::parse("# swap\n 0  24576 linear 8:2   2048\n")?;
    /// assert_eq!(table.to_string(), "0 24576 linear 8:2 2048");
    /// let err = Table::parse("0 8 zero\n9 8 zero").unwrap_err();
    /// assert_eq!(err.to_string(), "line 2: start \"9\": gap in table: must be 8");
    /// # Ok::<(), badrange_block::dm::TableError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, TableError> {
        Self::parse_lines((1..).zip(text.lines()))
    }

    /// The same for lines that stand in a larger text: each with the number to name it by.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    ///
    /// # Examples
    /// ```
    /// use badrange_block::dm::Table;
    /// let err = Table::parse_lines([(7, "0 8 zero"), (9, "8 0 zero")]).unwrap_err();
    /// assert_eq!(err.line(), Some(9));
    /// ```
    pub fn parse_lines<'a>(
        lines: impl IntoIterator<Item = (u64, &'a str)>,
    ) -> Result<Self, TableError> {
        let mut builder = Builder::default();
        for (number, line) in lines {
            add_line(&mut builder, line, &target).map_err(|err| err.at(number))?;
        }
        builder.finish()
    }

    /// The same, but a target whose type is not supported does not refuse the table: it becomes
    /// [`Target::Opaque`], and what would have been the error is returned beside the table.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for types that are not supported or not known.
    ///
    /// # Examples
    /// ```
    /// use badrange_block::dm::Table;
    /// let lines = [(1, "0 8 linear 8:2 0"), (2, "8 8 cache 1 2 3")];
    /// let (table, refused) = Table::parse_known(lines)?;
    /// assert_eq!(table.leg_device(badrange_core::Leg::new(0)), Some("8:2"));
    /// assert_eq!((refused[0].line(), refused[0].value()), (Some(2), "cache"));
    /// assert_eq!(table.to_string(), "0 8 linear 8:2 0\n8 8 cache 1 2 3");
    /// # Ok::<(), badrange_block::dm::TableError>(())
    /// ```
    pub fn parse_known<'a>(
        lines: impl IntoIterator<Item = (u64, &'a str)>,
    ) -> Result<(Self, Vec<TableError>), TableError> {
        let mut builder = Builder::default();
        let mut refused = Vec::new();
        for (number, line) in lines {
            let lenient =
                |len_sectors, kind: &str, args: &[&str]| match target(len_sectors, kind, args) {
                    Err(err) if err.is_about_the_type() => {
                        refused.push(err.at(number));
                        let words = core::iter::once(kind).chain(args.iter().copied());
                        let words = words.collect::<Vec<_>>().join(" ");
                        Ok(Target::Opaque { len_sectors, words })
                    }
                    other => other,
                };
            add_line(&mut builder, line, lenient).map_err(|err| err.at(number))?;
        }
        Ok((builder.finish()?, refused))
    }
}

fn add_line(
    builder: &mut Builder,
    line: &str,
    mut target: impl FnMut(NonZeroU64, &str, &[&str]) -> Result<Target, TableError>,
) -> Result<(), TableError> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (start, len, kind, args) = match words.as_slice() {
        [] => return Ok(()),
        [first, ..] if first.starts_with('#') => return Ok(()),
        [start, len, kind, args @ ..] => (*start, *len, *kind, args),
        [_] => return Err(missing("length")),
        [_, _] => return Err(missing("type")),
    };
    let due = builder.end().get();
    if number("start", start)? != due {
        let overlaps = number("start", start)? < due;
        let what = if overlaps { "overlaps the target before it" } else { "gap in table" };
        let hint = format!("{what}: must be {due}");
        return Err(TableError::new(TableErrorKind::Gap, "start", start, hint));
    }
    let len = NonZeroU64::new(number("length", len)?).ok_or_else(no_length)?;
    builder.push(target(len, kind, args)?)
}

#[cold]
fn missing(field: &'static str) -> TableError {
    let hint = "is missing; expected 'start length type arguments'";
    TableError::new(TableErrorKind::MissingField, field, "", hint)
}

/// Reads the arguments of a target that places bytes like `linear`.
type ReadLinear = fn(NonZeroU64, &[&str]) -> Result<Linear, TableError>;

fn target(len: NonZeroU64, kind: &str, args: &[&str]) -> Result<Target, TableError> {
    let linear_as = |kind: LinearKind, read: ReadLinear| {
        read(len, args).map(Target::Linear).map_err(|err| err.of(kind.as_str()))
    };
    match kind {
        "linear" => linear_as(LinearKind::Linear, linear),
        "crypt" => linear_as(LinearKind::Crypt, crypt),
        "flakey" => linear_as(LinearKind::Flakey, flakey),
        "dust" => linear_as(LinearKind::Dust, dust),
        "delay" => linear_as(LinearKind::Delay, delay),
        "snapshot-origin" => linear_as(LinearKind::SnapshotOrigin, snapshot_origin),
        "raid" => Raid::of_raid(len, args).map(Target::Raid).map_err(|err| err.of("raid")),
        "mirror" => Raid::of_mirror(len, args).map(Target::Raid).map_err(|err| err.of("mirror")),
        "striped" => striped(len, args).map(Target::Striped).map_err(|err| err.of("striped")),
        "error" => {
            none(args).map(|()| Target::Error { len_sectors: len }).map_err(|e| e.of("error"))
        }
        "zero" => none(args).map(|()| Target::Zero { len_sectors: len }).map_err(|e| e.of("zero")),
        _ => Err(refused(kind)),
    }
}

#[cold]
fn refused(kind: &str) -> TableError {
    if UNSUPPORTED.contains(&kind) {
        let hint = "is not supported: its bytes cannot be placed from this line";
        return TableError::new(TableErrorKind::Unsupported, "type", kind, hint);
    }
    let hint = "is not a known target type";
    TableError::new(TableErrorKind::UnknownTarget, "type", kind, hint)
}

fn linear(len: NonZeroU64, args: &[&str]) -> Result<Linear, TableError> {
    match args {
        [device, offset] => plain(len, LinearKind::Linear, device, offset, &[], &[]),
        [] => Err(count(args, "takes 2: device, offset; 'dmsetup status' does not print them")),
        _ => Err(count(args, "takes 2: device, offset")),
    }
}

fn crypt(len: NonZeroU64, args: &[&str]) -> Result<Linear, TableError> {
    let [cipher, key, iv_offset, device, offset, options @ ..] = args else {
        return Err(count(args, "takes at least 5: cipher, key, iv_offset, device, offset"));
    };
    number("iv_offset", iv_offset)?;
    plain(len, LinearKind::Crypt, device, offset, &[cipher, key, iv_offset], options)
}

fn snapshot_origin(len: NonZeroU64, args: &[&str]) -> Result<Linear, TableError> {
    match args {
        [device] => plain(len, LinearKind::SnapshotOrigin, device, "0", &[], &[]),
        _ => Err(count(args, "takes 1: device")),
    }
}

fn flakey(len: NonZeroU64, args: &[&str]) -> Result<Linear, TableError> {
    let ([device, offset, up, down, ..], Some(rest)) = (args, args.get(2..)) else {
        return Err(count(args, "takes at least 4: device, offset, up interval, down interval"));
    };
    number("up interval", up)?;
    number("down interval", down)?;
    plain(len, LinearKind::Flakey, device, offset, &[], rest)
}

fn dust(len: NonZeroU64, args: &[&str]) -> Result<Linear, TableError> {
    let [device, offset, block_size] = args else {
        return Err(count(args, "takes 3: device, offset, block size"));
    };
    number("block size", block_size)?;
    plain(len, LinearKind::Dust, device, offset, &[], &[block_size])
}

/// Reads, writes and flushes may go to different places; then one byte has several.
fn delay(len: NonZeroU64, args: &[&str]) -> Result<Linear, TableError> {
    let ([device, offset, rest @ ..], 3 | 6 | 9) = (args, args.len()) else {
        return Err(count(args, "takes 3, 6 or 9: device, offset, delay each"));
    };
    let sector = number("offset", offset)?;
    let triples = args.iter().step_by(3).zip(args.iter().skip(1).step_by(3));
    for (other, other_offset) in triples.skip(1) {
        if other != device || number("offset", other_offset)? != sector {
            let hint = "is not supported: writes or flushes go elsewhere than reads";
            return Err(TableError::new(TableErrorKind::Unsupported, "type", "delay", hint));
        }
    }
    plain(len, LinearKind::Delay, device, offset, &[], rest)
}

fn plain(
    len: NonZeroU64,
    kind: LinearKind,
    device: &str,
    offset: &str,
    before: &[&str],
    after: &[&str],
) -> Result<Linear, TableError> {
    let area = Area::at(device, Sector::new(number("offset", offset)?), len.get())?;
    Ok(Linear::with_words(area, kind, before, after))
}

fn striped(len: NonZeroU64, args: &[&str]) -> Result<Striped, TableError> {
    let [stripes, chunk, places @ ..] = args else {
        return Err(count(args, "takes stripes, chunk, and device and offset of each stripe"));
    };
    let stripes = Striped::check_legs(number("stripes", stripes)?)?;
    let chunk_sectors = u32::try_from(number("chunk", chunk)?).map_err(|_| {
        TableError::new(TableErrorKind::Overflow, "chunk", chunk, "must fit in 32 bits")
    })?;
    let legs: Vec<(&str, Sector)> = pairs(places)
        .map(|(device, offset)| Ok((device, Sector::new(number("offset", offset)?))))
        .collect::<Result<_, TableError>>()?;
    if places.len() % 2 != 0 || u64::try_from(legs.len()) != Ok(stripes.get()) {
        let hint = format!("takes device and offset of each of {stripes} stripes after the chunk");
        return Err(count(args, hint));
    }
    Striped::new(len.get(), chunk_sectors, &legs)
}

fn none(args: &[&str]) -> Result<(), TableError> {
    if args.is_empty() { Ok(()) } else { Err(count(args, "takes none")) }
}

/// Words two by two; one that is left over is left out.
pub(super) fn pairs<'a, 'b>(
    words: &'a [&'b str],
) -> impl Iterator<Item = (&'b str, &'b str)> + use<'a, 'b> {
    let seconds = words.iter().skip(1).step_by(2);
    words.iter().step_by(2).zip(seconds).map(|(first, second)| (*first, *second))
}

#[cold]
pub(super) fn count(args: &[&str], hint: impl Into<std::borrow::Cow<'static, str>>) -> TableError {
    TableError::new(TableErrorKind::ArgumentCount, "arguments", args.join(" "), hint)
}

/// Decimal digits only: no sign, no other base, as the kernel prints them.
pub(super) fn number(field: &'static str, word: &str) -> Result<u64, TableError> {
    if !word.bytes().all(|b| b.is_ascii_digit()) {
        let hint = "must be a decimal number";
        return Err(TableError::new(TableErrorKind::BadNumber, field, word, hint));
    }
    word.parse().map_err(|_| {
        TableError::new(TableErrorKind::Overflow, field, word, "does not fit in 64 bits")
    })
}
