mod config;
mod report;
mod units;
mod vgcfg;

pub use self::{
    report::{LvsReport, PvsReport, parse_lvs_json, parse_pvs_json},
    vgcfg::parse_vgcfg,
};
use crate::{ParseError, ParseErrorKind, lines::Line};

/// A volume group: its physical volumes, and where its logical volumes lie on them.
///
/// Extents here are LVM's physical extents, counted; [`extent_bytes`](Self::extent_bytes) tells
/// their size. Segments of a logical volume are in order, without gaps from extent 0; areas lie
/// inside their physical volume and no two of them overlap.
///
/// # Examples
/// ```
/// let text = r#"contents = "Text Format Volume Group"
/// vg { extent_size = 8192
///   physical_volumes { pv0 { device = "/dev/sda" pe_start = 2048 pe_count = 9 } }
///   logical_volumes { a-b { segment_count = 1
///     segment1 { start_extent = 0 extent_count = 4 type = "striped" stripe_count = 1
///       stripes = [ "pv0", 3 ] } } }
/// }"#;
/// let vg = &badrange_input::parse_vgcfg(text.as_bytes())?[0];
/// assert_eq!((vg.extent_bytes, &*vg.lvs[0].dm_name), (4 << 20, "vg-a--b"));
/// assert_eq!(vg.pvs[0].names, ["pv0", "/dev/sda"]);
/// # Ok::<(), badrange_input::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Bytes of one physical extent.
    pub extent_bytes: u64,
    /// Its physical volumes.
    pub pvs: Vec<PhysicalVolume>,
    /// Its logical volumes, hidden ones included as far as the text lists them.
    pub lvs: Vec<LogicalVolume>,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// A device that gives extents to a volume group.
///
/// # Examples
/// See [`VolumeGroup`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PhysicalVolume {
    /// Every name the text gives it: `pv0`, `/dev/sda2`, its uuid. The first is unique; a device
    /// that `vgcfgbackup` names was only where the volume was last seen.
    pub names: Vec<String>,
    /// Bytes from the start of the device to its extent 0.
    pub pe_start: u64,
    /// How many extents it has.
    pub pe_count: u64,
    /// Bytes of the device, where the text tells.
    pub dev_bytes: Option<u64>,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// A logical volume.
///
/// # Examples
/// See [`VolumeGroup`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogicalVolume {
    /// Its name within the volume group, without brackets.
    pub name: String,
    /// `<vg>-<lv>` with the dashes of both doubled, as device-mapper names it.
    pub dm_name: String,
    /// False for the hidden parts of other volumes (`[pool_tdata]`).
    pub visible: bool,
    /// Its segments, in order, without gaps from extent 0.
    pub segments: Vec<LvSegment>,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// LVM puts a thin pool itself below a device of the pool's name.
pub(crate) const POOL_SUFFIX: &str = "-tpool";

impl LogicalVolume {
    /// How device-mapper names the pool, if it is a thin pool: [`dm_name`](Self::dm_name) is what LVM
    /// puts above it.
    #[must_use]
    pub fn thin_pool(&self) -> Option<String> {
        let is_pool = |segment: &LvSegment| match &segment.kind {
            SegmentKind::Target { target, .. } => target.starts_with("thin-pool "),
            SegmentKind::Striped { .. } | SegmentKind::Unsupported { .. } => false,
        };
        self.segments.iter().any(is_pool).then(|| format!("{}{POOL_SUFFIX}", self.dm_name))
    }
}

/// A contiguous part of a logical volume.
///
/// # Examples
/// See [`VolumeGroup`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LvSegment {
    /// Its first extent in the logical volume.
    pub start_extent: u64,
    /// How many extents it has, all stripes together.
    pub extent_count: u64,
    /// Where they are.
    pub kind: SegmentKind,
    /// The line it begins in, from 1.
    pub line: u64,
}

