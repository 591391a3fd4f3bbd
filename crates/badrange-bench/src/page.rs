//! `docs/performance.md` and its kin: text that people write, with sections that this program
//! fills in.

use std::{fs, path::Path};

/// The sections that were measured, by name.
#[derive(Debug, Default)]
pub struct Page {
    /// File, name of the section, text.
    sections: Vec<(&'static str, String, String)>,
    plots: Vec<(String, String)>,
}

/// The page in the directory of documents.
const PAGE: &str = "performance.md";

impl Page {
    /// Nothing measured yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`, in Markdown.
    pub fn section(&mut self, name: &str, text: String) {
        self.section_in(PAGE, name, text);
    }

    /// The same in another page of the directory.
    pub fn section_in(&mut self, page: &'static str, name: &str, text: String) {
        self.sections.push((page, name.to_owned(), text));
    }

    /// A picture beside the page, as SVG text; `name` with its extension.
    pub fn plot(&mut self, name: &str, svg: String) {
        self.plots.push((name.to_owned(), svg));
    }

    /// Fills the sections in and writes the plots.
    ///
    /// # Errors
    /// A file that cannot be read or written, or a section that the page has no place for.
    pub fn write(&self, dir: &Path) -> Result<(), String> {
        let failed = |path: &Path, e| format!("{}: {e}", path.display());
        for (page, name, section) in &self.sections {
            let path = dir.join(page);
            let text = fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
            let text = filled(&text, name, section)
                .ok_or_else(|| format!("{}: no place for section {name:?}", path.display()))?;
            fs::write(&path, text).map_err(|e| failed(&path, e))?;
        }
        for (name, svg) in &self.plots {
            let path = dir.join(name);
            fs::write(&path, svg).map_err(|e| failed(&path, e))?;
        }
        Ok(())
    }
}

/// The text with a section replaced; `None` when it has no such section.
fn filled(text: &str, name: &str, section: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- begin: {name} -->"), format!("<!-- end: {name} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- begin: x -->\nold\n<!-- end: x -->\nb\n";
        let new = filled(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- begin: x -->\n\nnew\n\n<!-- end: x -->\nb\n");
        assert_eq!(filled(&new, "x", "new").as_ref(), Some(&new));
        assert_eq!(filled(text, "y", "new"), None);
    }
}
