//! The stack as nested address maps: a bar per device, what lies on it, and where it is bad.

use badrange_core::{Extent, Leg};
use badrange_input::Topology;

use crate::{Answer, PieceFound};

/// A device of the picture.
///
/// # Examples
/// See [`ImpactReport::picture`](super::ImpactReport::picture).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// Its name.
    pub device: String,
    /// Its bytes.
    pub bytes: u64,
    /// Devices of the picture that lie on it, in ascending order.
    pub parts: Vec<Part>,
    /// What is bad, in the order of the answer; the first ones where there are many.
    pub marks: Vec<Mark>,
}

/// A part of a device that another one lies on.
///
/// # Examples
/// See [`ImpactReport::picture`](super::ImpactReport::picture).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The device above.
    pub device: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// Bytes of a piece, on one device.
///
/// # Examples
/// See [`ImpactReport::picture`](super::ImpactReport::picture).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// First byte.
    pub start: u64,
    /// Bytes, from the first element to the last.
    pub len: u64,
    /// The query, counted from 0.
    pub query: usize,
    /// The piece of the query, counted from 0.
    pub piece: usize,
    /// Whether it is a loss.
    pub lost: Option<bool>,
}

/// Marks of one device, at most: more cannot be told apart.
const MAX_MARKS: usize = 1024;

pub(super) fn of(topology: &Topology, answer: &Answer) -> Vec<Bar> {
    let mut marks: Vec<Vec<Mark>> = vec![Vec::new(); topology.devices().len()];
    for (number, query) in answer.queries.iter().enumerate() {
        for (place, piece) in query.pieces.iter().enumerate() {
            mark(topology, (number, place), piece, &mut marks);
        }
    }
    let shown = |place: usize| marks.get(place).is_some_and(|marks| !marks.is_empty());
    let devices = topology.devices().iter().enumerate().zip(&marks);
    let bars = devices.filter(|(_, marks)| !marks.is_empty()).map(|((place, device), marks)| Bar {
        device: device.name.clone(),
        bytes: device.extent.len(),
        parts: parts(topology, place, &shown),
        marks: marks.clone(),
    });
    bars.collect()
}

fn mark(topology: &Topology, at: (usize, usize), piece: &PieceFound, marks: &mut [Vec<Mark>]) {
    let (stride, count) = piece.repeat.unwrap_or((0, 1));
    for position in piece.routes.iter().flatten() {
        let stride = position.stride.unwrap_or(stride);
        let len = stride.saturating_mul(count.saturating_sub(1)).saturating_add(piece.len);
        let named = topology.devices().iter().position(|d| d.name == position.device);
        let Some(marks) = named.and_then(|place| marks.get_mut(place)) else { continue };
        let (query, place, lost) = (at.0, at.1, piece.lost);
        let mark = Mark { start: position.start, len, query, piece: place, lost };
        // Routes that part further up are one below.
        if marks.len() < MAX_MARKS && marks.last() != Some(&mark) {
            marks.push(mark);
        }
    }
}

/// What devices of the picture use of a device.
fn parts(topology: &Topology, place: usize, shown: &dyn Fn(usize) -> bool) -> Vec<Part> {
    let devices = topology.devices().iter().enumerate();
    let mut parts = Vec::new();
    for (_, device) in devices.filter(|(above, _)| shown(*above)) {
        let Some(mapping) = device.layer.mapping() else { continue };
        let legs = (0_u32..).map(Leg::new).zip(device.layer.legs());
        let here = legs.filter(|(_, on)| **on == place);
        let extents = here.filter_map(|(leg, _)| mapping.leg_extent(leg));
        parts.extend(extents.map(|extent: Extent| Part {
            device: device.name.clone(),
            start: extent.start().get(),
            len: extent.len(),
        }));
    }
    parts.sort_by_key(|part| part.start);
    parts
}