/// How a segment is laid out.
///
/// # Examples
/// ```
/// use badrange_input::{SegmentKind, Stripe, StripeTarget};
/// let linear = SegmentKind::Striped {
///     chunk_bytes: None,
///     stripes: vec![Stripe { target: StripeTarget::Pv(0), first_extent: 3 }],
/// };
/// assert_ne!(linear, SegmentKind::Unsupported { type_name: "raid1".into(), on: vec![] });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// One stripe: linear. Several: chunks in turn, each stripe with an equal part of the extents.
    Striped {
        /// Bytes of a chunk; `None` for one stripe.
        chunk_bytes: Option<u64>,
        /// The stripes in order.
        stripes: Vec<Stripe>,
    },
    /// A target of its own over other volumes: RAID, mirrors, thin pools and their volumes.
    Target {
        /// The device-mapper target that LVM loads for it, from its type on:
        /// `raid raid1 1 0 2 p0 p1 p2 p3`, `thin p0 1`.
        target: String,
        /// What `p0`, `p1` and so on in it stand for.
        parts: Vec<StripeTarget>,
    },
    /// A type whose layout is not known here: cache, snapshot, error, arrays on their way to another
    /// shape or place, and all arrays, thin pools and thin volumes of reports of `lvs`.
    Unsupported {
        /// The type as the text names it.
        type_name: String,
        /// Physical volumes it uses directly, as indices; which of their extents is not known.
        on: Vec<usize>,
    },
}

/// Where a stripe begins.
///
/// # Examples
/// See [`SegmentKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stripe {
    /// What it lies on.
    pub target: StripeTarget,
    /// Its first extent there.
    pub first_extent: u64,
}

/// What a stripe lies on.
///
/// # Examples
/// See [`SegmentKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StripeTarget {
    /// An index into [`VolumeGroup::pvs`].
    Pv(usize),
    /// An index into [`VolumeGroup::lvs`].
    Lv(usize),
}

/// `<vg>-<lv>`, dashes doubled.
fn dm_name(vg: &str, lv: &str) -> String {
    format!("{}-{}", vg.replace('-', "--"), lv.replace('-', "--"))
}

/// The name without the brackets of hidden volumes, and whether it had none.
fn unbracketed(name: &str) -> (&str, bool) {
    match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(hidden) => (hidden, false),
        None => (name, true),
    }
}

/// A stripe before its target's name is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NamedStripe {
    target: String,
    first_extent: u64,
}

/// A segment in the words of the text.
#[derive(Debug, Clone)]
struct NamedSegment {
    start_extent: u64,
    extent_count: u64,
    type_name: String,
    chunk_bytes: Option<u64>,
    /// Complete for [`Self::is_placed`] and with a target; otherwise whatever names stand there.
    stripes: Vec<NamedStripe>,
    /// A target of device-mapper; see [`SegmentKind::Target`].
    target: Option<String>,
    line: u64,
}

impl NamedSegment {
    fn is_placed(&self) -> bool {
        matches!(&*self.type_name, "striped" | "linear")
    }

    /// How many extents each stripe has.
    fn per_stripe(&self) -> Result<u64, ParseError> {
        let at = Line { number: self.line, text: "" };
        let count = self.stripes.len() as u64;
        let whole = self.extent_count.checked_rem(count) == Some(0);
        match self.extent_count.checked_div(count).filter(|_| whole && self.extent_count > 0) {
            Some(each) => Ok(each),
            None => {
                let hint = format!("{} extents do not fill {count} stripes", self.extent_count);
                Err(at.err(ParseErrorKind::Inconsistent, "segment", "", hint))
            }
        }
    }
}

/// A logical volume in the words of the text.
#[derive(Debug, Clone)]
struct NamedVolume {
    name: String,
    visible: bool,
    segments: Vec<NamedSegment>,
    line: u64,
}

/// Where an area of a physical volume begins and ends, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Area {
    pv: usize,
    first: u64,
    end: u64,
    line: u64,
    lv: usize,
}

