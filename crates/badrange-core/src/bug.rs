/// Says that something impossible has happened: the loud end of a branch that an invariant rules
/// out.
///
/// In debug builds and tests it panics. In a release build it is the value
/// `ControlFlow::Break(Stop::Broken(reason))`, so that a [`Mapping`](crate::Mapping) can return it:
/// the engine counts it, lets the bytes concerned fall back, and the report says so. It never
/// goes on as if nothing were.
///
/// For our own invariants. A mapping that finds its *input* impossible has a bug in itself just
/// the same.
///
/// # Examples
/// ```should_panic
/// use badrange_core::{Flow, bug};
/// fn impossible() -> Flow {
///     bug!("a clip of a run has an image in a run of its shape")
/// }
/// # if cfg!(debug_assertions) {
/// let _ = impossible();
/// # } else { panic!() }
/// ```
#[macro_export]
macro_rules! bug {
    ($reason:literal) => {{
        if cfg!(debug_assertions) {
            $crate::bug_found($reason);
        }
        ::core::ops::ControlFlow::Break($crate::Stop::Broken($reason))
    }};
}

/// What [`bug!`](crate::bug) does in debug builds.
#[doc(hidden)]
#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "a broken law is loud")]
pub fn bug_found(reason: &str) {
    panic!("broken law: {reason}");
}
