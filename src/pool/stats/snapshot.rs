//! [`Stats`]: the counters and estimates of a server at one moment.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::close::CloseReason;
use crate::pool::datagram::stats::DatagramStats;
use crate::pool::overload::refusal::Refusal;
use crate::pool::shared::Shared;
use crate::pool::stats::counters::STATUS_CLASSES;
use crate::pool::stats::durations::Durations;
use crate::pool::stats::handshakes::HandshakeStats;
use crate::pool::stats::reloads::ReloadStats;
use crate::sync::lock;

/// The classes of statuses, in the order in which they are counted.
const CLASSES: [&str; STATUS_CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the server has done, and what it is doing.
///
/// Counters begin at zero when the server starts. At any time, `accepted` is
/// [`closed_total`](Self::closed_total) plus `live`, except for what changed while they were read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// When the server was made.
    pub started: SystemTime,
    /// Whether the server stops: it finishes what it has accepted, and accepts no more.
    pub draining: bool,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open.
    pub live: usize,
    /// The limit on open connections.
    pub connection_limit: usize,
    closed: [u64; CloseReason::COUNT],
    /// Connections that wait in epoll and occupy no worker.
    pub parked: usize,
    /// Connections and datagrams in the work queue.
    pub queued: usize,
    /// How long the oldest entry of the work queue has waited, zero if it is empty. The value may
    /// be too high, by the time between the arrival of this entry and of the one before.
    pub queue_oldest: Duration,
    /// The capacity of the work queue.
    pub queue_capacity: usize,
    /// Worker threads.
    pub workers: usize,
    /// Worker threads that are serving a request now.
    pub busy: usize,
    /// Requests that a handler served.
    pub served: u64,
    responses: [u64; STATUS_CLASSES],
    refused: [u64; Refusal::COUNT],
    /// Panics of handlers, and of the callbacks of requests that were cancelled.
    pub panics: u64,
    /// What became of TLS handshakes.
    pub handshakes: HandshakeStats,
    /// What became of datagrams. Those that a handler was called for are part of `served` as well,
    /// and those that were refused are part of [`refused`](Self::refused).
    pub datagrams: DatagramStats,
    /// Whether clients offer more work than the workers can do, so that some is refused for its
    /// wait.
    pub overloaded: bool,
    /// The work offered over the last intervals, as a multiple of what could have been done.
    pub load: f64,
    /// Times in the queue, of all work that a worker took from it. A request that an idle worker
    /// found by itself has not been in the queue.
    pub wait: Durations,
    /// Times to serve a request: most of it is the handler's, and none of it is spent waiting for
    /// the client.
    pub service: Durations,
    /// Median time in the queue.
    pub wait_p50: Duration,
    /// 99th percentile of the time in the queue.
    pub wait_p99: Duration,
    /// Median time to serve a request.
    pub service_p50: Duration,
    /// 99th percentile of the time to serve a request.
    pub service_p99: Duration,
    /// Recent mean time to serve a request.
    pub service_mean: Duration,
    /// The wait in the queue that overload control aims at: the setting, or half a service time if
    /// that is longer.
    pub wait_target: Duration,
    /// The wait in the queue that is allowed at present.
    pub wait_limit: Duration,
    /// Requests that the workers can serve in a second: as measured during an overload, otherwise
    /// as estimated by the recent service time.
    pub capacity: f64,
    /// The CPU time spent on refusing work.
    pub refusing: Duration,
    /// Reloads of the program's settings.
    pub reloads: ReloadStats,
    /// Times that accept(2) was interrupted by a signal and retried.
    pub accept_interrupted: u64,
    /// Connections that had failed before they could be accepted.
    pub accept_skipped: u64,
    /// Times that accepting paused because descriptors or memory ran out.
    pub accept_exhausted: u64,
    /// Times that accepting paused at the limit on connections.
    pub accept_full: u64,
    /// Times that accepting paused because refusing took too much CPU time.
    pub accept_over_budget: u64,
}

impl Stats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let counters = &shared.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let controller = &shared.queue.controller;
        let workers = shared.pool.workers;
        let (wait, service) = (counters.wait.snapshot(), counters.service.snapshot());
        let durations = counters.durations();
        Self {
            started: counters.started,
            draining: shared.is_draining(),
            accepted: shared.connections.accepted(),
            live: shared.connections.live(),
            connection_limit: shared.connections.limit(),
            closed: shared.connections.closed(),
            parked: shared.poller.count(),
            queued: shared.queue.len() + shared.queue.handshakes(),
            queue_oldest: shared.queue.oldest(Instant::now()),
            queue_capacity: shared.config.load().pool.queue_capacity(),
            workers,
            busy: shared.leader.awake(),
            served: counters.served(),
            responses: counters.responses(),
            refused: counters.refused(),
            panics: counters.panics() + shared.cancellations.panics(),
            handshakes: counters.handshakes.stats(shared.connections.closed()),
            datagrams: shared.datagrams.stats(),
            overloaded: controller.is_overloaded(),
            load: controller.offered_load(),
            wait: durations.0,
            service: durations.1,
            wait_p50: wait.percentile(0.5),
            wait_p99: wait.percentile(0.99),
            service_p50: service.percentile(0.5),
            service_p99: service.percentile(0.99),
            service_mean: controller.service_estimate(),
            wait_target: controller.wait_target(),
            wait_limit: controller.wait_limit(),
            capacity: controller.capacity_estimate(),
            refusing: shared.spent_refusing(),
            reloads: lock(&counters.reloads).clone(),
            accept_interrupted: load(&counters.accept.interrupted),
            accept_skipped: load(&counters.accept.skipped),
            accept_exhausted: load(&counters.accept.exhausted),
            accept_full: load(&counters.accept.full),
            accept_over_budget: load(&counters.accept.over_budget),
        }
    }

    /// How many connections ended, for each reason.
    ///
    /// # Examples
    /// ```
    /// # use millpond::{Server, http::{Request, Response}};
    /// # let handle = Server::builder()
    /// #     .bind("tcp://127.0.0.1:0")
    /// #     .http(|_req: &mut Request| Response::text(""))
    /// #     .build()?
    /// #     .spawn()?;
    /// for (reason, count) in handle.stats().closed().filter(|(_, count)| *count > 0) {
    ///     println!("{}: {count}", reason.name());
    /// }
    /// # handle.stop_now();
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn closed(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL.iter().copied().zip(self.closed)
    }

    /// How many connections ended for this reason.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// How many connections ended, for any reason.
    #[must_use]
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// How many responses had a status of each class: `1xx` to `5xx`.
    ///
    /// A response counts once it is made, even if the client has gone. It may be a handler's, or
    /// the server's own: an error of the request, or the 503 of a refusal. A connection that is
    /// refused by a reset gets no response. A 101 counts, other interim responses do not.
    pub fn responses(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CLASSES.into_iter().zip(self.responses)
    }

    /// How many requests and connections were refused, for each reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().copied().zip(self.refused)
    }

    /// How many requests and connections were refused for this reason.
    #[must_use]
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize]
    }

    /// How many requests and connections were refused, for any reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "live {}, parked {}, queued {}, busy {}/{}; accepted {}, served {}, refused {}; \
             wait p50 {:?} p99 {:?}, service p50 {:?} p99 {:?}, capacity {:.0}/s{}",
            self.live,
            self.parked,
            self.queued,
            self.busy,
            self.workers,
            self.accepted,
            self.served,
            self.refused_total(),
            self.wait_p50,
            self.wait_p99,
            self.service_p50,
            self.service_p99,
            self.capacity,
            if self.overloaded { ", overloaded" } else { "" },
        )
    }
}
