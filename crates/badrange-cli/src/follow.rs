//! `badrange explain --log FILE --follow`: an endless text in, one JSON object per finding out.

use core::time::Duration;
use std::{
    io::{self, Read, Write},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Instant,
};

use crate::{Failure, cli::ExplainArgs};

mod event;
mod feed;
mod findings;
#[cfg(test)]
mod tests;
mod watch;

use self::{
    feed::{Feed, Next},
    findings::Findings,
    watch::Watched,
};

/// How long a text may be quiet before what waits for a next line is said.
const POLL: Duration = Duration::from_millis(500);
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Chunks of standard input that wait to be read.
const WAITING_CHUNKS: usize = 16;

/// Follows until the text ends (standard input) or nobody reads the output any more.
pub(crate) fn run(args: &ExplainArgs) -> Result<u8, Failure> {
    let Some(file) = &args.log.log else {
        return Err(Failure::usage("--follow needs --log"));
    };
    let began = Instant::now();
    let clock = || began.elapsed();
    let stack = args.stack.as_deref().ok_or_else(|| Failure::usage("--follow needs --stack"))?;
    let watched = Watched::load(stack)?;
    let mut findings = Findings::new(watched, &args.log, Duration::from_secs(args.window))?;
    let out = io::stdout().lock();
    if file == Path::new("-") {
        follow(&mut Stdin::new(), &mut findings, out, clock)
    } else {
        let mut growing = feed::Growing::open(file.clone(), || {
            thread::sleep(POLL);
            true
        })
        .map_err(|err| Failure::data(format!("cannot read {}: {err}", file.display())))?;
        follow(&mut growing, &mut findings, out, clock)
    }
}

/// The loop: bytes in, lines out. Ends with the feed; the status is that of everything found.
fn follow(
    feed: &mut dyn Feed,
    findings: &mut Findings,
    mut out: impl Write,
    clock: impl Fn() -> Duration,
) -> Result<u8, Failure> {
    loop {
        let next = feed.next().map_err(|err| Failure::data(format!("cannot read: {err}")))?;
        let ended = matches!(next, Next::End);
        for line in findings.take(next, clock()) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        if ended {
            return Ok(findings.exit_code());
        }
    }
}

/// Standard input, read by a thread of its own so that silence is seen.
struct Stdin {
    chunks: Receiver<io::Result<Vec<u8>>>,
}

impl Stdin {
    fn new() -> Self {
        let (send, chunks) = sync_channel(WAITING_CHUNKS);
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            let mut chunk = vec![0; CHUNK];
            loop {
                let read = match input.read(&mut chunk) {
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                    read => read.map(|n| chunk.get(..n).unwrap_or_default().to_vec()),
                };
                let ended = !matches!(&read, Ok(bytes) if !bytes.is_empty());
                if send.send(read).is_err() || ended {
                    return;
                }
            }
        });
        Self { chunks }
    }
}

impl Feed for Stdin {
    fn next(&mut self) -> io::Result<Next> {
        match self.chunks.recv_timeout(POLL) {
            Ok(bytes) => bytes.map(|b| if b.is_empty() { Next::End } else { Next::Bytes(b) }),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Idle),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
        }
    }
}
