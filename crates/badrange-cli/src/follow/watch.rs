//! The stack, loaded again when one of its files changes.

use core::cell::RefCell;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead},
    path::{Path, PathBuf},
    time::SystemTime,
};

use badrange::{
    explain::Explainer,
    input::{DirFiles, Files},
};

use crate::{Failure, explain};

/// A stack and the files it was read from.
pub(super) struct Watched {
    stack: PathBuf,
    explainer: Explainer,
    /// Every file, and what it looked like when it was read.
    seen: Vec<(PathBuf, Look)>,
}

/// What changes when a file does; `None` for a file that is not there.
type Look = Option<(u64, Option<SystemTime>)>;

fn look(file: &Path) -> Look {
    let meta = fs::metadata(file).ok()?;
    Some((meta.len(), meta.modified().ok()))
}

/// Notes the names of files that are opened.
struct Noted {
    files: DirFiles,
    names: RefCell<BTreeSet<String>>,
}

impl Files for Noted {
    fn open(&self, name: &str) -> io::Result<Box<dyn BufRead + '_>> {
        self.names.borrow_mut().insert(name.to_owned());
        self.files.open(name)
    }
}

impl Watched {
    pub(super) fn load(stack: &Path) -> Result<Self, Failure> {
        let dir = stack.parent().map_or_else(PathBuf::new, Path::to_owned);
        let files = Noted { files: DirFiles::new(dir.clone()), names: RefCell::default() };
        // Looks come first: a change while the files are read is seen later.
        let mut seen = vec![(stack.to_owned(), look(stack))];
        let name = stack.display().to_string();
        let text = fs::read_to_string(stack)
            .map_err(|err| Failure::data(format!("cannot read {name:?}: {err}")))?;
        let explainer = explain::build(&name, &text, &files)?;
        seen.extend(files.names.into_inner().into_iter().map(|name| {
            let file = dir.join(name);
            let look = look(&file);
            (file, look)
        }));
        Ok(Self { stack: stack.to_owned(), explainer, seen })
    }

    pub(super) const fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// Loads the stack again if a file changed; `None` if none did. After a failure the old stack
    /// stays, until the files change once more.
    pub(super) fn reload(&mut self) -> Option<Result<(), Failure>> {
        let now: Vec<_> = self.seen.iter().map(|(file, _)| (file.clone(), look(file))).collect();
        if now == self.seen {
            return None;
        }
        self.seen = now;
        Some(Self::load(&self.stack).map(|new| *self = new))
    }
}
