//! Forms for `serde`: what is read is checked as what is built.
//!
//! The forms are part of the crate's interface; the crate's documentation describes them.

use alloc::vec::Vec;
use core::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeSeq};

use crate::{
    BlockSize, DevOffset, DeviceId, Errno, Extent, FileOffset, FsBlock, HoleKind, Leg, Link,
    MfFlags, Outcome, PageSize, Pfn, PhysAddr, RangeError, Run, Sector, Space,
};

/// Reads the form `F` and makes a value of it, or says why there is none.
fn read<'de, D, F, T, E>(input: D, make: impl FnOnce(F) -> Result<T, E>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    F: Deserialize<'de>,
    E: Display,
{
    make(F::deserialize(input)?).map_err(D::Error::custom)
}

/// Types that are a number: how to get it and how to make one of it.
macro_rules! number {
    ($($name:ident: $form:ty, $get:expr, $make:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                let form: $form = $get(*self);
                form.serialize(output)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                read::<D, $form, _, RangeError>(input, $make)
            }
        }
    )*};
}

number! {
    PhysAddr: u64, Self::get, |raw| Ok(Self::new(raw));
    DevOffset: u64, Self::get, |raw| Ok(Self::new(raw));
    FileOffset: u64, Self::get, |raw| Ok(Self::new(raw));
    Pfn: u64, Self::get, |raw| Ok(Self::new(raw));
    Sector: u64, Self::get, |raw| Ok(Self::new(raw));
    FsBlock: u64, Self::get, |raw| Ok(Self::new(raw));
    BlockSize: u64, Self::get, Self::new;
    PageSize: u64, Self::bytes, Self::new;
    Errno: u16, Self::get, |number| Ok(Self::new(number));
    Leg: u32, Self::index, |index| Ok(Self::new(index));
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an extent: `start` and `len`")]
struct ExtentForm {
    start: u64,
    len: u64,
}

impl<P: Space> Serialize for Extent<P> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        ExtentForm { start: self.raw(), len: self.len() }.serialize(output)
    }
}

impl<'de, P: Space> Deserialize<'de> for Extent<P> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        read(input, |form: ExtentForm| Self::new(P::from_raw(form.start), form.len))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a run: `start` and `len`, and of several elements `stride` and `count`"
)]
struct RunForm {
    start: u64,
    len: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl<P: Space> Serialize for Run<P> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let (first, several) = (self.first(), !self.is_single());
        let stride = several.then(|| self.stride());
        let count = several.then(|| self.count());
        RunForm { start: first.raw(), len: first.len(), stride, count }.serialize(output)
    }
}

impl<'de, P: Space> Deserialize<'de> for Run<P> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let RunForm { start, len, stride, count } = RunForm::deserialize(input)?;
        let first = Extent::new(P::from_raw(start), len).map_err(D::Error::custom)?;
        match (stride, count) {
            (None, None) => Ok(first.into()),
            (Some(stride), Some(count)) => {
                Self::new(first, stride, count).map_err(D::Error::custom)
            }
            (None, Some(_)) => Err(D::Error::missing_field("stride")),
            (Some(_), None) => Err(D::Error::missing_field("count")),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a link: the runs `lower` and `upper`")]
struct LinkForm {
    lower: Run,
    upper: Run,
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        LinkForm { lower: self.lower(), upper: self.upper() }.serialize(output)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        read(input, |form: LinkForm| Self::new(form.lower, form.upper))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a device id: `stack`, `index` and `generation`")]
struct DeviceIdForm {
    stack: u32,
    index: u32,
    generation: u32,
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let (stack, index, generation) = (self.stack(), self.index(), self.generation());
        DeviceIdForm { stack, index, generation }.serialize(output)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let DeviceIdForm { stack, index, generation } = DeviceIdForm::deserialize(input)?;
        Ok(Self::new(stack, index, generation))
    }
}

impl Serialize for MfFlags {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let mut list = output.serialize_seq(Some(self.names().count()))?;
        self.names().try_for_each(|name| list.serialize_element(name))?;
        list.end()
    }
}

/// One name; the text form reads several.
struct FlagForm(MfFlags);

impl<'de> Deserialize<'de> for FlagForm {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        read(input, |name: alloc::string::String| MfFlags::from_name(&name).map(Self))
    }
}

impl<'de> Deserialize<'de> for MfFlags {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let flags = Vec::<FlagForm>::deserialize(input)?;
        Ok(flags.iter().fold(Self::NONE, |all, FlagForm(flag)| all.with(*flag)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome", rename_all = "snake_case", expecting = "an outcome")]
enum OutcomeForm {
    Nothing,
    Handled,
    Failed(Errno),
    NotSupported,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        OutcomeForm::serialize(self, output)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        OutcomeForm::deserialize(input)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HoleKind", rename_all = "snake_case", expecting = "a kind of hole")]
enum HoleKindForm {
    Error,
    Zero,
    Unmapped,
}

impl Serialize for HoleKind {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        HoleKindForm::serialize(self, output)
    }
}

impl<'de> Deserialize<'de> for HoleKind {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        HoleKindForm::deserialize(input)
    }
}
