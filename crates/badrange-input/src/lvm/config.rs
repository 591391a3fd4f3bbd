//! The grammar of LVM's text metadata: nested `name { key = value }`.

use core::{iter::Peekable, str::CharIndices};
use std::collections::HashSet;

use crate::{ParseError, ParseErrorKind, lines::Line};

/// How deep sections may nest; LVM's own metadata goes 4 deep.
const MAX_NESTING: usize = 16;

/// A section with its values and inner sections, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    pub(super) line: u64,
    values: Vec<(&'a str, Value<'a>)>,
    pub(super) sections: Vec<Self>,
}

/// A value and its line.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) line: u64,
    pub(super) data: Data<'a>,
}

#[derive(Debug)]
pub(super) enum Data<'a> {
    /// A number, or anything else without quotes.
    Word(&'a str),
    Text(String),
    List(Vec<Self>),
}

impl<'a> Section<'a> {
    pub(super) fn at(&self) -> Line<'static> {
        Line { number: self.line, text: "" }
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value<'a>> {
        self.values.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// All values that are lists.
    pub(super) fn lists(&self) -> impl Iterator<Item = &[Data<'a>]> {
        self.values.iter().filter_map(|(_, v)| match &v.data {
            Data::List(items) => Some(&**items),
            Data::Word(_) | Data::Text(_) => None,
        })
    }

    fn missing(&self, key: &'static str) -> ParseError {
        let hint = format!("every section like {} has it", self.name);
        self.at().err(ParseErrorKind::MissingField, key, "", hint)
    }

    pub(super) fn optional_number(&self, key: &'static str) -> Result<Option<u64>, ParseError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let at = Line { number: value.line, text: "" };
        match &value.data {
            Data::Word(word) => at.number(key, word, "units").map(Some),
            Data::Text(text) => at.number(key, text, "units without quotes").map(Some),
            Data::List(_) => {
                Err(at.err(ParseErrorKind::BadNumber, key, "[...]", "expected a number"))
            }
        }
    }

    pub(super) fn number(&self, key: &'static str) -> Result<u64, ParseError> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<&str>, ParseError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match &value.data {
            Data::Text(text) => Ok(Some(text)),
            Data::Word(_) | Data::List(_) => {
                let at = Line { number: value.line, text: "" };
                Err(at.err(ParseErrorKind::NotThisFormat, key, "", "expected a text in quotes"))
            }
        }
    }

    pub(super) fn required_text(&self, key: &'static str) -> Result<&str, ParseError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn list(&self, key: &'static str) -> Result<&[Data<'a>], ParseError> {
        match self.value(key) {
            Some(Value { data: Data::List(items), .. }) => Ok(items),
            _ => Err(self.missing(key)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(String),
    Mark(char),
}

/// Reads the whole text as one nameless section.
pub(super) fn parse(text: &str) -> Result<Section<'_>, ParseError> {
    let mut scanner = Scanner { text, chars: text.char_indices().peekable(), line: 1 };
    scanner.body(Section { line: 1, ..Section::default() }, 0)
}

struct Scanner<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    line: u64,
}

impl<'a> Scanner<'a> {
    fn at(&self) -> Line<'static> {
        Line { number: self.line, text: "" }
    }

    /// The entries of a section, up to its brace; of the nameless one, up to the end.
    fn body(&mut self, mut into: Section<'a>, depth: usize) -> Result<Section<'a>, ParseError> {
        if depth > MAX_NESTING {
            let hint = format!("sections of LVM metadata are at most {MAX_NESTING} deep");
            return Err(self.at().err(ParseErrorKind::TooLong, "nesting", "", hint));
        }
        let mut seen = HashSet::new();
        loop {
            let key = match (self.token()?, depth) {
                (Some(Token::Word(word)), _) => word,
                (None, 0) => return Ok(into),
                (Some(Token::Mark('}')), 1..) => return Ok(into),
                (other, _) => return Err(self.wrong(other, "expected 'name {', 'key =' or '}'")),
            };
            // Several backups in one text repeat what stands before the groups.
            let mut repeated = !seen.insert(key) && depth > 0;
            let line = self.line;
            match self.token()? {
                Some(Token::Mark('=')) => {
                    let data = self.value()?;
                    into.values.push((key, Value { line, data }));
                }
                Some(Token::Mark('{')) => {
                    repeated |= into.section(key).is_some();
                    // NO-OVERFLOW: bounded above.
                    let inner = Section { name: key, line, ..Section::default() };
                    into.sections.push(self.body(inner, depth.wrapping_add(1))?);
                }
                other => return Err(self.wrong(other, "expected '=' or '{' after a name")),
            }
            if repeated {
                let hint = "a section says it once";
                let at = Line { number: line, text: "" };
                return Err(at.err(ParseErrorKind::Inconsistent, "key", key, hint));
            }
        }
    }

    fn value(&mut self) -> Result<Data<'a>, ParseError> {
        match self.token()? {
            Some(Token::Word(word)) => Ok(Data::Word(word)),
            Some(Token::Text(text)) => Ok(Data::Text(text)),
            Some(Token::Mark('[')) => self.list(),
            other => Err(self.wrong(other, "expected a number, a text in quotes or a list")),
        }
    }

    fn list(&mut self) -> Result<Data<'a>, ParseError> {
        let mut items = Vec::new();
        loop {
            match self.token()? {
                Some(Token::Word(word)) => items.push(Data::Word(word)),
                Some(Token::Text(text)) => items.push(Data::Text(text)),
                Some(Token::Mark(',')) => {}
                Some(Token::Mark(']')) => return Ok(Data::List(items)),
                other => return Err(self.wrong(other, "expected an item of a list or ']'")),
            }
        }
    }

    #[cold]
    fn wrong(&self, found: Option<Token<'a>>, hint: &'static str) -> ParseError {
        let (field, value) = match found {
            Some(Token::Word(word)) => ("word", word.to_owned()),
            Some(Token::Text(text)) => ("text", text),
            Some(Token::Mark(mark)) => ("mark", mark.to_string()),
            None => ("end of text", String::new()),
        };
        self.at().err(ParseErrorKind::NotThisFormat, field, &value, hint)
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, ParseError> {
        self.skip_blanks();
        let Some((start, first)) = self.chars.next() else { return Ok(None) };
        if first == '"' {
            return self.quoted().map(|text| Some(Token::Text(text)));
        }
        if "{}[]=,".contains(first) {
            return Ok(Some(Token::Mark(first)));
        }
        let is_word = |c: char| !c.is_ascii_whitespace() && !"{}[]=,\"".contains(c);
        while self.chars.next_if(|(_, c)| is_word(*c)).is_some() {}
        let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        Ok(Some(Token::Word(self.text.get(start..end).unwrap_or_default())))
    }

    fn skip_blanks(&mut self) {
        let mut comment = false;
        while let Some((_, c)) = self.chars.next_if(|(_, c)| {
            comment |= *c == '#';
            comment &= *c != '\n';
            comment || c.is_ascii_whitespace()
        }) {
            self.count(c);
        }
    }

    fn count(&mut self, c: char) {
        if c == '\n' {
            self.line = self.line.saturating_add(1);
        }
    }

    /// The rest of a text in quotes; a backslash keeps what follows it.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let mut text = String::new();
        while let Some((_, c)) = self.chars.next() {
            self.count(c);
            match c {
                '"' => return Ok(text),
                '\\' => text.extend(self.chars.next().map(|(_, next)| next)),
                _ => text.push(c),
            }
        }
        Err(self.wrong(None, "expected the closing quote"))
    }
}
