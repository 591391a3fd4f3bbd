//! The files that are ours, as text.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::failure::{Doing, Failure};

/// Every path of the work tree, and the texts that rules look into.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    paths: BTreeSet<String>,
    texts: Vec<Text>,
}

/// One file; the path is relative to the root, with `/`.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    /// Walks the work tree. Git is not asked, so that an unpacked archive can be checked too.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let mut tree = Self::default();
        tree.walk(root, "").doing("cannot read the work tree")?;
        Ok(tree)
    }

    /// A tree for tests: these texts and nothing else.
    #[cfg(test)]
    pub(crate) fn of(texts: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in texts {
            tree.add_path(path);
            tree.texts.push(Text::new(path, text));
        }
        tree
    }

    pub(crate) fn texts(&self) -> &[Text] {
        &self.texts
    }

    pub(crate) fn text(&self, path: &str) -> Option<&Text> {
        self.texts.iter().find(|text| text.path == path)
    }

    /// Whether a file or a directory of that path is there; the root is the empty path.
    pub(crate) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> std::io::Result<()> {
        // Build directories, wherever they are, carry this mark.
        if dir.join("CACHEDIR.TAG").exists() {
            return Ok(());
        }
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ".git" || name == "target" {
                continue;
            }
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            self.paths.insert(path.clone());
            if entry.file_type()?.is_dir() {
                self.walk(&entry.path(), &path)?;
            } else if is_text(&path) {
                let text = fs::read_to_string(entry.path())?;
                self.texts.push(Text { path, text });
            }
        }
        Ok(())
    }

    #[cfg(test)]
    fn add_path(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.paths.extend(path.get(..at).map(str::to_owned));
        }
        self.paths.insert(path.to_owned());
    }
}

/// What people write by hand. Captured data (`fixtures/`, `corpus/`) speaks for itself.
fn is_text(path: &str) -> bool {
    let captured = path.split('/').any(|part| part == "fixtures" || part == "corpus");
    let by_hand = [".rs", ".md", ".toml", ".sh", ".yml", ".yaml", ".in"];
    !captured && (by_hand.iter().any(|end| path.ends_with(end)) || path == ".ci/run")
}

impl Text {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is test code, judged by where it lies.
    pub(crate) fn is_test(&self) -> bool {
        let (dirs, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let in_tests = dirs.split('/').any(|dir| dir == "tests" || dir == "benches");
        in_tests || name == "tests.rs" || name.ends_with("_tests.rs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_directories_and_captured_data_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("src/lib.rs", "a");
        put("out/CACHEDIR.TAG", "");
        put("out/x.rs", "b");
        put("target/y.rs", "c");
        put("tests/fixtures/z.md", "d");
        let tree = Tree::read(dir.path()).unwrap();
        let read: Vec<&str> = tree.texts().iter().map(|text| text.path.as_str()).collect();
        assert_eq!(read, ["src/lib.rs"]);
        // Captured data is not judged, but links to it resolve.
        assert!(tree.has("tests/fixtures/z.md") && tree.has("src") && !tree.has("out/x.rs"));
    }

    #[test]
    fn tests_are_known_by_their_place() {
        let is_test = |path: &str| Text::new(path, "").is_test();
        assert!(is_test("crates/a/tests/x.rs") && is_test("crates/a/src/x/tests.rs"));
        assert!(!is_test("crates/a/src/x.rs") && !is_test("crates/a-testkit/src/lib.rs"));
    }
}
