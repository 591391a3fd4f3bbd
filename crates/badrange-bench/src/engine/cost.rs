//! How cost grows with the length of a failed range, under three designs, and with holders.

use core::fmt::Write;
use std::sync::Arc;

use badrange_fs::ReverseMap;
use plotters::prelude::*;

use super::world::{CHUNK, Design, LEGS, PAGE, World, files};
use crate::{Options, Page, Ratio, measure::timed, say};

/// One point of a curve: bytes that failed, seconds, calls of the filesystem.
#[derive(Debug, Clone, Copy)]
struct Point {
    len: u64,
    seconds: f64,
    calls: u64,
}

/// A way to notify, with the longest range that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Runs,
    PerChunk,
    PerPage,
}

impl Way {
    const ALL: [Self; 3] = [Self::Runs, Self::PerChunk, Self::PerPage];

    const fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::PerChunk => "per chunk",
            Self::PerPage => "per page",
        }
    }

    const fn colour(self) -> RGBColor {
        match self {
            Self::Runs => RGBColor(0, 110, 60),
            Self::PerChunk => RGBColor(210, 120, 0),
            Self::PerPage => RGBColor(190, 30, 30),
        }
    }
}

/// A curve ends before the point that would take longer.
const LONGEST_SECONDS: f64 = 12.0;

/// Measures the curves.
///
/// # Errors
/// Designs that tell different bytes, or a plot that cannot be drawn.
pub fn run(options: &Options, page: &mut Page) -> Result<(), String> {
    let (leg, extents) = if options.quick { (1 << 30, 10_000) } else { (1 << 40, 1_000_000) };
    let map: Arc<ReverseMap> = Arc::new(files(LEGS * leg, extents, 3).into_iter().collect());
    let runs = World::new(leg, Arc::clone(&map), Design::Runs)?;
    let chunks = World::new(leg, map, Design::PerChunk)?;
    let lens: Vec<u64> = (12..=40).step_by(2).map(|bits| 1 << bits).filter(|l| *l <= leg).collect();
    let mut curves = Vec::new();
    for way in Way::ALL {
        let world = if way == Way::PerChunk { &chunks } else { &runs };
        let mut points: Vec<Point> = Vec::new();
        for len in &lens {
            let next = points.last().map_or(0.0, |last| last.seconds * 4.0);
            if next < LONGEST_SECONDS {
                points.push(point(options, world, way, *len));
            }
        }
        curves.push((way, points));
    }
    check(&curves, &runs, &chunks)?;
    page.section_in("cost-model.md", "curves", table(&lens, &curves));
    let time = |point: &Point| point.seconds * 1e6;
    let svg = plot("microseconds of processor time", &curves, time)?;
    page.plot("cost-time.svg", svg);
    let calls = |point: &Point| point.calls as f64;
    page.plot("cost-calls.svg", plot("calls of the filesystem", &curves, calls)?);
    Ok(())
}

/// Fails a range of leg 0, the way it is notified; how often the filesystem was called.
fn fail(world: &World, way: Way, len: u64) -> u64 {
    match way {
        Way::Runs | Way::PerChunk => world.fail(0, len).counts().notified,
        Way::PerPage => {
            (0..len / PAGE).map(|page| world.fail(page * PAGE, PAGE).counts().notified).sum()
        }
    }
}

fn point(options: &Options, world: &World, way: Way, len: u64) -> Point {
    // Short ranges many times, so that the clock can see them.
    let (first, calls) = timed(|| fail(world, way, len));
    let times: u32 = if first < 1e-5 {
        1000
    } else if first < 1e-3 {
        10
    } else {
        1
    };
    let rounds = if first > 1.0 { 1 } else { options.rounds };
    let seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let all = timed(|| (0..times).map(|_| fail(world, way, len)).sum::<u64>());
            all.0 / f64::from(times)
        })
        .collect();
    let point = Point { len, seconds: Ratio::of(seconds).median, calls };
    say(&format!(
        "{:>9} KiB {:<9} {:>12.1} us {:>9} calls of the filesystem",
        len >> 10,
        way.name(),
        point.seconds * 1e6,
        point.calls
    ));
    point
}

