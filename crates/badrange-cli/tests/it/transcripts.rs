//! Every transcript in `tests/cmd` and in the README, run and compared.

#[test]
fn transcripts_are_true() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.md")
        .case("../../README.md")
        .case("../../docs/cookbook.md");
}
