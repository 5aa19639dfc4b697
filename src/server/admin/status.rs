//! The status as JSON (docs/admin.md has the schema). Times are in seconds.

use std::fmt::Write;
use std::time::Duration;

use super::history::Sample;
use crate::http::json_text::escape_json;
use crate::pool::{Stats, WorkerActivity, WorkerState};
use crate::server::handle::Handle;

/// The status of the server.
pub(super) fn json<'a>(
    handle: &Handle,
    live: bool,
    samples: impl Iterator<Item = &'a Sample>,
) -> String {
    let stats = handle.stats();
    let state = handle.state();
    let shared = handle.shared();
    let workers = handle.workers();
    let busy = workers.iter().filter(|it| it.activity == WorkerActivity::Serving).count();
    let limit = shared.config().limits.connections;
    let mut out = String::with_capacity(16 * 1024);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{{\"version\":\"{}\",\"uptime\":{},\"state\":\"{state}\",\"live\":{live},\"ready\":{},",
        env!("CARGO_PKG_VERSION"),
        seconds(shared.uptime()),
        state == "running",
    );
    let _ = write!(
        out,
        "\"kernel\":[],\"queue\":{{\"length\":{},\"limit\":{},\"capacity\":{}}},\"workers\":[",
        stats.queued,
        seconds(stats.wait_limit),
        stats.queue_capacity,
    );
    list(&mut out, &workers, worker);
    let _ = write!(
        out,
        "],\"connections\":{{\"live\":{},\"parked\":{},\"limit\":{limit},\"accepted\":{},\
         \"closed\":{{",
        stats.live, stats.parked, stats.accepted,
    );
    counts(&mut out, stats.closed().map(|(reason, count)| (reason.name(), count)));
    let _ = write!(out, "}}}},\"requests\":{{\"served\":{},\"refused\":{{", stats.served);
    counts(&mut out, stats.refused().map(|(refusal, count)| (refusal.name(), count)));
    let _ = write!(out, "}},\"panics\":{}}},", stats.panics);
    estimates(&mut out, &stats);
    out.push_str(",\"history\":[");
    list(&mut out, samples, sample);
    out.push_str("],\"advice\":\"");
    escape_json(&advice(&stats, busy), &mut out);
    out.push_str("\"}\n");
    out
}

fn worker(out: &mut String, worker: &WorkerState) {
    let activity = match worker.activity {
        WorkerActivity::Idle => "idle",
        WorkerActivity::Leading => "leading",
        WorkerActivity::Serving => "serving",
    };
    let _ = write!(
        out,
        "{{\"index\":{},\"state\":\"{activity}\",\"since\":{},\"served\":{}",
        worker.index,
        seconds(worker.since),
        worker.served,
    );
    if let Some(peer) = worker.peer {
        let _ = write!(out, ",\"client\":\"{peer}\"");
    }
    out.push('}');
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

/// How many workers the load needs, by Little's law: work in progress is the rate of requests times
/// the time that each takes.
pub(super) fn advice(stats: &Stats, busy: usize) -> String {
    let workers = stats.workers as f64;
    if stats.overloaded {
        let needed = (stats.load * workers).ceil().max(workers);
        return format!(
            "all {workers} workers are busy at {:.1} times what they can do; {needed} would keep \
             up, if the CPU has room for them",
            stats.load
        );
    }
    let needed = (stats.load * workers * 1.3).ceil().max(1.0);
    format!(
        "{:.1} of {workers} workers busy, {busy} at this moment; at 1.3 times this load {needed} \
         are needed",
        stats.load * workers
    )
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

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// A number that JSON has: it has no infinity.
fn number(value: f64) -> String {
    format!("{:.3}", if value.is_finite() { value } else { 0.0 })
}
