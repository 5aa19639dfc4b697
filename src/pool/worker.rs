//! A worker: it takes work from the queue, or leads, serves, and parks or closes connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::error::Error;
use crate::pool::connection::Connection;
use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::send_batch::SendBatch;
use crate::pool::guard::{ProtocolWorkers, persist};
use crate::pool::leader::Lead;
use crate::pool::overload::controller::Verdict;
use crate::pool::overload::fairness::{Bucket, InService};
use crate::pool::overload::refusal::Refusal;
use crate::pool::poller::{BATCH, Ready};
use crate::pool::protocol::TurnContext;
use crate::pool::queue::{HandshakePermit, QueuedWork, Work};
use crate::pool::shared::Shared;
use crate::pool::thread_time::ThreadTime;

/// A client that has waited for less than this is assumed to be still connected.
const WORTH_CHECKING: Duration = Duration::from_millis(1);

/// One of the threads that serve.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    /// This thread's part of each of the server's protocols.
    pub(crate) protocols: ProtocolWorkers,
    /// The datagram sockets: responses are sent through them, and datagrams received while they are
    /// lent.
    pub(crate) receiver: Receiver,
    /// Responses to datagrams that are not sent yet.
    pub(crate) batch: SendBatch,
}

impl Worker {
    /// Prepares this thread for every protocol, before the server accepts connections.
    pub(crate) fn prepare(&mut self) -> Result<(), Error> {
        self.protocols.prepare(self.index)
    }

