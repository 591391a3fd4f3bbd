use core::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

/// A command to print, word by word; [`Display`](fmt::Display) quotes it for a shell.
///
/// The printed form is always one line of printable characters, whatever the words contain: a
/// newline in a file name can neither end the command nor leave a comment, and a character that
/// turns the direction of writing cannot make it look like another command. Such words are written
/// in the form `$'...'`, which `bash`, `ksh` and `zsh` know, and POSIX since 2024.
///
/// # Examples
/// ```
/// use badrange::advice::{Command, Variable};
/// let backup = Variable::new("BACKUP");
/// let copy = Command::new("dd")
///     .arg_after("if=", &backup, "/it's here")
///     .arg("of=/mnt/two\nlines")
///     .arg("conv=notrunc");
/// assert_eq!(copy.to_string(), r#"dd if="$BACKUP"'/it'\''s here' $'of=/mnt/two\nlines' conv=notrunc"#);
/// assert_eq!(copy.variables().collect::<Vec<_>>(), [&backup]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Command {
    words: Vec<Vec<Part>>,
}

/// A name that a shell replaces by what the reader puts there.
///
/// # Examples
/// ```
/// use badrange::advice::Variable;
/// assert_eq!(Variable::new("mnt vg-data").as_str(), "MNT_VG_DATA");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable(String);

impl Variable {
    /// The variable that is named like this: letters become upper case, and what cannot stand in
    /// the name of a variable an underscore.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let mut plain: String = name.chars().map(plain).collect();
        if !plain.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') {
            plain.insert(0, '_');
        }
        Self(plain)
    }

    /// The name, without the `$`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As a shell refers to it: `"$NAME"`.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"${}\"", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    Variable(Variable),
}

impl Command {
    /// The command that runs this program.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self { words: Vec::new() }.arg(program)
    }

    /// With one more word, taken literally.
    #[must_use]
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(vec![Part::Text(word.into())]);
        self
    }

    /// With one more word that is `before`, what a variable holds, and `after`.
    #[must_use]
    pub fn arg_after(
        mut self,
        before: impl Into<String>,
        variable: &Variable,
        after: impl Into<String>,
    ) -> Self {
        let variable = Part::Variable(variable.clone());
        self.words.push(vec![Part::Text(before.into()), variable, Part::Text(after.into())]);
        self
    }

    /// The variables it uses, in the order in which they stand, each as often as it does.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.words.iter().flatten().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(variable) => Some(variable),
        })
    }
}

/// One line for a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, word) in self.words.iter().enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            fmt_word(word, f)?;
        }
        Ok(())
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn fmt_word(word: &[Part], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut empty = true;
    for part in word {
        match part {
            Part::Text(text) if text.is_empty() => continue,
            Part::Text(text) => quote(text, f)?,
            Part::Variable(variable) => write!(f, "{variable}")?,
        }
        empty = false;
    }
    if empty { f.write_str("''") } else { Ok(()) }
}

/// Bare where nothing in it means anything to a shell, else quoted.
fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bare = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if text.chars().all(bare) {
        return f.write_str(text);
    }
    if text.chars().any(is_hidden) {
        return quote_hidden(text, f);
    }
    write!(f, "'{}'", text.replace('\'', r"'\''"))
}

fn quote_hidden(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("$'")?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str(r"\n")?,
            '\t' => f.write_str(r"\t")?,
            '\\' | '\'' => write!(f, r"\{c}")?,
            _ if is_hidden(c) => {
                let mut bytes = [0; 4];
                // Three octal digits each: what follows can never be taken for a fourth.
                c.encode_utf8(&mut bytes).bytes().try_for_each(|byte| write!(f, r"\{byte:03o}"))?;
            }
            _ => f.write_char(c)?,
        }
    }
    f.write_char('\'')
}

/// Characters that a reader does not see, or that change how others are seen: controls, line
/// separators, marks of direction, and what has no width.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}
