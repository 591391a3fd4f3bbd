//! Calls that may never return, on a thread that can be left behind.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use super::{Case, Config, Law, Violation};

/// Where the thread is that calls a holder.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    case: Option<Case>,
    /// Calls so far: what does not go up stands still.
    calls: u64,
    /// Whether the call that runs is one from inside another.
    inside: bool,
}

impl Progress {
    fn edit(&self, edit: impl FnOnce(&mut State)) {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)); // plain numbers
    }

    fn now(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This case comes now.
    pub(super) fn at(&self, case: Case) {
        self.edit(|state| state.case = Some(case));
    }

    /// The holder is called.
    pub(super) fn call(&self) {
        self.edit(|state| {
            *state = State { calls: state.calls.saturating_add(1), inside: false, ..*state };
        });
    }

    /// The holder is called from inside a call.
    pub(super) fn enter(&self) {
        self.edit(|state| {
            *state = State { calls: state.calls.saturating_add(1), inside: true, ..*state };
        });
    }

    /// The call from inside has returned.
    pub(super) fn leave(&self) {
        self.edit(|state| state.inside = false);
    }
}

/// Runs `work` on a thread of its own, for as long as it makes progress: a call that takes longer
/// than the timeout is a violation, and the thread is left behind.
pub(super) fn watched(
    config: &Config,
    work: impl FnOnce(&Progress) -> Result<(), Violation> + Send + 'static,
) -> Result<(), Violation> {
    let progress = Arc::new(Progress::default());
    let (done, ended) = mpsc::channel();
    let theirs = Arc::clone(&progress);
    let worker = thread::spawn(move || {
        // Whoever waited may be gone: then nobody wants to know.
        let _ = done.send(work(&theirs));
    });
    loop {
        let before = progress.now();
        match ended.recv_timeout(config.timeout) {
            Ok(result) => return result,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(case) = before.case.filter(|_| progress.now() == before) {
                    return Err(stuck(case, before.inside, config));
                }
            }
            // Calls that panic are caught: this one is the kit's own.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let panic = worker.join().expect_err("a thread that answers nothing has panicked");
                std::panic::resume_unwind(panic)
            }
        }
    }
}

fn stuck(case: Case, inside: bool, config: &Config) -> Violation {
    let seconds = config.timeout.as_secs_f64();
    let detail = match inside {
        true => format!(
            "called from inside its own call, while it settles or asks for the way, it did not \
             return within {seconds} s: does it keep a lock of its own?"
        ),
        false => format!("it did not return within {seconds} s"),
    };
    Violation::new(Law::Returns, detail, case, *config)
}
