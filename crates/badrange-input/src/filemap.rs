use badrange_core::{Extent, FileOffset};

use crate::ParseError;

/// Why an extent of a file has no place on a device.
///
/// # Examples
/// ```
/// assert_eq!(badrange_input::Unplaced::Delalloc.as_str(), "delalloc");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unplaced {
    /// The filesystem does not say where.
    Unknown,
    /// Written to memory, not yet given a place.
    Delalloc,
    /// Inside the inode or a tree block.
    Inline,
    /// Shares a block with the ends of other files.
    Tail,
}

impl Unplaced {
    /// The word of `filefrag`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Delalloc => "delalloc",
            Self::Inline => "inline",
            Self::Tail => "tail",
        }
    }
}

/// Where an extent of a file is.
///
/// # Examples
/// ```
/// use badrange_input::{Placement, Unplaced};
/// assert_eq!(Placement::None(Unplaced::Inline).device(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// On these bytes of the filesystem's device, as many as the file range has.
    Device(Extent),
    /// Nowhere that can be told: counted, never guessed.
    None(Unplaced),
}

impl Placement {
    /// The bytes of the device, if there are any.
    #[must_use]
    pub const fn device(self) -> Option<Extent> {
        match self {
            Self::Device(extent) => Some(extent),
            Self::None(_) => None,
        }
    }
}

/// A file that a map of one filesystem names, before its extents.
///
/// # Examples
/// ```
/// use badrange_input::{FileMapItem, Filefrag};
/// let text = "File size of /a b is 0 (0 blocks of 4096 bytes)\n/a b: 0 extents found\n";
/// let FileMapItem::File(file) = Filefrag::new(text.as_bytes()).next().unwrap()? else { panic!() };
/// assert_eq!((&*file.name, file.size, file.block_bytes), ("/a b", Some(0), 4096));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MappedFile {
    /// The name as printed.
    pub name: String,
    /// Bytes of the file; `None` when the format does not say.
    pub size: Option<u64>,
    /// Bytes of one unit of the text's numbers. Positions finer than this were lost in print: do
    /// not use a text whose unit is larger than a filesystem block.
    pub block_bytes: u64,
    /// `f_type` of the filesystem, such as `0x58465342`; `None` when the format does not say.
    pub fs_magic: Option<u64>,
    /// The line of the name, from 1.
    pub line: u64,
}

/// A range of a file, and where it is. Holes are not listed.
///
/// # Examples
/// ```
/// use badrange_input::{FileMapItem, XfsBmap};
/// let text = "/a:\n\t0: [0..7]: 96..103\n";
/// let items: Vec<_> = XfsBmap::new(text.as_bytes()).collect::<Result<_, _>>()?;
/// let FileMapItem::Extent(extent) = items[1] else { panic!() };
/// assert_eq!(extent.place.device().unwrap().start().get(), 96 * 512);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileExtent {
    /// Bytes of the file.
    pub file: Extent<FileOffset>,
    /// Bytes of the device.
    pub place: Placement,
    /// Allocated but never written; `None` when the text does not say.
    pub unwritten: Option<bool>,
    /// Other files own the bytes too; `None` when the text does not say.
    pub shared: Option<bool>,
    /// The line, from 1.
    pub line: u64,
}

/// What a map by file consists of: a file, then its extents, then the next file.
///
/// # Examples
/// ```
/// use badrange_input::{FileMapItem, XfsBmap};
/// let mut items = XfsBmap::new(&b"/empty: no extents\n"[..]);
/// assert!(matches!(items.next(), Some(Ok(FileMapItem::File(_)))));
/// assert!(items.next().is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileMapItem {
    /// The extents that follow belong to this file. A name may come again with more of them.
    File(MappedFile),
    /// An extent of the file named last.
    Extent(FileExtent),
}

/// A file with all its extents, for maps that fit in memory.
///
/// # Examples
/// ```
/// use badrange_input::{collect_files, XfsBmap};
/// let text = "/a:\n\t0: [0..7]: 96..103\n\t1: [8..15]: hole\n/b: no extents\n";
/// let files = collect_files(XfsBmap::new(text.as_bytes()))?;
/// assert_eq!((files[0].extents.len(), files[1].extents.len()), (1, 0));
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileExtents {
    /// The file.
    pub file: MappedFile,
    /// Its extents in the order of the text.
    pub extents: Vec<FileExtent>,
}

/// Gathers the extents below their files.
///
/// # Errors
/// The first error of the items.
///
/// # Examples
/// See [`FileExtents`].
pub fn collect_files(
    items: impl IntoIterator<Item = Result<FileMapItem, ParseError>>,
) -> Result<Vec<FileExtents>, ParseError> {
    let mut files: Vec<FileExtents> = Vec::new();
    for item in items {
        match item? {
            FileMapItem::File(file) => files.push(FileExtents { file, extents: Vec::new() }),
            FileMapItem::Extent(extent) => {
                // The iterators name a file before its first extent.
                files.last_mut().into_iter().for_each(|f| f.extents.push(extent));
            }
        }
    }
    Ok(files)
}
