use std::{collections::BTreeMap, io::Read};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Area, NamedSegment, NamedStripe, NamedVolume, PhysicalVolume, VolumeGroup, assemble,
    unbracketed, units,
};
use crate::{
    ParseError, ParseErrorKind,
    json::{self, LineFinder},
    lines::{Line, whole_text},
};

/// The segments of `lvs`, before they are put together with the physical volumes of `pvs`.
///
/// # Examples
/// See [`LvsReport::volume_groups`].
#[derive(Debug, Clone)]
pub struct LvsReport {
    rows: Vec<LvRow>,
}

/// The physical volumes and their segments of `pvs --segments`.
///
/// # Examples
/// See [`LvsReport::volume_groups`].
#[derive(Debug, Clone)]
pub struct PvsReport {
    rows: Vec<PvRow>,
}

/// One segment of a logical volume.
#[derive(Debug, Clone)]
struct LvRow {
    group: String,
    name: String,
    visible: bool,
    segment: NamedSegment,
    extent_bytes: Option<u64>,
    line: u64,
}

/// One segment of a physical volume. Columns that were not reported are `None`.
#[derive(Debug, Clone)]
struct PvRow {
    names: Vec<String>,
    group: Option<String>,
    pe_start: u64,
    first: u64,
    count: u64,
    /// Which logical volume has it; empty for none.
    lv: Option<String>,
    /// No logical volume has it.
    free: bool,
    extent_bytes: Option<u64>,
    dev_bytes: Option<u64>,
    line: u64,
}

/// Reads `lvs -a --segments --reportformat json --units b -o
/// lv_name,vg_name,segtype,stripes,stripe_size,seg_start_pe,seg_size_pe,seg_pe_ranges,devices,vg_extent_size`.
///
/// `stripes` and `stripe_size` may be missing where all is linear, and `seg_pe_ranges` always.
/// Sizes need their units. Lines are those of the elements.
///
/// # Errors
/// [`ParseErrorKind::NotThisFormat`] for broken JSON and other reports,
/// [`ParseErrorKind::MissingField`] for columns that were not reported,
/// [`ParseErrorKind::BadUnit`] for sizes that were rounded, [`ParseErrorKind::Inconsistent`] for
/// columns that contradict each other.
///
/// # Examples
/// See [`LvsReport::volume_groups`].
pub fn parse_lvs_json(input: impl Read) -> Result<LvsReport, ParseError> {
    let text = whole_text(input)?;
    Ok(LvsReport { rows: rows(&text, &["lv", "seg"], lv_row)? })
}

/// Reads `pvs --segments --reportformat json --units b -o
/// pv_name,vg_name,pe_start,pvseg_start,pvseg_size,lv_name,seg_start_pe,segtype,vg_extent_size`.
///
/// `pv_uuid` and `dev_size` are used when reported. `vg_name` may be missing when `lvs` tells which
/// group a device belongs to. Lines are those of the elements.
///
/// # Errors
/// As [`parse_lvs_json`].
///
/// # Examples
/// See [`LvsReport::volume_groups`].
pub fn parse_pvs_json(input: impl Read) -> Result<PvsReport, ParseError> {
    let text = whole_text(input)?;
    Ok(PvsReport { rows: rows(&text, &["pvseg", "pv"], pv_row)? })
}

impl LvsReport {
    /// The volume groups that the two reports describe together.
    ///
    /// # Errors
    /// [`ParseErrorKind::Inconsistent`] for what [`VolumeGroup`] rules out and where the reports
    /// contradict each other, such as an area that `pvs` gives to a volume that `lvs` does not
    /// list (hidden volumes need `lvs -a`). Lines are those of `lvs`; of `pvs` where the text of
    /// the error says so.
    ///
    /// # Examples
    /// ```
    /// use badrange_input::{parse_lvs_json, parse_pvs_json};
    /// let lvs = r#"{"report":[{"lv":[{"lv_name":"a","vg_name":"vg","segtype":"linear",
    ///   "seg_start_pe":"0","seg_size_pe":"4","devices":"/dev/sda(3)","vg_extent_size":"8192S"}]}]}"#;
    /// let pvs = r#"{"report":[{"pvseg":[
    ///   {"pv_name":"/dev/sda","pe_start":"1.00m","pvseg_start":"0","pvseg_size":"3","lv_name":""},
    ///   {"pv_name":"/dev/sda","pe_start":"1.00m","pvseg_start":"3","pvseg_size":"4","lv_name":"a"}]}]}"#;
    /// let lvs = parse_lvs_json(lvs.as_bytes())?;
    /// let groups = lvs.volume_groups(&parse_pvs_json(pvs.as_bytes())?)?;
    /// assert_eq!((groups[0].pvs[0].pe_start, groups[0].pvs[0].pe_count), (1 << 20, 7));
    /// assert_eq!(groups[0].lvs[0].dm_name, "vg-a");
    /// # Ok::<(), badrange_input::ParseError>(())
    /// ```
    pub fn volume_groups(&self, pvs: &PvsReport) -> Result<Vec<VolumeGroup>, ParseError> {
        let mut groups: BTreeMap<&str, (Vec<&LvRow>, Vec<&PvRow>)> = BTreeMap::new();
        for row in &self.rows {
            groups.entry(&row.group).or_default().0.push(row);
        }
        for row in &pvs.rows {
            match self.group_of(row)? {
                "" => {} // A physical volume of no group.
                name => groups.entry(name).or_default().1.push(row),
            }
        }
        groups.into_iter().map(|(name, (lvs, pvs))| group(name, &lvs, &pvs)).collect()
    }

