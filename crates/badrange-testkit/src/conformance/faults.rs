//! Calls of an implementation that may do anything, and what was wrong with its answer.

use core::{any::Any, ops::ControlFlow, panic::AssertUnwindSafe};
use std::panic::{catch_unwind, resume_unwind};

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
    call: impl FnOnce(&mut dyn FnMut(T) -> ControlFlow<()>) -> ControlFlow<()>,
) -> Checked<Emitted<T>> {
    let (mut parts, mut broke, mut again) = (Vec::new(), false, false);
    let flow = guarded(Law::Total, || {
        call(&mut |part| {
            if broke {
                // The only way to end an implementation that does not stop.
                again = true;
                resume_unwind(Box::new("the sink was called after it broke"));
            }
            parts.push(part);
            broke = parts.len() >= limit;
            if broke { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    let count = parts.len();
    demand(Law::Stops, !again, || format!("called the sink again after it broke at part {count}"))?;
    let flow = flow?;
    demand(Law::Stops, flow.is_break() == broke, || {
        format!("returned {flow:?} after {count} parts of which the last one broke: {broke}")
    })?;
    Ok(Emitted { parts, complete: !broke })
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
