//! What an outcome may say was observed, and how each key is compared. One table serves for
//! reading and for comparing.

use serde_json::Value;

use crate::scenario::{
    ScenarioError,
    json::{At, integer},
};

/// The keys of an object.
pub(super) type Shape = &'static [(&'static str, Kind)];

/// How a value is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// By value, whatever the spelling.
    Number,
    Text,
    Switch,
    /// An inode number or words.
    Owner,
    /// Words in any order.
    Words,
    /// Numbers in any order.
    Numbers,
    /// Key by key; keys that the expectation does not have are not compared.
    Object(Shape),
    /// Same length, same order.
    List(Shape),
    /// Same number of elements, in any order.
    Bag(Shape),
    /// In any order, and however often.
    Set(Shape),
    /// At least these elements of another key, in any order.
    Among(&'static str, Shape),
    /// The first elements of another key.
    Prefix(&'static str, Shape),
    /// Ranges per process and map.
    Unmapped,
    /// Rows per table; tables that the expectation does not name are not compared.
    Tables,
}

const HOLDER: Shape = &[
    ("device", Kind::Text),
    ("start", Kind::Number),
    ("len", Kind::Number),
    ("flags", Kind::Words),
    ("ret", Kind::Number),
];

const RECORD: Shape = &[
    ("start", Kind::Number),
    ("len", Kind::Number),
    ("owner", Kind::Owner),
    ("fork", Kind::Text),
    ("file_start", Kind::Number),
    ("unwritten", Kind::Switch),
];

const OWNER: Shape =
    &[("fs", Kind::Text), ("ino", Kind::Number), ("page", Kind::Number), ("count", Kind::Number)];

const SIGNAL: Shape = &[
    ("tag", Kind::Text),
    ("sig", Kind::Text),
    ("code", Kind::Text),
    ("addr", Kind::Number),
    ("lsb", Kind::Number),
    ("tid", Kind::Number),
    ("result", Kind::Text),
];

const FAULT: Shape = &[("sig", Kind::Text), ("code", Kind::Text), ("lsb", Kind::Number)];

const SHUTDOWN: Shape = &[("fs", Kind::Text), ("reason", Kind::Text)];

const BYTES: Shape = &[("phys", Kind::Number), ("len", Kind::Number)];

const RECOVERY: Shape = &[("start", Kind::Number), ("len", Kind::Number), ("ret", Kind::Number)];

const CLEARED: Shape = &[("phys", Kind::Number), ("len", Kind::Number), ("ret", Kind::Number)];

const CALL: Shape = &[
    ("pfn", Kind::Number),
    ("flags", Kind::Words),
    ("ret", Kind::Number),
    ("action", Kind::Text),
    ("holder", Kind::Object(HOLDER)),
    ("records", Kind::List(RECORD)),
    ("owners", Kind::List(OWNER)),
];

/// Everything that may be expected of an event.
pub(super) const EVENT: Shape = &[
    ("ret", Kind::Number),
    ("pfn", Kind::Number),
    ("flags", Kind::Words),
    ("action", Kind::Text),
    ("holder", Kind::Object(HOLDER)),
    ("records", Kind::List(RECORD)),
    ("owners", Kind::List(OWNER)),
    ("signals", Kind::Bag(SIGNAL)),
    ("signals_include", Kind::Among("signals", SIGNAL)),
    ("killed", Kind::Words),
    ("unmapped", Kind::Unmapped),
    ("shutdown", Kind::List(SHUTDOWN)),
    ("nospec", Kind::Numbers),
    ("badrange", Kind::Set(BYTES)),
    ("calls", Kind::List(CALL)),
    ("calls_prefix", Kind::Prefix("calls", CALL)),
    ("crash", Kind::Text),
    ("stuck", Kind::Switch),
    ("dax", Kind::Switch),
    ("result", Kind::Text),
    ("phys", Kind::Number),
    ("signal", Kind::Object(FAULT)),
    ("recovery", Kind::List(RECOVERY)),
    ("clear_poison", Kind::List(CLEARED)),
    ("badblocks", Kind::Tables),
];

type Result<T> = core::result::Result<T, ScenarioError>;

/// Reads `{"events":[...]}` with at most one object per event.
pub(crate) fn expect(at: At<'_>, events: usize) -> Result<Vec<Value>> {
    at.object(&["events"])?.required("events", |at| {
        let expected = at.list(|at| {
            valid(Kind::Object(EVENT), at)?;
            Ok(at.value.clone())
        })?;
        if expected.len() > events {
            let message = format!("{} outcomes for {events} events", expected.len());
            return Err(at.bad(message));
        }
        Ok(expected)
    })
}

fn valid(kind: Kind, at: At<'_>) -> Result<()> {
    if at.value.is_null() {
        return Ok(());
    }
    match kind {
        Kind::Number => number(at),
        Kind::Text => at.text().map(drop),
        Kind::Switch => at.bool().map(drop),
        Kind::Owner if at.value.is_string() => Ok(()),
        Kind::Owner => at.number().map(drop),
        Kind::Words => at.list(|at| at.text().map(drop)).map(drop),
        Kind::Numbers => at.list(number).map(drop),
        Kind::Object(shape) => valid_object(shape, at),
        Kind::List(shape)
        | Kind::Bag(shape)
        | Kind::Set(shape)
        | Kind::Among(_, shape)
        | Kind::Prefix(_, shape) => at.list(|at| valid_object(shape, at)).map(drop),
        Kind::Unmapped => at.list(valid_unmapped).map(drop),
        Kind::Tables => {
            let names: Vec<&str> = at.table()?.keys().map(String::as_str).collect();
            let tables = at.object(&names)?;
            names.iter().try_for_each(|name| tables.required(name, |at| at.ranges().map(drop)))
        }
    }
}

fn number(at: At<'_>) -> Result<()> {
    match integer(at.value) {
        Some(_) => Ok(()),
        None => at.number().map(drop),
    }
}

fn valid_object(shape: Shape, at: At<'_>) -> Result<()> {
    let keys: Vec<&str> = shape.iter().map(|(key, _)| *key).collect();
    let object = at.object(&keys)?;
    for (key, kind) in shape {
        object.optional(key, |at| valid(*kind, at))?;
    }
    Ok(())
}

fn valid_unmapped(at: At<'_>) -> Result<()> {
    let object = at.object(&["tag", "map", "ranges"])?;
    object.required("tag", |at| at.text().map(drop))?;
    object.required("map", |at| at.number())?;
    object.required("ranges", |at| at.ranges().map(drop))
}