/// Every design tells the owners of the same bytes.
fn check(curves: &[(Way, Vec<Point>)], runs: &World, chunks: &World) -> Result<(), String> {
    let len = curves.iter().filter_map(|(_, points)| points.last()).map(|point| point.len).min();
    let len = len.unwrap_or(PAGE).min(1 << 28);
    let mut told = Vec::new();
    for way in Way::ALL {
        let world = if way == Way::PerChunk { chunks } else { runs };
        let _ = world.told.take();
        let _ = fail(world, way, len);
        told.push(world.told.take().1);
    }
    if told.iter().all(|bytes| Some(bytes) == told.first()) {
        return Ok(());
    }
    Err(format!("of {len} bytes the designs told {told:?}"))
}

fn size(len: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB")];
    let unit = units.iter().find(|(bits, _)| len >> bits > 0).copied().unwrap_or((10, "KiB"));
    format!("{} {}", len >> unit.0, unit.1)
}

/// The length of a mark on an axis: marks are at powers of two, as well as floats can say.
fn size_near(len: f64) -> String {
    let bits = (0..63_u32).find(|bits| 2_f64.powi(i32::try_from(*bits).unwrap_or(0)) * 1.5 > len);
    size(1 << bits.unwrap_or(0))
}

fn micros(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn table(lens: &[u64], curves: &[(Way, Vec<Point>)]) -> String {
    let mut text = String::from("| failed |");
    for (way, _) in curves {
        let _ = write!(text, " {}: time | calls |", way.name());
    }
    text += "\n| --- |";
    text += &" --- | --- |".repeat(curves.len());
    for len in lens {
        let _ = write!(text, "\n| {} |", size(*len));
        for (_, points) in curves {
            match points.iter().find(|point| point.len == *len) {
                Some(point) => {
                    let _ = write!(text, " {} | {} |", micros(point.seconds), point.calls);
                }
                None => text += " not measured | |",
            }
        }
    }
    let chunk = size(CHUNK);
    let _ = write!(
        text,
        "\n\nChunks of {chunk}, {LEGS} legs, failing from the first byte of a leg on."
    );
    text
}

fn plot(
    what: &str,
    curves: &[(Way, Vec<Point>)],
    value: impl Fn(&Point) -> f64,
) -> Result<String, String> {
    let mut svg = String::new();
    {
        let failed = |e: &dyn core::fmt::Display| e.to_string();
        let root = SVGBackend::with_string(&mut svg, (760, 460)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| failed(&e))?;
        let values: Vec<f64> = curves.iter().flat_map(|(_, p)| p.iter().map(&value)).collect();
        let (least, most) =
            values.iter().fold((f64::MAX, 1.0_f64), |(l, m), v| (l.min(*v), m.max(*v)));
        let widest = curves.iter().flat_map(|(_, p)| p).map(|p| p.len).max().unwrap_or(PAGE);
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(
                ((PAGE as f64)..(widest as f64 * 1.5)).log_scale().base(4.0),
                ((least / 2.0).max(0.1)..(most * 2.0)).log_scale(),
            )
            .map_err(|e| failed(&e))?;
        chart
            .configure_mesh()
            .x_desc("bytes of a leg that failed")
            .y_desc(what)
            .x_label_formatter(&|len| size_near(*len))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|e| failed(&e))?;
        for (way, points) in curves {
            let colour = way.colour();
            let line = points.iter().map(|point| (point.len as f64, value(point)));
            chart
                .draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))
                .map_err(|e| failed(&e))?
                .label(way.name())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .map_err(|e| failed(&e))?;
        root.present().map_err(|e| failed(&e))?;
    }
    Ok(svg)
}
