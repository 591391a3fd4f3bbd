//! Rust source with comments and literals blanked, so that braces and words found in it are code.

/// Replaces what is inside comments, strings and character literals by blanks. Lines stay lines.
pub(crate) fn mask(source: &str) -> String {
    let mut masker = Masker { rest: source, out: String::with_capacity(source.len()) };
    while !masker.rest.is_empty() {
        masker.step();
    }
    masker.out
}

struct Masker<'a> {
    rest: &'a str,
    out: String,
}

impl Masker<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if rest.starts_with('"') {
            self.blank(string(rest));
        } else if rest.starts_with('\'') {
            self.quote();
        } else {
            self.word_or_sign();
        }
    }

    /// A word is taken whole, because its end decides whether a raw string follows.
    fn word_or_sign(&mut self) {
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let word = self.rest.find(|c| !in_word(c)).unwrap_or(self.rest.len());
        if word == 0 {
            self.copy(self.rest.chars().next().map_or(0, char::len_utf8));
            return;
        }
        let raw = matches!(self.rest.get(..word), Some("r" | "br" | "cr"));
        self.copy(word);
        if raw && raw_hashes(self.rest).is_some() {
            self.blank(raw_string(self.rest));
        }
    }

    /// A character literal, or the quote of a lifetime or label.
    fn quote(&mut self) {
        let mut chars = self.rest.char_indices().skip(1);
        let (first, second) = (chars.next(), chars.next());
        match (first, second) {
            (Some((_, '\\')), _) => self.blank(char_literal(self.rest)),
            (_, Some((at, '\''))) => self.blank(at.saturating_add(1)),
            _ => self.copy(1),
        }
    }

    fn copy(&mut self, len: usize) {
        let (text, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.out.push_str(text);
        self.rest = rest;
    }

    fn blank(&mut self, len: usize) {
        let (text, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.out.extend(text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// Length of the (nested) block comment that `text` starts with.
fn block_comment(text: &str) -> usize {
    let mut depth: usize = 0;
    let mut at: usize = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("/*") {
            depth = depth.saturating_add(1);
            2
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at = at.saturating_add(step);
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of the string literal that `text` starts with.
fn string(text: &str) -> usize {
    quoted(text, '"')
}

fn char_literal(text: &str) -> usize {
    quoted(text, '\'')
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at.saturating_add(1);
        }
    }
    text.len()
}

/// The hashes of a raw string, if `text` goes on as one after its `r`.
fn raw_hashes(text: &str) -> Option<&str> {
    let hashes = text.find(|c| c != '#').and_then(|len| text.split_at_checked(len));
    hashes.filter(|(_, rest)| rest.starts_with('"')).map(|(hashes, _)| hashes)
}

/// Length of the raw string literal that `text` starts with, after its `r`.
fn raw_string(text: &str) -> usize {
    let hashes = raw_hashes(text).unwrap_or("");
    let end = format!("\"{hashes}");
    let open = end.len();
    text.get(open..)
        .and_then(|body| body.find(&end))
        .map_or(text.len(), |at| at.saturating_add(open).saturating_add(end.len()))
}

#[cfg(test)]
mod tests {
    use super::mask;

    /// What is left of a source, without the blanks.
    fn left(source: &str) -> String {
        assert_eq!(mask(source).lines().count(), source.lines().count());
        mask(source).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_go() {
        assert_eq!(left("a // { \nb /* { /* } */ { */ c"), "a b c");
        assert_eq!(left("/// doc {\n//! doc {\nfn"), "fn");
        assert_eq!(left("a /* never closed {"), "a");
    }

    #[test]
    fn strings_go() {
        assert_eq!(left(r#"a("{ \" {", b"{", c"{") b"#), "a( , b , c ) b");
        assert_eq!(left("a(r#\"{ \" { \"#, br\"{\\\", r\"\") b"), "a(r , br , r ) b");
        assert_eq!(left("a \"line {\n line { \" b"), "a b");
    }

    #[test]
    fn raw_names_stay() {
        assert_eq!(left("r#fn r#type for_r"), "r#fn r#type for_r");
    }

    #[test]
    fn characters_go_and_lifetimes_stay() {
        assert_eq!(left(r"a('{', '\'', '\u{7f}', b'{', '\\') b"), "a( , , , b , ) b");
        assert_eq!(
            left("fn f<'a>(x: &'a str, y: &'_ u8) { 'l: loop {} }"),
            "fn f<'a>(x: &'a str, y: &'_ u8) { 'l: loop {} }"
        );
    }

    #[test]
    fn wide_characters_do_not_confuse() {
        assert_eq!(left("a \"\u{e4}\u{20ac}\" '\u{20ac}' /* \u{e4} */ b"), "a b");
    }
}
