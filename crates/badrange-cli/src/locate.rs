//! `badrange locate`: from a range of a file to where it lives.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anstyle::Style;
use badrange::{
    core::PageSize,
    explain::{
        Position,
        locate::{FileState, Located, LocatedPiece},
    },
};
use clap::Args;

use crate::{Failure, explain, report::plain};

const SECTOR: u64 = 512;

/// Say where a range of a file lives: device by device, down to sectors or page frames.
///
/// The way back of `explain`. Every byte of the range is in one line; what no map lists is said to
/// be unlisted.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct LocateArgs {
    /// The description of the stack.
    #[arg(long, value_name = "stack.toml")]
    pub(crate) stack: PathBuf,

    /// The file and the bytes of it: [FS:]PATH:OFFSET+LEN; without +LEN one byte, without :OFFSET
    /// all that is listed. PATH is one of the `paths` file, with or without the mount point, or
    /// <INODE>; FS is the device of the filesystem.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) file: Vec<String>,

    /// Print JSON (badrange.locate/1), an object per file range.
    #[arg(long)]
    pub(crate) json: bool,
}

const HELP: &str = "\
Examples:
  badrange locate --stack stack.toml --file /ib/orders.ibd:1047552+2048
  badrange locate --stack stack.toml --file vgdata-mysql:/ib/orders.ibd:0+4096 --json
  badrange locate --stack stack.toml --file '<132>:0+4096'";

pub(crate) fn run(args: &LocateArgs) -> Result<u8, Failure> {
    let explainer = explain::load(&args.stack)?;
    let find = |file: &String| explainer.locate_file(file).map_err(Failure::usage);
    let located = args.file.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let mut out = anstream::stdout().lock();
    for (number, located) in located.iter().enumerate() {
        if args.json {
            writeln!(out, "{}", located.to_json())?;
            continue;
        }
        if number > 0 {
            writeln!(out)?;
        }
        show(&mut out, located)?;
    }
    out.flush()?;
    Ok(0)
}

fn show(out: &mut impl Write, located: &Located) -> io::Result<()> {
    let bold = Style::new().bold();
    let (name, fs) = (plain(&name(located)), plain(&located.fs));
    writeln!(out, "{bold}{name}{bold:#} on {fs}: {} bytes", located.len)?;
    let ranges: Vec<_> =
        located.pieces.iter().map(|p| format!("{}+{}", p.file_start, p.len)).collect();
    let head = "file bytes";
    let width = ranges.iter().map(String::len).max().unwrap_or(0).max(head.len());
    let dim = Style::new().dimmed();
    writeln!(out, "  {dim}{head:width$}  lives at{dim:#}")?;
    for (piece, range) in located.pieces.iter().zip(&ranges) {
        for (number, way) in ways(piece, located.page).into_iter().enumerate() {
            let range = if number == 0 { range } else { "" };
            writeln!(out, "  {range:width$}  {}", plain(&way))?;
        }
    }
    Ok(())
}

fn name(located: &Located) -> String {
    let inode = located.ino.map(|ino| format!("inode {ino}"));
    match (located.paths.split_first(), inode) {
        (Some((first, others)), inode) => {
            let links: String = others.iter().map(|path| format!(" = {path}")).collect();
            format!("{first}{links}{}", inode.map_or_else(String::new, |i| format!(" ({i})")))
        }
        (None, Some(inode)) => inode,
        (None, None) => located.file.clone(),
    }
}

/// A line per copy of a piece.
fn ways(piece: &LocatedPiece, page: PageSize) -> Vec<String> {
    if piece.state == FileState::Unlisted {
        return vec!["no map lists these bytes: a hole, or past the end of the file".to_owned()];
    }
    let unwritten = if piece.state == FileState::Unwritten { "  (never written)" } else { "" };
    let hole = |at: usize| piece.holes.get(at).copied().flatten();
    let memory = |at: usize| piece.memory.get(at).copied().flatten();
    let way = |(at, route): (usize, &Vec<Position>)| {
        let memory = memory(at).map(|start| in_memory(start, piece.len, page));
        let devices = route.iter().map(|position| on_device(position, piece.len));
        let all: Vec<_> = memory.into_iter().chain(devices).collect();
        let hole = hole(at).map_or_else(String::new, |kind| format!("  (stored nowhere: {kind})"));
        format!("{}{unwritten}{hole}", all.join(" > "))
    };
    piece.routes.iter().enumerate().map(way).collect()
}

/// Page frames where they are whole, and bytes of physical memory otherwise.
fn in_memory(start: u64, len: u64, page: PageSize) -> String {
    let page = page.nonzero();
    if start % page == 0 && len % page == 0 {
        return format!("pfn:{:#x}+{}", start / page, len / page);
    }
    format!("phys:{start:#x}+{len:#x}")
}

/// Sectors where they are whole, and bytes otherwise: as `explain --at` takes them.
fn on_device(position: &Position, len: u64) -> String {
    let Position { device, start, .. } = position;
    if start % SECTOR == 0 && len % SECTOR == 0 {
        return format!("{device}:{}+{}", start / SECTOR, len / SECTOR);
    }
    format!("{device}:{start}+{len}B")
}