    /// The group of a segment of `pvs`: its own column, or that of a volume on the device, or the
    /// only one there is.
    fn group_of<'a>(&'a self, row: &'a PvRow) -> Result<&'a str, ParseError> {
        if let Some(group) = &row.group {
            return Ok(group);
        }
        let uses = |lv: &&LvRow| lv.segment.stripes.iter().any(|s| row.names.contains(&s.target));
        if let Some(lv) = self.rows.iter().find(uses) {
            return Ok(&lv.group);
        }
        let first = self.rows.first().map(|lv| &*lv.group);
        first.filter(|name| self.rows.iter().all(|lv| lv.group == *name)).ok_or_else(|| {
            let hint =
                "pvs did not report it, and lvs does not tell; report it with pvs -o +vg_name";
            in_pvs(row).err(ParseErrorKind::MissingField, "vg_name", "", hint).in_pvs()
        })
    }
}

fn in_pvs(row: &PvRow) -> Line<'static> {
    Line { number: row.line, text: "" }
}

fn group(name: &str, lvs: &[&LvRow], pvs: &[&PvRow]) -> Result<VolumeGroup, ParseError> {
    let number = lvs.first().map(|r| r.line).or(pvs.first().map(|r| r.line)).unwrap_or(1);
    let line = Line { number, text: "" };
    let mut sizes = lvs.iter().filter_map(|r| r.extent_bytes);
    let mut all = sizes.by_ref().chain(pvs.iter().filter_map(|r| r.extent_bytes));
    let Some(extent_bytes) = all.next() else {
        let hint = "neither report has it; report it with lvs -o +vg_extent_size";
        return Err(line.err(ParseErrorKind::MissingField, "vg_extent_size", name, hint));
    };
    if let Some(other) = all.find(|size| *size != extent_bytes) {
        let hint = format!("another row of group {name} says {extent_bytes} bytes");
        let value = other.to_string();
        return Err(line.err(ParseErrorKind::Inconsistent, "vg_extent_size", &value, hint));
    }
    let volumes = volumes(lvs);
    let (group, areas) = assemble(line, name, extent_bytes, physical(pvs)?, &volumes)?;
    check_against_pvs(&group, &areas, &volumes, pvs)?;
    Ok(group)
}

/// One volume of the segments that have its name.
fn volumes(rows: &[&LvRow]) -> Vec<NamedVolume> {
    let mut found: Vec<NamedVolume> = Vec::new();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        let at = *index.entry(&row.name).or_insert(found.len());
        if at == found.len() {
            found.push(NamedVolume {
                name: row.name.clone(),
                visible: row.visible,
                segments: Vec::new(),
                line: row.line,
            });
        }
        found.get_mut(at).into_iter().for_each(|v| v.segments.push(row.segment.clone()));
    }
    for volume in &mut found {
        volume.segments.sort_by_key(|s| s.start_extent);
    }
    found
}

/// One physical volume of the segments that have its name.
fn physical(rows: &[&PvRow]) -> Result<Vec<PhysicalVolume>, ParseError> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|r| (r.names.first(), r.first));
    let mut found: Vec<PhysicalVolume> = Vec::new();
    for row in rows {
        let same = found.last_mut().filter(|pv| pv.names.first() == row.names.first());
        let known = same.as_ref().map_or(0, |pv| pv.pe_count);
        let at = in_pvs(row);
        if row.first != known {
            let hint = format!(
                "in pvs, the segments of {} should go on at extent {known}",
                row.names.first().map_or("", |n| n)
            );
            let value = row.first.to_string();
            return Err(at.err(ParseErrorKind::Inconsistent, "pvseg_start", &value, hint).in_pvs());
        }
        let end =
            known.checked_add(row.count).ok_or_else(|| at.too_large("pvseg_size", "").in_pvs())?;
        match same {
            Some(pv) if (pv.pe_start, pv.dev_bytes) != (row.pe_start, row.dev_bytes) => {
                let hint = "in pvs, the rows of one physical volume differ in it";
                return Err(at
                    .err(ParseErrorKind::Inconsistent, "pe_start or dev_size", "", hint)
                    .in_pvs());
            }
            Some(pv) => pv.pe_count = end,
            None => found.push(PhysicalVolume {
                names: row.names.clone(),
                pe_start: row.pe_start,
                pe_count: end,
                dev_bytes: row.dev_bytes,
                line: row.line,
            }),
        }
    }
    Ok(found)
}

