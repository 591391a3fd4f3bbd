use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Cursor},
    path::PathBuf,
};

/// Where the files that a `stack.toml` names come from.
///
/// # Examples
/// ```
/// use badrange_input::{Files, MemoryFiles};
/// use std::io::Read;
/// let files = MemoryFiles::new().with("a.txt", "8 1\n");
/// let mut text = String::new();
/// files.open("a.txt")?.read_to_string(&mut text)?;
/// assert_eq!(text, "8 1\n");
/// assert!(files.open("b.txt").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Files {
    /// Opens the file of this name, which is a path relative to the `stack.toml`.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn open(&self, name: &str) -> io::Result<Box<dyn BufRead + '_>>;
}

/// Files of a directory.
///
/// # Examples
/// ```
/// use badrange_input::{DirFiles, Files};
/// assert!(DirFiles::new("/nonexistent").open("stack.toml").is_err());
/// ```
#[derive(Debug, Clone)]
pub struct DirFiles {
    dir: PathBuf,
}

impl DirFiles {
    /// Files below this directory; absolute names stay what they are.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
}

impl Files for DirFiles {
    fn open(&self, name: &str) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(Box::new(BufReader::with_capacity(1 << 16, File::open(self.dir.join(name))?)))
    }
}

/// Files that are in memory: embedded ones, and those of tests.
///
/// # Examples
/// See [`Files`].
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These files and one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn open(&self, name: &str) -> io::Result<Box<dyn BufRead + '_>> {
        match self.files.get(name) {
            Some(content) => Ok(Box::new(Cursor::new(content))),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}
