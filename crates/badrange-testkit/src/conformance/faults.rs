//! Calls of an implementation that may do anything, and what was wrong with its answer.

use core::{any::Any, ops::ControlFlow, panic::AssertUnwindSafe};
use std::panic::{catch_unwind, resume_unwind};

use badrange_core::{Flow, Sink, Stop};

use super::Law;

/// Which law, and what was wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) law: Law,
    pub(super) detail: String,
}

pub(super) type Checked<T = ()> = Result<T, Fault>;

/// The fault `law` with this detail, unless `holds`.
pub(super) fn demand(law: Law, holds: bool, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Fault { law, detail: detail() }) }
}

/// What a call emitted.
pub(super) struct Emitted<T> {
    pub(super) parts: Vec<T>,
    /// Whether that is all; otherwise the sink broke off.
    pub(super) complete: bool,
}

/// Runs `call` with a sink that takes at most `limit` parts.
pub(super) fn collect<T>(
    limit: usize,
    call: impl FnOnce(Sink<'_, T>) -> Flow,
) -> Checked<Emitted<T>> {
    let mut parts = Vec::new();
    let complete = counted(limit, Stop::Enough, |count| {
        call(&mut |part| {
            parts.push(part);
            count()
        })
    })?;
    Ok(Emitted { parts, complete })
}

/// Runs `call` with a sink that breaks at the first part, with a stop that has to come back.
pub(super) fn broken_off<T>(call: impl FnOnce(Sink<'_, T>) -> Flow) -> Checked {
    let stop = Stop::Broken("the sink broke off");
    counted(1, stop, |count| call(&mut |_| count())).map(drop)
}

/// Runs `call` with a counter of parts, which says `stop` at the last of `limit` parts. Whether the
/// call ended by itself.
pub(super) fn counted(
    limit: usize,
    stop: Stop,
    call: impl FnOnce(&mut dyn FnMut() -> Flow) -> Flow,
) -> Checked<bool> {
    let (mut count, mut broke, mut again) = (0_usize, false, false);
    let flow = guarded(Law::Total, || {
        call(&mut || {
            if broke {
                // The only way to end an implementation that does not stop.
                again = true;
                resume_unwind(Box::new("the sink was called after it broke"));
            }
            count = count.saturating_add(1);
            broke = count >= limit;
            if broke { ControlFlow::Break(stop) } else { ControlFlow::Continue(()) }
        })
    });
    demand(Law::Stops, !again, || format!("called the sink again after it broke at part {count}"))?;
    let flow = flow?;
    if let (ControlFlow::Break(Stop::Broken(why)), false) = (flow, broke) {
        return Err(Fault { law: Law::Total, detail: format!("says that it is broken: {why}") });
    }
    let due = if broke { ControlFlow::Break(stop) } else { ControlFlow::Continue(()) };
    demand(Law::Stops, flow == due, || {
        format!("returned {flow:?} after {count} parts, where the sink said {due:?} last")
    })?;
    Ok(!broke)
}

/// Runs something that must not panic.
pub(super) fn guarded<T>(law: Law, call: impl FnOnce() -> T) -> Checked<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let detail = format!("panicked: {}", message(&*panic));
        Fault { law, detail }
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
