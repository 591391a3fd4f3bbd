//! The plots of the page: how many times slower a rival is, per work, over the sizes.

use plotters::prelude::*;

use super::table::{Row, Table};
use crate::{Page, data::Shape};

/// Draws what the table holds.
pub(super) fn draw(table: &Table, page: &mut Page) -> Result<(), String> {
    let works = [("point", "points"), ("1 GiB", "ranges"), ("remove and insert", "changes")];
    for (work, name) in works {
        let found = |row: &&Row| row.what == work && row.shape == Shape::Disjoint;
        let rows: Vec<&Row> = table.rows.iter().filter(found).collect();
        if !rows.is_empty() {
            let svg = curve(&rows, work).map_err(|e| format!("plot of {work}: {e}"))?;
            page.plot(&format!("performance-{name}.svg"), svg);
        }
    }
    Ok(())
}

/// Ratios over sizes, both logarithmic; a line per rival.
fn curve(rows: &[&Row], work: &str) -> Result<String, Box<dyn core::error::Error>> {
    let mut rivals: Vec<&str> = rows.iter().map(|row| row.rival.as_str()).collect();
    rivals.sort_unstable();
    rivals.dedup();
    let sizes = rows.iter().map(|row| row.n as f64);
    let (least, most) = sizes.fold((f64::MAX, 0.0_f64), |(a, b), n| (a.min(n), b.max(n)));
    let ratios = rows.iter().map(|row| row.ratio.median).filter(|ratio| ratio.is_finite());
    let (low, high) = ratios.fold((1.0_f64, 1.0_f64), |(a, b), r| (a.min(r), b.max(r)));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (860, 480)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{work}: time of others / badrange"), ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(
                (least / 1.5..most * 1.5).log_scale(),
                (low / 1.3..high * 1.3).log_scale(),
            )?;
        chart.configure_mesh().x_desc("extents").y_desc("times").draw()?;
        for (index, rival) in rivals.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let line = rows.iter().filter(|row| row.rival == *rival);
            let points: Vec<(f64, f64)> =
                line.map(|row| (row.n as f64, row.ratio.median)).filter(|p| p.1 > 0.0).collect();
            chart
                .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
                .label(*rival)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
            chart.draw_series(points.into_iter().map(|p| Circle::new(p, 3, color.filled())))?;
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
