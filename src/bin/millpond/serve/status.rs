//! The state of the server in lines of the log: what SIGQUIT asks for.

use millpond::pool::{WorkerActivity, WorkerState};
use millpond::{CloseReason, Handle, Refusal};

/// Workers that have a line each; a thousand of them would bury the rest.
const WORKERS: usize = 64;

/// The lines, after the one with the totals.
pub(crate) fn lines(handle: &Handle) -> Vec<String> {
    let stats = handle.stats();
    let mut lines = vec![format!(
        "queue: {} wait, of {} that may; wait limit {:?}, mean service {:?}",
        stats.queued, stats.queue_capacity, stats.wait_limit, stats.service_mean,
    )];
    lines.extend(workers(handle.workers()));
    let closed = CloseReason::ALL.iter().zip(stats.closed).filter(|(_, count)| *count > 0);
    lines.extend(closed.map(|(reason, count)| format!("closed {count}: {reason}")));
    let refused = Refusal::ALL.iter().zip(stats.refused).filter(|(_, count)| *count > 0);
    lines.extend(refused.map(|(refusal, count)| format!("refused {count}: {}", refusal.explain())));
    lines.push(format!(
        "accept interrupted {}, skipped {}, paused for want of descriptors {}, at the limit {}, for \
         the cost of refusing {}; panics {}",
        stats.accept_interrupted,
        stats.accept_skipped,
        stats.accept_exhausted,
        stats.accept_full,
        stats.accept_over_budget,
        stats.panics,
    ));
    lines
}

/// Those who serve, the one that has for longest first, and who leads; the others in one line.
fn workers(mut workers: Vec<WorkerState>) -> Vec<String> {
    let all = workers.len();
    workers.retain(|worker| worker.activity != WorkerActivity::Idle);
    workers.sort_by_key(|worker| {
        (worker.activity != WorkerActivity::Serving, std::cmp::Reverse(worker.since))
    });
    let idle = all - workers.len();
    let mut lines: Vec<_> = workers.iter().take(WORKERS).map(ToString::to_string).collect();
    if workers.len() > WORKERS {
        lines.push(format!("and {} more workers that serve", workers.len() - WORKERS));
    }
    lines.push(format!("{idle} of {all} workers idle"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond::Server;
    use millpond::http::{Request, Response};

    #[test]
    fn a_quiet_server_has_a_queue_idle_workers_and_what_was_accepted() {
        let server = Server::builder().bind("tcp://127.0.0.1:0").workers(3);
        let handle = server.http(|_: &mut Request| Response::text("")).unwrap().spawn().unwrap();
        let lines = lines(&handle);
        assert!(lines[0].starts_with("queue: 0 wait, of 1024 that may"), "{lines:#?}");
        let idle = lines.iter().filter(|line| line.contains("of 3 workers idle")).count();
        assert_eq!(idle, 1, "{lines:#?}");
        assert!(lines.last().unwrap().contains("panics 0"), "{lines:#?}");
        handle.stop_now();
    }
}
