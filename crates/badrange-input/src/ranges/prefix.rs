//! What stands in front of a message: levels, time stamps, syslog, tracing, colours, quotation.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use super::rules::compiled;

/// A line without what stands in front of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) text: Cow<'a, str>,
    /// Whether anything stood in front: a line of its own, not the continuation of another.
    pub(super) prefixed: bool,
}

/// `[   17.354127] `, `[T123] `, `[   17.35 <    0.001>] `, `[Fri Nov 20 17:40:34 2026] `,
/// `[Nov20 17:40] `, `[  +0.000012] `.
const STAMP: &str =
    r"^\[(?: *\+?[0-9]+\.[0-9]+(?: <[^>]*>)?| *[TC][0-9]+|[^\]]*[0-9]:[0-9][^\]]*)\] ?";
/// `<3>`, and what `dmesg -x` writes: `kern  :err   : `.
const LEVEL: &str =
    r"^(?:<[0-9]{1,3}>|[a-z0-9]{2,8} *:(?:emerg|alert|crit|err|warn|notice|info|debug) *: )";
/// A line of `/dev/kmsg`.
const KMSG: &str = r"^[0-9]+,[0-9]+,[0-9]+,[^;]{0,40};";
/// `Nov 20 17:40:34 host kernel: `, `2026-11-20T17:40:34+00:00 host kernel: `, `kernel: `, also
/// after the version of RFC 5424.
const SYSLOG: &str = concat!(
    r"^(?:1 )?(?:(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:.]{8,15}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][^ ]+(?: [+-][0-9]{4})?) )?",
    r"(?:[^ :]+ )?(?:kernel|rasdaemon|smartd|mcelog)(?:\[[0-9]+\])?(?:: | [-0-9]+ - - )"
);
/// A date of `dmesg --time-format iso` and the like, with nothing else.
const DATE: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]+(?:Z| ?[+-][0-9:]{4,6})? ";
/// `  <...>-1367638 [022] .... 0.024825: `
const TRACE: &str = r"^ *[^\[]{1,32}-[0-9]+ +(?:\( *[-0-9]+\) +)?\[[0-9]+\] +(?:[^ 0-9][^ ]{3,5} +)?[0-9]+\.[0-9]+:? +";
/// A record of the firmware or of machine checks: `{3}[Hardware Error]: `.
const HARDWARE: &str = r"^(?:\{[0-9]+\}|mce: )?\[Hardware Error\]: ?";
/// A colour or another escape sequence of a terminal.
const ESCAPE: &str = "\x1b\\[[0-9;?]*[A-Za-z]";

static PREFIXES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [STAMP, LEVEL, KMSG, SYSLOG, DATE, TRACE, HARDWARE].into_iter().map(compiled).collect()
});
static ESCAPES: LazyLock<Regex> = LazyLock::new(|| compiled(ESCAPE));

/// Prefixes that can stand in front of one another.
const MAX_PREFIXES: usize = 8;

/// Takes a line apart.
pub(super) fn message(line: &str) -> Message<'_> {
    if !line.trim_end().contains(is_strange) {
        return message_of(line);
    }
    let plain = ESCAPES.replace_all(line.trim_end(), "");
    let plain: String = plain.chars().filter(|c| *c != '\0').map(shown).collect();
    let Message { text, prefixed } = message_of(&plain);
    Message { text: Cow::Owned(text.into_owned()), prefixed }
}

fn is_strange(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// What a terminal must not obey, it is not shown. Files that were being written when the machine
/// went down have zeros in front of the next line: those are left out.
fn shown(c: char) -> char {
    if is_strange(c) { char::REPLACEMENT_CHARACTER } else { c }
}

fn message_of(line: &str) -> Message<'_> {
    let mut text = line.trim_end();
    // A quotation in a mail.
    while let Some(quoted) = text.strip_prefix('>') {
        text = quoted.strip_prefix(' ').unwrap_or(quoted);
    }
    let mut prefixed = false;
    for _ in 0..MAX_PREFIXES {
        let found = PREFIXES.iter().find_map(|prefix| prefix.find(text));
        let Some(rest) = found.and_then(|found| text.get(found.end()..)) else { break };
        text = rest;
        prefixed = true;
    }
    Message { text: Cow::Borrowed(text.trim_start()), prefixed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_front_is_taken_away() {
        const M: &str = "I/O error, dev vdd, sector 70000";
        let lines = [
            "[   17.354127] @",
            "<3>[   17.354127] @",
            "kern  :err   : [   17.354127] @",
            "[   17.354127][  T123] @",
            "[   17.354127] [    C0] @",
            "[Fri Nov 20 17:40:35 2026] @",
            "[Nov20 17:40] @",
            "[  +0.000012] @",
            "[   17.354127 <    0.000012>] @",
            "3,1234,17354127,-;@",
            "Nov 20 17:40:35 host kernel: @",
            "Nov 20 17:40:35 host kernel: [   17.354127] @",
            "2026-11-20T17:40:35.123456+00:00 host.example.org kernel: [   17.354127] @",
            "2026-11-20T17:40:35,123456+00:00 @",
            "2026-11-20 17:40:35 host kernel: @",
            "<3>1 2026-11-20T17:40:35Z host kernel - - - @",
            "kernel: @",
            "> > [   17.354127] @",
            "\x1b[32m[   17.354127] \x1b[0m\x1b[31m@\x1b[0m\r",
            "\0\0\0\0[   17.354127] @\r",
            "  @",
        ];
        for line in lines {
            let line = line.replace('@', M);
            assert_eq!(message(&line).text, M, "{line}");
            assert_eq!(message(&line).prefixed, !line.starts_with("  "), "{line}");
        }
    }

    #[test]
    fn tracing_is_taken_away() {
        let lines = [
            " mce-inject-13150 [001] .... 277.019359: memory_failure_event: pfn 0x19869",
            "  <...>-1367638 [022] .... 0.024825 memory_failure_event: pfn 0x19869",
            "  my prog-12 (     7) [000] d..1. 1.5: memory_failure_event: pfn 0x19869",
            "{3}[Hardware Error]:   memory_failure_event: pfn 0x19869",
        ];
        for line in lines {
            assert_eq!(message(line).text, "memory_failure_event: pfn 0x19869", "{line}");
        }
    }

    #[test]
    fn other_programs_keep_their_name() {
        let line = "Nov 20 17:40:35 host sudo[7]: root : COMMAND=grep I/O error, dev sda, sector 5";
        assert_eq!(message(line).text, line);
        let line = "nvme0n1: Read(0x2) @ LBA 96673920, 8 blocks, Unrecovered Read Error";
        assert_eq!(message(line), Message { text: line.into(), prefixed: false });
        let line = "Memory failure: 0x123: recovery action for dax page: Recovered";
        assert_eq!(message(line), Message { text: line.into(), prefixed: false });
        assert_eq!(message("").text, "");
    }
}
