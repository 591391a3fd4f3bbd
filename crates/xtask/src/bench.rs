//! `cargo xtask bench-compare`: builds the benchmarks in release mode and runs them.

use std::path::PathBuf;

use crate::command::{Budget, Cmd};
use crate::failure::{Failure, Outcome};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Parts to run; all when none is named.
    parts: Vec<String>,
    /// Small sizes and few rounds, for a look that everything runs. Writes nothing.
    #[arg(long)]
    quick: bool,
    /// Rounds of each pair.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Sizes to measure.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Only print; leave `docs/performance.md` and the plots as they are.
    #[arg(long)]
    print: bool,
    /// Leave huge pages to the kernel's setting instead of asking for them.
    #[arg(long)]
    small_pages: bool,
}

/// All contenders get their memory from the same allocator with the same advice: the time of a
/// random access should be that of the structure, not of the page tables.
const HUGE_PAGES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

pub(crate) fn compare(
    options: &Options,
    workspace: &Workspace,
    budget: &Budget,
) -> Result<Outcome, Failure> {
    Cmd::parse("cargo build --profile compare -p badrange-bench").run(budget)?;
    let program = workspace.target.join("compare").join("badrange-bench");
    command(options, program, &workspace.root.join("docs")).run(budget).map(|()| Outcome::Done)
}

fn command(options: &Options, program: PathBuf, docs: &std::path::Path) -> Cmd {
    let mut command = Cmd::new([program.to_string_lossy()]).args(options.parts.clone());
    if options.quick {
        command = command.arg("--quick");
    } else if !options.print {
        command = command.args(["--docs".to_owned(), docs.to_string_lossy().into_owned()]);
    }
    if let Some(rounds) = options.rounds {
        command = command.args(["--rounds".to_owned(), rounds.to_string()]);
    }
    if !options.sizes.is_empty() {
        let sizes: Vec<String> = options.sizes.iter().map(usize::to_string).collect();
        command = command.args(["--sizes".to_owned(), sizes.join(",")]);
    }
    if options.small_pages { command } else { command.env(HUGE_PAGES.0, HUGE_PAGES.1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shown(parts: &[&str], quick: bool, small_pages: bool) -> String {
        let parts = parts.iter().map(|&part| part.to_owned()).collect();
        let options = Options {
            parts,
            quick,
            rounds: Some(3),
            sizes: vec![10, 20],
            print: false,
            small_pages,
        };
        command(&options, PathBuf::from("bench"), Path::new("docs")).to_string()
    }

    #[test]
    fn a_short_run_writes_no_documents() {
        assert_eq!(shown(&["index"], true, true), "bench index --quick --rounds 3 --sizes 10,20");
        assert_eq!(
            shown(&[], false, false),
            "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 bench --docs docs --rounds 3 --sizes 10,20"
        );
    }
}