/// Builds a volume group from its parts and checks what [`VolumeGroup`] promises.
fn assemble(
    line: Line<'_>,
    name: &str,
    extent_bytes: u64,
    pvs: Vec<PhysicalVolume>,
    volumes: &[NamedVolume],
) -> Result<(VolumeGroup, Vec<Area>), ParseError> {
    if extent_bytes == 0 {
        let hint = "extents have bytes";
        return Err(line.err(ParseErrorKind::Inconsistent, "extent size", "0", hint));
    }
    let mut group = VolumeGroup {
        name: name.to_owned(),
        extent_bytes,
        pvs,
        lvs: Vec::new(),
        line: line.number,
    };
    group.check_sizes()?;
    let names = Names::new(&group.pvs, volumes)?;
    let mut areas = Vec::new();
    for (lv, volume) in volumes.iter().enumerate() {
        let segments = group.segments(volume, lv, &names, &mut areas)?;
        group.lvs.push(LogicalVolume {
            name: volume.name.clone(),
            dm_name: dm_name(name, &volume.name),
            visible: volume.visible,
            segments,
            line: volume.line,
        });
    }
    areas.sort();
    check_apart(&areas, volumes)?;
    Ok((group, areas))
}

impl VolumeGroup {
    /// Everything must have a place in 64 bits.
    fn check_sizes(&self) -> Result<(), ParseError> {
        for pv in &self.pvs {
            let end =
                pv.pe_count.checked_mul(self.extent_bytes).and_then(|b| b.checked_add(pv.pe_start));
            let at = Line { number: pv.line, text: "" };
            let Some(end) = end else {
                return Err(at.too_large("end of physical volume", ""));
            };
            if pv.dev_bytes.is_some_and(|size| size < end) {
                let hint = "its extents reach beyond the device";
                let name = pv.names.first().map_or("", |n| n);
                return Err(at.err(ParseErrorKind::Inconsistent, "physical volume", name, hint));
            }
        }
        Ok(())
    }

    fn segments(
        &self,
        volume: &NamedVolume,
        lv: usize,
        names: &Names<'_>,
        areas: &mut Vec<Area>,
    ) -> Result<Vec<LvSegment>, ParseError> {
        let mut next = 0;
        let mut segments = Vec::with_capacity(volume.segments.len());
        for segment in &volume.segments {
            let at = Line { number: segment.line, text: "" };
            if segment.start_extent != next || segment.extent_count == 0 {
                let hint = format!("the segments of {} should go on at extent {next}", volume.name);
                let value = segment.start_extent.to_string();
                return Err(at.err(ParseErrorKind::Inconsistent, "segment start", &value, hint));
            }
            next = next
                .checked_add(segment.extent_count)
                .filter(|end| end.checked_mul(self.extent_bytes).is_some())
                .ok_or_else(|| at.too_large("end of segment", ""))?;
            segments.push(LvSegment {
                start_extent: segment.start_extent,
                extent_count: segment.extent_count,
                kind: self.kind(segment, lv, names, areas)?,
                line: segment.line,
            });
        }
        Ok(segments)
    }

    fn kind(
        &self,
        segment: &NamedSegment,
        lv: usize,
        names: &Names<'_>,
        areas: &mut Vec<Area>,
    ) -> Result<SegmentKind, ParseError> {
        if let Some(target) = &segment.target {
            let parts = segment.stripes.iter().map(|part| names.target(segment.line, &part.target));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            // What `pvmove` copies is a mirror too, of extents of physical volumes.
            let on_volumes = parts.iter().all(|part| matches!(part, StripeTarget::Lv(_)));
            if on_volumes && segment.stripes.iter().all(|part| part.first_extent == 0) {
                return Ok(SegmentKind::Target { target: target.clone(), parts });
            }
        }
        if !segment.is_placed() {
            let on = segment.stripes.iter().filter_map(|s| names.pv(&s.target)).collect();
            return Ok(SegmentKind::Unsupported { type_name: segment.type_name.clone(), on });
        }
        let each = segment.per_stripe()?;
        let mut stripes = Vec::with_capacity(segment.stripes.len());
        for stripe in &segment.stripes {
            let target = names.target(segment.line, &stripe.target)?;
            if let StripeTarget::Pv(pv) = target {
                areas.push(self.area(pv, lv, segment.line, stripe, each)?);
            }
            stripes.push(Stripe { target, first_extent: stripe.first_extent });
        }
        Ok(SegmentKind::Striped { chunk_bytes: segment.chunk_bytes, stripes })
    }

