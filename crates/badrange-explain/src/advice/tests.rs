use super::*;

fn shown(word: &str) -> String {
    Command::new("x").arg(word).to_string()
}

#[test]
fn words_are_bare_only_where_a_shell_sees_nothing_in_them() {
    for bare in ["a", "/mnt/a-b_c.d", "if=/x", "8:0", "+1", "a,b", "100%", "u@h"] {
        assert_eq!(shown(bare), format!("x {bare}"));
    }
    for (word, quoted) in [
        ("", "''"),
        (" ", "' '"),
        ("a b", "'a b'"),
        ("it's", r"'it'\''s'"),
        ("'", r"''\'''"),
        ("$(rm -rf /)", "'$(rm -rf /)'"),
        ("`x`", "'`x`'"),
        ("a\"b", "'a\"b'"),
        (r"a\b", r"'a\b'"),
        ("~root", "'~root'"),
        ("a;b", "'a;b'"),
        ("a&b", "'a&b'"),
        ("#x", "'#x'"),
        ("*?[", "'*?['"),
        ("!x", "'!x'"),
        ("{a,b}", "'{a,b}'"),
        ("\u{e4}", "'\u{e4}'"),
    ] {
        assert_eq!(shown(word), format!("x {quoted}"), "{word:?}");
    }
}

#[test]
fn hidden_characters_are_spelled_out() {
    for (word, quoted) in [
        ("a\nb", r"$'a\nb'"),
        ("a\tb", r"$'a\tb'"),
        ("a\rb", r"$'a\015b'"),
        ("\u{1b}[2J", r"$'\033[2J'"),
        ("it's\n\\", r"$'it\'s\n\\'"),
        // A digit after an escape stays a digit.
        ("\u{1}7", r"$'\0017'"),
        ("\u{85}", r"$'\302\205'"),
        ("a\u{202e}b", r"$'a\342\200\256b'"),
        ("\u{2028}", r"$'\342\200\250'"),
        ("\u{feff}x", r"$'\357\273\277x'"),
    ] {
        assert_eq!(shown(word), format!("x {quoted}"), "{word:?}");
    }
}

#[test]
fn a_printed_command_is_one_visible_line() {
    for c in (0..=0x2_0000).filter_map(char::from_u32) {
        let line = Command::new("x").arg(format!("a{c}b")).to_string();
        assert_eq!(line.lines().count(), 1, "{c:?}");
        assert!(!line.chars().any(char::is_control), "{c:?}");
        assert!(line.starts_with("x "), "{c:?}");
    }
}

/// The words that a real shell makes of a printed command.
#[cfg(unix)]
fn read_back(line: &str) -> Option<Vec<u8>> {
    let script = format!("set -- {line}\nprintf '%s\\0' \"$@\"");
    // Where there is no such shell, nothing is learnt.
    let out = std::process::Command::new("bash")
        .args(["--norc", "--noprofile", "-c"])
        .arg(script)
        .env_clear()
        .env("DIR", "/the dir")
        .output();
    Some(out.ok()?.stdout)
}

#[test]
#[cfg(unix)]
fn a_shell_reads_back_the_very_words() {
    let nasty = [
        "",
        " ",
        "a b",
        "it's",
        "'",
        "''",
        "\"",
        "$HOME",
        "$(id)",
        "`id`",
        "a\nb",
        "\n",
        "\\",
        "\\n",
        "\\'",
        "a\\",
        "-n",
        "--",
        "~",
        "~root",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "!!",
        "#c",
        "a#b",
        "a;b",
        "a|b",
        "a&",
        "<x",
        ">x",
        "(x)",
        "\u{1}7",
        "\u{7f}",
        "\u{85}x",
        "\u{202e}txt",
        "\u{fc}ber",
        "\u{1f600}",
        "a\tb",
        "\r\n",
        "$'x'",
        "%s\\0",
        "=",
        "a=b",
        "\u{2028}'",
    ];
    let command = nasty.iter().fold(Command::new("x"), |command, word| command.arg(*word));
    let command = command.arg_after("if=", &Variable::new("dir"), "/it's\n");
    let mut expected: Vec<u8> = Vec::new();
    for word in ["x"].iter().chain(&nasty).chain(&["if=/the dir/it's\n"]) {
        expected.extend(word.bytes());
        expected.push(0);
    }
    if let Some(words) = read_back(&command.to_string()) {
        assert_eq!(String::from_utf8_lossy(&words), String::from_utf8_lossy(&expected));
    }
}

#[test]
#[cfg(unix)]
fn a_shell_reads_back_a_command_in_lines() {
    let long = "it's a \\long \u{fc} \u{202e}name\n".repeat(9);
    let command = Command::new("x")
        .arg("plain")
        .arg(&*long)
        .arg("a".repeat(300))
        .arg("")
        .arg_after("of=", &Variable::new("dir"), long.clone())
        .arg("end");
    for width in [0, 40, 41, 63, 100, 2000] {
        let lines = command.lines(width);
        assert!(lines.iter().all(|line| line.chars().count() <= width.max(40)), "{lines:?}");
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
        let words =
            ["x", "plain", &long, &"a".repeat(300), "", &format!("of=/the dir{long}"), "end"];
        let expected: Vec<u8> =
            words.iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        if let Some(found) = read_back(&lines.join("\n")) {
            assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
        }
    }
}

#[test]
fn variables_have_names_that_a_shell_takes() {
    for (given, name) in [
        ("mnt", "MNT"),
        ("vgdata-mysql", "VGDATA_MYSQL"),
        ("0x", "_0X"),
        ("", "_"),
        ("\u{e4}", "_"),
    ] {
        assert_eq!(Variable::new(given).as_str(), name);
    }
}

#[test]
fn words_of_kinds_and_levels_are_known_to_scripts() {
    let kinds = [ActionKind::Nothing, ActionKind::PageState, ActionKind::Verify];
    assert_eq!(kinds.map(ActionKind::as_str), ["nothing", "page-state", "verify"]);
    assert_eq!(format!("[{:12}]", ActionKind::PunchHole), "[punch-hole  ]");
    assert_eq!(serde_json::to_string(&RiskLevel::Overwrites).unwrap(), "\"overwrites\"");
    assert_eq!(Risk::none().level, RiskLevel::None);
}
