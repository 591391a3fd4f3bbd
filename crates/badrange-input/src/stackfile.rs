//! `stack.toml`, key by key: what stands in the file, before any file that it names is read.

use core::ops::Range;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::StackError;

/// The schema this crate reads.
pub(crate) const SCHEMA: &str = "badrange.stack/1";

/// A text with the place it stands at, so that errors can name the line.
pub(crate) type Text = Spanned<String>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StackFile {
    pub(crate) schema: Text,
    #[serde(default)]
    pub(crate) disk: Vec<DiskEntry>,
    #[serde(default)]
    pub(crate) cxl: Vec<CxlEntry>,
    #[serde(default)]
    pub(crate) memory: Vec<Spanned<MemoryEntry>>,
    #[serde(default)]
    pub(crate) pmem: Vec<PmemEntry>,
    #[serde(default)]
    pub(crate) partitions: Vec<PartitionsEntry>,
    #[serde(default)]
    pub(crate) partition: Vec<PartitionEntry>,
    #[serde(default)]
    pub(crate) lvm: Vec<LvmEntry>,
    #[serde(default)]
    pub(crate) dm: Vec<DmEntry>,
    #[serde(default)]
    pub(crate) thin: Vec<ThinEntry>,
    #[serde(default)]
    pub(crate) md: Vec<MdEntry>,
    #[serde(default, rename = "loop")]
    pub(crate) loops: Vec<LoopEntry>,
    #[serde(default)]
    pub(crate) fs: Vec<FsEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskEntry {
    pub(crate) name: Text,
    pub(crate) sectors: Spanned<Number>,
    pub(crate) logical_block: Option<Spanned<Number>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CxlEntry {
    pub(crate) name: Text,
    pub(crate) resource: Spanned<Number>,
    pub(crate) size: Spanned<Number>,
    pub(crate) granularity: Spanned<Number>,
    pub(crate) ways: Option<Spanned<Number>>,
    pub(crate) memdevs: Spanned<Vec<MemdevEntry>>,
    pub(crate) xor: Option<Spanned<XorEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemdevEntry {
    pub(crate) name: Text,
    pub(crate) dpa: Number,
    pub(crate) size: Option<Spanned<Number>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct XorEntry {
    pub(crate) host_bridges: Number,
    pub(crate) maps: Vec<Number>,
}

/// Physical memory: all optional.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemoryEntry {
    pub(crate) name: Option<Text>,
    pub(crate) size: Option<Spanned<Number>>,
    pub(crate) page: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PmemEntry {
    pub(crate) name: Text,
    pub(crate) phys: Spanned<Number>,
    pub(crate) size: Number,
    pub(crate) data_offset: Number,
    pub(crate) mode: Text,
    pub(crate) align: Option<Text>,
    pub(crate) badblocks: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartitionsEntry {
    pub(crate) on: Text,
    pub(crate) table: Text,
    pub(crate) names: Option<Spanned<Vec<Text>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartitionEntry {
    pub(crate) name: Text,
    pub(crate) on: Text,
    pub(crate) start: Spanned<Number>,
    pub(crate) sectors: Number,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LvmEntry {
    pub(crate) metadata: Option<Text>,
    pub(crate) lvs: Option<Text>,
    pub(crate) pvs: Option<Text>,
    #[serde(default)]
    pub(crate) devices: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DmEntry {
    pub(crate) table: Text,
    pub(crate) name: Option<Text>,
    #[serde(default)]
    pub(crate) devices: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThinEntry {
    pub(crate) pool: Text,
    pub(crate) metadata: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MdEntry {
    pub(crate) name: Text,
    pub(crate) devices: Spanned<Vec<Text>>,
    pub(crate) examine: Spanned<Vec<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoopEntry {
    pub(crate) name: Text,
    pub(crate) on: Text,
    pub(crate) file: Text,
    pub(crate) offset: Option<Spanned<Number>>,
    pub(crate) sectors: Spanned<Number>,
    pub(crate) logical_block: Option<Spanned<Number>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FsEntry {
    pub(crate) device: Text,
    pub(crate) kind: Text,
    pub(crate) map: Spanned<Vec<Text>>,
    pub(crate) paths: Option<Text>,
    pub(crate) mount: Option<String>,
    pub(crate) block_size: Spanned<Number>,
}

/// A number of 64 bits, written as a TOML integer or as a string: decimal, or hex after `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a number from 0 to 2^64-1, as an integer or a \"0x...\" string")
            }

            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Number, E> {
                u64::try_from(v)
                    .map(Number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(v), &self))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Number, E> {
                Ok(Number(v))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Number, E> {
                crate::number::parse_u64(v)
                    .map(Number)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(v), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The text of a `stack.toml` and its name, to find lines in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Toml<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
}

impl Toml<'_> {
    pub(crate) fn parse(&self) -> Result<StackFile, StackError> {
        let file: StackFile = toml::from_str(self.text).map_err(|err| {
            let line = err.span().map(|span| self.line(&span));
            let message = err.message().trim_end().replace('\n', " ");
            StackError::new(self.name, line, message)
        })?;
        if file.schema.get_ref() != SCHEMA {
            return Err(self.error(
                &file.schema,
                format!(
                    "schema {:?} is not known here: expected {SCHEMA:?}",
                    file.schema.get_ref()
                ),
            ));
        }
        Ok(file)
    }

    /// An error at the line where a value stands.
    pub(crate) fn error<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> StackError {
        StackError::new(self.name, Some(self.line(&at.span())), message)
    }

    fn line(&self, span: &Range<usize>) -> u64 {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let breaks = before.iter().filter(|b| **b == b'\n').count();
        u64::try_from(breaks).unwrap_or(u64::MAX).saturating_add(1)
    }
}
