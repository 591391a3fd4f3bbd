//! `--from DIR`: a stack from a directory of saved outputs.

use std::{fs, io::Write, path::Path};

use badrange::{
    explain::Explainer,
    input::{DirFiles, Discovery},
};

use crate::{Failure, explain, progress::Shown, report::plain};

/// The explainer of a directory; what was used for it, and what is missing, is said on standard
/// error.
pub(crate) fn load(dir: &Path) -> Result<Explainer, Failure> {
    let found = look(dir)?;
    tell(&found)?;
    explain::build(&dir.display().to_string(), &found.toml, &Shown::new(DirFiles::new(dir)))
}

/// What the files of a directory amount to.
pub(crate) fn look(dir: &Path) -> Result<Discovery, Failure> {
    let shown = dir.display().to_string();
    let cannot = |err: std::io::Error| Failure::data(format!("cannot read {shown:?}: {err}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let is_file = fs::metadata(entry.path()).is_ok_and(|m| m.is_file());
        names.extend(entry.file_name().into_string().ok().filter(|_| is_file));
    }
    names.sort();
    Discovery::new(&shown, &names, &DirFiles::new(dir)).map_err(Failure::data)
}

pub(crate) fn tell(found: &Discovery) -> Result<(), Failure> {
    let mut err = anstream::stderr().lock();
    for (file, what) in &found.used {
        writeln!(err, "used: {}", plain(&format!("{file}: {what}")))?;
    }
    for (file, why) in &found.left_out {
        writeln!(err, "left out: {}", plain(&format!("{file}: {why}")))?;
    }
    for missing in &found.missing {
        writeln!(err, "missing: {}", plain(missing))?;
    }
    Ok(())
}
