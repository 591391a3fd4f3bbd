use core::{fmt, num::NonZeroU64};

use badrange_core::{DevOffset, Extent, Mapping, SECTOR_SIZE, Sector};

use super::{
    TableError, TableErrorKind,
    target::Area,
    text::{count, number, pairs},
};
use crate::md::{Array, ArrayError, Copies, Level, Member, ParityLayout, Raid0Layout};

/// Number and meaning of a target's device list are checked against this.
const MAX_DEVICES: u64 = 253;

/// A `raid` or `mirror` target: an [`Array`] over parts of devices.
///
/// # Kernel
/// `raid_ctr()` of `dm-raid.c`, `mirror_ctr()` of `dm-raid1.c`.
///
/// # Examples
/// ```
/// use badrange_block::dm::{Table, Target};
/// let table = Table::parse("0 2048 raid raid1 3 0 region_size 1024 2 254:1 254:2 254:3 254:4")?;
/// let (_, target) = table.targets().next().unwrap();
/// let Target::Raid(raid) = target else { panic!() };
/// assert_eq!(raid.metadata().collect::<Vec<_>>(), ["254:1", "254:3"]);
/// assert_eq!(raid.array().level().to_string(), "raid1");
/// # Ok::<(), badrange_block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raid {
    array: Array,
    /// One for each leg of the array.
    areas: Box<[Area]>,
    metadata: Box<[Box<str>]>,
    len_sectors: u64,
    /// Type and arguments as they stand in the line.
    words: Box<str>,
}

impl Raid {
    /// The array; its legs are this target's legs.
    #[must_use]
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// The devices that hold metadata and nothing else, as the table names them.
    pub fn metadata(&self) -> impl Iterator<Item = &str> + '_ {
        self.metadata.iter().map(|device| &**device)
    }

    /// The target type as the table names it: `raid` or `mirror`.
    pub(crate) fn type_name(&self) -> &str {
        self.words.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn len_sectors(&self) -> u64 {
        self.len_sectors
    }

    pub(crate) fn legs(&self) -> u32 {
        u32::try_from(self.areas.len()).unwrap_or(u32::MAX) // at most `MAX_DEVICES`
    }

    pub(crate) fn area(&self, leg: u32) -> Option<&Area> {
        self.areas.get(usize::try_from(leg).ok()?)
    }

    /// Reads the arguments of `raid`.
    pub(crate) fn of_raid(len: NonZeroU64, args: &[&str]) -> Result<Self, TableError> {
        let usage = "takes type, number of parameters, parameters, number of devices, and a metadata \
                     and a data device each";
        let [kind, params, rest @ ..] = args else { return Err(count(args, usage)) };
        let (params, rest) = counted("parameters", params, rest)?;
        let [devices, rest @ ..] = rest else { return Err(count(args, usage)) };
        let devices = number("devices", devices)?;
        let listed = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        if devices == 0 || devices > MAX_DEVICES || devices.checked_mul(2) != Some(listed) {
            return Err(count(args, usage));
        }
        let params = Params::read(params)?;
        let level = level(kind, &params)?;
        let component = params.component(level, len.get(), devices)?;
        let (mut members, mut names, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (meta, data)) in (0_u64..).zip(pairs(rest)) {
            metadata.extend((meta != "-").then(|| Box::from(meta)));
            names.push((data, Sector::new(0)));
            let synced = if params.rebuilt.contains(&index) { 0 } else { component };
            members.push((data != "-").then_some((0, component, synced)));
        }
        let chunk = params.chunk_sectors;
        let words = words("raid", args);
        Self::build(level, len.get(), chunk, &members, &names, metadata.into(), words)
    }

    /// Reads the arguments of `mirror`.
    pub(crate) fn of_mirror(len: NonZeroU64, args: &[&str]) -> Result<Self, TableError> {
        let usage = "takes log type, number of log arguments, these, number of mirrors, and device \
                     and offset each";
        let [_, log_args, rest @ ..] = args else { return Err(count(args, usage)) };
        let (_, rest) = counted("log arguments", log_args, rest)?;
        let [mirrors, rest @ ..] = rest else { return Err(count(args, usage)) };
        let mirrors = number("mirrors", mirrors)?;
        let fields = mirrors.checked_mul(2).and_then(|n| usize::try_from(n).ok());
        let places = fields.filter(|_| (1..=MAX_DEVICES).contains(&mirrors));
        let Some(places) = places.and_then(|n| rest.get(..n)) else {
            return Err(count(args, usage));
        };
        let (mut members, mut names) = (Vec::new(), Vec::new());
        for (device, offset) in pairs(places) {
            let offset = number("offset", offset)?;
            names.push((device, Sector::new(offset)));
            members.push(Some((offset, len.get(), len.get())));
        }
        let words = words("mirror", args);
        Self::build(Level::Raid1, len.get(), 0, &members, &names, Box::default(), words)
    }

    /// `members` are offset, length and synchronised length in sectors.
    fn build(
        level: Level,
        len: u64,
        chunk: u64,
        members: &[Option<(u64, u64, u64)>],
        names: &[(&str, Sector)],
        metadata: Box<[Box<str>]>,
        words: Box<str>,
    ) -> Result<Self, TableError> {
        let too_large = || {
            let hint = "does not fit in 64 bits of bytes";
            TableError::new(TableErrorKind::Overflow, "length", len, hint)
        };
        let bytes = |sectors: u64| sectors.checked_mul(SECTOR_SIZE).ok_or_else(too_large);
        let member = |place: &Option<(u64, u64, u64)>| {
            let Some((offset, len, synced)) = *place else { return Ok(None) };
            let data = Extent::new(DevOffset::new(bytes(offset)?), bytes(len)?);
            let data = data.map_err(|_| too_large())?;
            Ok(Some(Member { data, synced: bytes(synced)? }))
        };
        let members: Vec<_> = members.iter().map(member).collect::<Result<_, TableError>>()?;
        let array = Array::new(level, bytes(chunk)?, members).map_err(|err| refused(&err))?;
        let array = array.of_length(bytes(len)?).map_err(|err| refused(&err))?;
        let mut areas = Vec::new();
        for (role, (name, _)) in names.iter().enumerate() {
            let Some(leg) = array.leg_of(role) else { continue }; // it is missing
            let on = array.leg_extent(leg).and_then(Extent::whole_sectors);
            areas.extend(on.map(|on| Area::new(name, on)).transpose()?);
        }
        debug_assert_eq!(u32::try_from(areas.len()), Ok(array.legs()), "legs are whole sectors");
        Ok(Self { array, areas: areas.into(), metadata, len_sectors: len, words })
    }
}

