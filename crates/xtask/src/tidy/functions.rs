//! Functions and test modules in masked source, found by matching braces.

use core::ops::Range;

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`, counted from 1.
    pub(crate) line: usize,
    /// Lines from its `fn` to its closing brace.
    pub(crate) lines: usize,
    /// Whether it lies in a module for tests only.
    pub(crate) is_test: bool,
}

/// Every function of a masked source.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let tests = test_modules(code);
    words(code, "fn").filter_map(|at| function(code, at, &tests)).collect()
}

fn function(code: &str, at: usize, tests: &[Range<usize>]) -> Option<Function> {
    let rest = code.get(at..)?;
    let after = rest.get(2..)?.trim_start();
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    let name = after.get(..end).filter(|name| !name.is_empty())?.to_owned();
    let len = body(rest)?;
    let line = code.get(..at)?.matches('\n').count().saturating_add(1);
    let lines = rest.get(..len)?.matches('\n').count().saturating_add(1);
    let is_test = tests.iter().any(|range| range.contains(&at));
    Some(Function { name, line, lines, is_test })
}

/// The byte ranges of `#[cfg(test)] mod name { ... }`, with the attribute.
pub(crate) fn test_modules(code: &str) -> Vec<Range<usize>> {
    code.match_indices("#[cfg(")
        .filter_map(|(at, _)| {
            let rest = code.get(at..)?;
            let condition = rest.get(..rest.find(']')?)?;
            words(condition, "test").next()?;
            Some(at..at.saturating_add(body(rest)?))
        })
        .collect()
}

/// Where each occurrence of a whole word starts.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '#';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let end = at.saturating_add(word.len());
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(end..).and_then(|text| text.chars().next());
        !before.is_some_and(in_word) && !after.is_some_and(|c| in_word(c) && c != '#')
    })
}

/// Length up to the end of the first braced block, if one comes before a semicolon.
///
/// Semicolons inside parentheses and brackets (array types, attributes) do not count.
fn body(code: &str) -> Option<usize> {
    let (mut braces, mut others): (usize, usize) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => others = others.saturating_add(1),
            ')' | ']' => others = others.saturating_sub(1),
            ';' if braces == 0 && others == 0 => return None,
            '{' => braces = braces.saturating_add(1),
            '}' if braces <= 1 => return Some(at.saturating_add(1)),
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let code =
            "fn a() {}\nimpl X {\n  fn b(\n    x: [u8; 4],\n  ) -> u8 {\n    if x { 1 }\n  }\n}\n";
        let found = functions(code);
        let short: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(short, [("a", 1, 1), ("b", 3, 5)]);
    }

    #[test]
    fn types_and_declarations_are_not_functions() {
        assert!(
            functions("type F = fn(u8) -> u8; trait T { fn a(&self); } let r#fn = {};").is_empty()
        );
    }

    #[test]
    fn functions_of_test_modules_are_told_apart() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n";
        let tests: Vec<bool> = functions(code).iter().map(|f| f.is_test).collect();
        assert_eq!(tests, [false, true, false]);
    }

    #[test]
    fn a_test_module_in_another_file_has_no_extent() {
        assert!(test_modules("#[cfg(test)]\nmod tests;\nfn a() {}\n").is_empty());
        assert!(test_modules("#[cfg(feature = x)] mod a { }").is_empty());
        assert_eq!(test_modules("#[cfg(all(test, loom))] mod a { }").len(), 1);
    }
}