/// What `pvs` says of its areas must be what `lvs` says.
fn check_against_pvs(
    group: &VolumeGroup,
    areas: &[Area],
    volumes: &[NamedVolume],
    rows: &[&PvRow],
) -> Result<(), ParseError> {
    for row in rows {
        let Some(pv) = group.pvs.iter().position(|pv| pv.names.first() == row.names.first()) else {
            continue; // Each row made one.
        };
        let end = row.first.saturating_add(row.count);
        let mut covered = 0_u64;
        for area in areas.iter().filter(|a| a.pv == pv && a.first < end && row.first < a.end) {
            let owner = volumes.get(area.lv).map_or("", |v| &*v.name);
            if row.free || row.lv.as_ref().is_some_and(|lv| lv != owner) {
                return Err(disagree(row, owner));
            }
            // NO-OVERFLOW: areas lie apart and inside the physical volume.
            let len = area.end.min(end).saturating_sub(area.first.max(row.first));
            covered = covered.saturating_add(len);
        }
        if covered != row.count && !row.free && !may_be_elsewhere(volumes, row) {
            return Err(disagree(row, ""));
        }
    }
    Ok(())
}

/// Whether the volume that has a row has segments whose areas are not known.
fn may_be_elsewhere(volumes: &[NamedVolume], row: &PvRow) -> bool {
    let mut maybe = volumes.iter().filter(|v| row.lv.as_ref().is_none_or(|lv| *lv == v.name));
    maybe.any(|v| v.segments.iter().any(|s| !s.is_placed()))
}

#[cold]
fn disagree(row: &PvRow, owner: &str) -> ParseError {
    let in_lvs = if owner.is_empty() { "nobody, or only a part" } else { owner };
    let by_pvs = match &row.lv {
        _ if row.free => "nobody",
        Some(lv) => lv,
        None => "somebody",
    };
    let hint = format!(
        "pvs gives extents {}+{} of {} to {by_pvs}, lvs to {in_lvs}; report both at one time, \
         with lvs -a",
        row.first,
        row.count,
        row.names.first().map_or("", |n| n),
    );
    in_pvs(row).err(ParseErrorKind::Inconsistent, "line of pvs", "", hint).in_pvs()
}

#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    report: Vec<BTreeMap<String, &'a RawValue>>,
}

/// The elements of the first of these arrays that a report has.
fn rows<T>(
    text: &str,
    keys: &[&str],
    read: fn(&Row) -> Result<T, ParseError>,
) -> Result<Vec<T>, ParseError> {
    let document: Document<'_> = json::parse(text, "LVM report")?;
    let mut lines = LineFinder::new(text);
    let mut found = Vec::new();
    for part in &document.report {
        let Some(array) = keys.iter().find_map(|key| part.get(*key)) else {
            let have: Vec<&str> = part.keys().map(|k| &**k).collect();
            let hint = format!("expected the rows {:?}, as LVM reports them", keys.join(" or "));
            let kind = ParseErrorKind::NotThisFormat;
            return Err(ParseError::new(kind, "rows", &have.join(","), hint));
        };
        let elements: Vec<&RawValue> = json::element(array, "rows", lines.line(array.get()))?;
        for raw in elements {
            let line = lines.line(raw.get());
            let map = json::element(raw, "row", line)?;
            found.push(read(&Row { map, at: Line { number: line, text: "" } })?);
        }
    }
    Ok(found)
}

/// An element of a report. `json` writes all values as strings, `json_std` writes numbers and
/// lists.
struct Row {
    map: Map<String, Value>,
    at: Line<'static>,
}

