//! Loading a saved map: the text of `xfs_io -c 'fsmap -m'` becomes a reverse map as it streams by.

use std::{
    env, fs,
    io::{self, BufReader, Read, Write as _},
    process::Command,
};

use badrange_core::SECTOR_SIZE;
use badrange_fs::{Claim, FileId, MapKind, OrderedMerge, Owner, Record, ReverseMap, Source};
use badrange_input::Fsmap;

use crate::{Options, Page, data::Stream, measure::timed, say};

/// Measures loading, in a process of its own for its peak of memory.
///
/// # Errors
/// A process that does not answer.
pub fn run(options: &Options, page: &mut Page) -> Result<(), String> {
    let mut text = String::from(
        "| records | text | time | per record | peak of memory | index | beside the index |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for &n in &options.sizes {
        let program = env::current_exe().map_err(|e| e.to_string())?;
        let answer = Command::new(program)
            .args(["--load", "--sizes", &n.to_string()])
            .output()
            .map_err(|e| e.to_string())?;
        let line = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if !answer.status.success() || line.is_empty() {
            return Err(format!(
                "loading {n} records: {}",
                String::from_utf8_lossy(&answer.stderr)
            ));
        }
        say(&line);
        text.push_str(&line);
        text.push('\n');
    }
    page.section("load", text);
    Ok(())
}

/// What the process that [`run`] starts does: one line of the table.
///
/// # Errors
/// A map that does not load as it was written.
pub fn child(n: usize) -> Result<String, String> {
    let before = status("VmHWM:");
    let (seconds, loaded) = timed(|| load(n));
    let (map, bytes) = loaded?;
    if map.len() != n {
        return Err(format!("{} records loaded of {n}", map.len()));
    }
    let (peak, index) = (status("VmHWM:").saturating_sub(before), map.memory() as u64);
    Ok(format!(
        "| {n} | {} MiB | {seconds:.2} s | {:.0} ns | {} MiB | {} MiB | {} MiB |",
        bytes >> 20,
        seconds * 1e9 / n as f64,
        peak >> 20,
        index >> 20,
        peak.saturating_sub(index) >> 20,
    ))
}

fn load(n: usize) -> Result<(ReverseMap, u64), String> {
    let mut text = Text::new(n);
    let mut merge = OrderedMerge::new();
    for row in Fsmap::new(BufReader::with_capacity(1 << 16, &mut text)) {
        let row = row.map_err(|e| e.to_string())?;
        let claim = Claim {
            record: Record {
                extent: row.extent,
                owner: row.owner,
                file_start: row.file_start.unwrap_or_default(),
                unwritten: false,
            },
            shared: false,
            kind: MapKind::Complete,
            source: Source { file: 0, line: row.line },
        };
        merge.push(claim).map_err(|claim| format!("out of order: {}", claim.source))?;
    }
    Ok((merge.build().map_err(|e| e.to_string())?, text.read))
}

/// The text, made as it is read: neither a file nor memory holds it.
struct Text {
    records: Stream,
    left: usize,
    row: usize,
    line: Vec<u8>,
    at: usize,
    read: u64,
}

impl Text {
    fn new(n: usize) -> Self {
        let line = b"EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH\n".to_vec();
        Self { records: Stream::new(1), left: n, row: 0, line, at: 0, read: 0 }
    }

    fn next_line(&mut self) {
        self.line.clear();
        self.at = 0;
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let record = self.records.next_record();
        let sectors = |bytes: u64| bytes / SECTOR_SIZE;
        let (first, len) = (sectors(record.extent.start().get()), sectors(record.extent.len()));
        let file = sectors(record.file_start.get());
        let Owner::File { id: FileId::Ino(ino), .. } = record.owner else { return };
        let (last, file_last, row) = (first + len - 1, file + len - 1, self.row);
        let _ = writeln!(
            self.line,
            "{row},8,1,{first},{last},inode_{ino}_data,{file},{file_last},{len}"
        );
        self.row += 1;
    }
}

impl Read for Text {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            self.next_line();
        }
        let rest = self.line.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += len;
        self.read += len as u64;
        Ok(len)
    }
}

/// A number of bytes that the kernel knows of this process.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.map_or(0, |kib: u64| kib << 10)
}
