//! The status page: one HTML file, which the server renders whole, so that it works without
//! scripts. With scripts, the page replaces its main part once a second.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::time::SystemTime;

use super::drawing;
use super::message::AdminResponse;
use super::page_time::{long, short};
use super::report::Report;
use super::status::activity;
use crate::http::{StatusCode, header};
use crate::pool::{WorkerActivity, WorkerState};

const TEMPLATE: &str = include_str!("page.html");
/// Workers, refusals and reasons that are shown.
const ROWS: usize = 64;

/// The page. Only its own style and script run: they have a number that no other page knows.
pub(super) fn page(report: &Report<'_>) -> AdminResponse {
    let nonce = nonce();
    let html = TEMPLATE.replace("{{nonce}}", &nonce).replacen("{{main}}", &main(report), 1);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    AdminResponse::new(StatusCode::OK, "text/html; charset=utf-8", html)
        .with(header::CONTENT_SECURITY_POLICY, &policy)
}

/// A number that cannot be guessed: the standard library seeds its hashers from the system's random
/// numbers.
fn nonce() -> String {
    let part = || RandomState::new().hash_one(SystemTime::now());
    format!("{:016x}{:016x}", part(), part())
}

fn main(report: &Report<'_>) -> String {
    let stats = &report.stats;
    let mut out = String::with_capacity(32 * 1024);
    let state_class = if report.is_ready() { "good" } else { "bad" };
    let (live, live_class) = if report.is_live { ("live", "good") } else { ("stuck", "bad") };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<h1>millpond {}</h1> <span id=\"state\" class=\"badge {state_class}\">{}</span> \
         <span class=\"badge {live_class}\">{live}</span> ",
        env!("CARGO_PKG_VERSION"),
        report.state,
    );
    if stats.overloaded {
        out.push_str("<span class=\"badge bad\">overloaded</span> ");
    }
    let _ = write!(
        out,
        "<span class=\"faint\">up {}</span>\n<p>{}</p>\n",
        long(report.uptime),
        escape(&report.advice()),
    );
    let _ = writeln!(
        out,
        "<div class=\"wide\"><section><h2>The way of a request</h2>{}</section>\n\
         <section><h2>Two minutes</h2>{}</section></div>",
        drawing::way(report),
        drawing::charts(&report.samples),
    );
    workers(&mut out, report);
    out.push_str("<div class=\"wide\">");
    refused(&mut out, report);
    clients(&mut out, report);
    out.push_str("</div>\n");
    recent_refusals(&mut out, report);
    out
}

fn workers(out: &mut String, report: &Report<'_>) {
    let mut shown: Vec<&WorkerState> =
        report.workers.iter().filter(|it| it.activity != WorkerActivity::Idle).collect();
    let (all, idle) = (report.workers.len(), report.workers.len() - shown.len());
    let serves = |worker: &WorkerState| worker.activity == WorkerActivity::Serving;
    shown.sort_by_key(|worker| (!serves(worker), std::cmp::Reverse(worker.since)));
    let _ = write!(
        out,
        "<section><h2>Workers <span class=\"faint\">{idle} of {all} idle</span></h2>\
         <table class=\"cards\"><thead><tr><th>worker<th>state<th class=\"number\">since\
         <th class=\"number\">wait before<th>request<th>client<th class=\"number\">served</thead>\
         <tbody>",
    );
    for worker in shown.iter().take(ROWS) {
        let (wait, request) = match worker.activity {
            WorkerActivity::Serving => (short(worker.wait), worker.request.as_deref()),
            _ => (String::new(), None),
        };
        let peer = worker.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr><td title=\"worker\">{}<td>{}<td class=\"number\" title=\"for\">{}\
             <td class=\"number\" title=\"wait\">{wait}<td>{}<td>{peer}\
             <td class=\"number\" title=\"served\">{}",
            worker.index,
            activity(worker.activity),
            short(worker.since),
            escape(request.unwrap_or_default()),
            worker.served,
        );
    }
    out.push_str("</tbody></table>");
    if shown.len() > ROWS {
        let _ = write!(out, "<p class=\"faint\">and {} more", shown.len() - ROWS);
    }
    out.push_str("</section>\n");
}

fn refused(out: &mut String, report: &Report<'_>) {
    let stats = &report.stats;
    let _ = write!(
        out,
        "<section><h2>Since the start</h2><table><tbody><tr><td>served<td class=\"number\">{}\
         <tr><td>accepted connections<td class=\"number\">{}\
         <tr><td>panics<td class=\"number\">{}",
        stats.served, stats.accepted, stats.panics,
    );
    for (refusal, count) in stats.refused() {
        let name = refusal.name().replace('_', " ");
        let class = if count > 0 { "bad" } else { "faint" };
        let _ = write!(out, "<tr><td>refused: {name}<td class=\"number {class}\">{count}",);
    }
    out.push_str("</tbody></table></section>\n");
}

fn clients(out: &mut String, report: &Report<'_>) {
    out.push_str("<section><h2>Clients that ask for most</h2><table><tbody>");
    for (client, share) in &report.clients {
        let _ = write!(
            out,
            "<tr><td>{}<td class=\"half\"><meter max=\"1\" value=\"{share:.3}\"></meter>\
             <td class=\"number\">{:.0} %",
            escape(client),
            share * 100.0,
        );
    }
    out.push_str("</tbody></table>");
    if report.clients.is_empty() {
        out.push_str("<p class=\"faint\">no requests in the last seconds");
    }
    out.push_str("</section>\n");
}

fn recent_refusals(out: &mut String, report: &Report<'_>) {
    out.push_str("<section><h2>Last refusals <span class=\"faint\">a sample</span></h2>");
    if report.refusals.is_empty() {
        out.push_str("<p class=\"faint\">none</section>\n");
        return;
    }
    out.push_str(
        "<table class=\"cards\"><thead><tr><th>ago<th>reason<th>client<th>request\
         <th class=\"number\">predicted wait</thead><tbody>",
    );
    let now = SystemTime::now();
    for refused in report.refusals.iter().take(ROWS) {
        let ago = now.duration_since(refused.at).unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr><td title=\"ago\">{}<td>{}<td>{}<td>{}<td class=\"number\" title=\"wait\">{}",
            short(ago),
            refused.refusal.name().replace('_', " "),
            escape(&refused.client),
            escape(&refused.line),
            short(refused.predicted),
        );
    }
    out.push_str("</tbody></table></section>\n");
}

/// Text as HTML: paths come from clients.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<a href=\"x\">&\n"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn the_template_has_its_places() {
        assert_eq!(TEMPLATE.matches("{{nonce}}").count(), 2);
        assert_eq!(TEMPLATE.matches("{{main}}").count(), 1);
        assert!(!TEMPLATE.contains("style=\""), "the policy forbids styles of single elements");
        assert!(!TEMPLATE.contains("http://") && !TEMPLATE.contains("https://"));
        assert_ne!(nonce(), nonce());
    }
}
