//! The plan as a shell script in which every line is a comment.

use core::fmt::Write as _;

use super::{Plan, Subject, Unit};
use crate::advice::{Action, Command};

/// A text whose every line begins with `#`, whatever is put into it.
#[derive(Debug, Default)]
struct Comments(String);

impl Comments {
    /// Words for people: they stay a comment when one `#` of each line is taken away.
    fn say(&mut self, text: &str) {
        self.lines("## ", text);
    }

    /// Something to type: it becomes a command when the `#` is taken away.
    fn offer(&mut self, command: &str) {
        self.lines("#", command);
    }

    fn gap(&mut self) {
        self.0.push_str("#\n");
    }

    fn lines(&mut self, begin: &str, text: &str) {
        // Everything that some program might take for the end of a line ends one here.
        let ends = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
        for line in text.split(ends) {
            self.0.push_str(begin);
            self.0.push_str(line);
            self.0.push('\n');
        }
    }
}

impl Plan {
    /// The plan as a `bash` script that does nothing: every line is a comment. Who has read a step
    /// takes away the `#` in front of its command; lines of words begin with `##`.
    #[must_use]
    pub fn to_script(&self) -> String {
        let mut out = Comments::default();
        out.offer("!/bin/bash");
        out.say("A plan to read, not a program to run: every line is a comment.");
        out.say("Take away one # from a command when you know what it does.");
        for asked in &self.asked {
            let at = Command::new(&*asked.at);
            out.say(&format!("bad: {at}, {} bytes", asked.len));
        }
        self.warnings.iter().for_each(|warning| out.say(&format!("WARNING: {warning}")));
        out.gap();
        for setting in &self.settings {
            let guess = setting.guess.as_deref().map(|guess| Command::new(guess).to_string());
            out.say(&setting.meaning);
            out.offer(&format!("{}={}", setting.variable.as_str(), guess.unwrap_or_default()));
        }
        for device in &self.devices {
            out.gap();
            out.say(&format!("=== device {}", Command::new(&*device.device)));
            actions(&mut out, &device.actions);
        }
        self.subjects.iter().for_each(|subject| one(&mut out, subject));
        out.0
    }
}

fn one(out: &mut Comments, subject: &Subject) {
    out.gap();
    out.say(&format!("=== {}", subject.title()));
    actions(out, &subject.before);
    for unit in &subject.units {
        out.gap();
        let end = unit.start.saturating_add(unit.len);
        out.say(&format!("--- bytes {}..{end}; from a backup: {}", unit.start, unit.lost()));
        actions(out, &unit.steps);
    }
    if !subject.after.is_empty() && !subject.units.is_empty() {
        out.gap();
        out.say("--- after that");
    }
    actions(out, &subject.after);
}

fn actions(out: &mut Comments, all: &[Action]) {
    for action in all {
        out.say(&format!("{}: {}", action.kind, action.why));
        out.say(&format!("  risk {}: {}", action.risk.level, action.risk.what));
        if let Some(command) = &action.command {
            out.offer(&command.to_string());
        }
    }
}

impl Subject {
    /// What it is, on one line of visible characters.
    #[must_use]
    pub fn title(&self) -> String {
        let device = Command::new(&*self.device);
        let what = self.what.as_ref().map_or_else(String::new, |what| format!(" ({what})"));
        match &self.file {
            Some(file) => {
                let names = file.paths.iter().map(|path| Command::new(&**path).to_string());
                let ino = file.ino.map(|ino| format!("inode {ino}"));
                let all: Vec<_> = names.chain(ino).collect();
                format!("{}{what}: {} on {device}", self.verdict, all.join(" = "))
            }
            None => format!("{}{what} on {device}", self.verdict),
        }
    }
}

impl Unit {
    /// The ranges that have to come from a backup, for people.
    #[must_use]
    pub fn lost(&self) -> String {
        let mut text = String::new();
        for span in &self.restore {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{}..{}", span.start, span.end());
        }
        text
    }
}
