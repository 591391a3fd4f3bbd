//! Files and functions that one can read in one go.

use super::Offence;
use super::functions::{functions, test_modules};
use super::tree::Text;

/// Lines of a file outside its tests. A file is to stay under 800; the rest is room to finish.
const FILE: usize = 900;
/// Lines of a function.
const FUNCTION: usize = 70;
/// Lines of a test: tables of cases are long, but not endless.
const TEST_FUNCTION: usize = 150;

/// Offences of size in a Rust file; `code` is its masked text.
pub(crate) fn offences(file: &Text, code: &str) -> Vec<Offence> {
    file_size(file, code).into_iter().chain(function_sizes(file, code)).collect()
}

fn file_size(file: &Text, code: &str) -> Option<Offence> {
    let count = |text: &str| text.matches('\n').count();
    let tests: usize =
        test_modules(code).into_iter().filter_map(|at| code.get(at)).map(count).sum();
    let lines = count(code).saturating_sub(tests);
    (lines > FILE && !file.is_test())
        .then(|| Offence::new(&file.path, 0, format!("{lines} lines, at most {FILE}: split it")))
}

fn function_sizes<'a>(file: &'a Text, code: &'a str) -> impl Iterator<Item = Offence> + 'a {
    functions(code).into_iter().filter_map(|function| {
        let limit = if file.is_test() || function.is_test { TEST_FUNCTION } else { FUNCTION };
        let what = format!("fn {} has {} lines, at most {limit}", function.name, function.lines);
        (function.lines > limit).then(|| Offence::new(&file.path, function.line, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        offences(&Text::new(path, text), text).len()
    }

    /// A function of that many lines inside its braces.
    fn long_function(inside: usize) -> String {
        format!("fn f() {{\n{}}}\n", "  g();\n".repeat(inside))
    }

    #[test]
    fn a_function_of_70_lines_passes_and_71_does_not() {
        assert_eq!(found("src/a.rs", &long_function(68)), 0);
        assert_eq!(found("src/a.rs", &long_function(69)), 1);
        assert_eq!(found("src/tests.rs", &long_function(69)), 0);
        assert_eq!(found("src/tests.rs", &long_function(149)), 1);
    }

    #[test]
    fn a_file_of_900_lines_passes_and_901_does_not() {
        assert_eq!(found("src/a.rs", &"x;\n".repeat(900)), 0);
        assert_eq!(found("src/a.rs", &"x;\n".repeat(901)), 1);
        assert_eq!(found("tests/a.rs", &"x;\n".repeat(901)), 0);
    }

    #[test]
    fn tests_inside_a_file_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "x;\n".repeat(500));
        assert_eq!(found("src/a.rs", &format!("{}{tests}", "x;\n".repeat(890))), 0);
    }
}