/// Type and arguments as `dmsetup table` prints them.
impl fmt::Display for Raid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

fn words(kind: &str, args: &[&str]) -> Box<str> {
    core::iter::once(kind).chain(args.iter().copied()).collect::<Vec<_>>().join(" ").into()
}

/// As many words as their number says, and the rest.
fn counted<'a, 'b>(
    field: &'static str,
    number_of: &str,
    rest: &'a [&'b str],
) -> Result<(&'a [&'b str], &'a [&'b str]), TableError> {
    let wanted = usize::try_from(number(field, number_of)?).unwrap_or(usize::MAX);
    rest.split_at_checked(wanted).ok_or_else(|| {
        count(rest, format!("has {} words where {wanted} {field} are due", rest.len()))
    })
}

#[cold]
fn refused(err: &ArrayError) -> TableError {
    TableError::new(TableErrorKind::Uneven, "devices", "", err.to_string())
}

#[cold]
fn unsupported(what: &str, hint: &'static str) -> TableError {
    TableError::new(TableErrorKind::Unsupported, "type", what, hint)
}

/// The parameters of a `raid` target, as far as they place bytes.
#[derive(Debug, Default)]
struct Params {
    chunk_sectors: u64,
    copies: Option<u32>,
    format: Option<String>,
    near_sets: bool,
    /// Devices whose content is not up to date.
    rebuilt: Vec<u64>,
}

