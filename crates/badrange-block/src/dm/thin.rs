use core::num::NonZeroU64;

use badrange_core::SECTOR_SIZE;

use super::{
    TableError, TableErrorKind,
    text::{count, number},
};

/// A `thin-pool` target: where a pool keeps metadata and data.
///
/// What it maps is in the metadata: the line alone places no byte, so that a
/// [`Table`](super::Table) does not read it.
///
/// # Kernel
/// `pool_ctr()` of `dm-thin.c`.
///
/// # Examples
/// ```
/// use badrange_block::dm::ThinPool;
/// let pool = ThinPool::parse("0 300016 thin-pool 254:16 253:0 128 0 1 skip_block_zeroing ")?.unwrap();
/// assert_eq!((&*pool.metadata, &*pool.data), ("254:16", "253:0"));
/// assert_eq!((pool.bytes, pool.block_bytes), (300016 * 512, 65536));
/// assert_eq!(ThinPool::parse("0 8 error")?, None);
/// # Ok::<(), badrange_block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ThinPool {
    /// Bytes of the pool.
    pub bytes: u64,
    /// The device with the metadata, as the table names it.
    pub metadata: String,
    /// The device with the data blocks.
    pub data: String,
    /// Bytes of a block; never zero.
    pub block_bytes: u64,
}

/// A `thin` target: a volume of a pool.
///
/// # Kernel
/// `thin_ctr()` of `dm-thin.c`.
///
/// # Examples
/// ```
/// use badrange_block::dm::Thin;
/// let thin = Thin::parse("0 160000 thin 253:1 7")?.unwrap();
/// assert_eq!((&*thin.pool, thin.id, thin.origin), ("253:1", 7, None));
/// # Ok::<(), badrange_block::dm::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Thin {
    /// Bytes of the volume.
    pub bytes: u64,
    /// The pool, as the table names it.
    pub pool: String,
    /// The volume's number in the pool.
    pub id: u64,
    /// The device that has the blocks which the pool does not.
    pub origin: Option<String>,
}

impl ThinPool {
    /// Reads the one line of a pool's table; `None` when its target is another.
    ///
    /// # Errors
    /// A [`TableError`] when it is a `thin-pool` that cannot be.
    pub fn parse(line: &str) -> Result<Option<Self>, TableError> {
        read(line, "thin-pool", |bytes, args| {
            let [metadata, data, block, low_water, ..] = args else {
                let hint = "takes at least 4: metadata device, data device, block size, low water";
                return Err(count(args, hint));
            };
            number("low water", low_water)?;
            let block_bytes = number("block size", block)?.checked_mul(SECTOR_SIZE);
            let Some(block_bytes) = block_bytes.filter(|bytes| *bytes > 0) else {
                let hint = "must be at least 1 sector";
                return Err(TableError::new(TableErrorKind::Zero, "block size", block, hint));
            };
            let (metadata, data) = ((*metadata).to_owned(), (*data).to_owned());
            Ok(Self { bytes, metadata, data, block_bytes })
        })
    }
}

impl Thin {
    /// Reads the one line of a volume's table; `None` when its target is another.
    ///
    /// # Errors
    /// A [`TableError`] when it is a `thin` that cannot be.
    pub fn parse(line: &str) -> Result<Option<Self>, TableError> {
        read(line, "thin", |bytes, args| {
            let (pool, id, origin) = match args {
                [pool, id] => (pool, id, None),
                [pool, id, origin] => (pool, id, Some((*origin).to_owned())),
                _ => return Err(count(args, "takes 2 or 3: pool, number, external origin")),
            };
            let id = number("number", id)?;
            Ok(Self { bytes, pool: (*pool).to_owned(), id, origin })
        })
    }
}

fn read<T>(
    line: &str,
    wanted: &'static str,
    args_of: impl FnOnce(u64, &[&str]) -> Result<T, TableError>,
) -> Result<Option<T>, TableError> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [start, len, kind, args @ ..] = words.as_slice() else { return Ok(None) };
    if *kind != wanted {
        return Ok(None);
    }
    if *start != "0" {
        let hint = "must be 0: a device of this type has one target";
        return Err(TableError::new(TableErrorKind::Gap, "start", start, hint).of(wanted));
    }
    let read = || {
        let sectors = NonZeroU64::new(number("length", len)?);
        let bytes = sectors.and_then(|n| n.get().checked_mul(SECTOR_SIZE)).ok_or_else(|| {
            let hint = "must be sectors that fit in 64 bits of bytes";
            TableError::new(TableErrorKind::Overflow, "length", len, hint)
        })?;
        args_of(bytes, args)
    };
    read().map(Some).map_err(|err: TableError| err.of(wanted))
}
