//! The engine: registry, storms, coalescer, cost model.

use crate::{Options, Page};

/// Measures the engine.
///
/// # Errors
/// None.
pub fn run(_: &Options, _: &mut Page) -> Result<(), String> {
    Ok(())
}
