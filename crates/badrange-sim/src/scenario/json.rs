//! Reading JSON with the path of every value at hand.

use core::fmt;
use std::collections::BTreeSet;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{ScenarioError, ScenarioErrorKind as Kind, limits::MAX_LIST};

type Result<T> = core::result::Result<T, ScenarioError>;

/// A JSON value of which no object has a key twice.
pub(crate) struct Strict(pub(crate) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> core::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> core::result::Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_u64<E>(self, v: u64) -> core::result::Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> core::result::Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> core::result::Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> core::result::Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> core::result::Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> core::result::Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key {key:?} stands twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) value: &'a Value,
    pub(crate) path: &'a Path<'a>,
}

impl<'a> At<'a> {
    #[cold]
    pub(crate) fn fail(&self, kind: Kind, message: impl Into<String>) -> ScenarioError {
        ScenarioError::new(kind, self.path, message)
    }

    #[cold]
    pub(crate) fn bad(&self, message: impl Into<String>) -> ScenarioError {
        self.fail(Kind::BadValue, message)
    }

    #[cold]
    fn not_a(&self, what: &str) -> ScenarioError {
        self.fail(Kind::WrongType, format!("must be {what}, but is {}", brief(self.value)))
    }

    /// The place in the list that the value is an element of.
    pub(crate) fn index(&self) -> usize {
        match self.path {
            Path::Index(_, index) => *index,
            Path::Root | Path::Key(..) => 0,
        }
    }

    /// The value of one key, before all keys are known.
    pub(crate) fn peek<T>(&self, key: &str, read: impl FnOnce(At<'_>) -> Result<T>) -> Result<T> {
        match self.table()?.get(key) {
            Some(value) => read(At { value, path: &Path::Key(self.path, key) }),
            None => Err(self.fail(Kind::MissingKey, format!("key {key:?} is missing"))),
        }
    }

    pub(crate) fn text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.not_a("a string"))
    }

    pub(crate) fn string(&self) -> Result<String> {
        self.text().map(str::to_owned)
    }

    /// A name, which is shown in all kinds of output: a terminal must not obey it.
    pub(crate) fn name(&self) -> Result<String> {
        let name = self.string()?;
        if name.chars().any(char::is_control) {
            return Err(self.bad("must be a name without control characters"));
        }
        Ok(name)
    }

    pub(crate) fn bool(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.not_a("true or false"))
    }

    pub(crate) fn number(&self) -> Result<u64> {
        unsigned(self.value).ok_or_else(|| {
            self.not_a("a whole number from 0 to 2^64-1, or such a number as \"0x..\"")
        })
    }

    pub(crate) fn signed(&self) -> Result<i64> {
        let number = integer(self.value).and_then(|n| i64::try_from(n).ok());
        number.ok_or_else(|| self.not_a("a whole number"))
    }

    /// A number that counts or measures something and cannot be zero.
    pub(crate) fn positive(&self) -> Result<u64> {
        match self.number()? {
            0 => Err(self.bad("must not be zero")),
            number => Ok(number),
        }
    }

    /// A number that is a multiple of `of`.
    pub(crate) fn multiple(&self, of: u64) -> Result<u64> {
        let number = self.number()?;
        if number.checked_rem(of) == Some(0) {
            Ok(number)
        } else {
            Err(self.bad(format!("must be a multiple of {of}, but is {number:#x}")))
        }
    }

    pub(crate) fn list<T>(&self, mut read: impl FnMut(At<'_>) -> Result<T>) -> Result<Vec<T>> {
        let Some(list) = self.value.as_array() else { return Err(self.not_a("a list")) };
        if list.len() > MAX_LIST {
            return Err(self.fail(Kind::TooLarge, format!("has more than {MAX_LIST} elements")));
        }
        let read = |(i, value)| read(At { value, path: &Path::Index(self.path, i) });
        list.iter().enumerate().map(read).collect()
    }

    /// A list with at most `limit` elements.
    pub(crate) fn short_list<T>(
        &self,
        limit: usize,
        read: impl FnMut(At<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self.value.as_array() {
            Some(list) if list.len() > limit => {
                Err(self.fail(Kind::TooLarge, format!("has more than {limit} elements")))
            }
            Some(_) | None => self.list(read),
        }
    }

    /// `[[start, len], ...]`: ascending, not overlapping, no length zero, ends within 64 bits.
    pub(crate) fn ranges(&self) -> Result<Vec<(u64, u64)>> {
        let mut after = 0;
        self.list(|at| {
            let (start, len) = at.pair()?;
            let Some(end) = start.checked_add(len) else {
                return Err(at.bad("start plus length does not fit in 64 bits"));
            };
            if len == 0 {
                return Err(at.bad("has length zero"));
            }
            if start < after {
                return Err(at.bad(format!(
                    "begins at {start}, before the end {after} of the range in front: ranges must be \
                     ascending and must not overlap"
                )));
            }
            after = end;
            Ok((start, len))
        })
    }

    fn pair(&self) -> Result<(u64, u64)> {
        match self.list(|at| at.number())?.as_slice() {
            [start, len] => Ok((*start, *len)),
            _ => Err(self.not_a("a pair [start, length]")),
        }
    }

    /// An object with these keys and no other.
    pub(crate) fn object(&self, keys: &[&str]) -> Result<Object<'a>> {
        let Some(map) = self.value.as_object() else { return Err(self.not_a("an object")) };
        match map.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(self.fail(
                Kind::UnknownKey,
                format!("unknown key {key:?}; known here: {}", keys.join(", ")),
            )),
            None => Ok(Object { map, at: *self }),
        }
    }

    /// An object whose keys are free.
    pub(crate) fn table(&self) -> Result<&'a Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.not_a("an object"))
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.bad(format!("{text:?} is not one of: {}", known.join(", "))))
            }
        }
    }
}

/// An object whose keys are known to the format.
pub(crate) struct Object<'a> {
    map: &'a Map<String, Value>,
    at: At<'a>,
}

impl Object<'_> {
    pub(crate) fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(At<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.map.get(key) {
            Some(value) => read(At { value, path: &Path::Key(self.at.path, key) }),
            None => Err(self.at.fail(Kind::MissingKey, format!("key {key:?} is missing"))),
        }
    }

    pub(crate) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(At<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.map.get(key) {
            Some(value) => read(At { value, path: &Path::Key(self.at.path, key) }).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn or<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(At<'_>) -> Result<T>,
    ) -> Result<T> {
        Ok(self.optional(key, read)?.unwrap_or(default))
    }

    /// A list, empty when the key is left out.
    pub(crate) fn many<T>(
        &self,
        key: &str,
        read: impl FnMut(At<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.or(key, Vec::new(), |at| at.list(read))
    }

    pub(crate) fn ranges(&self, key: &str) -> Result<Vec<(u64, u64)>> {
        self.or(key, Vec::new(), |at| at.ranges())
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        self.or(key, default, |at| at.bool())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn at(&self) -> At<'_> {
        self.at
    }
}

/// A number by value, whatever its spelling.
pub(crate) fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from))
        }
        Value::String(text) => hex(text).map(i128::from),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn unsigned(value: &Value) -> Option<u64> {
    integer(value).and_then(|number| u64::try_from(number).ok())
}

fn hex(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if plain { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// A value for a message: never longer than a line.
pub(crate) fn brief(value: &Value) -> String {
    const LONGEST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The first name that stands twice.
pub(super) fn duplicate<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
