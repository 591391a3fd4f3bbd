use std::io::Read;

use badrange_core::SECTOR_SIZE;

use super::{
    NamedSegment, NamedStripe, NamedVolume, PhysicalVolume, VolumeGroup, assemble,
    config::{self, Data, Section},
};
use crate::{ParseError, ParseErrorKind, lines::whole_text};

const CONTENTS: &str = "Text Format Volume Group";

/// Reads LVM's text metadata: `vgcfgbackup`, `/etc/lvm/backup/VG`.
///
/// Sizes are 512-byte sectors there. Several groups in one text are several groups here.
///
/// # Errors
/// [`ParseErrorKind::NotThisFormat`] for other texts and broken syntax,
/// [`ParseErrorKind::TooLong`] for nesting without end, [`ParseErrorKind::Inconsistent`] for what
/// [`VolumeGroup`] rules out (naming both lines of an overlap), and fields that are missing, no
/// numbers or too large.
///
/// # Examples
/// See [`VolumeGroup`].
pub fn parse_vgcfg(input: impl Read) -> Result<Vec<VolumeGroup>, ParseError> {
    let text = whole_text(input)?;
    let top = config::parse(&text)?;
    if top.text("contents")? != Some(CONTENTS) {
        let hint = "expected contents = \"Text Format Volume Group\", as vgcfgbackup writes";
        return Err(ParseError::new(ParseErrorKind::NotThisFormat, "text", "", hint));
    }
    top.sections.iter().map(group).collect()
}

fn group(section: &Section<'_>) -> Result<VolumeGroup, ParseError> {
    let inner = |name| section.section(name).map_or(&[][..], |s| &s.sections);
    let pvs: Result<Vec<_>, _> = inner("physical_volumes").iter().map(physical).collect();
    let lvs: Result<Vec<_>, _> = inner("logical_volumes").iter().map(logical).collect();
    let extent_bytes = sectors(section, "extent_size", section.number("extent_size")?)?;
    assemble(section.at(), section.name, extent_bytes, pvs?, &lvs?).map(|(group, _)| group)
}

fn sectors(section: &Section<'_>, key: &'static str, count: u64) -> Result<u64, ParseError> {
    let too_large = || section.at().too_large(key, &count.to_string());
    count.checked_mul(SECTOR_SIZE).ok_or_else(too_large)
}

fn physical(section: &Section<'_>) -> Result<PhysicalVolume, ParseError> {
    let mut names = vec![section.name.to_owned()];
    // A device that was missing is written as "[unknown]", which names nothing.
    names.extend(section.text("device")?.filter(|n| n.starts_with('/')).map(str::to_owned));
    names.extend(section.text("id")?.filter(|n| !n.is_empty()).map(str::to_owned));
    let dev_size = section.optional_number("dev_size")?;
    Ok(PhysicalVolume {
        names,
        pe_start: sectors(section, "pe_start", section.number("pe_start")?)?,
        pe_count: section.number("pe_count")?,
        dev_bytes: dev_size.map(|n| sectors(section, "dev_size", n)).transpose()?,
        line: section.line,
    })
}

fn logical(section: &Section<'_>) -> Result<NamedVolume, ParseError> {
    let is_segment =
        |s: &&Section<'_>| s.name.strip_prefix("segment").is_some_and(crate::lines::is_digits);
    let segments: Result<Vec<_>, _> =
        section.sections.iter().filter(is_segment).map(segment).collect();
    let mut segments = segments?;
    let count = section.number("segment_count")?;
    if count != segments.len() as u64 {
        let hint = format!("there are {}", segments.len());
        let value = count.to_string();
        return Err(section.at().err(ParseErrorKind::Inconsistent, "segment_count", &value, hint));
    }
    segments.sort_by_key(|s| s.start_extent);
    let visible = section.list("status").is_ok_and(|status| {
        status.iter().any(|word| matches!(word, Data::Text(t) if t == "VISIBLE"))
    });
    Ok(NamedVolume { name: section.name.to_owned(), visible, segments, line: section.line })
}

fn segment(section: &Section<'_>) -> Result<NamedSegment, ParseError> {
    let mut found = NamedSegment {
        start_extent: section.number("start_extent")?,
        extent_count: section.number("extent_count")?,
        type_name: section.required_text("type")?.to_owned(),
        chunk_bytes: None,
        stripes: Vec::new(),
        line: section.line,
    };
    if !found.is_placed() {
        // Whatever it names may be a physical volume that it uses.
        found.stripes = section.lists().flat_map(named_in).collect();
        return Ok(found);
    }
    found.stripes = stripes(section)?;
    let count = section.number("stripe_count")?;
    if count != found.stripes.len() as u64 {
        let hint = format!("there are {}", found.stripes.len());
        let value = count.to_string();
        return Err(section.at().err(ParseErrorKind::Inconsistent, "stripe_count", &value, hint));
    }
    if count > 1 {
        found.chunk_bytes = Some(sectors(section, "stripe_size", section.number("stripe_size")?)?);
    }
    Ok(found)
}

/// `[ "pv0", 5, "pv1", 0 ]`
fn stripes(section: &Section<'_>) -> Result<Vec<NamedStripe>, ParseError> {
    let at = section
        .value("stripes")
        .map_or(section.at(), |v| crate::lines::Line { number: v.line, text: "" });
    let mut found = Vec::new();
    for pair in section.list("stripes")?.chunks(2) {
        let [Data::Text(target), Data::Word(first)] = pair else {
            let hint = "expected pairs of a name in quotes and a number";
            return Err(at.err(ParseErrorKind::NotThisFormat, "stripes", "", hint));
        };
        let first_extent = at.number("first extent", first, "extents")?;
        found.push(NamedStripe { target: target.clone(), first_extent });
    }
    Ok(found)
}

fn named_in<'s>(list: &'s [Data<'_>]) -> impl Iterator<Item = NamedStripe> + use<'s> {
    let names: Vec<NamedStripe> = list
        .iter()
        .filter_map(|item| match item {
            Data::Text(name) => Some(NamedStripe { target: name.clone(), first_extent: 0 }),
            Data::Word(_) | Data::List(_) => None,
        })
        .collect();
    names.into_iter()
}
