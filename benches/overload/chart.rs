//! The picture: goodput, and the slowest responses, against offered load. Handlers that sleep and
//! handlers that compute have a row of panels each.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::outcome::Outcome;
use crate::sweep::Row;

/// Of one row of panels.
const SIZE: (u32, u32) = (960, 420);
/// A line's colour by its place among the lines.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 90, 180), RGBColor(200, 80, 0), RGBColor(120, 120, 120), RGBColor(150, 50, 130)];

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// One server at all loads.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
}

/// What one row of panels shows.
#[derive(Clone, Debug)]
pub(crate) struct Curves {
    /// Of what kind the handlers are.
    pub(crate) handlers: &'static str,
    pub(crate) lines: Vec<Line>,
    /// Requests per second that count as once.
    pub(crate) capacity: f64,
}

/// What one panel shows.
struct View<'a> {
    title: String,
    unit: &'a str,
    top: f64,
    /// Whether it says whose line is whose: once a row is enough, where the lines leave room.
    legend: bool,
    value: &'a dyn Fn(&Row) -> Option<f64>,
}

/// Draws `all`, one below the other, into an SVG file at `path`.
pub(crate) fn draw(path: &Path, all: &[Curves]) -> Result<(), String> {
    let drawn = || -> Drawn {
        let size = (SIZE.0, SIZE.1 * all.len().max(1) as u32);
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (curves, row) in all.iter().zip(area.split_evenly((all.len().max(1), 1))) {
            panels(&row, curves)?;
        }
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| format!("cannot draw {}: {error}", path.display()))
}

fn panels(area: &Panel<'_>, curves: &Curves) -> Drawn {
    let in_percent = |row: &Row| Some(row.point.report.goodput() / curves.capacity * 100.0);
    let slowest = |row: &Row| row.point.report.latency_ms(Outcome::InTime, 0.99);
    let goodput = View {
        title: format!("{}: served within 200 ms", curves.handlers),
        unit: "% of capacity",
        top: 110.0,
        legend: true,
        value: &in_percent,
    };
    let latency = View {
        title: "p99 of these responses".into(),
        unit: "ms",
        top: 220.0,
        legend: false,
        value: &slowest,
    };
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    panel(&left, &curves.lines, &goodput)?;
    panel(&right, &curves.lines, &latency)
}

fn panel(area: &Panel<'_>, lines: &[Line], view: &View<'_>) -> Drawn {
    // The multiples have even distances, since most of what happens does so between 0.5 and 2.
    let mut multiples: Vec<f64> =
        lines.iter().flat_map(|line| &line.rows).map(|row| row.multiple).collect();
    multiples.sort_by(f64::total_cmp);
    multiples.dedup();
    let place = |row: &Row| multiples.iter().position(|&multiple| multiple == row.multiple);
    let mut chart = ChartBuilder::on(area)
        .caption(&view.title, ("sans-serif", 18))
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
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<(usize, f64)> =
            line.rows.iter().filter_map(|row| Some((place(row)?, (view.value)(row)?))).collect();
        let style = colour.stroke_width(if line.name.starts_with("millpond") { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(points, style).point_size(3))?
            .label(&line.name)
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
