//! The command line: one place for every option and every word of help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Which files are hit when a range of storage or memory goes bad.
///
/// Reads the stack from saved text (partition tables, LVM or device-mapper metadata, filesystem
/// maps), needs no root and touches no device. Without a command it explains a failure on a
/// built-in example.
#[derive(Debug, Parser)]
#[command(name = "badrange", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Cli {
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const AFTER_HELP: &str = "\
Examples:
  badrange                                              explain a failure on the built-in example
  badrange example my-stack                             write that example's files to my-stack/
  badrange explain --stack my-stack/stack.toml --at disk:71870+4
  badrange explain --stack my-stack/stack.toml --at disk:71870+4 --json";

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless the environment has `NO_COLOR`.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Explain(ExplainArgs),
    Locate(crate::locate::LocateArgs),
    Inject(crate::inject::InjectArgs),
    Ranges(crate::ranges::RangesArgs),
    Plan(crate::plan::PlanArgs),
    CheckStack(crate::check_stack::CheckStackArgs),
    Capture(crate::capture::CaptureArgs),
    Example(ExampleArgs),
    #[command(subcommand)]
    Badblocks(crate::badblocks::BadblocksCommand),
    #[command(subcommand)]
    Sim(SimCommand),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Say what bad ranges hit: partitions, volumes, filesystems, files, byte by byte.
///
/// Every byte asked about gets a verdict; what cannot be known is said to be unknown.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP, after_long_help = EXPLAIN_LONG_HELP)]
pub(crate) struct ExplainArgs {
    /// The description of the stack.
    #[arg(long, value_name = "stack.toml", required_unless_present = "from")]
    pub(crate) stack: Option<PathBuf>,

    /// A directory of saved outputs instead (lsblk -J -b, dmsetup table, ...): the stack is put
    /// together from them, and what was used and what is missing is said on standard error.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["stack", "follow"])]
    pub(crate) from: Option<PathBuf>,

    /// What is bad: <device>:<start>+<len>, a comma-separated list of them, or several --at.
    #[arg(long, value_name = "LOCATION", required_unless_present = "log", conflicts_with = "log")]
    pub(crate) at: Vec<String>,

    #[command(flatten)]
    pub(crate) log: crate::log::LogArgs,

    /// Go on reading the text as it grows, and print one JSON object per new finding
    /// (badrange.event/1).
    #[arg(long, requires = "log")]
    pub(crate) follow: bool,

    /// Print every finding of a followed text once in this time, however often it is repeated.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "follow")]
    pub(crate) window: u64,

    #[command(flatten)]
    pub(crate) output: crate::report::Output,
}

const EXPLAIN_HELP: &str = "\
Examples:
  badrange explain --stack stack.toml --at disk:71870+4
  badrange explain --stack stack.toml --at pfn:0x1850602 --json
  badrange explain --from saved/ --at sdb:78014+8
  dmesg | badrange explain --stack stack.toml --log -
  badrange explain --stack stack.toml --log /var/log/kern.log --follow";

const EXPLAIN_LONG_HELP: &str = "\
Locations:
  disk:71870+4                 4 sectors of 512 bytes of the device \"disk\", from 71870
  disk:0x100000+4096B          the same device in bytes
  lba@disk:71870+4             logical blocks of the device (512 or 4096 bytes)
  pfn:0x1850602+1              physical pages, of 4 KiB if the stack does not say otherwise
  phys:0x1850602400+0x1000     physical bytes
  Without +<len>: one unit. Every device of the stack can be asked about.

With --log the ranges are those that `badrange ranges` finds, also failed requests of which it shows a
smaller part only, because nothing says that the rest is good. What the text names and the stack has
no device for is said on standard error, and makes the status 3 where it would be 0.

Exit status, the first that applies:
  2   metadata is lost
  1   file data is lost
  3   something that cannot be known
  0   nothing is lost
  64  wrong usage
  65  bad input: file, line and reason on standard error

Examples:
  badrange explain --stack stack.toml --at disk:71870+4
  badrange explain --stack stack.toml --at disk:71870+4,vgdata-mysql:192+8
  badrange explain --stack stack.toml --at pfn:0x1850602 --json
  badrange explain --stack stack.toml --log dmesg.txt";

