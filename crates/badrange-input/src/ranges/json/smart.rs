//! `smartctl --json`: blocks that a disk could not read, in its own logical blocks.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Number, Reader};
use crate::{
    Confidence, ParseError,
    ranges::{
        LogEvent, name,
        place::{BlockUnit, NamedRange, Place},
    },
};

/// The type of an NVMe status that tells of media and data integrity.
const MEDIA_ERRORS: u64 = 2;

#[derive(Debug, Deserialize)]
struct Report<'t> {
    device: Option<Device>,
    logical_block_size: Option<u64>,
    #[serde(borrow)]
    ata_smart_self_test_log: Option<Logs<'t>>,
    #[serde(borrow)]
    ata_smart_error_log: Option<Logs<'t>>,
    #[serde(borrow)]
    ata_pending_defects_log: Option<Log<'t>>,
    #[serde(borrow)]
    nvme_error_information_log: Option<Log<'t>>,
}

#[derive(Debug, Deserialize)]
struct Device {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Logs<'t> {
    #[serde(borrow, default)]
    extended: Log<'t>,
    #[serde(borrow, default)]
    standard: Log<'t>,
    #[serde(borrow, default)]
    summary: Log<'t>,
}

#[derive(Debug, Default, Deserialize)]
struct Log<'t> {
    #[serde(borrow, default)]
    table: Vec<&'t RawValue>,
    count: Option<u64>,
}

/// A line of any of the logs.
#[derive(Debug, Deserialize)]
struct Row {
    lba: Option<Lba>,
    status: Option<Status>,
    nsid: Option<u64>,
    status_field: Option<StatusField>,
    error_description: Option<String>,
    completion_registers: Option<Registers>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lba {
    Plain(Number),
    Nested { value: Number },
}

impl Lba {
    const fn get(&self) -> u64 {
        match self {
            Self::Plain(Number(n)) | Self::Nested { value: Number(n) } => *n,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Status {
    passed: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct StatusField {
    status_code_type: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Registers {
    lba: Option<Number>,
}

/// Reads one report.
pub(super) fn read<'t>(reader: &mut Reader<'t, '_>, raw: &'t RawValue) -> Result<(), ParseError> {
    let report: Report<'t> = reader.part(raw)?;
    let named = report.device.as_ref().and_then(|device| device.name.as_deref());
    let disk = named.map(name::of_device).or_else(|| reader.options.device.map(str::to_owned));
    let size = report.logical_block_size;
    let mut say = Say { reader, disk, size };
    // Self-tests stop at the first block that they cannot read.
    let tests = report.ata_smart_self_test_log.unwrap_or_default();
    for raw in tests.extended.table.iter().chain(&tests.standard.table) {
        let row: Row = say.reader.part(raw)?;
        let failed = row.status.as_ref().is_some_and(|status| status.passed == Some(false));
        let lba = row.lba.filter(|_| failed);
        say.block(raw, lba.map(|lba| lba.get()), Some(1), Confidence::AtLeast, "SMART self-test");
    }
    let errors = report.ata_smart_error_log.unwrap_or_default();
    for raw in errors.extended.table.iter().chain(&errors.summary.table) {
        let row: Row = say.reader.part(raw)?;
        let unreadable = row.error_description.is_some_and(|text| text.contains("UNC"));
        let lba = row.completion_registers.filter(|_| unreadable).and_then(|r| r.lba);
        let lba = lba.map(|Number(lba)| lba);
        say.block(raw, lba, None, Confidence::UnknownExtent, "SMART error log");
    }
    let pending = report.ata_pending_defects_log.unwrap_or_default();
    for raw in &pending.table {
        let row: Row = say.reader.part(raw)?;
        let lba = row.lba.map(|lba| lba.get());
        say.block(raw, lba, Some(1), Confidence::Exact, "SMART pending defects");
    }
    let listed = pending.table.len() as u64;
    if let Some(last) = pending.table.last().filter(|_| pending.count.is_some_and(|n| n > listed)) {
        let line = say.reader.text.line(last.get());
        say.reader.out.push(LogEvent::Cut { line });
    }
    for raw in &report.nvme_error_information_log.unwrap_or_default().table {
        let row: Row = say.reader.part(raw)?;
        let kind = row.status_field.as_ref().and_then(|status| status.status_code_type);
        let lba = row.lba.as_ref().filter(|_| kind == Some(MEDIA_ERRORS)).map(Lba::get);
        say.of_namespace(row.nsid).block(
            raw,
            lba,
            None,
            Confidence::UnknownExtent,
            "NVMe error log",
        );
    }
    Ok(())
}

/// Says blocks of one disk.
struct Say<'r, 't, 'o> {
    reader: &'r mut Reader<'t, 'o>,
    disk: Option<String>,
    size: Option<u64>,
}

impl<'t, 'o> Say<'_, 't, 'o> {
    /// smartctl names the controller; the blocks are those of a namespace.
    fn of_namespace(&mut self, nsid: Option<u64>) -> Say<'_, 't, 'o> {
        let named = self.disk.as_ref().zip(nsid).map(|(disk, nsid)| {
            let controller = disk.strip_prefix("nvme").is_some_and(crate::lines::is_digits);
            if controller { format!("{disk}n{nsid}") } else { disk.clone() }
        });
        let disk = named.or_else(|| self.disk.clone());
        Say { reader: &mut *self.reader, disk, size: self.size }
    }

    fn block(
        &mut self,
        raw: &'t RawValue,
        lba: Option<u64>,
        count: Option<u64>,
        confidence: Confidence,
        said: &'static str,
    ) {
        let Some(first) = lba else { return };
        let line = self.reader.text.line(raw.get());
        let device = self.disk.clone();
        let blocks = Place::Blocks { device, unit: BlockUnit::Logical, first, count };
        let event = match self.size.map(|size| blocks.clone().in_bytes(size)) {
            Some(None) => super::too_large(line, &blocks.to_string()),
            Some(Some(place)) => LogEvent::Range(NamedRange::new(place, confidence, line, said)),
            None => LogEvent::Range(NamedRange::new(blocks, confidence, line, said)),
        };
        self.reader.out.push(event);
    }
}
