//! Admission: work enters the queue or is refused; a refused connection is parked, closed or reset.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::close::CloseReason;
use crate::config::Config;
use crate::net::Addr;
use crate::pool::connection::{Connection, HOLD, Phase};
use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::refusal_budget::{Allowance, Refused};
use crate::pool::protocol::{Outcome, ProtocolWorker, TurnContext};
use crate::pool::queue::{QueueItem, Work};
use crate::pool::shared::Shared;
use crate::pool::stats::handshakes::HandshakeCounters;
use crate::pool::stats::watch::RefusedRequest;
use crate::pool::thread_time::ThreadTime;

impl Shared {
    /// Puts work into the queue, or refuses it if the queue does not admit it. `true`: it is in the
    /// queue. A connection whose client is not known yet, as its PROXY header or the request of a
    /// trusted proxy is not complete, waits in the poller.
    pub(crate) fn enqueue_or_refuse(
        self: &Arc<Self>,
        work: Work,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> bool {
        self.enqueue_or_refuse_since(work, now, now, protocol)
    }

    /// As [`enqueue_or_refuse`](Self::enqueue_or_refuse), for work that has waited in the kernel's
    /// backlog since `arrived`.
    pub(crate) fn enqueue_or_refuse_since(
        self: &Arc<Self>,
        work: Work,
        arrived: Instant,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> bool {
        let work = match work {
            Work::Connection(connection) if connection.names_client_first() => {
                match self.identify(connection, now, protocol) {
                    Some(connection) => Work::Connection(connection),
                    None => return false,
                }
            }
            other => other,
        };
        let urgent = work.is_urgent();
        match self.queue.push_from(work, arrived, now) {
            Ok(()) => {
                if urgent {
                    self.leader.wake_urgent();
                }
                return true;
            }
            Err((Work::Connection(connection), refusal)) => {
                self.refuse(protocol, connection, refusal, now);
            }
            Err((Work::Datagram(datagram), refusal)) => self.drop_datagram(datagram, refusal, now),
            // Its request was admitted before, so that it is not refused now.
            Err((Work::Continuation(connection), _)) => self.postpone(connection, now),
        }
        false
    }

    /// Finds out which client sends the next request over a connection of a trusted proxy: from its
    /// PROXY header, and from the head. The connection counts for that client from now on. `None`:
    /// it waits for its header or its request, or was closed.
    ///
    /// It is read here, before the queue, so that the queue judges the request by its client as if
    /// the client had connected itself. The worker finds the input read, so that this costs a
    /// second look at the head, and no system call more.
    pub(crate) fn identify(
        self: &Arc<Self>,
        connection: Box<Connection>,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> Option<Box<Connection>> {
        let mut connection = self.read_proxy_header(connection, now)?;
        // In the middle of an exchange, and while a request waits for its body, the client is the
        // one that the head has named. Before the end of a handshake there is no request.
        if !connection.from_proxy || connection.is_continuing() || connection.wire.is_handshaking()
        {
            return Some(connection);
        }
        if connection.awaited.is_some() {
            // While it waited for its body, its client may have lost its bucket.
            self.count_for_client(&mut connection);
            return Some(connection);
        }
        let config = self.config.load();
        loop {
            let mut turn = TurnContext::new(self, &config, now);
            let outcome = protocol.identify(connection, &mut turn);
            let is_ready = matches!(outcome, Outcome::Requeue(_));
            // A connection that was to be parked comes back if an event has come meanwhile.
            connection = self.end_turn(outcome, now)?;
            if is_ready {
                self.count_for_client(&mut connection);
                return Some(connection);
            }
        }
    }

    /// Drops and counts a refused datagram.
    pub(crate) fn drop_datagram(
        &self,
        datagram: Box<QueuedDatagram>,
        refusal: Refusal,
        now: Instant,
    ) {
        self.count_refusal(&datagram.peer, refusal, now, || "datagram".to_owned());
        self.datagrams.release(datagram.bytes.len());
        self.datagrams.recycle(datagram);
        self.datagrams.refuse(refusal);
        self.connections.completion.notify();
    }

    /// Parks or closes a connection after its turn. Returns it if it has more to do.
    pub(crate) fn end_turn(
        self: &Arc<Self>,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Box<Connection>> {
        match outcome {
            Outcome::Park(connection, phase) => self.park(connection, phase, now),
            Outcome::Requeue(connection) => Some(connection),
            Outcome::Close(connection, reason) => {
                self.close(connection, reason);
                None
            }
            Outcome::Gone => None,
        }
    }

    /// Refuses a connection's request, and charges the CPU time that the refusal took.
    ///
    /// Once the budget is nearly spent ([`Allowance::Reset`]), a response to each refused request
    /// would take the CPU from the requests that are served. A kept connection of a client over its
    /// fair share is then parked in [`Phase::Held`] before its refusal, which slows down a client
    /// that repeats its request at each refusal. Any other connection is reset.
    ///
    /// A trusted proxy gets a response in any case, as it takes a reset for a failure of the
    /// server. While a connection is held, the proxy may have none for the requests of other
    /// clients. So it is held no longer than the budget needs, and only for a client over its
    /// share.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        protocol: &mut dyn ProtocolWorker,
        connection: Box<Connection>,
        refusal: Refusal,
        now: Instant,
    ) {
        if connection.wire.is_handshaking() {
            // No response can be read before the end of the handshake.
            let time = ThreadTime::start();
            HandshakeCounters::count(&self.counters.handshakes.refused);
            self.reset(connection, refusal, now);
            self.charge_refusing(Refused::Handshake, time.elapsed());
            return;
        }
        let is_within_budget = || self.refusal_allowance(Refused::Request) == Allowance::Response;
        if connection.urgent || is_within_budget() {
            self.refuse_with_response(protocol, connection, refusal, now);
            return;
        }
        let time = ThreadTime::start();
        let from_proxy = connection.from_proxy;
        let kept = (connection.token.is_some() || from_proxy) && !connection.is_continuing();
        if kept && self.queue.controller.is_over_share(connection.bucket) && !self.is_draining() {
            let delay = if from_proxy { self.refusal_delay() } else { HOLD };
            // The phase ends `HOLD` after it began.
            let began = (Instant::now() + delay).checked_sub(HOLD).unwrap_or(now);
            if let Some(connection) = self.park(connection, Phase::Held, began) {
                // An event came in the meantime, perhaps the end of the connection.
                self.refuse_with_response(protocol, connection, refusal, now);
                return;
            }
        } else if from_proxy || connection.client.is_some() {
            self.refuse_with_response(protocol, connection, refusal, now);
            return;
        } else {
            self.reset(connection, refusal, now);
        }
        self.charge_refusing(Refused::Request, time.elapsed());
    }

    /// Refuses a connection by a reset.
    fn reset(&self, connection: Box<Connection>, refusal: Refusal, now: Instant) {
        self.count_refusal(connection.client_or_peer(), refusal, now, String::new);
        self.counters.watch.count_requests(connection.bucket, 1);
        connection.wire.reset_on_close();
        self.close(connection, CloseReason::Overloaded);
    }

    /// As [`refuse`](Self::refuse), with a response in any case.
    pub(crate) fn refuse_with_response(
        self: &Arc<Self>,
        protocol: &mut dyn ProtocolWorker,
        connection: Box<Connection>,
        refusal: Refusal,
        now: Instant,
    ) {
        let time = ThreadTime::start();
        let config = self.config.load();
        let mut turn = TurnContext::new(self, &config, now);
        let watch = &self.counters.watch;
        let bucket = connection.bucket;
        let sampled = watch.takes_refusal(now).then(|| connection.client_or_peer().clone());
        turn.refused_line = sampled.is_some().then(String::new);
        let mut outcome = protocol.refuse(connection, &mut turn, refusal);
        // A connection without a request is not refused: it goes on waiting in the poller.
        if !matches!(outcome, Outcome::Park(_, Phase::Head)) {
            self.counters.refuse(refusal);
            watch.count_requests(bucket, 1);
            if let (Some(client), Some(line)) = (sampled, turn.refused_line) {
                self.watch_refusal(&client, refusal, line);
            }
            outcome.note_progress();
        }
        self.finish_refusal(&config, protocol, outcome, now);
        self.charge_refusing(Refused::Request, time.elapsed());
    }

    /// Counts a refusal, and records it for the admin endpoint if it is one of the sample. `line`:
    /// what was refused, as far as it was read.
    pub(crate) fn count_refusal(
        &self,
        client: &Addr,
        refusal: Refusal,
        now: Instant,
        line: impl FnOnce() -> String,
    ) {
        self.counters.refuse(refusal);
        if self.counters.watch.takes_refusal(now) {
            self.watch_refusal(client, refusal, line());
        }
    }

    /// Records a refusal for the admin endpoint.
    fn watch_refusal(&self, client: &Addr, refusal: Refusal, line: String) {
        let queued = self.queue.len() as f64;
        let seconds = queued / self.queue.controller.capacity_estimate();
        let predicted = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let (at, client) = (SystemTime::now(), client.to_string());
        let refused = RefusedRequest { at, refusal, client, line, predicted };
        self.counters.watch.record_refusal(refused);
    }

    /// Parks or closes a connection that was refused.
    fn finish_refusal(
        self: &Arc<Self>,
        config: &Arc<Config>,
        protocol: &mut dyn ProtocolWorker,
        mut outcome: Outcome,
        now: Instant,
    ) {
        loop {
            let yields = matches!(outcome, Outcome::Requeue(_));
            let Some(connection) = self.end_turn(outcome, now) else { return };
            if yields || connection.phase != Phase::Linger {
                self.enqueue_refused(connection, now);
                return;
            }
            // A lingering connection only discards input: no handler is called.
            outcome = protocol.serve(connection, &mut TurnContext::new(self, config, now));
        }
    }

    /// Enqueues a refused connection that has more input, for a worker to serve.
    fn enqueue_refused(&self, connection: Box<Connection>, now: Instant) {
        match self.queue.push(Work::of(connection), now) {
            Ok(()) => self.wake_worker(),
            // The connection of a proxy is not closed for the next request of one client.
            Err((Work::Connection(connection), _)) if connection.from_proxy => {
                self.postpone(connection, now);
            }
            Err((Work::Connection(connection) | Work::Continuation(connection), _)) => {
                self.close(connection, CloseReason::Overloaded);
            }
            Err((Work::Datagram(_), _)) => {}
        }
    }
}
