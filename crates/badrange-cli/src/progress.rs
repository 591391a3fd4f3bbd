//! A progress bar for long loads: on a terminal only, and only after a moment.

use core::time::Duration;
use std::{
    io::{self, BufRead, BufReader, IsTerminal},
    time::Instant,
};

use badrange::input::{DirFiles, Files};
use indicatif::{ProgressBar, ProgressStyle};

/// Loads shorter than this show nothing.
const PATIENCE: Duration = Duration::from_millis(700);

/// Files of a directory whose reading is shown on standard error.
#[derive(Debug)]
pub(crate) struct Shown {
    files: DirFiles,
    began: Instant,
}

impl Shown {
    pub(crate) fn new(files: DirFiles) -> Self {
        Self { files, began: Instant::now() }
    }
}

impl Files for Shown {
    fn open(&self, name: &str) -> io::Result<Box<dyn BufRead + '_>> {
        let file = self.files.open(name)?;
        if !io::stderr().is_terminal() {
            return Ok(file);
        }
        let bar = ProgressBar::no_length().with_message(name.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} reading {msg}: {bytes} {bytes_per_sec}")
        {
            bar.set_style(style);
        }
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        Ok(Box::new(BufReader::with_capacity(1 << 16, Watched { file, bar, began: self.began })))
    }
}

/// A reader that moves a bar, which appears when the whole load has taken a moment.
struct Watched<'f> {
    file: Box<dyn BufRead + 'f>,
    bar: ProgressBar,
    began: Instant,
}

impl io::Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf)?;
        if self.bar.is_hidden() && self.began.elapsed() > PATIENCE {
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        self.bar.inc(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
