//! Hand-made mistakes: unified diffs against a crate, each with what it does and who must notice.
//!
//! Applied by their text alone. Line numbers are for readers and may be out of date; the lines of a
//! hunk have to occur exactly once in the file, so that a mistake is never made in another place
//! than the one it was written for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Failure};

/// One mistake in one crate.
#[derive(Debug, PartialEq)]
pub(crate) struct Patch {
    pub(crate) package: String,
    pub(crate) name: String,
    /// What the mistake does.
    pub(crate) about: String,
    /// The models that have to notice it.
    pub(crate) caught_by: Vec<Model>,
    files: Vec<File>,
}

/// A model: a test of a harness, which is the file in `tests/` and the feature it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) harness: String,
    pub(crate) test: String,
}

/// What is changed in one file.
#[derive(Debug, Default, PartialEq)]
struct File {
    path: String,
    hunks: Vec<Hunk>,
}

/// Whole lines, and the lines in their place.
#[derive(Debug, Default, PartialEq)]
struct Hunk {
    old: String,
    new: String,
}

/// Every mistake of a package, by name.
pub(crate) fn of_package(mutants: &Path, package: &str) -> Result<Vec<Patch>, Failure> {
    let dir = mutants.join(package);
    let doing = format!("cannot read {}", dir.display());
    let mut patches = Vec::new();
    for entry in fs::read_dir(&dir).doing(&doing)? {
        let path = entry.doing(&doing)?.path();
        let text = fs::read_to_string(&path).doing(&format!("cannot read {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        patches.push(Patch::parse(package, &name, &text)?);
    }
    patches.sort_by(|one, next| one.name.cmp(&next.name));
    Ok(patches)
}

impl Patch {
    fn parse(package: &str, name: &str, text: &str) -> Result<Self, Failure> {
        let (package, name) = (package.to_owned(), name.to_owned());
        let mut patch =
            Self { package, name, about: String::new(), caught_by: Vec::new(), files: Vec::new() };
        for line in text.lines() {
            patch.line(line)?;
        }
        let hunks = patch.files.iter().flat_map(|file| &file.hunks);
        let changes = hunks.filter(|hunk| hunk.old != hunk.new).count();
        if patch.about.is_empty() || patch.caught_by.is_empty() || changes == 0 {
            return Err(
                patch.wrong("says what it does, has a line `Caught-by:`, and changes lines")
            );
        }
        Ok(patch)
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        if let Some(path) = line.strip_prefix("--- a/") {
            self.files.push(File { path: path.to_owned(), hunks: Vec::new() });
            return Ok(());
        }
        let Some(file) = self.files.last_mut() else { return self.header(line) };
        if line.starts_with("@@") {
            file.hunks.push(Hunk::default());
            return Ok(());
        }
        let is_diff = match file.hunks.last_mut() {
            Some(hunk) => hunk.line(line),
            None => line.starts_with("+++ b/"),
        };
        if is_diff { Ok(()) } else { Err(self.wrong(&format!("is a unified diff: {line}"))) }
    }

    fn header(&mut self, line: &str) -> Result<(), Failure> {
        let Some(model) = line.strip_prefix("Caught-by: ") else {
            let blank = if self.about.is_empty() || line.is_empty() { "" } else { " " };
            self.about.push_str(blank);
            self.about.push_str(line);
            return Ok(());
        };
        let Some((harness, test)) = model.split_once(' ') else {
            return Err(self.wrong("names a harness and a test: `Caught-by: loom a_model`"));
        };
        self.caught_by.push(Model { harness: harness.to_owned(), test: test.to_owned() });
        Ok(())
    }

    /// Makes the mistake in a copy of the crate; what the changed files held before. Nothing is
    /// written unless all of it applies.
    pub(crate) fn apply(&self, copy: &Path) -> Result<Before, Failure> {
        let (mut before, mut changed) = (Before(Vec::new()), Vec::new());
        for file in &self.files {
            let path = copy.join(&file.path);
            let text = fs::read_to_string(&path).doing(&format!("cannot read {}", file.path))?;
            changed.push((path.clone(), self.applied(file, &text)?));
            before.0.push((path, text));
        }
        write(&changed)?;
        Ok(before)
    }

    fn applied(&self, file: &File, text: &str) -> Result<String, Failure> {
        // Whole lines only: each begins after the end of another.
        let mut text = format!("\n{text}");
        for hunk in &file.hunks {
            let (old, new) = (format!("\n{}", hunk.old), format!("\n{}", hunk.new));
            let places = text.matches(&old).count();
            if places != 1 {
                let what = format!("applies once; {} has {places} such places", file.path);
                return Err(self.wrong(&format!("{what}:\n{}", hunk.old)));
            }
            text = text.replacen(&old, &new, 1);
        }
        Ok(text.split_off(1))
    }

    fn wrong(&self, rule: &str) -> Failure {
        Failure::new(format!(
            "crates/xtask/mutants/{}/{}.patch: {RULE} {rule}",
            self.package, self.name
        ))
    }
}

/// Files of a copy as they were before a mistake.
#[must_use = "the copy is for the next mistake, too"]
pub(crate) struct Before(Vec<(PathBuf, String)>);

impl Before {
    pub(crate) fn restore(&self) -> Result<(), Failure> {
        write(&self.0)
    }
}

fn write(texts: &[(PathBuf, String)]) -> Result<(), Failure> {
    texts.iter().try_for_each(|(path, text)| {
        fs::write(path, text).doing(&format!("cannot write {}", path.display()))
    })
}

const RULE: &str = "a mistake is a patch that";

impl Hunk {
    /// Takes a line in; false when it is no line of a hunk.
    fn line(&mut self, line: &str) -> bool {
        // An empty line is one whose blank an editor removed.
        let (mark, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
        let (in_old, in_new) = match mark {
            " " => (true, true),
            "-" => (true, false),
            "+" => (false, true),
            _ => return false,
        };
        for (is_in, text) in [(in_old, &mut self.old), (in_new, &mut self.new)] {
            if is_in {
                text.push_str(rest);
                text.push('\n');
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
Two and two
is five.

Caught-by: loom sums
Caught-by: shuttle many_sums

--- a/src/a.rs
+++ b/src/a.rs
@@ -700,3 +1 @@
 fn sum() {

-    4
+    5
@@ -1 +1,2 @@
 }
+// end
";

    fn patch(text: &str) -> Result<Patch, Failure> {
        Patch::parse("badrange-x", "sum", text)
    }

    fn applied(text: &str) -> Result<String, Failure> {
        let patch = patch(PATCH).unwrap();
        patch.applied(&patch.files[0], text)
    }

    #[test]
    fn a_patch_says_what_it_does_and_who_notices() {
        let patch = patch(PATCH).unwrap();
        assert_eq!(patch.about, "Two and two is five.");
        let models: Vec<_> = patch.caught_by.iter().map(|m| (&*m.harness, &*m.test)).collect();
        assert_eq!(models, [("loom", "sums"), ("shuttle", "many_sums")]);
    }

    #[test]
    fn a_patch_applies_wherever_its_lines_are() {
        let text = "// other\nfn sum() {\n\n    4\n}\n";
        assert_eq!(applied(text).unwrap(), "// other\nfn sum() {\n\n    5\n}\n// end\n");
    }

    #[test]
    fn a_patch_whose_lines_are_gone_or_there_twice_is_an_error() {
        let gone = applied("fn sum() {\n\n    7\n}\n").unwrap_err().to_string();
        assert!(gone.contains("badrange-x/sum.patch") && gone.contains("0 such places"), "{gone}");
        let twice = applied("fn sum() {\n\n    4\n}\nfn sum() {\n\n    4\n}\n").unwrap_err();
        assert!(twice.to_string().contains("2 such places"), "{twice}");
        // The end of a line is no line.
        assert!(applied("pub fn sum() {\n\n    4\n}\n").is_err());
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        let without = |line: &str| PATCH.replace(line, "");
        assert!(patch(&without("Two and two\nis five.\n")).is_err());
        assert!(patch(&without("Caught-by: loom sums\nCaught-by: shuttle many_sums\n")).is_err());
        assert!(patch(&without("-    4\n+    5\n").replace("+// end\n", "")).is_err());
        assert!(patch(&format!("{PATCH}what\n")).is_err());
        assert!(patch(&PATCH.replace("loom sums", "sums")).is_err());
    }
}
