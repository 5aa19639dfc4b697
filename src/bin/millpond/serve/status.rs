//! The state of the server in lines of the log, which SIGQUIT requests.

use millpond::Handle;
use millpond::pool::{WorkerActivity, WorkerState};

/// The number of workers with a line of their own. More would bury the other lines.
const WORKER_LINES: usize = 64;

/// The lines after the one with the totals.
pub(super) fn lines(handle: &Handle) -> Vec<String> {
    let stats = handle.stats();
    let mut lines = vec![format!(
        "queue: {} of {} waiting; wait limit {:?}, mean service time {:?}",
        stats.queued, stats.queue_capacity, stats.wait_limit, stats.service_mean,
    )];
    lines.extend(workers(handle.workers()));
    let closed = stats.closed().filter(|(_, count)| *count > 0);
    lines.extend(closed.map(|(reason, count)| format!("closed {count}: {reason}")));
    let refused = stats.refused().filter(|(_, count)| *count > 0);
    lines.extend(refused.map(|(refusal, count)| format!("refused {count}: {}", refusal.explain())));
    lines.push(format!(
        "accept: interrupted {}, skipped {}, paused for lack of descriptors {}, at the connection \
         limit {}, over the refusal budget {}; panics {}",
        stats.accept_interrupted,
        stats.accept_skipped,
        stats.accept_exhausted,
        stats.accept_full,
        stats.accept_over_budget,
        stats.panics,
    ));
    lines
}

/// A line for each worker that serves, the longest request first, and for the leader; one line for
/// all idle workers.
fn workers(mut workers: Vec<WorkerState>) -> Vec<String> {
    let all = workers.len();
    workers.retain(|worker| worker.activity != WorkerActivity::Idle);
    workers.sort_by_key(|worker| {
        (worker.activity != WorkerActivity::Serving, std::cmp::Reverse(worker.since))
    });
    let idle = all - workers.len();
    let mut lines: Vec<_> = workers.iter().take(WORKER_LINES).map(ToString::to_string).collect();
    if workers.len() > WORKER_LINES {
        lines.push(format!("and {} more busy workers", workers.len() - WORKER_LINES));
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
    fn the_state_of_an_idle_server_has_the_queue_the_workers_and_the_acceptor() {
        let server = Server::builder().bind("tcp://127.0.0.1:0").workers(3);
        let handle =
            server.http(|_: &mut Request| Response::text("")).build().unwrap().spawn().unwrap();
        let lines = lines(&handle);
        assert!(lines[0].starts_with("queue: 0 of 1024 waiting"), "{lines:#?}");
        let idle = lines.iter().filter(|line| line.contains("of 3 workers idle")).count();
        assert_eq!(idle, 1, "{lines:#?}");
        assert!(lines.last().unwrap().contains("panics 0"), "{lines:#?}");
        handle.stop_now();
    }
}
