//! [`Report`]: what the status and the page show, gathered at one moment.

use std::time::Duration;

use super::clients::BusiestClients;
use super::history::Sample;
use crate::pool::stats::watch::RefusedRequest;
use crate::pool::{Stats, WorkerActivity, WorkerState};
use crate::server::accept_queues::AcceptQueue;
use crate::server::handle::Handle;
use crate::server::state::ServerState;

/// Everything about a server at one moment.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) state: ServerState,
    pub(super) is_live: bool,
    pub(super) uptime: Duration,
    pub(super) stats: Stats,
    pub(super) workers: Vec<WorkerState>,
    pub(super) kernel: Vec<AcceptQueue>,
    /// The last first.
    pub(super) refusals: Vec<RefusedRequest>,
    /// The samples of the last two minutes, the oldest first.
    pub(super) samples: Vec<&'a Sample>,
    /// The clients that ask for most, and their shares.
    pub(super) clients: Vec<(String, f64)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        handle: &Handle,
        is_live: bool,
        samples: Vec<&'a Sample>,
        clients: &BusiestClients,
    ) -> Self {
        let shared = handle.shared();
        let watch = shared.watch();
        let busiest = clients.busiest().into_iter();
        Self {
            state: handle.state(),
            is_live,
            uptime: shared.uptime(),
            stats: handle.stats(),
            workers: handle.workers(),
            kernel: handle.accept_queues(),
            refusals: watch.refusals(),
            samples,
            clients: busiest.map(|(bucket, share)| (watch.client_name(bucket), share)).collect(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == ServerState::Running
    }

    /// Workers that serve at this moment.
    pub(super) fn busy(&self) -> usize {
        let serves = |worker: &&WorkerState| worker.activity == WorkerActivity::Serving;
        self.workers.iter().filter(serves).count()
    }

    /// How many workers the load needs, by Little's law: the mean number of requests in progress is
    /// their rate times the time that each takes.
    pub(super) fn advice(&self) -> String {
        let stats = &self.stats;
        let workers = stats.workers;
        let seconds: f64 = self.samples.len() as f64;
        if stats.overloaded {
            let needed = (stats.load * workers as f64).ceil().max(workers as f64);
            return format!(
                "overloaded: clients offer {:.1} times what {workers} workers can do; {needed} \
                 workers would keep up, if the handlers wait more than they compute",
                stats.load
            );
        }
        if seconds == 0.0 {
            return format!("{} of {workers} workers busy at this moment", self.busy());
        }
        let served: u64 = self.samples.iter().map(|sample| sample.served).sum();
        let mean = served as f64 / seconds * stats.service_mean.as_secs_f64();
        // Little's law gives the mean; the workers that wait for clients are not in it.
        let needed = (mean * 1.3).ceil().max(1.0);
        format!("{mean:.1} of {workers} workers busy; at 1.3 times this load {needed} are needed")
    }
}
