//! Persistent-memory layer of badrange: namespace geometry, pfn to device offset, badblocks.