/// Write the files of the built-in example, to try and to start from.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  badrange example my-stack")]
pub(crate) struct ExampleArgs {
    /// The directory to make; it must not exist yet.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  badrange completions bash > ~/.local/share/bash-completion/completions/badrange"
)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// Print the manual page, or write one per command to a directory.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  badrange man | man -l -\n  badrange man --dir /usr/local/share/man/man1"
)]
pub(crate) struct ManArgs {
    /// Where to write badrange.1 and a page per command.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Predict what a kernel or a design does with memory failures, from a scenario.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    Run(SimRunArgs),
    Check(SimCheckArgs),
    Compare(SimCompareArgs),
    Sweep(crate::sweep::SweepArgs),
    Summarize(crate::sweep::SummarizeArgs),
    Init(crate::init::InitArgs),
    Diagram(crate::diagram::DiagramArgs),
}

/// Run a scenario and print what happens.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  badrange sim run scenario.json\n  badrange sim run scenario.json --profile linux-6.12 --json\n  badrange sim run scenario.json --profile ranged"
)]
pub(crate) struct SimRunArgs {
    /// The scenario (badrange.scenario/1).
    #[arg(value_name = "scenario.json")]
    pub(crate) scenario: PathBuf,

    /// Whose rules, instead of the scenario's own: a kernel (linux-6.1, linux-6.12, linux-7.2), this
    /// project's design (ranged), or one of the designs that were argued (per-pfn,
    /// corrupted-range, mf-register, range-owners, late-notifiers).
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,

    /// Print the outcome as JSON (badrange.outcome/1).
    #[arg(long)]
    pub(crate) json: bool,
}

/// Run scenarios and compare each with what was recorded.
///
/// One line per scenario and a total; differences are listed with their place. Exit status 1 when
/// any differs, 65 when a file is bad.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  badrange sim check recordings/*.json")]
pub(crate) struct SimCheckArgs {
    /// The scenarios, with what is expected of them.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) scenarios: Vec<PathBuf>,
}

/// Run a scenario under several designs and measure each against the truth.
///
/// The truth is every owner of every bad byte, and every process that maps one, found from the
/// scenario's own maps without any design. A byte that two files share counts twice.
#[derive(Debug, Args)]
#[command(after_help = SIM_COMPARE_HELP, after_long_help = SIM_COMPARE_LONG_HELP)]
pub(crate) struct SimCompareArgs {
    /// The scenario (badrange.scenario/1); the profile it names plays no part.
    #[arg(value_name = "scenario.json")]
    pub(crate) scenario: PathBuf,

    /// Which designs, separated by commas; all that were argued, when not given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) designs: Vec<String>,

    /// Print one JSON object (badrange.compare/1).
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Print a report in Markdown, with a sequence diagram (Mermaid) per design.
    #[arg(long)]
    pub(crate) markdown: bool,
}

const SIM_COMPARE_HELP: &str = "\
Examples:
  badrange sim compare scenario.json
  badrange sim compare scenario.json --designs linux-7.2,ranged --markdown";

const SIM_COMPARE_LONG_HELP: &str = "\
Designs:
  per-pfn          memory_failure() of every page, nothing else
  corrupted-range  ->corrupted_range() of block devices: first sector, first match
  mf-register      memory_failure_register(): {dax device, pfn, len} handed upward
  range-owners     range owners and a notifier chain, per-pfn where nobody listens
  late-notifiers   the same chain, told after memory_failure() of every page
  linux-6.12       exclusive holder of a DAX device, as merged; also linux-6.1, linux-7.2
  ranged           ranges through every layer, several holders, exact remainder

Columns:
  owners told      owners told of every bad byte of theirs / owners of bad bytes
  bytes            bad; missed: bad and the owner was not told; wrong: told and not bad
  signals          sent; about units without a bad byte / again / wanted and never sent
  unmapped/bad     bytes that left page tables / bytes of bad pages that were mapped
  left mapped      bytes of bad pages that somebody still has mapped

Examples:
  badrange sim compare scenario.json
  badrange sim compare scenario.json --json
  badrange sim compare scenario.json --designs linux-7.2,ranged --markdown";
