//! The drawings of the status page, as SVG: the way of a request, and charts of two minutes.

use std::fmt::Write;
use std::time::Duration;

use super::history::Sample;
use super::page_time::short;
use super::report::Report;

/// A box of the drawing: where it is, and what it shows.
struct Stage {
    at: (u32, u32),
    title: &'static str,
    value: String,
    note: String,
    /// How full it is, 0 to 1.
    level: f64,
}

/// The way of a request: kernel backlog, queue, workers, parked.
pub(super) fn way(report: &Report<'_>) -> String {
    let stats = &report.stats;
    let queued: u64 = report.kernel.iter().map(|queue| u64::from(queue.length)).sum();
    let limit: u64 = report.kernel.iter().map(|queue| u64::from(queue.limit)).sum();
    let kernel = Stage {
        at: (4, 4),
        title: "kernel backlog",
        value: if limit == 0 { "–".to_owned() } else { queued.to_string() },
        note: if limit == 0 { "not reported".to_owned() } else { format!("of {limit}") },
        level: part(queued as f64, limit as f64),
    };
    let queue = Stage {
        at: (204, 4),
        title: "queue",
        value: format!("{} of {}", stats.queued, stats.queue_capacity),
        note: format!("oldest {}", short(stats.queue_oldest)),
        level: part(stats.queued as f64, stats.queue_capacity as f64),
    };
    let workers = Stage {
        at: (204, 154),
        title: "workers",
        value: format!("{} of {}", report.busy(), report.workers.len()),
        note: format!("busy, mean {}", short(stats.service_mean)),
        level: part(report.busy() as f64, report.workers.len() as f64),
    };
    let parked = Stage {
        at: (4, 154),
        title: "parked",
        value: stats.parked.to_string(),
        note: format!("{} open of {}", stats.live, stats.connection_limit),
        level: part(stats.live as f64, stats.connection_limit as f64),
    };
    let mut out = String::from(
        "<svg class=\"way\" viewBox=\"0 0 358 240\" role=\"img\" aria-label=\"kernel backlog, \
         queue, workers, parked connections\">",
    );
    for stage in [kernel, queue, workers, parked] {
        draw(&mut out, &stage);
    }
    // From the backlog into the queue, to the workers, to the parked connections and back.
    arrow(&mut out, (156, 46), (202, 46));
    arrow(&mut out, (232, 88), (232, 152));
    arrow(&mut out, (204, 212), (158, 212));
    arrow(&mut out, (120, 154), (212, 90));
    let (served, refused) = report.samples.last().map_or((0, 0), |it| (it.served, it.refused));
    let class = if refused > 0 { "spill" } else { "faint" };
    let _ = write!(
        out,
        "<text x=\"242\" y=\"116\">served {served}/s</text>\
         <text x=\"242\" y=\"134\" class=\"{class}\">refused {refused}/s</text></svg>",
    );
    out
}

fn draw(out: &mut String, stage: &Stage) {
    let Stage { at: (x, y), title, value, note, level } = stage;
    let full = if *level >= 0.95 { " full" } else { "" };
    let _ = write!(
        out,
        "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"150\" height=\"84\" rx=\"6\"/>\
         <text x=\"{left}\" y=\"{title_y}\" class=\"faint\">{title}</text>\
         <text x=\"{left}\" y=\"{value_y}\" class=\"big\">{value}</text>\
         <text x=\"{left}\" y=\"{note_y}\" class=\"faint\">{note}</text>\
         <rect class=\"track\" x=\"{left}\" y=\"{bar_y}\" width=\"130\" height=\"5\" rx=\"2\"/>\
         <rect class=\"fill{full}\" x=\"{left}\" y=\"{bar_y}\" width=\"{width:.1}\" height=\"5\" \
         rx=\"2\"/>",
        left = x + 10,
        title_y = y + 18,
        value_y = y + 42,
        note_y = y + 60,
        bar_y = y + 70,
        width = 130.0 * level,
    );
}

