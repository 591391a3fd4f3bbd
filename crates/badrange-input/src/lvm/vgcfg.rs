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
    let volumes = inner("logical_volumes");
    let stale: Vec<_> =
        volumes.iter().filter(|v| has_status(v, "REBUILD")).map(|v| v.name).collect();
    let lvs: Result<Vec<_>, _> = volumes.iter().map(|volume| logical(volume, &stale)).collect();
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

fn has_status(section: &Section<'_>, wanted: &str) -> bool {
    section
        .list("status")
        .is_ok_and(|status| status.iter().any(|word| matches!(word, Data::Text(t) if t == wanted)))
}

fn logical(section: &Section<'_>, stale: &[&str]) -> Result<NamedVolume, ParseError> {
    let is_segment =
        |s: &&Section<'_>| s.name.strip_prefix("segment").is_some_and(crate::lines::is_digits);
    let segments: Result<Vec<_>, _> =
        section.sections.iter().filter(is_segment).map(|s| segment(s, stale)).collect();
    let mut segments = segments?;
    let count = section.number("segment_count")?;
    if count != segments.len() as u64 {
        let hint = format!("there are {}", segments.len());
        let value = count.to_string();
        return Err(section.at().err(ParseErrorKind::Inconsistent, "segment_count", &value, hint));
    }
    segments.sort_by_key(|s| s.start_extent);
    let visible = has_status(section, "VISIBLE");
    Ok(NamedVolume { name: section.name.to_owned(), visible, segments, line: section.line })
}

fn segment(section: &Section<'_>, stale: &[&str]) -> Result<NamedSegment, ParseError> {
    let mut found = NamedSegment {
        start_extent: section.number("start_extent")?,
        extent_count: section.number("extent_count")?,
        type_name: section.required_text("type")?.to_owned(),
        chunk_bytes: None,
        stripes: Vec::new(),
        target: None,
        line: section.line,
    };
    let thin = thin(section, &found.type_name)?;
    let target = thin.map_or_else(|| array(section, &found.type_name, stale), |t| Ok(Some(t)))?;
    if let Some((target, parts)) = target {
        found.target = Some(target);
        found.stripes = parts;
        return Ok(found);
    }
    if !found.is_placed() {
        // Whatever it names may be a physical volume that it uses.
        found.stripes = section.lists().flat_map(named_in).collect();
        return Ok(found);
    }
    found.stripes = stripes(section, "stripes")?;
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

/// The device-mapper target that LVM loads for a segment over other volumes: its words, in which the
/// volumes are called `p0`, `p1` and so on, and the volumes.
type Loaded = (String, Vec<NamedStripe>);

/// A thin pool or a volume of one. `None` for other segments, for those that do not say enough, and
/// for a snapshot that is about to be merged into its origin: which of the two has a block then, the
/// text does not tell.
fn thin(section: &Section<'_>, type_name: &str) -> Result<Option<Loaded>, ParseError> {
    let named = |key| Ok(section.text(key)?.map(whole_volume));
    let (target, parts) = match type_name {
        // A mark for LVM: the size of the metadata was cut to what the kernel uses.
        "thin-pool" | "thin-pool+CROP_METADATA" => {
            let chunk = section.optional_number("chunk_size")?;
            let target = chunk.map(|sectors| format!("thin-pool p0 p1 {sectors} 0"));
            (target, vec![named("metadata")?, named("pool")?])
        }
        "thin" if section.value("merge").is_none() => {
            let origin = named("external_origin")?;
            let second = if origin.is_some() { " p1" } else { "" };
            let id = section.optional_number("device_id")?;
            let parts = [named("thin_pool")?].into_iter().chain(origin.map(Some)).collect();
            (id.map(|id| format!("thin p0 {id}{second}")), parts)
        }
        _ => return Ok(None),
    };
    Ok(target.zip(parts.into_iter().collect()))
}

/// An array of hidden volumes. `None` for other segments, and for what is not known how LVM would load
/// it.
fn array(
    section: &Section<'_>,
    type_name: &str,
    stale: &[&str],
) -> Result<Option<Loaded>, ParseError> {
    // An array on its way to another shape has bytes in two places.
    let moves = ["reshape_count", "data_offset"].iter().any(|key| section.value(key).is_some());
    let list = match type_name {
        _ if moves => return Ok(None),
        "mirror" => "mirrors",
        "raid0" => "raid0_lvs",
        name if name.starts_with("raid") => "raids",
        _ => return Ok(None),
    };
    if section.value(list).is_none() {
        return Ok(None);
    }
    let parts = match list {
        "mirrors" => stripes(section, list)?,
        _ => named_in(section.list(list)?).collect(),
    };
    let target = match type_name {
        "mirror" => {
            let on: String = (0..parts.len()).map(|part| format!(" p{part} 0")).collect();
            format!("mirror core 1 1024 {}{on}", parts.len())
        }
        _ => raid(section, type_name, stale, &parts)?,
    };
    Ok(Some((target, parts)))
}

/// The words of a `raid` target. Metadata and data take turns in the parts; `raid0` has data alone.
fn raid(
    section: &Section<'_>,
    type_name: &str,
    stale: &[&str],
    parts: &[NamedStripe],
) -> Result<String, ParseError> {
    let paired = type_name != "raid0";
    let mut params = vec![section.optional_number("stripe_size")?.unwrap_or(0).to_string()];
    let data = parts.iter().skip(usize::from(paired)).step_by(if paired { 2 } else { 1 });
    for (image, _) in data.enumerate().filter(|(_, part)| stale.contains(&part.target.as_str())) {
        params.extend(["rebuild".to_owned(), image.to_string()]);
    }
    let copies = section.optional_number("data_copies")?.filter(|n| *n > 1);
    if let Some(copies) = copies.filter(|_| type_name.starts_with("raid10")) {
        params.extend(["raid10_copies".to_owned(), copies.to_string()]);
    }
    let kind = match type_name {
        "raid5" => "raid5_ls",
        "raid6" => "raid6_zr",
        other => other,
    };
    let no_metadata = if paired { "" } else { " -" };
    let on: String = (0..parts.len()).map(|part| format!("{no_metadata} p{part}")).collect();
    let images = if paired { parts.len() / 2 } else { parts.len() };
    Ok(format!("raid {kind} {} {} {images}{on}", params.len(), params.join(" ")))
}

/// `[ "pv0", 5, "pv1", 0 ]`
fn stripes(section: &Section<'_>, key: &'static str) -> Result<Vec<NamedStripe>, ParseError> {
    let at = section
        .value(key)
        .map_or(section.at(), |v| crate::lines::Line { number: v.line, text: "" });
    let mut found = Vec::new();
    for pair in section.list(key)?.chunks(2) {
        let [Data::Text(target), Data::Word(first)] = pair else {
            let hint = "expected pairs of a name in quotes and a number";
            return Err(at.err(ParseErrorKind::NotThisFormat, key, "", hint));
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
            Data::Text(name) => Some(whole_volume(name)),
            Data::Word(_) | Data::List(_) => None,
        })
        .collect();
    names.into_iter()
}

/// A volume from its first extent on.
fn whole_volume(name: &str) -> NamedStripe {
    NamedStripe { target: name.to_owned(), first_extent: 0 }
}
