//! The picture: goodput, and the slowest answers, against offered load.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::outcome::Outcome;
use crate::sweep::Row;

const SIZE: (u32, u32) = (960, 420);
/// A line's colour by the server's place in the table.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 90, 180), RGBColor(200, 80, 0), RGBColor(120, 120, 120), RGBColor(150, 50, 130)];

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What one panel shows.
struct View<'a> {
    title: &'a str,
    unit: &'a str,
    top: f64,
    /// Whether it says whose line is whose: once for both is enough, where the lines leave room.
    legend: bool,
    value: &'a dyn Fn(&Row) -> Option<f64>,
}

/// Draws `rows` into an SVG file at `path`.
pub(crate) fn draw(
    path: &Path,
    rows: &[Row],
    names: &[&'static str],
    capacity: f64,
) -> Result<(), String> {
    let in_percent = |row: &Row| Some(row.point.report.goodput() / capacity * 100.0);
    let slowest = |row: &Row| row.point.report.latency_ms(Outcome::InTime, 0.99);
    let goodput = View {
        title: "Answered within 200 ms",
        unit: "% of capacity",
        top: 110.0,
        legend: true,
        value: &in_percent,
    };
    let latency = View {
        title: "p99 of these answers",
        unit: "ms",
        top: 220.0,
        legend: false,
        value: &slowest,
    };
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        panel(&left, rows, names, &goodput)?;
        panel(&right, rows, names, &latency)?;
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| format!("cannot draw {}: {error}", path.display()))
}

fn panel(
    area: &Panel<'_>,
    rows: &[Row],
    names: &[&'static str],
    view: &View<'_>,
) -> Result<(), Box<dyn std::error::Error>> {
    // The multiples stand evenly, since most of what happens does so between 0.5 and 2.
    let mut multiples: Vec<f64> = rows.iter().map(|row| row.multiple).collect();
    multiples.sort_by(f64::total_cmp);
    multiples.dedup();
    let place = |row: &Row| multiples.iter().position(|&multiple| multiple == row.multiple);
    let mut chart = ChartBuilder::on(area)
        .caption(view.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0..multiples.len().saturating_sub(1).max(1), 0.0..view.top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("offered load, times capacity")
        .y_desc(view.unit)
        .x_labels(multiples.len())
        .x_label_formatter(&|place| multiples.get(*place).map_or(String::new(), f64::to_string))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        let mine = rows.iter().filter(|row| row.server == *name);
        let points: Vec<(usize, f64)> =
            mine.filter_map(|row| Some((place(row)?, (view.value)(row)?))).collect();
        let style = colour.stroke_width(if *name == "millpond" { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(points, style).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    if view.legend {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.85))
            .label_font(("sans-serif", 13))
            .draw()?;
    }
    Ok(())
}
