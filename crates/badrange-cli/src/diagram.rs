//! `badrange sim diagram`: the stack of a scenario or of a `stack.toml`, drawn.

use core::fmt::Write as _;
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use badrange::{
    core::{Extent, PhysAddr},
    explain::Explainer,
    input::{DirFiles, Layer as On, Topology},
};
use badrange_sim::Scenario;
use clap::{Args, ValueEnum};

use crate::Failure;

/// Draw the stack of a scenario or of a stack.toml, bad ranges marked.
///
/// Which of the two FILE is, its content says. Of a scenario the ranges that its events report as
/// bad are marked; of a stack those of --at, on every device that has them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  badrange sim diagram scenario.json\n  badrange sim diagram stack.toml --at disk:71870+4 --format mermaid\n  badrange sim diagram scenario.json --format dot | dot -Tsvg > stack.svg"
)]
pub(crate) struct DiagramArgs {
    /// A scenario (badrange.scenario/1) or a description of a stack (badrange.stack/1).
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How to draw.
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    format: Format,

    /// What is bad, for a stack: <device>:<start>+<len> as in `badrange explain`.
    #[arg(long, value_name = "LOCATION")]
    at: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Text: every device with those that stand on it.
    Tree,
    /// A flowchart for Markdown.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// A box of the picture.
struct Node {
    name: String,
    what: String,
    below: Vec<usize>,
    bad: Vec<(u64, u64)>,
    /// Further ranges.
    unlisted: u64,
}

pub(crate) fn run(args: &DiagramArgs) -> Result<u8, Failure> {
    let name = args.file.display().to_string();
    let text = fs::read_to_string(&args.file)
        .map_err(|err| Failure::data(format!("cannot read {name:?}: {err}")))?;
    let nodes = if text.trim_start().starts_with('{') {
        if !args.at.is_empty() {
            return Err(Failure::usage("--at is for stacks: a scenario has events"));
        }
        of_scenario(&Scenario::from_str(&text, &name).map_err(Failure::data)?)
    } else {
        of_stack(&name, &text, &args.file, &args.at)?
    };
    let picture = match args.format {
        Format::Tree => tree(&nodes),
        Format::Mermaid => mermaid(&nodes),
        Format::Dot => dot(&nodes),
    };
    io::stdout().lock().write_all(picture.as_bytes())?;
    Ok(0)
}

fn of_scenario(scenario: &Scenario) -> Vec<Node> {
    let node = |layer: badrange_sim::DrawnLayer| Node {
        name: layer.name,
        what: layer.what,
        below: layer.below,
        bad: layer.bad,
        unlisted: layer.unlisted,
    };
    scenario.layers().into_iter().map(node).collect()
}

fn of_stack(name: &str, text: &str, file: &Path, at: &[String]) -> Result<Vec<Node>, Failure> {
    let dir = DirFiles::new(file.parent().map_or_else(PathBuf::new, Path::to_owned));
    let topology = Topology::load(name, text, &dir).map_err(Failure::data)?;
    let explainer = Explainer::new(topology).map_err(Failure::data)?;
    let mut queries = Vec::new();
    for list in at {
        queries.extend(explainer.locate(list).map_err(Failure::usage)?);
    }
    let mut bad: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
    for (place, bytes) in explainer.reached(&queries) {
        bad.entry(place).or_default().push((bytes.start().get(), bytes.len()));
    }
    let topology = explainer.topology();
    let mut nodes: Vec<Node> = Vec::new();
    for (place, device) in topology.devices().iter().enumerate() {
        let (what, below) = layer(topology, &device.layer);
        let bad = bad.remove(&place).unwrap_or_default();
        let what = format!("{what}, {} bytes", device.extent.len());
        nodes.push(Node { name: device.name.clone(), what, below, bad, unlisted: 0 });
    }
    for fs in topology.filesystems() {
        let on = topology.devices().get(fs.device).map_or("", |device| &device.name);
        let name = fs.mount.clone().unwrap_or_else(|| format!("{} on {on}", fs.kind));
        let what = format!("{} filesystem", fs.kind);
        nodes.push(Node { name, what, below: vec![fs.device], bad: Vec::new(), unlisted: 0 });
    }
    Ok(nodes)
}

/// The CXL regions that memory is in.
fn regions(topology: &Topology, memory: Extent<PhysAddr>) -> Vec<usize> {
    let regions = topology.regions();
    let inside = regions.filter(|(_, region)| region.hpa().intersect(memory).is_some());
    inside.map(|(place, _)| place).collect()
}

fn layer(topology: &Topology, layer: &On) -> (&'static str, Vec<usize>) {
    match layer {
        On::Disk => ("disk", Vec::new()),
        On::Memdev => ("memory device", Vec::new()),
        On::Region { legs, .. } => ("CXL region", legs.clone()),
        On::Pmem { namespace, .. } => ("pmem", regions(topology, namespace.whole())),
        On::Partition { on, .. } => ("partition", vec![*on]),
        On::Mapped { legs, .. } => ("mapped", legs.clone()),
        On::Array { legs, .. } => ("array", legs.clone()),
        On::Thin { legs, .. } => ("thin volume", legs.clone()),
        On::Loop { legs, .. } => ("loop device", legs.first().copied().into_iter().collect()),
        On::Opaque => ("layout unknown", Vec::new()),
        On::View { of, .. } => ("view", vec![*of]),
    }
}

/// Bad ranges in bytes, the first few of them.
fn bad_words(node: &Node) -> Option<String> {
    const SHOWN: usize = 3;
    let shown: Vec<String> =
        node.bad.iter().take(SHOWN).map(|(start, len)| format!("{start}+{len}B")).collect();
    let more = u64::try_from(node.bad.len().saturating_sub(SHOWN)).unwrap_or(u64::MAX);
    let more = more.saturating_add(node.unlisted);
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("BAD {}", shown.join(" "))),
        (false, more) => Some(format!("BAD {} and {more} more", shown.join(" "))),
    }
}

