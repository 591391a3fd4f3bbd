//! The engine: registry, coalescer, storms, striped legs, and how cost grows.

pub mod coalescer;
pub mod cost;
pub mod leg;
pub mod registry;
pub mod storm;
pub mod world;

use core::fmt::Write;

use crate::{Options, Page, Pair, Ratio, say};

/// Measures the engine.
///
/// # Errors
/// An answer that differs between the two of a pair.
pub fn run(options: &Options, page: &mut Page) -> Result<(), String> {
    let mut rows = Rows::default();
    registry::run(options, &mut rows)?;
    coalescer::run(options, &mut rows)?;
    leg::run(options, &mut rows)?;
    storm::run(options, &mut rows)?;
    page.section("engine", rows.text());
    cost::run(options, page)
}

/// One line of the table: what, how many times faster, and the target.
#[derive(Debug, Default)]
pub struct Rows {
    lines: Vec<[String; 5]>,
}

/// Which way a target reads.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The rival takes at least so many times our time.
    Faster(f64),
    /// We take at most so many times the rival's time.
    Within(f64),
    /// Nothing was promised.
    None,
}

impl Rows {
    /// A pair, with the time of one of `count` things.
    pub fn pair(&mut self, what: &str, pair: &Pair, count: usize, target: Target) {
        let each = |seconds| {
            let nanos = crate::measure::nanos_each(seconds, count);
            if nanos < 1e4 { format!("{nanos:.1} ns") } else { format!("{:.1} us", nanos / 1e3) }
        };
        let times = [each(pair.ours()), each(pair.rival())];
        let inverse = || Ratio::of(pair.rounds.iter().map(|(ours, rival)| ours / rival).collect());
        match target {
            Target::Faster(_) | Target::None => self.line(what, times, pair.ratio(), target),
            Target::Within(_) => self.line(what, times, inverse(), target),
        }
    }

    /// A ratio that is known already.
    pub fn line(&mut self, what: &str, [ours, rival]: [String; 2], ratio: Ratio, target: Target) {
        let verdict = match target {
            Target::Faster(least) => verdict(ratio.median >= least, format!(">= {least}x")),
            Target::Within(most) => verdict(ratio.median <= most, format!("<= {most}x")),
            Target::None => String::new(),
        };
        say(&format!("{what}: {ours}, {rival}: {ratio} {verdict}"));
        self.lines.push([what.to_owned(), ours, rival, ratio.to_string(), verdict]);
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "| work | ours | beside it | ratio: median (least-greatest) | target |\n\
             | --- | --- | --- | --- | --- |\n",
        );
        for line in &self.lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} |", line.join(" | "));
        }
        text
    }
}

fn verdict(met: bool, target: String) -> String {
    if met { target } else { format!("{target}: **missed**") }
}