impl Params {
    fn read(words: &[&str]) -> Result<Self, TableError> {
        let [chunk, rest @ ..] = words else {
            return Err(count(words, "begins with the chunk size"));
        };
        let mut params = Self { chunk_sectors: number("chunk", chunk)?, ..Self::default() };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match *word {
                "sync" | "nosync" => continue,
                "raid10_use_near_sets" => {
                    params.near_sets = true;
                    continue;
                }
                _ => {}
            }
            let Some(value) = rest.next() else {
                return Err(count(words, format!("has nothing behind {word}")));
            };
            params.set(word, value)?;
        }
        Ok(params)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), TableError> {
        match name {
            "rebuild" => self.rebuilt.push(number("rebuild", value)?),
            "raid10_copies" => {
                self.copies = u32::try_from(number("raid10_copies", value)?).ok();
            }
            "raid10_format" => self.format = Some(value.to_owned()),
            "delta_disks" | "data_offset" if value != "0" => {
                return Err(unsupported(name, "is not supported: the array is being reshaped"));
            }
            "delta_disks" | "data_offset" | "daemon_sleep" | "min_recovery_rate"
            | "max_recovery_rate" | "write_mostly" | "max_write_behind" | "stripe_cache"
            | "region_size" | "journal_dev" | "journal_mode" => {}
            _ => return Err(unsupported(name, "is no parameter of raid that is known here")),
        }
        Ok(())
    }

    /// Sectors of each device.
    fn component(&self, level: Level, len: u64, devices: u64) -> Result<u64, TableError> {
        let (copies, over) = match level {
            Level::Raid0(_) => (1, devices),
            Level::Raid1 => (1, 1),
            Level::Parity { disks, .. } => (1, devices.saturating_sub(disks.into())),
            Level::Raid10(copies) => (u64::from(copies.number()), devices),
        };
        let whole = len.checked_mul(copies).filter(|all| all.checked_rem(over) == Some(0));
        whole.and_then(|all| all.checked_div(over)).filter(|each| *each > 0).ok_or_else(|| {
            let hint = format!("does not divide into equal parts of {over} devices");
            TableError::new(TableErrorKind::Uneven, "length", len, hint)
        })
    }
}

/// # Kernel
/// `raid_types[]` of `dm-raid.c`: its `raid4` has the parity first.
fn level(kind: &str, params: &Params) -> Result<Level, TableError> {
    use ParityLayout as L;
    let parity = |disks, layout| Ok(Level::Parity { disks, layout });
    match kind {
        "raid0" | "raid0_meta" => Ok(Level::Raid0(Raid0Layout::Original)),
        "raid1" => Ok(Level::Raid1),
        "raid4" => parity(1, L::ParityFirst),
        "raid5_n" => parity(1, L::ParityLast),
        "raid5_ls" => parity(1, L::LeftSymmetric),
        "raid5_rs" => parity(1, L::RightSymmetric),
        "raid5_la" => parity(1, L::LeftAsymmetric),
        "raid5_ra" => parity(1, L::RightAsymmetric),
        "raid6_zr" => parity(2, L::ZeroRestart),
        "raid6_nr" => parity(2, L::NRestart),
        "raid6_nc" => parity(2, L::NContinue),
        "raid6_n_6" => parity(2, L::ParityLast),
        "raid6_ls_6" => parity(2, L::LeftSymmetric6),
        "raid6_rs_6" => parity(2, L::RightSymmetric6),
        "raid6_la_6" => parity(2, L::LeftAsymmetric6),
        "raid6_ra_6" => parity(2, L::RightAsymmetric6),
        "raid10" | "raid10_near" | "raid10_far" | "raid10_offset" => copies(kind, params),
        _ => Err(unsupported(kind, "is no raid type that is known here")),
    }
}

fn copies(kind: &str, params: &Params) -> Result<Level, TableError> {
    let number = params.copies.unwrap_or(2);
    let of_kind = kind.strip_prefix("raid10_");
    let sets = !params.near_sets;
    match params.format.as_deref().or(of_kind).unwrap_or("near") {
        "near" => Ok(Level::Raid10(Copies::Near(number))),
        "far" => Ok(Level::Raid10(Copies::Far { copies: number, sets })),
        "offset" => Ok(Level::Raid10(Copies::Offset { copies: number, sets })),
        other => Err(unsupported(other, "is no raid10 format that is known here")),
    }
}