    /// Serves until the server has stopped.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.leader.register_worker(self.index);
        shared.hash_limit.set_for_this_thread();
        persist(&shared, &mut self, Self::recover, Self::work);
    }

    /// Serves urgent work only, until the server has stopped, so that health checks get a response
    /// although every other worker is in a handler.
    pub(crate) fn run_urgent(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.leader.register_urgent();
        persist(&shared, &mut self, Self::recover, Self::work_urgent);
    }

    /// Repairs the worker's state after a panic.
    fn recover(&mut self) {
        self.shared.counters.resting(self.index, Instant::now());
        self.protocols.renew();
    }

    fn work(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopped() {
            if let Some((queued, refusal)) = shared.queue.take(Instant::now) {
                self.take(queued, refusal);
                continue;
            }
            self.batch.send(&shared, &self.receiver.sockets);
            if shared.leader.try_lead() {
                self.lead();
            } else {
                // The leader may have resigned since `try_lead`, and this worker may be the last.
                shared.leader.sleep(self.index, || {
                    shared.queue.has_work(Instant::now())
                        || !shared.leader.is_led()
                        || shared.is_stopped()
                });
            }
        }
    }

    fn work_urgent(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopped() {
            if let Some(queued) = shared.queue.take_urgent() {
                self.take(queued, None);
                continue;
            }
            self.batch.send(&shared, &self.receiver.sockets);
            shared.leader.sleep_urgent(|| shared.queue.has_urgent() || shared.is_stopped());
        }
    }

    /// Serves queued work, or refuses it if it has waited too long.
    fn take(&mut self, queued: QueuedWork, refusal: Option<Refusal>) {
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let permit = shared.queue.permit_of(&queued);
        let verdict = self.shared.queue.check_wait(&queued, now);
        let verdict = refusal.map_or(verdict, Verdict::Refuse);
        let waited = now.saturating_duration_since(queued.entered);
        self.shared.counters.waited(self.index, waited);
        self.shared.counters.turn(self.index);
        let connection = match queued.work {
            Work::Connection(connection) | Work::Continuation(connection) => connection,
            Work::Datagram(datagram) => return self.take_datagram(datagram, verdict, now, waited),
        };
        self.batch.send(&self.shared, &self.receiver.sockets);
        match verdict {
            Verdict::Refuse(refusal) => {
                let protocol = self.protocols.of(connection.protocol);
                self.shared.refuse(protocol, connection, refusal, now);
            }
            Verdict::Keep if self.has_lost_its_client(&connection, waited) => {
                self.shared.close(connection, CloseReason::ClientGoneInQueue);
            }
            Verdict::Keep => self.serve(connection, now, waited, permit),
        }
    }

    /// Whether the client has closed the connection behind its request. The check costs a system
    /// call, which is not worth it for work that hardly waited. The end of an idle connection waits
    /// in the queue, too, but loses no request.
    fn has_lost_its_client(&self, connection: &Connection, waited: Duration) -> bool {
        waited >= WORTH_CHECKING
            && !connection.is_continuing()
            && self.shared.config.load().overload.drop_gone
            && connection.wire.is_gone()
            && connection.has_unserved()
    }

    fn take_datagram(
        &mut self,
        datagram: Box<QueuedDatagram>,
        verdict: Verdict,
        now: Instant,
        waited: Duration,
    ) {
        let shared = &self.shared;
        if let Verdict::Refuse(refusal) = verdict {
            shared.drop_datagram(datagram, refusal, now);
            return;
        }
        shared.counters.serving(self.index, &datagram.peer, now, waited);
        let bucket = datagram.bucket;
        let in_service = self.begin_service(bucket, now);
        let end = self.batch.serve(shared, &self.receiver.sockets, datagram, now);
        shared.counters.resting(self.index, end);
        let service = end.saturating_duration_since(now);
        if let Some(in_service) = in_service {
            shared.queue.controller.end_service(in_service, end, Some(service));
        }
        shared.queue.controller.served(bucket, service, 1);
        shared.counters.watch.count_requests(bucket, 1);
        shared.leader.served(service);
        shared.counters.requests(self.index, 1, service);
        if !shared.leader.handlers_are_fast() {
            shared.take_sockets_back();
        }
    }

    /// Counts a service of this client. The worker for urgent work does not, as it is not one of
    /// the workers that clients share.
    fn begin_service(&self, bucket: Bucket, now: Instant) -> Option<InService> {
        let is_shared = self.index < self.shared.pool.workers;
        is_shared.then(|| self.shared.queue.controller.begin_service(bucket, now))
    }

    /// Polls. Serves the first connection that becomes ready, and enqueues the others and the
    /// datagrams that came.
    fn lead(&mut self) {
        let shared = Arc::clone(&self.shared);
        let lead = Lead(&shared.leader);
        // Work may have been enqueued between the last look at the queue and taking the lead. A
        // thread that enqueues from now on sees a leader, and wakes the poller. So the queue is
        // looked at again after the lead was taken, never before.
        if shared.queue.has_ready() || shared.is_stopped() {
            return;
        }
        let mut first = None;
        let mut rest = Vec::new();
        let mut sockets = Vec::new();
        // What the queue has no room for stays in the kernel, where it costs least.
        shared.counters.leading(self.index, true);
        let room = (shared.queue.room() + 1).min(BATCH);
        let found = shared.poller.wait(room, None, |ready| match ready {
            Ready::Connection(connection) if first.is_none() => first = Some(connection),
            Ready::Connection(connection) => rest.push(connection),
            Ready::DatagramSocket(index) => sockets.push(index),
        });
        let received = if sockets.is_empty() {
            0
        } else {
            shared.receive_from_lent(&mut self.receiver, &sockets)
        };
        drop(lead);
        shared.counters.leading(self.index, false);
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("epoll_wait failed: {error}");
                return;
            }
        };
        shared.wake_for_burst(received);
        let now = Instant::now();
        for connection in rest {
            let protocol = self.protocols.of(connection.protocol);
            shared.enqueue_or_refuse(Work::of(connection), now, protocol);
        }
        if let Some(connection) = first {
            shared.leader.share(found);
            shared.counters.turn(self.index);
            let protocol = self.protocols.of(connection.protocol);
            let Some(connection) = shared.identify(connection, now, protocol) else { return };
            let begins_handshake = connection.begins_handshake();
            let permit = if begins_handshake { shared.queue.begin_handshake(now) } else { None };
            let may_begin = !begins_handshake || permit.is_some();
            if may_begin
                && shared.queue.controller.may_serve(connection.bucket, Duration::ZERO, now)
            {
                self.serve(connection, now, Duration::ZERO, permit);
            } else {
                // As many workers as may are already in a handshake, or the client has its share
                // of the workers: the queue defers the request.
                let protocol = self.protocols.of(connection.protocol);
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
            }
        }
    }

    /// Serves a connection, which `waited` in the queue, until it has no more input or other work
    /// comes first. `permit`: for its handshake, if it begins with one.
    fn serve(
        &mut self,
        connection: Box<Connection>,
        now: Instant,
        waited: Duration,
        permit: Option<HandshakePermit<'_, Work>>,
    ) {
        let shared = Arc::clone(&self.shared);
        shared.counters.serving(self.index, connection.client_or_peer(), now, waited);
        let mut in_service = self.begin_service(connection.bucket, now);
        #[cfg(feature = "tls")]
        let (connection, now, waited) = if connection.wire.is_handshaking() {
            // With a permit, the connection has waited for its handshake, and not with a request.
            let has_waited = permit.is_none() && !waited.is_zero();
            let entered = if has_waited { now.checked_sub(waited) } else { None };
            // A handshake takes long enough for another worker to lead meanwhile.
            shared.leader.share_work(shared.queue.controller.handshake_estimate());
            let connection = shared.continue_handshake(connection, now).and_then(|connection| {
                let protocol = self.protocols.of(connection.protocol);
                shared.identify(connection, Instant::now(), protocol)
            });
            let connection = self.end_handshake(permit, connection, entered, &mut in_service);
            let now = Instant::now();
            (connection, now, entered.map_or(Duration::ZERO, |entered| now.duration_since(entered)))
        } else {
            (Some(connection), now, waited)
        };
        #[cfg(not(feature = "tls"))]
        let (connection, _permit) = (Some(connection), permit);
        let times = (now, waited);
        let (end, each) = match connection {
            Some(connection) => self.serve_turns(&shared, connection, times, &mut in_service),
            None => (now, None),
        };
        if let Some(in_service) = in_service {
            shared.queue.controller.end_service(in_service, end, each);
        }
        shared.counters.resting(self.index, end);
    }

    /// Ends a worker's step of a handshake. Returns the connection if the worker serves it next,
    /// for as long as a handler takes: meanwhile another worker may begin a handshake that waits.
    ///
    /// The first request was not judged with its handshake. It is judged here as any other, by the
    /// time since it `entered` the queue with the last message of the handshake; `None`: it did not
    /// wait. If there is no request yet, the protocol finds that.
    #[cfg(feature = "tls")]
    fn end_handshake(
        &mut self,
        permit: Option<HandshakePermit<'_, Work>>,
        connection: Option<Box<Connection>>,
        entered: Option<Instant>,
        in_service: &mut Option<InService>,
    ) -> Option<Box<Connection>> {
        let mut connection = connection?;
        let shared = Arc::clone(&self.shared);
        let (queue, now) = (&shared.queue, Instant::now());
        if let Some(permit) = permit {
            drop(permit);
            if queue.handshakes() > 0 {
                shared.wake_worker();
            }
        }
        if let Some(handshake) = in_service.take() {
            queue.controller.end_service(handshake, now, None);
        }
        let bucket = connection.bucket;
        let waited = entered.map_or(Duration::ZERO, |entered| now.duration_since(entered));
        let comes_first = queue.controller.may_serve(bucket, waited, now)
            && match entered {
                Some(_) => !queue.controller.must_defer(bucket),
                None => !queue.has_any(),
            };
        let is_direct = comes_first && entered.is_none();
        if !connection.urgent && !is_direct && connection.has_unserved() {
            let entered = entered.unwrap_or(now);
            if !comes_first {
                let protocol = self.protocols.of(connection.protocol);
                shared.enqueue_or_refuse_since(Work::of(connection), entered, now, protocol);
                return None;
            }
            connection = self.judge_in_turn(connection, entered, now)?;
        }
        *in_service = self.begin_service(bucket, now);
        Some(connection)
    }

    /// Judges a request whose turn it is. Returns it if it is to be served.
    #[cfg(feature = "tls")]
    fn judge_in_turn(
        &mut self,
        connection: Box<Connection>,
        entered: Instant,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let shared = Arc::clone(&self.shared);
        match shared.queue.judge_in_turn(connection.bucket, entered, now) {
            Verdict::Refuse(refusal) => {
                let protocol = self.protocols.of(connection.protocol);
                shared.refuse(protocol, connection, refusal, now);
                None
            }
            Verdict::Keep if self.has_lost_its_client(&connection, now.duration_since(entered)) => {
                shared.close(connection, CloseReason::ClientGoneInQueue);
                None
            }
            Verdict::Keep => Some(connection),
        }
    }

    /// Returns the time at which the turns ended, and the service time of the longest request, if
    /// any was served. `in_service` changes with the client whose requests a trusted proxy sends.
    fn serve_turns(
        &mut self,
        shared: &Arc<Shared>,
        mut connection: Box<Connection>,
        (mut now, mut waited): (Instant, Duration),
        in_service: &mut Option<InService>,
    ) -> (Instant, Option<Duration>) {
        let mut bucket = connection.bucket;
        let mut longest = None;
        loop {
            let number = connection.protocol;
            let config = shared.config.load();
            let mut turn = TurnContext::new(shared, &config, now);
            turn.worker = Some(self.index);
            turn.waited = std::mem::take(&mut waited);
            turn.in_service.set(*in_service);
            let protocol = self.protocols.of(number);
            // One system call more at each end, which is cheap beside a slow handler.
            let computing = shared.leader.handlers_are_slow().then(ThreadTime::start);
            let mut outcome = match connection.cleartext {
                None => protocol.serve(connection, &mut turn),
                Some(_) => protocol.serve_cleartext(connection, &mut turn),
            };
            let (requests, sending) = (turn.requests, turn.sending.get());
            let (client_wait, progress) = (turn.client_wait.get(), turn.made_progress());
            *in_service = turn.in_service.get();
            bucket = in_service.map_or(bucket, InService::bucket);
            let end = Instant::now();
            if requests > 0 {
                let whole = end.saturating_duration_since(now).saturating_sub(client_wait);
                let each = whole / requests;
                longest = longest.max(Some(each));
                if let Some(time) = computing {
                    shared.queue.controller.computed(time.elapsed() / requests);
                }
                shared.queue.controller.served(bucket, each, requests);
                shared.counters.watch.count_requests(bucket, requests);
                shared.leader.served(whole.saturating_sub(sending) / requests);
                shared.counters.requests(self.index, requests, each);
            }
            now = end;
            if progress {
                outcome.note_progress();
            }
            let Some(ready) = shared.end_turn(outcome, now) else { return (now, longest) };
            connection = ready;
            // Deferred work comes before a new request, and not before the rest of an old one.
            let others_wait = match connection.is_continuing() {
                true => !shared.queue.is_empty(),
                false => shared.queue.has_any() || shared.queue.has_starved_handshake(now),
            };
            if others_wait {
                // The connection has more input, but other connections have waited longer.
                let protocol = self.protocols.of(number);
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
                return (now, longest);
            }
        }
    }
}
