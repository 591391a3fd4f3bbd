//! `badrange.event/1`: what a line of the output says.

use badrange::{
    explain::{Answer, Query},
    input::UnplacedRange,
};
use serde_json::{Value, json};

const SCHEMA: &str = "badrange.event/1";

/// A range that was not told within the window; `repeats` of it were left out since it was told
/// last.
pub(super) fn finding(query: &Query, answer: &Answer, repeats: u64) -> Value {
    let mut explain = serde_json::to_value(answer).unwrap_or_default();
    let first = explain.pointer_mut("/queries/0").map(Value::take).unwrap_or_default();
    json!({
        "schema": SCHEMA,
        "event": "finding",
        "line": query.line,
        "at": query.at,
        "device": first.get("device"),
        "start": first.get("start"),
        "len": first.get("len"),
        "confidence": query.confidence.map(|confidence| confidence.as_str()),
        "status": answer.exit_code(),
        "repeats": repeats,
        "pieces": first.get("pieces"),
        "summary": explain.get("summary"),
    })
}

/// Something bad that leads to no bytes of this stack.
pub(super) fn unplaced(unplaced: &UnplacedRange, repeats: u64) -> Value {
    let UnplacedRange { line, what } = unplaced;
    json!({
        "schema": SCHEMA, "event": "unplaced", "line": line, "what": what, "repeats": repeats,
    })
}

/// Messages are missing from the text.
pub(super) fn truncated(line: u64) -> Value {
    json!({ "schema": SCHEMA, "event": "truncated", "line": line })
}

/// A new file follows: lines count from one again.
pub(super) fn rotated() -> Value {
    json!({ "schema": SCHEMA, "event": "rotated" })
}

/// The stack's files changed.
pub(super) fn reloaded(error: Option<&str>) -> Value {
    match error {
        None => json!({ "schema": SCHEMA, "event": "reloaded" }),
        Some(error) => json!({ "schema": SCHEMA, "event": "reload-failed", "error": error }),
    }
}
