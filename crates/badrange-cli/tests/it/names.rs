//! Names that a terminal would obey: shown in every text, and neither obeyed nor left out.

use std::{fs, process::Command};

const STACK: &str = "schema = \"badrange.stack/1\"
[[disk]]
name = \"d\\u001b[31m\"
sectors = 64
[[fs]]
device = \"d\\u001b[31m\"
kind = \"xfs\"
map = [\"map\"]
paths = \"paths\"
block_size = 4096
";
const MAP: &str = "EXT,MAJOR,MINOR,PSTART,PEND,OWNER,OSTART,OEND,LENGTH\n\
                   0,8,1,0,7,inode_132_data,0,7,8\n";

#[test]
fn escape_sequences_in_names_are_shown_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let stack = dir.path().join("stack.toml");
    for (name, text) in [("stack.toml", STACK), ("map", MAP), ("paths", "132 /a\x1b[2Jb\n")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let shown = |args: &[&str]| {
        let program = Command::new(env!("CARGO_BIN_EXE_badrange"))
            .args(["--color", "always"])
            .args(args)
            .args(["--stack", stack.to_str().unwrap()])
            .output()
            .unwrap();
        let both = [program.stdout, program.stderr].concat();
        let text = String::from_utf8(both).unwrap();
        // What is obeyed are the colors of this program.
        assert!(!text.contains("\x1b[2J") && !text.contains("d\x1b[31m"), "{text:?}");
        text
    };
    let at = "d\x1b[31m:0+9";
    assert!(shown(&["explain", "--at", at]).contains(r"/a\u{1b}[2Jb (inode 132): bytes 0..4096"));
    assert!(shown(&["explain", "--at", at, "--format", "markdown"]).contains(r"/a\u{1b}\[2Jb"));
    assert!(shown(&["explain", "--at", at, "--format", "html"]).contains(r"/a\u{1b}[2Jb"));
    assert!(shown(&["explain", "--at", at, "--json"]).contains(r"/a\u001b[2Jb"));
    assert!(shown(&["plan", "--at", at]).contains(r"/a\033[2Jb"));
    let file = "/a\x1b[2Jb:0+10";
    assert!(shown(&["locate", "--file", file]).contains(r"d\u{1b}[31m:0+10B"));
    assert!(shown(&["locate", "--file", "/x\x1b[2J:0+10"]).contains(r"\u{1b}[2J"));
    assert!(shown(&["explain", "--at", "x\x1b[2J:0+1"]).contains(r"\u{1b}[2J"));
    shown(&["check-stack"]);
}
