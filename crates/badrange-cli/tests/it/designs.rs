//! The transcripts in `docs/designs.md`: every figure there is one that a command prints.

use std::{fs, path::Path, process::Command};

/// The commands of a page, each with what it prints according to the page.
fn transcripts(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (line, inside) {
            ("```console", _) => inside = true,
            ("```", true) => inside = false,
            (_, false) => {}
            (_, true) => match (line.strip_prefix("$ badrange "), found.last_mut()) {
                (Some(command), _) => found.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => assert!(line.is_empty(), "{line:?} comes before any command"),
            },
        }
    }
    found
}

#[test]
fn the_figures_of_the_designs_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Ok(page) = fs::read_to_string(root.join("docs/designs.md")) else {
        return; // built from the published crate, which has no docs
    };
    let transcripts = transcripts(&page);
    assert!(transcripts.len() >= 6, "six scenarios, and what they print");
    for (command, expected) in transcripts {
        let mut badrange = Command::new(env!("CARGO_BIN_EXE_badrange"));
        let output = badrange.args(command.split(' ')).current_dir(&root).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(
            printed == expected,
            "docs/designs.md is old: badrange {command} prints\n{printed}"
        );
    }
}
