//! Filesystem reverse map of badrange: device bytes to files, forks, metadata and free space.
