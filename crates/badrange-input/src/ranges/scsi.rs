//! Command descriptor blocks: what a failed SCSI command was about.

/// First logical block and number of blocks of a command that reads or writes; `None` for other
/// commands, for a command that transfers nothing, and for bytes that are cut short.
///
/// # Kernel
/// `scsi_print_command` prints the bytes; their meaning is that of the SCSI block commands.
pub(super) fn transfer(cdb: &[u8]) -> Option<(u64, u64)> {
    // NO-OVERFLOW: at most eight bytes are shifted into 64 bits.
    let number = |from: usize, len: usize| {
        let bytes = cdb.get(from..from.checked_add(len)?)?;
        Some(bytes.iter().fold(0_u64, |n, byte| n.wrapping_shl(8) | u64::from(*byte)))
    };
    let (first, blocks) = match cdb.first()? {
        // READ(6) and WRITE(6): 21 bits of address, and zero means 256 blocks.
        0x08 | 0x0a => {
            let blocks = number(4, 1).filter(|_| cdb.len() >= 6)?;
            (number(1, 3)? & 0x1f_ffff, if blocks == 0 { 256 } else { blocks })
        }
        // READ, WRITE, WRITE AND VERIFY, VERIFY, WRITE SAME, each of 10 bytes.
        0x28 | 0x2a | 0x2e | 0x2f | 0x41 if cdb.len() >= 10 => (number(2, 4)?, number(7, 2)?),
        // READ, WRITE, WRITE AND VERIFY, VERIFY, each of 12 bytes.
        0xa8 | 0xaa | 0xae | 0xaf if cdb.len() >= 12 => (number(2, 4)?, number(6, 4)?),
        // READ, WRITE, WRITE AND VERIFY, VERIFY, WRITE SAME, each of 16 bytes.
        0x88 | 0x8a | 0x8e | 0x8f | 0x93 if cdb.len() >= 16 => (number(2, 8)?, number(10, 4)?),
        // Variable length: READ, VERIFY, WRITE, WRITE AND VERIFY of 32 bytes.
        0x7f if cdb.len() >= 32 && matches!(number(8, 2)?, 0x09..=0x0c) => {
            (number(12, 8)?, number(28, 4)?)
        }
        _ => return None,
    };
    (blocks > 0).then_some((first, blocks))
}

/// `28 00 00 00 2d 88`: pairs of hex digits.
pub(super) fn hex_bytes(text: &str) -> Vec<u8> {
    let byte = |word: &str| u8::from_str_radix(word, 16).ok().filter(|_| word.len() == 2);
    text.split_ascii_whitespace().map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_every_length() {
        let cases = [
            // The samples of the reference, and the examples of the standard's layout.
            ("28 00 00 00 2d 88 00 04 00 00", Some((0x2d88, 0x400))),
            ("88 00 00 00 00 00 93 40 d7 58 00 00 00 08 00 00", Some((0x9340_d758, 8))),
            ("08 1f ff ff 00 00", Some((0x1f_ffff, 256))),
            ("0a e0 00 01 02 00", Some((1, 2))),
            ("a8 00 00 00 00 10 00 01 00 00 00 00", Some((16, 65536))),
            ("8a 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", Some((u64::MAX, 0xffff_ffff))),
            // No transfer, another command, and a line that was cut.
            ("28 00 00 00 2d 88 00 00 00 00", None),
            ("85 08 0e 00 00 00 01 00 00 00 00 00 00 00 ec 00", None),
            ("35 00 00 00 00 00 00 00 00 00", None),
            ("88 00 00 00 00 00 93 40 d7 58", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(transfer(&hex_bytes(text)), expected, "{text}");
        }
        let mut long = vec![0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, 9, 0, 0];
        long.extend([0, 0, 0, 0, 0, 0, 1, 0]);
        long.extend([0; 8]);
        long.extend([0, 0, 0, 8]);
        assert_eq!(transfer(&long), Some((256, 8)));
    }
}
