//! Every transcript in `tests/cmd`, in the README and in the documents, run and compared.

#[test]
fn transcripts_are_true() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.md")
        .case("../../README.md")
        .case("../../docs/cookbook.md")
        .case("../../docs/recovery.md");
}
