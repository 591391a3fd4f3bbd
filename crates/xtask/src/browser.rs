//! The HTML report in a real browser: it is drawn, in light and in dark, and nothing is fetched.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::command::{Budget, Cmd};
use crate::failure::{Doing, Failure, Outcome};
use crate::toolchain;
use crate::workspace::Workspace;

/// What is asked: lost files, a journal, bytes of nobody, and bytes that were never written.
const BAD: &str = "disk:71870+4,disk:2040+16,disk:480000+8,disk:80127+2";

/// A look: the switch of the browser, the colour of the page and that of a lost range, as
/// `style.css` has them.
struct Look {
    name: &'static str,
    switch: Option<&'static str>,
    page: [u8; 3],
    lost: [u8; 3],
}

const LOOKS: [Look; 2] = [
    Look { name: "light", switch: None, page: [0xff, 0xff, 0xff], lost: [0xc4, 0x26, 0x2e] },
    Look {
        name: "dark",
        switch: Some("--force-dark-mode"),
        page: [0x0d, 0x11, 0x17],
        lost: [0xff, 0x6b, 0x6b],
    },
];

/// Headless, and quiet: without these switches the browser asks for updates.
const SWITCHES: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                        --disable-background-networking --disable-component-update --disable-sync \
                        --window-size=1100,1500";

pub(crate) fn check(workspace: &Workspace, budget: &Budget) -> Result<Outcome, Failure> {
    let Some(browser) = find(budget) else {
        let why = "no chromium here: install the package chromium";
        return Ok(Outcome::Skipped(why.to_owned()));
    };
    let dir = workspace.root.join("target/browser");
    fs::create_dir_all(&dir).doing("make target/browser")?;
    let page = report(&dir, budget)?;
    links_resolve(&fs::read_to_string(&page).doing("read the report")?)?;
    for look in &LOOKS {
        let shot = dir.join(format!("report-{}.png", look.name));
        screenshot(browser, &page, &shot, look, budget)?;
        judge(&shot, look)?;
    }
    Ok(Outcome::Done)
}

/// The browser, installed if this run may do so.
fn find(budget: &Budget) -> Option<&'static str> {
    const NAMES: [&str; 2] = ["chromium", "chromium-browser"];
    let works = |name: &str| Cmd::new([name, "--version"]).output(budget).is_some();
    let found = || NAMES.into_iter().find(|name| works(name));
    found().or_else(|| {
        if toolchain::in_ci() {
            let install = "apt-get install --yes --no-install-recommends chromium";
            let _ = Cmd::parse("apt-get update").run_quietly(budget);
            let _ = Cmd::parse(install).run_quietly(budget);
        }
        found()
    })
}

fn report(dir: &Path, budget: &Budget) -> Result<PathBuf, Failure> {
    let page = dir.join("report.html");
    Cmd::parse("cargo build --quiet -p badrange-cli").run(budget)?;
    // Lost bytes make it end with another status than 0, which is what it has to do.
    let explain = format!(
        "target/debug/badrange explain --stack crates/badrange-cli/example/stack.toml --at {BAD} \
         --format html > '{}'; test $? -eq 2",
        page.display()
    );
    Cmd::new(["sh", "-c", &explain]).run(budget)?;
    Ok(page)
}

/// Every link of the page leads to a place on the page, and there is none to anywhere else.
fn links_resolve(html: &str) -> Result<(), Failure> {
    let values = |name: &str| -> BTreeSet<String> {
        let attribute = format!(" {name}=\"");
        let parts = html.split(&attribute).skip(1);
        parts.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let ids = values("id");
    let hrefs = values("href");
    let dangling =
        hrefs.iter().find(|href| href.strip_prefix('#').is_none_or(|place| !ids.contains(place)));
    match dangling {
        Some(href) => {
            Err(Failure::new(format!("the report links to {href:?}, which is not on it")))
        }
        None if hrefs.len() < 4 => Err(Failure::new("the report has hardly any links")),
        None => Ok(()),
    }
}

fn screenshot(
    browser: &str,
    page: &Path,
    shot: &Path,
    look: &Look,
    budget: &Budget,
) -> Result<(), Failure> {
    let profile = tempfile::tempdir().doing("make a profile for the browser")?;
    Cmd::new([browser])
        .args(SWITCHES.split_whitespace())
        .args(look.switch)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}", page.display()))
        .run_quietly(budget)
}

/// The page has the colour of its look, and a lost range can be seen on it.
fn judge(shot: &Path, look: &Look) -> Result<(), Failure> {
    let file = File::open(shot).doing("open the screenshot")?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().doing("decode it")?;
    let size = reader.output_buffer_size().ok_or_else(|| Failure::new("a screenshot too large"))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).doing("decode the screenshot")?;
    let bytes = info.color_type.samples();
    let mut colours = pixels.chunks_exact(bytes).map(|pixel| pixel.get(..3).unwrap_or_default());
    let has = |colour: [u8; 3]| move |pixel: &[u8]| pixel == colour;
    if !colours.next().is_some_and(has(look.page)) {
        return Err(Failure::new(format!("the page is not {}: {}", look.name, shot.display())));
    }
    if !colours.any(has(look.lost)) {
        return Err(Failure::new(format!("no lost range can be seen: {}", shot.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::links_resolve;

    #[test]
    fn a_link_to_nowhere_is_seen() {
        let links = "<a href=\"#a\"><a href=\"#b\"><a href=\"#c\"><a href=\"#d\">";
        let page = format!("{links}<p id=\"a\"><p id=\"b\"><p id=\"c\"><p id=\"d\">");
        assert!(links_resolve(&page).is_ok());
        assert!(links_resolve(&page.replace("id=\"d\"", "id=\"e\"")).is_err());
        assert!(links_resolve(&page.replace("#d", "https://example.org/")).is_err());
        assert!(links_resolve("<p id=\"a\">").is_err());
    }
}
