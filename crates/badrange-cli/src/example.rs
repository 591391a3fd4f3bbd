//! The built-in example: a real capture, so that the first run needs nothing.

use std::{fs, io::Write};

use badrange::input::MemoryFiles;

use crate::{Failure, cli::ExampleArgs, explain, report};

const STACK: &str = "stack.toml";

const FILES: [(&str, &str); 5] = [
    (STACK, include_str!("../example/stack.toml")),
    ("sfdisk_d.txt", include_str!("../example/sfdisk_d.txt")),
    ("vgcfg.txt", include_str!("../example/vgcfg.txt")),
    ("fsmap_v.txt", include_str!("../example/fsmap_v.txt")),
    ("inode_paths.txt", include_str!("../example/inode_paths.txt")),
];

/// The four sectors that hit one file, and then two files that share their blocks.
const BAD: &str = "disk:71870+4";

const INTRO: &str = "\
Four sectors of a disk went bad. On the disk: a GPT, LVM, and XFS with reflinked files, known from
saved text only (the built-in example, captured from a real machine). This is what was hit:
";

const NEXT: &str = "
Try next:
  badrange example my-stack          write these files, to look at and to start your own from
  badrange explain --stack my-stack/stack.toml --at disk:71870+4 --json
  badrange explain --stack my-stack/stack.toml --at disk:2040+16,vgdata-mysql:10496+8
  badrange --help
";

/// Explains the example's failure and says what to try next.
pub(crate) fn show() -> Result<u8, Failure> {
    let files =
        FILES.iter().fold(MemoryFiles::new(), |files, (name, text)| files.with(*name, *text));
    let text = FILES.iter().find(|(name, _)| *name == STACK).map_or("", |(_, text)| *text);
    let explainer = explain::build(STACK, text, &files)?;
    let answer = explain::ask(&explainer, &[BAD.to_owned()])?;
    let mut out = anstream::stdout().lock();
    writeln!(out, "{INTRO}")?;
    report::text(&mut out, &explainer, &answer)?;
    write!(out, "{NEXT}")?;
    out.flush()?;
    Ok(0)
}

/// Writes the example's files to a new directory.
pub(crate) fn write(args: &ExampleArgs) -> Result<u8, Failure> {
    let dir = args.dir.display();
    let cannot = |err: std::io::Error| Failure::data(format!("cannot make {dir}: {err}"));
    fs::create_dir(&args.dir).map_err(cannot)?;
    for (name, text) in FILES {
        fs::write(args.dir.join(name), text).map_err(cannot)?;
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{} files written to {dir}. Try:", FILES.len())?;
    writeln!(out, "  badrange explain --stack {dir}/{STACK} --at {BAD}")?;
    Ok(0)
}
