//! A worker: takes work, or leads; serves; parks or closes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::admit::refuse;
use crate::pool::connection::Connection;
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::send_batch::SendBatch;
use crate::pool::datagram::socket::QueuedDatagram;
use crate::pool::guard::{ProtocolWorkers, persist};
use crate::pool::leader::Lead;
use crate::pool::overload::controller::Verdict;
use crate::pool::overload::refusal::Refusal;
use crate::pool::poller::{BATCH, Ready};
use crate::pool::protocol::{Outcome, TurnContext};
use crate::pool::queue::{Ticket, Work};
use crate::pool::shared::Shared;
use crate::pool::thread_time::ThreadTime;

/// A client that has waited for less than this is taken to be there still.
const PATIENT: Duration = Duration::from_millis(1);

/// One of the fixed pool of threads that serve.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    /// Its place at each of the server's protocols.
    pub(crate) protocols: ProtocolWorkers,
    /// The sockets, to answer through, and to receive from while they are lent.
    pub(crate) receiver: Receiver,
    /// Answers to datagrams that are not sent yet.
    pub(crate) batch: SendBatch,
}

impl Worker {
    /// Serves until the server has stopped.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.leader.register_worker(self.index);
        shared.hash_limit.enrol();
        persist(&shared, &mut self, Self::recover, Self::work);
    }

    /// Serves urgent work only, until the server has stopped. So health checks and operators get
    /// their response though every other worker is held by a handler.
    pub(crate) fn run_urgent(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.leader.register_urgent();
        persist(&shared, &mut self, Self::recover, Self::work_urgent);
    }

    /// After a panic.
    fn recover(&mut self) {
        self.shared.counters.resting(self.index, Instant::now());
        self.protocols.renew();
    }

    fn work(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopped() {
            if let Some((ticket, refusal)) = shared.queue.take(Instant::now) {
                self.take(ticket, refusal);
                continue;
            }
            self.batch.send(&shared, &self.receiver.sockets);
            if shared.leader.try_lead() {
                self.lead();
            } else {
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
            if let Some(ticket) = shared.queue.take_urgent() {
                self.take(ticket, None);
                continue;
            }
            self.batch.send(&shared, &self.receiver.sockets);
            shared.leader.sleep_urgent(|| shared.queue.has_urgent() || shared.is_stopped());
        }
    }

    /// Judges a ticket's wait, then serves or refuses.
    fn take(&mut self, ticket: Ticket, refusal: Option<Refusal>) {
        let now = Instant::now();
        let verdict = self.shared.queue.judge(&ticket, now);
        let verdict = refusal.map_or(verdict, Verdict::Refuse);
        let waited = now.saturating_duration_since(ticket.entered);
        self.shared.counters.wait.record(waited);
        self.shared.counters.turn(self.index);
        let connection = match ticket.work {
            Work::Connection(connection) | Work::Continuation(connection) => connection,
            Work::Datagram(datagram) => return self.take_datagram(datagram, verdict, now),
        };
        self.batch.send(&self.shared, &self.receiver.sockets);
        match verdict {
            Verdict::Refuse(refusal) => {
                let protocol = self.protocols.of(connection.protocol);
                refuse(&self.shared, protocol, connection, refusal, now);
            }
            Verdict::Keep if self.is_in_vain(&connection, waited) => {
                self.shared.close(connection, CloseReason::ClientGoneInQueue);
            }
            Verdict::Keep => self.serve(connection, now, waited),
        }
    }

    /// Whether nobody is left to take the answer. To know costs a system call, which is spared for
    /// work that hardly waited.
    fn is_in_vain(&self, connection: &Connection, waited: Duration) -> bool {
        waited >= PATIENT
            && !connection.is_continuing()
            && self.shared.config.load().overload.drop_gone
            && connection.stream.is_gone()
    }

    fn take_datagram(&mut self, datagram: Box<QueuedDatagram>, verdict: Verdict, now: Instant) {
        let shared = &self.shared;
        if let Verdict::Refuse(refusal) = verdict {
            shared.drop_datagram(datagram, refusal);
            return;
        }
        shared.counters.serving(self.index, &datagram.peer, now);
        let bucket = datagram.bucket;
        let in_service = shared.queue.controller.begin_service(bucket, now);
        let end = self.batch.serve(shared, &self.receiver.sockets, datagram, now);
        shared.counters.resting(self.index, end);
        let service = end.saturating_duration_since(now);
        shared.queue.controller.end_service(in_service, end, Some(service));
        shared.queue.controller.served(bucket, service, 1);
        shared.leader.served(service);
        shared.counters.requests(self.index, 1, service);
        if !shared.leader.handlers_are_fast() {
            shared.take_back();
        }
    }

    /// Waits on epoll; keeps the first connection that becomes ready, queues the others, and what
    /// the sockets have.
    fn lead(&mut self) {
        let shared = Arc::clone(&self.shared);
        let lead = Lead(&shared.leader);
        // Work may have come between the last look at the queue and taking the lead; from now on,
        // whoever brings some finds a leader and nudges it.
        if !shared.queue.is_empty() || shared.is_stopped() {
            return;
        }
        let mut first = None;
        let mut rest = Vec::new();
        let mut sockets = Vec::new();
        // What the queue has no room for stays with the kernel, which is the cheapest place to
        // wait.
        shared.counters.leading(self.index, true);
        let room = (shared.queue.room() + 1).min(BATCH);
        let found = shared.poller.wait(room, None, |ready| match ready {
            Ready::Connection(connection) if first.is_none() => first = Some(connection),
            Ready::Connection(connection) => rest.push(connection),
            Ready::DatagramSocket(index) => sockets.push(index),
        });
        let received =
            if sockets.is_empty() { 0 } else { shared.borrow(&mut self.receiver, &sockets) };
        drop(lead);
        shared.counters.leading(self.index, false);
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("epoll_wait: {error}");
                return;
            }
        };
        shared.share_burst(received);
        let now = Instant::now();
        for connection in rest {
            let protocol = self.protocols.of(connection.protocol);
            shared.enqueue_or_refuse(Work::of(connection), now, protocol);
        }
        if let Some(connection) = first {
            shared.leader.share(found);
            shared.counters.turn(self.index);
            if shared.queue.controller.may_serve(connection.bucket, Duration::ZERO, now) {
                self.serve(connection, now, Duration::ZERO);
            } else {
                // Others come first: the queue puts it aside.
                let protocol = self.protocols.of(connection.protocol);
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
            }
        }
    }

    /// Serves a connection, which `waited` in the queue, until it has nothing more to say, or
    /// others are to have their turn.
    fn serve(&mut self, connection: Box<Connection>, now: Instant, waited: Duration) {
        let shared = Arc::clone(&self.shared);
        shared.counters.serving(self.index, &connection.peer, now);
        // The worker for urgent work is none of those that clients share.
        let takes_part = self.index < shared.pool.workers;
        let in_service =
            takes_part.then(|| shared.queue.controller.begin_service(connection.bucket, now));
        let (end, each) = self.serve_turns(&shared, connection, now, waited);
        if let Some(in_service) = in_service {
            shared.queue.controller.end_service(in_service, end, each);
        }
        shared.counters.resting(self.index, end);
    }

    /// The time at which it is done, and how long the longest request took, if there was one.
    fn serve_turns(
        &mut self,
        shared: &Arc<Shared>,
        mut connection: Box<Connection>,
        mut now: Instant,
        mut waited: Duration,
    ) -> (Instant, Option<Duration>) {
        let bucket = connection.bucket;
        let mut longest = None;
        loop {
            let number = connection.protocol;
            let config = shared.config.load();
            let mut turn = TurnContext::new(shared, &config, now);
            turn.waited = std::mem::take(&mut waited);
            let protocol = self.protocols.of(number);
            // A system call more at each end, which is nothing beside a slow handler.
            let computing = shared.leader.handlers_are_slow().then(ThreadTime::start);
            let mut served = protocol.serve(connection, &mut turn);
            let (requests, sending) = (turn.requests, turn.sending.get());
            let (client_wait, progress) = (turn.client_wait.get(), turn.is_progress());
            let end = Instant::now();
            if requests > 0 {
                let whole = end.saturating_duration_since(now).saturating_sub(client_wait);
                let each = whole / requests;
                longest = longest.max(Some(each));
                if let Some(time) = computing {
                    shared.queue.controller.computed(time.elapsed() / requests);
                }
                shared.queue.controller.served(bucket, each, requests);
                shared.leader.served(whole.saturating_sub(sending) / requests);
                shared.counters.requests(self.index, requests, each);
            }
            now = end;
            if progress {
                served.note_progress();
            }
            let again = match served {
                Outcome::Park(connection, phase) => shared.park(connection, phase, now),
                Outcome::Requeue(connection) => Some(connection),
                Outcome::Close(connection, reason) => {
                    shared.close(connection, reason);
                    None
                }
                Outcome::Gone => None,
            };
            let Some(ready) = again else { return (now, longest) };
            connection = ready;
            // Work that was put aside waits for a new request, not for the rest of an old one.
            let others_wait = match connection.is_continuing() {
                true => !shared.queue.is_empty(),
                false => shared.queue.has_any(),
            };
            if others_wait {
                // It has more to say, but newcomers waited longer.
                let protocol = self.protocols.of(number);
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
                return (now, longest);
            }
        }
    }
}
