//! `badrange capture`: the script that collects what `explain` needs.

use std::io::Write;

use clap::Args;

use crate::Failure;

/// The script, as it is printed.
const SCRIPT: &str = include_str!("capture.sh");

/// Print the shell script that collects on a host what `explain` needs.
///
/// Nothing is run here. The script is for any POSIX shell, works as root or not, and writes one new
/// directory: saved outputs, a stack.toml that names them, and capture.txt, which says what is
/// missing and why. It changes nothing else, and prints no keys.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct CaptureArgs {}

const HELP: &str = "\
Examples:
  badrange capture > capture.sh
  sudo sh capture.sh host1                 on the host, after reading it
  badrange check-stack --stack host1/stack.toml
  badrange explain --stack host1/stack.toml --log host1/dmesg.txt";

pub(crate) fn run(_: &CaptureArgs) -> Result<u8, Failure> {
    let mut out = anstream::stdout().lock();
    out.write_all(SCRIPT.as_bytes())?;
    Ok(out.flush().map(|()| 0)?)
}
