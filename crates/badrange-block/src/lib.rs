//! Block layers of badrange: partitions and device-mapper linear, striped, error and zero targets.