fn tree(nodes: &[Node]) -> String {
    let mut text = String::new();
    for (root, node) in nodes.iter().enumerate() {
        if node.below.is_empty() {
            branch(nodes, root, "", "", &mut text);
        }
    }
    text
}

/// A device on several others is drawn on each of them.
fn branch(nodes: &[Node], at: usize, first: &str, rest: &str, text: &mut String) {
    let Some(node) = nodes.get(at) else { return };
    let bad = bad_words(node).map(|bad| format!("  {bad}")).unwrap_or_default();
    let _ = writeln!(text, "{first}{} ({}){bad}", node.name, node.what);
    let above: Vec<usize> =
        nodes.iter().enumerate().filter(|(_, n)| n.below.contains(&at)).map(|(i, _)| i).collect();
    for (i, upper) in above.iter().enumerate() {
        let last = i.checked_add(1) == Some(above.len());
        let (tip, stem) = if last { ("`-- ", "    ") } else { ("|-- ", "|   ") };
        branch(nodes, *upper, &format!("{rest}{tip}"), &format!("{rest}{stem}"), text);
    }
}

fn edges(nodes: &[Node]) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (upper, node) in nodes.iter().enumerate() {
        let mut below = node.below.clone();
        below.sort_unstable();
        below.dedup();
        edges.extend(below.into_iter().map(|lower| (lower, upper)));
    }
    edges
}

fn mermaid(nodes: &[Node]) -> String {
    let mut text = "flowchart BT\n".to_owned();
    for (i, node) in nodes.iter().enumerate() {
        let bad = bad_words(node);
        let class = if bad.is_some() { ":::bad" } else { "" };
        let bad = bad.map(|bad| format!("<br/>{bad}")).unwrap_or_default();
        let quoted = |text: &str| text.replace('#', "#35;").replace('"', "#quot;");
        let (name, what) = (quoted(&node.name), quoted(&node.what));
        let _ = writeln!(text, "  n{i}[\"{name}<br/>{what}{bad}\"]{class}");
    }
    for (lower, upper) in edges(nodes) {
        let _ = writeln!(text, "  n{lower} --> n{upper}");
    }
    text.push_str("  classDef bad stroke:#c00,stroke-width:3px\n");
    text
}

fn dot(nodes: &[Node]) -> String {
    let mut text = "digraph stack {\n  rankdir=BT;\n  node [shape=box];\n".to_owned();
    for (i, node) in nodes.iter().enumerate() {
        let bad = bad_words(node);
        let style = if bad.is_some() { ", color=red, penwidth=3" } else { "" };
        let bad = bad.map(|bad| format!("\\n{bad}")).unwrap_or_default();
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let (name, what) = (quoted(&node.name), quoted(&node.what));
        let _ = writeln!(text, "  n{i} [label=\"{name}\\n{what}{bad}\"{style}];");
    }
    for (lower, upper) in edges(nodes) {
        let _ = writeln!(text, "  n{lower} -> n{upper};");
    }
    text.push_str("}\n");
    text
}
