//! Text in for badrange: parsers for partition tables, LVM, device-mapper, fsmap, filefrag and badblocks files.
