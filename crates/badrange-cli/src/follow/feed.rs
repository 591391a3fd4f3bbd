//! Where the text comes from.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
};

use super::CHUNK;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// More of the text.
    Bytes(Vec<u8>),
    /// Nothing for a while.
    Idle,
    /// The text ended and another one begins: the file was rotated or cut.
    Anew,
    /// No more will come.
    End,
}

/// A text that grows.
pub(super) trait Feed {
    fn next(&mut self) -> io::Result<Next>;
}

/// A file that is appended to, and now and then replaced by a new one of the same name, or cut to
/// nothing and written again. The rest of a file that was replaced is read first.
pub(super) struct Growing<W> {
    path: PathBuf,
    file: File,
    id: Option<Id>,
    at: u64,
    /// The file was replaced; what is left of the old one is being read.
    replaced: bool,
    /// Waits for more; `false` when no more will come.
    wait: W,
}

/// What tells one file from another of the same name.
type Id = (u64, u64);

#[cfg(unix)]
fn id_of(meta: &fs::Metadata) -> Option<Id> {
    use std::os::unix::fs::MetadataExt;
    Some((meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn id_of(_: &fs::Metadata) -> Option<Id> {
    None
}

impl<W: FnMut() -> bool> Growing<W> {
    pub(super) fn open(path: PathBuf, wait: W) -> io::Result<Self> {
        let file = File::open(&path)?;
        let id = id_of(&file.metadata()?);
        Ok(Self { path, file, id, at: 0, replaced: false, wait })
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.file.read(&mut chunk) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
                Ok(read) => {
                    chunk.truncate(read);
                    // NO-OVERFLOW: bytes of one file.
                    self.at = self.at.saturating_add(read as u64);
                    return Ok(chunk);
                }
            }
        }
    }

    /// Whether there is another file of this name, or this one is shorter than what was read.
    fn is_replaced(&self) -> bool {
        // Between two files of a rotation there may be none.
        let Ok(meta) = fs::metadata(&self.path) else { return false };
        id_of(&meta) != self.id || meta.len() < self.at
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        self.id = id_of(&file.metadata()?);
        (self.file, self.at, self.replaced) = (file, 0, false);
        Ok(())
    }
}

impl<W: FnMut() -> bool> Feed for Growing<W> {
    fn next(&mut self) -> io::Result<Next> {
        let bytes = self.read()?;
        if !bytes.is_empty() {
            return Ok(Next::Bytes(bytes));
        }
        if self.replaced {
            // Gone again already: the next round sees what is there then.
            return match self.reopen() {
                Err(err) if err.kind() == io::ErrorKind::NotFound => self.pause(),
                reopened => reopened.map(|()| Next::Anew),
            };
        }
        if self.is_replaced() {
            // Whoever wrote the old file may have written more since it was read.
            self.replaced = true;
            return self.next();
        }
        self.pause()
    }
}

impl<W: FnMut() -> bool> Growing<W> {
    fn pause(&mut self) -> io::Result<Next> {
        Ok(if (self.wait)() { Next::Idle } else { Next::End })
    }
}
