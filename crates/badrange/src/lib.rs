//! Who is hit when a range of storage or memory goes bad: ranged reverse-mapping notification for stacked devices.