fn arrow(out: &mut String, from: (u32, u32), to: (u32, u32)) {
    let (dx, dy) = (f64::from(to.0) - f64::from(from.0), f64::from(to.1) - f64::from(from.1));
    let length = dx.hypot(dy);
    let (ux, uy) = (dx / length, dy / length);
    let (x, y) = (f64::from(to.0), f64::from(to.1));
    let corner = |side: f64| (x - 8.0 * ux - 4.0 * side * uy, y - 8.0 * uy + 4.0 * side * ux);
    let ((ax, ay), (bx, by)) = (corner(1.0), corner(-1.0));
    let _ = write!(
        out,
        "<path class=\"arrow\" d=\"M{} {}L{x} {y}\"/>\
         <path class=\"head\" d=\"M{x} {y}L{ax:.1} {ay:.1}L{bx:.1} {by:.1}Z\"/>",
        from.0, from.1,
    );
}

/// The charts of two minutes.
pub(super) fn charts(samples: &[&Sample]) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    let rate = |value: f64| format!("{value:.0}/s");
    let time = |value: f64| short(Duration::from_secs_f64(value));
    let mut out = String::new();
    let rates: [Line<'_>; 2] = [
        Line { name: "served", class: "served", value: &|it| it.served as f64 },
        Line { name: "refused", class: "refused", value: &|it| it.refused as f64 },
    ];
    chart(&mut out, "requests", samples, &rates, &rate);
    let waits: [Line<'_>; 2] = [
        Line { name: "p50", class: "p50", value: &|it| seconds(it.wait[0]) },
        Line { name: "p99", class: "p99", value: &|it| seconds(it.wait[1]) },
    ];
    chart(&mut out, "wait in the queue", samples, &waits, &time);
    let services: [Line<'_>; 2] = [
        Line { name: "p50", class: "p50", value: &|it| seconds(it.service[0]) },
        Line { name: "p99", class: "p99", value: &|it| seconds(it.service[1]) },
    ];
    chart(&mut out, "service", samples, &services, &time);
    out
}

struct Line<'a> {
    name: &'static str,
    class: &'static str,
    value: &'a dyn Fn(&Sample) -> f64,
}

fn chart(
    out: &mut String,
    title: &str,
    samples: &[&Sample],
    lines: &[Line<'_>],
    text: &dyn Fn(f64) -> String,
) {
    let end = samples.last().map_or(0, |sample| sample.unix);
    let values = |line: &Line<'_>| samples.iter().map(|it| (line.value)(it)).fold(0.0, f64::max);
    let most = lines.iter().map(values).fold(0.0, f64::max);
    let _ = write!(out, "<p class=\"caption\"><span>{title}</span> <span class=\"faint\">");
    for line in lines {
        let now = samples.last().map_or(0.0, |sample| (line.value)(sample));
        let _ = write!(out, "<i class=\"key {}\"></i>{} {} ", line.class, line.name, text(now));
    }
    let _ = write!(
        out,
        "most {}</span></p><svg viewBox=\"0 0 340 56\" role=\"img\" aria-label=\"{title}\">\
         <path class=\"base\" d=\"M0 53H340\"/>",
        text(most)
    );
    for line in lines {
        let _ = write!(out, "<path class=\"chart {}\" d=\"{}\"/>", line.class, {
            path(samples, end, |it| part((line.value)(it), most))
        });
    }
    out.push_str("</svg>");
}

/// A line over the samples, which is broken where some are missing.
fn path(samples: &[&Sample], end: u64, level: impl Fn(&Sample) -> f64) -> String {
    let mut path = String::new();
    let mut before = None;
    for sample in samples {
        let x = 340.0 - 340.0 * end.saturating_sub(sample.unix) as f64 / 120.0;
        let y = 53.0 - 49.0 * level(sample);
        let follows = before.is_some_and(|before| sample.unix <= before + 2);
        let _ = write!(path, "{}{x:.1} {y:.1}", if follows { 'L' } else { 'M' });
        before = Some(sample.unix);
    }
    path
}

/// `value` of `whole`, 0 to 1.
fn part(value: f64, whole: f64) -> f64 {
    if whole > 0.0 { (value / whole).clamp(0.0, 1.0) } else { 0.0 }
}