impl Row {
    fn optional(&self, key: &'static str) -> Option<String> {
        match self.map.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Array(items) => {
                Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
            }
            Value::Null | Value::Bool(_) | Value::Object(_) => None,
        }
    }

    fn required(&self, key: &'static str) -> Result<String, ParseError> {
        self.optional(key).ok_or_else(|| {
            let hint = "LVM did not report it; add it with -o";
            self.at.err(ParseErrorKind::MissingField, key, "", hint)
        })
    }

    fn count(&self, key: &'static str) -> Result<u64, ParseError> {
        self.at.number(key, &self.required(key)?, "extents")
    }

    fn bytes(&self, key: &'static str) -> Result<Option<u64>, ParseError> {
        let text = self.optional(key).filter(|text| !text.is_empty());
        text.map(|text| units::bytes(self.at, key, &text)).transpose()
    }
}

fn pv_row(row: &Row) -> Result<PvRow, ParseError> {
    let mut names = vec![row.required("pv_name")?];
    names.extend(row.optional("pv_uuid").filter(|n| !n.is_empty()));
    let lv = row.optional("lv_name").map(|name| unbracketed(&name).0.to_owned());
    let free = match (&lv, row.optional("segtype")) {
        (Some(lv), _) => lv.is_empty(),
        (None, Some(segtype)) => segtype == "free",
        // Without either, an area in use would pass for free.
        (None, None) => row.required("lv_name").map(|_| false)?,
    };
    Ok(PvRow {
        names,
        group: row.optional("vg_name"),
        pe_start: units::bytes(row.at, "pe_start", &row.required("pe_start")?)?,
        first: row.count("pvseg_start")?,
        count: row.count("pvseg_size")?,
        lv,
        free,
        extent_bytes: row.bytes("vg_extent_size")?,
        dev_bytes: row.bytes("dev_size")?,
        line: row.at.number,
    })
}

fn lv_row(row: &Row) -> Result<LvRow, ParseError> {
    let name = row.required("lv_name")?;
    let (name, visible) = unbracketed(&name);
    let mut segment = NamedSegment {
        start_extent: row.count("seg_start_pe")?,
        extent_count: row.count("seg_size_pe")?,
        type_name: row.required("segtype")?,
        chunk_bytes: None,
        stripes: devices(row.at, &row.required("devices")?)?,
        target: None,
        line: row.at.number,
    };
    if segment.is_placed() {
        check_ranges(row, &segment)?;
        check_stripes(row, &mut segment)?;
    }
    Ok(LvRow {
        group: row.required("vg_name")?,
        name: name.to_owned(),
        visible,
        segment,
        extent_bytes: row.bytes("vg_extent_size")?,
        line: row.at.number,
    })
}

fn check_stripes(row: &Row, segment: &mut NamedSegment) -> Result<(), ParseError> {
    let count = segment.stripes.len() as u64;
    if let Some(said) = row.optional("stripes") {
        if row.at.number("stripes", &said, "stripes")? != count {
            let hint = format!("devices lists {count}");
            return Err(row.at.err(ParseErrorKind::Inconsistent, "stripes", &said, hint));
        }
    }
    if count > 1 {
        let chunk = units::bytes(row.at, "stripe_size", &row.required("stripe_size")?)?;
        segment.chunk_bytes = Some(chunk);
    }
    Ok(())
}

/// `seg_pe_ranges` says with ends what `devices` says without.
fn check_ranges(row: &Row, segment: &NamedSegment) -> Result<(), ParseError> {
    let Some(said) = row.optional("seg_pe_ranges").filter(|said| !said.is_empty()) else {
        return Ok(());
    };
    let each = segment.per_stripe()?;
    let ranges: Vec<String> = segment
        .stripes
        .iter()
        .map(|s| {
            let last = u128::from(s.first_extent).wrapping_add(u128::from(each)).wrapping_sub(1);
            format!("{}:{}-{last}", s.target, s.first_extent)
        })
        .collect();
    if said != ranges.join(" ") && said != ranges.join(",") {
        let hint = format!("by devices and size it is {:?}", ranges.join(" "));
        return Err(row.at.err(ParseErrorKind::Inconsistent, "seg_pe_ranges", &said, hint));
    }
    Ok(())
}

/// `/dev/loop2(5),/dev/loop3(0)`
fn devices(at: Line<'_>, text: &str) -> Result<Vec<NamedStripe>, ParseError> {
    let mut found = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let (one, after) = rest.split_once("),").unwrap_or((rest, ""));
        let one = one.strip_suffix(')').unwrap_or(one);
        let Some((target, first)) = one.rsplit_once('(') else {
            let hint = "expected 'DEVICE(EXTENT),...'";
            return Err(at.err(ParseErrorKind::NotThisFormat, "devices", text, hint));
        };
        let first_extent = at.number("first extent", first, "extents")?;
        found.push(NamedStripe { target: target.to_owned(), first_extent });
        rest = after;
    }
    Ok(found)
}
