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
/// use badrange_explain::advice::{Command, Variable};
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
/// use badrange_explain::advice::Variable;
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

    /// The command in lines of at most `width` characters, which a shell reads as one: a line that
    /// goes on ends in a backslash. They have to be printed without indentation. A width of less
    /// than 40 counts as 40; only a variable with a longer name is wider than that.
    ///
    /// # Examples
    /// ```
    /// use badrange_explain::advice::Command;
    /// let command = Command::new("stat").arg("--").arg("x".repeat(36)).arg("y".repeat(50));
    /// assert_eq!(command.lines(40), [
    ///     format!("stat -- \\"),
    ///     format!("  {} \\", "x".repeat(36)),
    ///     format!("  {}\\", "y".repeat(36)),
    ///     format!("{}", "y".repeat(14)),
    /// ]);
    /// ```
    #[must_use]
    pub fn lines(&self, width: usize) -> Vec<String> {
        let mut lines = Lines::new(width);
        self.words.iter().for_each(|word| lines.word(word));
        lines.done
    }

    /// The variables it uses, in the order in which they stand, each as often as it does.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.words.iter().flatten().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(variable) => Some(variable),
        })
    }
}

/// A command that is being broken into lines.
struct Lines {
    width: usize,
    done: Vec<String>,
}

impl Lines {
    fn new(width: usize) -> Self {
        Self { width: width.max(40), done: vec![String::new()] }
    }

    fn used(&self) -> usize {
        self.done.last().map_or(0, |line| line.chars().count())
    }

    fn add(&mut self, text: &str) {
        self.done.last_mut().into_iter().for_each(|line| line.push_str(text));
    }

    /// Whether so many characters, and what ends a line, fit into the last one.
    fn fits(&self, len: usize) -> bool {
        self.used().saturating_add(len).saturating_add(" \\".len()) <= self.width
    }

    fn word(&mut self, word: &[Part]) {
        let shown = Shown(word).to_string();
        if self.used() > 0 {
            if self.fits(shown.chars().count().saturating_add(1)) {
                self.add(" ");
            } else {
                self.add(" \\");
                self.done.push("  ".to_owned());
            }
        }
        if self.fits(shown.chars().count()) {
            return self.add(&shown);
        }
        for part in word {
            match part {
                Part::Text(text) => self.letters(text),
                Part::Variable(variable) => self.piece(&variable.to_string()),
            }
        }
    }

    /// Text that is longer than a line, a few letters after the other: each piece is quoted by
    /// itself.
    fn letters(&mut self, text: &str) {
        let quoted = |text: &str| Command::new(text).to_string();
        let mut piece = String::new();
        for c in text.chars() {
            let mut longer = piece.clone();
            longer.push(c);
            if !piece.is_empty() && !self.fits(quoted(&longer).chars().count()) {
                self.piece(&quoted(&piece));
                self.end_inside();
                longer = c.to_string();
            }
            piece = longer;
        }
        if !piece.is_empty() {
            self.piece(&quoted(&piece));
        }
    }

    fn piece(&mut self, shown: &str) {
        if self.used() > 0 && !self.fits(shown.chars().count()) {
            self.end_inside();
        }
        self.add(shown);
    }

    /// Ends the line inside a word: the next one goes on at its very beginning.
    fn end_inside(&mut self) {
        self.add("\\");
        self.done.push(String::new());
    }
}

/// One word, quoted.
struct Shown<'w>(&'w [Part]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_word(self.0, f)
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