    fn area(
        &self,
        pv: usize,
        lv: usize,
        line: u64,
        stripe: &NamedStripe,
        each: u64,
    ) -> Result<Area, ParseError> {
        let count = self.pvs.get(pv).map_or(0, |pv| pv.pe_count);
        let end = stripe.first_extent.checked_add(each).filter(|end| *end <= count);
        match end {
            Some(end) => Ok(Area { pv, first: stripe.first_extent, end, line, lv }),
            None => {
                let hint = format!(
                    "{each} extents from {} on are more than the {count} it has",
                    stripe.first_extent
                );
                let at = Line { number: line, text: "" };
                Err(at.err(ParseErrorKind::Inconsistent, "stripe on", &stripe.target, hint))
            }
        }
    }
}

fn check_apart(areas: &[Area], volumes: &[NamedVolume]) -> Result<(), ParseError> {
    let name = |area: &Area| volumes.get(area.lv).map_or("", |v| &*v.name);
    for pair in areas.windows(2) {
        let [a, b] = pair else { continue };
        if a.pv == b.pv && b.first < a.end {
            let hint = format!(
                "its extents {}..{} overlap those of {}, line {}",
                b.first,
                b.end,
                name(a),
                a.line
            );
            let at = Line { number: b.line, text: "" };
            return Err(at.err(ParseErrorKind::Inconsistent, "segment of", name(b), hint));
        }
    }
    Ok(())
}

/// Finds physical and logical volumes by name.
struct Names<'a> {
    pvs: std::collections::HashMap<&'a str, usize>,
    lvs: std::collections::HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn new(pvs: &'a [PhysicalVolume], volumes: &'a [NamedVolume]) -> Result<Self, ParseError> {
        let mut found = Self { pvs: Default::default(), lvs: Default::default() };
        for (index, pv) in pvs.iter().enumerate() {
            // Stripes name a physical volume by its first name; the others may be stale hints.
            let name = pv.names.first().map_or("", |n| n);
            twice("physical volume", name, pv.line, found.pvs.insert(name, index))?;
        }
        for (index, lv) in volumes.iter().enumerate() {
            let name = &*lv.name;
            twice("logical volume", name, lv.line, found.lvs.insert(name, index))?;
        }
        Ok(found)
    }

    fn pv(&self, name: &str) -> Option<usize> {
        self.pvs.get(name).copied()
    }

    fn target(&self, line: u64, name: &str) -> Result<StripeTarget, ParseError> {
        let lv = || self.lvs.get(unbracketed(name).0).copied().map(StripeTarget::Lv);
        self.pv(name).map(StripeTarget::Pv).or_else(lv).ok_or_else(|| {
            let hint = "no physical or logical volume has this name";
            Line { number: line, text: "" }.err(
                ParseErrorKind::Inconsistent,
                "stripe on",
                name,
                hint,
            )
        })
    }
}

fn twice(
    field: &'static str,
    name: &str,
    line: u64,
    before: Option<usize>,
) -> Result<(), ParseError> {
    match before {
        None => Ok(()),
        Some(_) => {
            let hint = "two have this name";
            Err(ParseError::new(ParseErrorKind::Inconsistent, field, name, hint).at(line))
        }
    }
}
