use core::fmt;

use badrange_core::{Errno, Sector};

use super::BadblocksTable;

/// What one read of a sysfs file can return at most: a page less its final NUL.
const PAGE_BYTES: usize = 4095;

impl BadblocksTable {
    /// What a read of the sysfs file `badblocks` returns: a line `<sector> <sectors>` per record,
    /// cut after 4095 bytes, in the middle of a line if it must be.
    ///
    /// # Kernel
    /// `badblocks_show()`; it fills a page and does not say that there was more.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::Sector;
    /// use badrange_pmem::{BadblocksTable, Kernel};
    /// let mut table = BadblocksTable::new(Kernel::Linux7_2);
    /// table.set(Sector::new(8), 2, true);
    /// table.set(Sector::new(64), 1, false);
    /// assert_eq!(table.show(), "8 2\n64 1\n");
    /// assert_eq!(table.show_unacknowledged(), "64 1\n");
    /// ```
    #[must_use]
    pub fn show(&self) -> String {
        let mut text = self.to_string();
        text.truncate(PAGE_BYTES);
        text
    }

    /// The same of the records that are not acknowledged.
    ///
    /// # Kernel
    /// `badblocks_show()` with `unack`, as md's `unacknowledged_bad_blocks` does.
    #[must_use]
    pub fn show_unacknowledged(&self) -> String {
        let mut text = self.lines(false);
        text.truncate(PAGE_BYTES);
        text
    }

    /// What a write to the sysfs file does: one range per write, `<sector> <sectors>` and at most
    /// one newline; whatever comes after the newline is not looked at. Numbers that are too long
    /// are cut, as the kernel's `sscanf()` cuts them.
    ///
    /// # Errors
    /// `EINVAL` for anything else and for a length that is not positive, `ENOSPC` when
    /// [`set`](Self::set) does not succeed.
    ///
    /// # Kernel
    /// `badblocks_store()`.
    ///
    /// # Examples
    /// ```
    /// use badrange_core::Errno;
    /// use badrange_pmem::{BadblocksTable, Kernel};
    /// let mut table = BadblocksTable::new(Kernel::Linux6_12);
    /// assert_eq!(table.store("12 2\n", true), Ok(()));
    /// assert_eq!(table.store("12 0\n", true), Err(Errno::EINVAL));
    /// assert_eq!(table.store("12", true), Err(Errno::EINVAL));
    /// assert_eq!(table.show(), "12 2\n");
    /// ```
    pub fn store(&mut self, text: &str, acknowledged: bool) -> Result<(), Errno> {
        let (start, sectors) = scan(text).ok_or(Errno::EINVAL)?;
        let done = self.set(Sector::new(start), sectors, acknowledged);
        if done { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    fn lines(&self, acknowledged_too: bool) -> String {
        let shift = self.shift.unwrap_or(0); // disabled, and so empty
        let shown = self.records().filter(|record| acknowledged_too || !record.is_acknowledged());
        // A length is an unsigned int, and loses its upper bits like the start.
        let line = |record: super::BadRecord| {
            let sectors = record.len().wrapping_shl(shift) & u64::from(u32::MAX);
            format!("{} {sectors}\n", record.start().get().wrapping_shl(shift))
        };
        shown.map(line).collect()
    }
}

/// All records, a line each, not cut: what [`show`](BadblocksTable::show) would be without its page.
impl fmt::Display for BadblocksTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines(true))
    }
}

/// KERNEL: `sscanf(page, "%llu %d%c")`, and what is made of it.
fn scan(text: &str) -> Option<(u64, u64)> {
    let (start, rest) = digits(text.trim_start())?;
    let rest = rest.trim_start();
    let (len, rest) = match rest.strip_prefix('-') {
        Some(rest) => digits(rest).map(|(len, rest)| (len.wrapping_neg(), rest))?,
        None => digits(rest)?,
    };
    // An int: the lower half.
    let [a, b, c, d, ..] = len.to_le_bytes();
    let len = i32::from_le_bytes([a, b, c, d]);
    let clean = rest.is_empty() || rest.starts_with('\n');
    (clean && len > 0).then_some((start, u64::try_from(len).ok()?))
}

fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end).filter(|(number, _)| !number.is_empty())?;
    let add = |sum: u64, c: u8| sum.wrapping_mul(10).wrapping_add(u64::from(c.wrapping_sub(b'0')));
    Some((number.bytes().fold(0, add), rest))
}
