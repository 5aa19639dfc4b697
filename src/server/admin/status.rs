//! The status as JSON (docs/admin.md has the schema). Times are in seconds.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::history::Sample;
use super::report::Report;
use crate::http::json_text::escape_json;
use crate::pool::stats::watch::RefusedRequest;
use crate::pool::{Stats, WorkerActivity, WorkerState};
use crate::server::accept_queues::AcceptQueue;

/// The status of the server.
pub(super) fn json(report: &Report<'_>) -> String {
    let stats = &report.stats;
    let mut out = String::with_capacity(32 * 1024);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{{\"version\":\"{}\",\"uptime\":{},\"state\":\"{}\",\"live\":{},\"ready\":{},\"kernel\":[",
        env!("CARGO_PKG_VERSION"),
        seconds(report.uptime),
        report.state,
        report.is_live,
        report.is_ready(),
    );
    list(&mut out, &report.kernel, kernel);
    let _ = write!(
        out,
        "],\"queue\":{{\"length\":{},\"limit\":{},\"capacity\":{},\"oldest\":{}}},\"workers\":[",
        stats.queued,
        seconds(stats.wait_limit),
        stats.queue_capacity,
        seconds(stats.queue_oldest),
    );
    list(&mut out, &report.workers, worker);
    let _ = write!(
        out,
        "],\"connections\":{{\"live\":{},\"parked\":{},\"limit\":{},\"accepted\":{},\"closed\":{{",
        stats.live, stats.parked, stats.connection_limit, stats.accepted,
    );
    counts(&mut out, stats.closed().map(|(reason, count)| (reason.name(), count)));
    let _ = write!(out, "}}}},\"requests\":{{\"served\":{},\"refused\":{{", stats.served);
    counts(&mut out, stats.refused().map(|(refusal, count)| (refusal.name(), count)));
    let _ = write!(out, "}},\"panics\":{},\"by_class\":{{", stats.panics);
    counts(&mut out, stats.responses());
    out.push_str("}},");
    estimates(&mut out, stats);
    out.push_str(",\"history\":[");
    list(&mut out, &report.samples, |out, it| sample(out, it));
    out.push_str("],\"refusals\":[");
    list(&mut out, &report.refusals, refused);
    out.push_str("],\"clients\":[");
    list(&mut out, &report.clients, |out, (client, share)| {
        let _ = write!(out, "{{\"client\":{},\"share\":{share:.4}}}", string(client));
    });
    let _ = writeln!(out, "],\"advice\":{}}}", string(&report.advice()));
    out
}

fn kernel(out: &mut String, queue: &AcceptQueue) {
    let (endpoint, queued, limit) = (string(&queue.endpoint), queue.length, queue.limit);
    let _ = write!(out, "{{\"endpoint\":{endpoint},\"queued\":{queued},\"limit\":{limit}}}");
}

/// The word for what a worker does.
pub(super) fn activity(activity: WorkerActivity) -> &'static str {
    match activity {
        WorkerActivity::Idle => "idle",
        WorkerActivity::Leading => "leading",
        WorkerActivity::Serving => "serving",
    }
}

fn worker(out: &mut String, worker: &WorkerState) {
    let _ = write!(
        out,
        "{{\"index\":{},\"state\":\"{}\",\"since\":{},",
        worker.index,
        activity(worker.activity),
        seconds(worker.since),
    );
    if let Some(peer) = worker.peer {
        let _ = write!(out, "\"client\":\"{peer}\",");
    }
    if let Some((method, path)) = worker.request.as_deref().and_then(|it| it.split_once(' ')) {
        let _ = write!(out, "\"method\":{},\"path\":{},", string(method), string(path));
    }
    let _ = write!(out, "\"wait\":{},\"served\":{}}}", seconds(worker.wait), worker.served);
}

fn estimates(out: &mut String, stats: &Stats) {
    let _ = write!(
        out,
        "\"overload\":{{\"overloaded\":{},\"load\":{},\"capacity\":{},\"wait_target\":{},\
         \"wait_limit\":{}}},\"wait\":{{\"p50\":{},\"p99\":{}}},\"service\":{{\"p50\":{},\
         \"p99\":{},\"mean\":{}}}",
        stats.overloaded,
        number(stats.load),
        number(stats.capacity),
        seconds(stats.wait_target),
        seconds(stats.wait_limit),
        seconds(stats.wait_p50),
        seconds(stats.wait_p99),
        seconds(stats.service_p50),
        seconds(stats.service_p99),
        seconds(stats.service_mean),
    );
}

fn sample(out: &mut String, sample: &Sample) {
    let [wait_p50, wait_p99] = sample.wait.map(seconds);
    let [service_p50, service_p99] = sample.service.map(seconds);
    let _ = write!(
        out,
        "{{\"t\":{},\"served\":{},\"refused\":{},\"wait_p50\":{wait_p50},\"wait_p99\":{wait_p99},\
         \"service_p50\":{service_p50},\"service_p99\":{service_p99}}}",
        sample.unix, sample.served, sample.refused,
    );
}

fn refused(out: &mut String, refused: &RefusedRequest) {
    let at = refused.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let _ = write!(
        out,
        "{{\"t\":{at:.3},\"reason\":\"{}\",\"client\":{},\"line\":{},\"predicted_wait\":{}}}",
        refused.refusal.name(),
        string(&refused.client),
        string(&refused.line),
        seconds(refused.predicted),
    );
}

/// The items of a list or of an object, with commas between them.
fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
}

fn counts(out: &mut String, counts: impl Iterator<Item = (&'static str, u64)>) {
    list(out, counts, |out, (name, count)| {
        let _ = write!(out, "\"{name}\":{count}");
    });
}

fn string(text: &str) -> String {
    let mut out = String::from('"');
    escape_json(text, &mut out);
    out.push('"');
    out
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// A number that JSON has: it has no infinity.
fn number(value: f64) -> String {
    format!("{:.3}", if value.is_finite() { value } else { 0.0 })
}
