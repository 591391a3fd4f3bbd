//! The JSON form: `badrange.plan/1`.

use serde::{Serialize, Serializer};

use super::{Asked, BadDevice, FileRange, Plan, PlannedFile, Setting, Span, Subject, Unit};
use crate::{Redundancy, advice::Action};

/// The schema of the JSON form.
const SCHEMA: &str = "badrange.plan/1";

impl Plan {
    /// The JSON form, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists only: there is nothing that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            schema: &'static str,
            asked: &'a [Asked],
            settings: &'a [Setting],
            devices: &'a [BadDevice],
            subjects: &'a [Subject],
            restore: Vec<FileRange<'a>>,
            warnings: &'a [String],
        }
        Shape {
            schema: SCHEMA,
            asked: &self.asked,
            settings: &self.settings,
            devices: &self.devices,
            subjects: &self.subjects,
            restore: self.restore().collect(),
            warnings: &self.warnings,
        }
        .serialize(to)
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            name: &'a str,
            meaning: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            guess: Option<&'a str>,
        }
        let (name, meaning) = (self.variable.as_str(), self.meaning.as_str());
        Shape { name, meaning, guess: self.guess.as_deref() }.serialize(to)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            verdict: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            what: Option<&'a str>,
            lost: Option<bool>,
            device: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'a PlannedFile>,
            #[serde(skip_serializing_if = "Option::is_none")]
            redundancy: Option<&'a Redundancy>,
            bad: &'a [Span],
            before: &'a [Action],
            units: &'a [Unit],
            after: &'a [Action],
        }
        Shape {
            verdict: self.verdict.as_str(),
            what: self.what.as_deref(),
            lost: self.lost,
            device: &self.device,
            file: self.file.as_ref(),
            redundancy: self.redundancy.as_ref(),
            bad: &self.bad,
            before: &self.before,
            units: &self.units,
            after: &self.after,
        }
        .serialize(to)
    }
}
