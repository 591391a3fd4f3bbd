//! Relative links between documents resolve.

use super::Offence;
use super::tree::{Text, Tree};

pub(super) fn offences(tree: &Tree) -> Vec<Offence> {
    let documents = tree.texts().iter().filter(|text| text.path.ends_with(".md"));
    documents.flat_map(|document| document_offences(document, tree)).collect()
}

fn document_offences(document: &Text, tree: &Tree) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(document.text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            if let Err(what) = resolve(document, &target, tree) {
                found.push(Offence::new(&document.path, number, what));
            }
        }
    }
    found
}

/// The targets of a line's links: `[text](target)` and `[name]: target`, outside inline code.
fn targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition = prose
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_, target)| target.split_whitespace().next());
    inline.chain(definition).filter(|target| !is_foreign(target)).map(str::to_owned).collect()
}

/// Targets with a scheme lie outside; whether they answer is not for an offline check.
fn is_foreign(target: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

fn resolve(document: &Text, target: &str, tree: &Tree) -> Result<(), String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        document.path.clone()
    } else {
        let dir = document.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        join(dir, path).ok_or_else(|| format!("link to {target} leaves the project"))?
    };
    if !tree.has(&path) {
        return Err(format!("link to {target}: there is no {path}"));
    }
    let page = tree.text(&path).filter(|page| page.path.ends_with(".md"));
    match page {
        Some(page) if !anchor.is_empty() && !anchors(&page.text).any(|own| own == anchor) => {
            Err(format!("link to {target}: {path} has no heading #{anchor}"))
        }
        _ => Ok(()),
    }
}

/// `dir` and a relative path with `.` and `..` worked out; `None` above the root.
fn join(dir: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that a page's headings get when it is shown.
fn anchors(page: &str) -> impl Iterator<Item = String> + '_ {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let other = ("docs/b.md", "# One heading: it's here\n");
        offences(&Tree::of(&[("docs/a.md", text), other, ("LICENSE", "")])).len()
    }

    #[test]
    fn links_that_resolve_pass() {
        assert_eq!(found("[b](b.md) and [l](../LICENSE) and [d](../docs)\n"), 0);
        assert_eq!(
            found("[w](https://example.org/x) [b](b.md#one-heading-its-here)\n[b]: ./b.md\n"),
            0
        );
    }

    #[test]
    fn links_that_do_not_resolve_are_found() {
        assert_eq!(found("[c](c.md) and [c](../c.md)\n"), 2);
        assert_eq!(found("[c]: c.md\n"), 1);
        assert_eq!(found("[up](../../c.md)\n"), 1);
        assert_eq!(found("[b](b.md#two)\n[me](#none)\n"), 2);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(found("```\n[c](c.md)\n```\nand `a[0](x)`\n"), 0);
    }
}
