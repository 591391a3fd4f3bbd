use super::{InterleaveError, InterleaveErrorKind};

/// The XOR maps of a window: which address bits decide about each bit of the position.
///
/// # Invariants
/// Applying them twice gives the address back: the bit that a map sets is in no other map, unless
/// that map is this one bit and so changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct XorMaps {
    maps: Box<[u64]>,
}

impl XorMaps {
    /// The maps, each of which leaves the bytes of a granule together.
    pub(super) fn new(maps: &[u64], granule: u64) -> Result<Self, InterleaveError> {
        let refuse = |map, hint: &'static str| {
            Err(InterleaveError::new(InterleaveErrorKind::XorMap, map, hint))
        };
        for (number, map) in maps.iter().enumerate() {
            if *map == 0 {
                return refuse(*map, "at least one bit");
            }
            if lowest_bit(*map) < granule {
                return refuse(*map, "no bit below the granularity: granules would be torn apart");
            }
            let others = maps.iter().enumerate().filter(|(other, _)| *other != number);
            if changes(*map) && others.into_iter().any(|(_, other)| other & lowest_bit(*map) != 0) {
                return refuse(*map, "a lowest bit that no other map has: it could not be undone");
            }
        }
        Ok(Self { maps: maps.into() })
    }

    /// The other side of an address: host address to the address that modulo arithmetic means, and
    /// back, by the same steps.
    pub(super) fn apply(&self, address: u64) -> u64 {
        self.maps.iter().fold(address, |at, map| {
            let bit = lowest_bit(*map);
            if (at & map).count_ones() % 2 == 1 { at | bit } else { at & !bit }
        })
    }

    /// All bits that decide about something, and the bits that are changed.
    pub(super) fn union(&self) -> u64 {
        self.maps.iter().filter(|map| changes(**map)).fold(0, |all, map| all | map)
    }

    /// The bits that are changed.
    pub(super) fn changed(&self) -> u64 {
        let changing = self.maps.iter().filter(|map| changes(**map));
        changing.fold(0, |all, map| all | lowest_bit(*map))
    }
}

/// The bit that a map sets.
const fn lowest_bit(map: u64) -> u64 {
    map & map.wrapping_neg()
}

/// Whether a map does anything: one that is a single bit sets that bit to itself.
const fn changes(map: u64) -> bool {
    !map.is_power_of_two()
}
