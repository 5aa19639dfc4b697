//! A worker: takes work, or leads; serves; parks or closes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::connection::{Connection, Phase};
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::send_batch::Replies;
use crate::pool::datagram::socket::Parcel;
use crate::pool::guard::persist;
use crate::pool::leader::Lead;
use crate::pool::overload::controller::Verdict;
use crate::pool::poller::{BATCH, Parked, Ready};
use crate::pool::protocol::{Seat, Served, Turn};
use crate::pool::queue::{Ticket, Work};
use crate::pool::thread_time::ThreadTime;
use crate::pool::{Mill, Refusal, refuse};

/// A client that has waited for less than this is taken to be there still.
const PATIENT: Duration = Duration::from_millis(1);

/// One of the fixed pool of threads that serve.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) mill: Arc<Mill>,
    /// Its place at each of the server's protocols.
    pub(crate) seats: Vec<Box<dyn Seat>>,
    /// The inlets, to answer through, and to receive from while they are lent.
    pub(crate) receiver: Receiver,
    /// Answers to datagrams that are not sent yet.
    pub(crate) replies: Replies,
}

impl Worker {
    /// Serves until the server has stopped.
    pub(crate) fn run(mut self) {
        let mill = Arc::clone(&self.mill);
        mill.dispatch.enrol_worker(self.index);
        mill.hash_limit.enrol();
        persist(&mill, &mut self, Self::recover, Self::work);
    }

    /// Serves urgent work only, until the server has stopped. So health checks and operators get their
    /// response though every other worker is held by a handler.
    pub(crate) fn run_urgent(mut self) {
        let mill = Arc::clone(&self.mill);
        mill.dispatch.enrol_urgent();
        persist(&mill, &mut self, Self::recover, Self::work_urgent);
    }

    /// After a panic.
    fn recover(&mut self) {
        self.mill.counters.resting(self.index, Instant::now());
        self.seats = self.mill.seats();
    }

    fn work(&mut self) {
        let mill = Arc::clone(&self.mill);
        while !mill.is_stopped() {
            if let Some((ticket, refusal)) = mill.queue.take(Instant::now) {
                self.take(ticket, refusal);
                continue;
            }
            self.replies.send(&mill, &self.receiver.inlets);
            if mill.dispatch.try_lead() {
                self.lead();
            } else {
                mill.dispatch.sleep(self.index, || {
                    mill.queue.has_work(Instant::now())
                        || !mill.dispatch.is_led()
                        || mill.is_stopped()
                });
            }
        }
    }

    fn work_urgent(&mut self) {
        let mill = Arc::clone(&self.mill);
        while !mill.is_stopped() {
            if let Some(ticket) = mill.queue.take_urgent() {
                self.take(ticket, None);
                continue;
            }
            self.replies.send(&mill, &self.receiver.inlets);
            mill.dispatch.sleep_urgent(|| mill.queue.has_urgent() || mill.is_stopped());
        }
    }

    /// Judges a ticket's wait, then serves or refuses.
    fn take(&mut self, ticket: Ticket, refusal: Option<Refusal>) {
        let now = Instant::now();
        let verdict = self.mill.queue.judge(&ticket, now);
        let verdict = refusal.map_or(verdict, Verdict::Refuse);
        let waited = now.saturating_duration_since(ticket.entered);
        self.mill.counters.wait.record(waited);
        self.mill.counters.turn(self.index);
        let connection = match ticket.work {
            Work::Connection(connection) | Work::Continuation(connection) => connection,
            Work::Datagram(parcel) => return self.take_datagram(parcel, verdict, now),
        };
        self.replies.send(&self.mill, &self.receiver.inlets);
        match verdict {
            Verdict::Refuse(refusal) => {
                let seat = &mut self.seats[connection.protocol as usize];
                refuse(&self.mill, seat.as_mut(), connection, refusal, now);
            }
            Verdict::Keep if self.is_in_vain(&connection, waited) => {
                self.mill.close(connection, CloseReason::ClientGoneInQueue);
            }
            Verdict::Keep => self.serve(connection, now, waited),
        }
    }

    /// Whether nobody is left to take the answer. To know costs a system call, which is spared for
    /// work that hardly waited.
    fn is_in_vain(&self, connection: &Connection, waited: Duration) -> bool {
        waited >= PATIENT
            && !connection.is_continuing()
            && self.mill.config.load().overload.drop_gone
            && connection.stream.is_gone()
    }

    fn take_datagram(&mut self, parcel: Box<Parcel>, verdict: Verdict, now: Instant) {
        let mill = &self.mill;
        if let Verdict::Refuse(refusal) = verdict {
            mill.drop_datagram(parcel, refusal);
            return;
        }
        mill.counters.serving(self.index, &parcel.peer, now);
        let bucket = parcel.bucket;
        let in_service = mill.queue.controller.begin_service(bucket, now);
        let end = self.replies.serve(mill, &self.receiver.inlets, parcel, now);
        mill.counters.resting(self.index, end);
        let service = end.saturating_duration_since(now);
        mill.queue.controller.end_service(in_service, end, Some(service));
        mill.queue.controller.served(bucket, service, 1);
        mill.dispatch.served(service);
        mill.counters.requests(self.index, 1, service);
        if !mill.dispatch.is_brisk() {
            mill.take_back();
        }
    }

    /// Waits on epoll; keeps the first connection that becomes ready, queues the others, and what the
    /// inlets have.
    fn lead(&mut self) {
        let mill = Arc::clone(&self.mill);
        let lead = Lead(&mill.dispatch);
        // Work may have come between the last look at the queue and taking the lead; from now on,
        // whoever brings some finds a leader and nudges it.
        if !mill.queue.is_empty() || mill.is_stopped() {
            return;
        }
        let mut first = None;
        let mut rest = Vec::new();
        let mut inlets = Vec::new();
        // What the queue has no room for stays with the kernel, which is the cheapest place to wait.
        mill.counters.leading(self.index, true);
        let room = (mill.queue.room() + 1).min(BATCH);
        let found = mill.parking.wait(room, None, |ready| match ready {
            Ready::Connection(connection) if first.is_none() => first = Some(connection),
            Ready::Connection(connection) => rest.push(connection),
            Ready::Inlet(index) => inlets.push(index),
        });
        let received = if inlets.is_empty() { 0 } else { mill.borrow(&mut self.receiver, &inlets) };
        drop(lead);
        mill.counters.leading(self.index, false);
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                log::error!("epoll_wait: {error}");
                return;
            }
        };
        mill.share_burst(received);
        let now = Instant::now();
        for connection in rest {
            let seat = &mut self.seats[connection.protocol as usize];
            mill.bring(Work::of(connection), now, seat.as_mut());
        }
        if let Some(connection) = first {
            mill.dispatch.share(found);
            mill.counters.turn(self.index);
            if mill.queue.controller.may_serve(connection.bucket, Duration::ZERO, now) {
                self.serve(connection, now, Duration::ZERO);
            } else {
                // Others come first: the queue puts it aside.
                let seat = &mut self.seats[connection.protocol as usize];
                mill.bring(Work::of(connection), now, seat.as_mut());
            }
        }
    }

    /// Serves a connection, which `waited` in the queue, until it has nothing more to say, or others
    /// are to have their turn.
    fn serve(&mut self, connection: Box<Connection>, now: Instant, waited: Duration) {
        let mill = Arc::clone(&self.mill);
        mill.counters.serving(self.index, &connection.peer, now);
        // The worker for urgent work is none of those that clients share.
        let shared = self.index < mill.pool.workers;
        let in_service =
            shared.then(|| mill.queue.controller.begin_service(connection.bucket, now));
        let (end, each) = self.serve_turns(&mill, connection, now, waited);
        if let Some(in_service) = in_service {
            mill.queue.controller.end_service(in_service, end, each);
        }
        mill.counters.resting(self.index, end);
    }

    /// The time at which it is done, and how long the longest request took, if there was one.
    fn serve_turns(
        &mut self,
        mill: &Arc<Mill>,
        mut connection: Box<Connection>,
        mut now: Instant,
        mut waited: Duration,
    ) -> (Instant, Option<Duration>) {
        let bucket = connection.bucket;
        let mut longest = None;
        loop {
            let protocol = connection.protocol as usize;
            let config = mill.config.load();
            let mut turn = Turn::new(mill, &config, now);
            turn.waited = std::mem::take(&mut waited);
            let seat = &mut self.seats[protocol];
            // A system call more at each end, which is nothing beside a slow handler.
            let computing = mill.dispatch.is_eager().then(ThreadTime::start);
            let mut served = seat.serve(connection, &mut turn);
            let (requests, sending) = (turn.requests, turn.sending.get());
            let (client_wait, progress) = (turn.client_wait.get(), turn.is_progress());
            let end = Instant::now();
            if requests > 0 {
                let whole = end.saturating_duration_since(now).saturating_sub(client_wait);
                let each = whole / requests;
                longest = longest.max(Some(each));
                if let Some(time) = computing {
                    mill.queue.controller.computed(time.elapsed() / requests);
                }
                mill.queue.controller.served(bucket, each, requests);
                mill.dispatch.served(whole.saturating_sub(sending) / requests);
                mill.counters.requests(self.index, requests, each);
            }
            now = end;
            if progress {
                served.note_progress();
            }
            let again = match served {
                Served::Park(connection, phase) => mill.park(connection, phase, now),
                Served::Requeue(connection) => Some(connection),
                Served::Close(connection, reason) => {
                    mill.close(connection, reason);
                    None
                }
                Served::Gone => None,
            };
            let Some(ready) = again else { return (now, longest) };
            connection = ready;
            // Work that was put aside waits for a new request, not for the rest of an old one.
            let others_wait = match connection.is_continuing() {
                true => !mill.queue.is_empty(),
                false => mill.queue.has_any(),
            };
            if others_wait {
                // It has more to say, but newcomers waited longer.
                let seat = &mut self.seats[protocol];
                mill.bring(Work::of(connection), now, seat.as_mut());
                return (now, longest);
            }
        }
    }
}

impl Mill {
    /// Parks a connection; gives it back if it became ready meanwhile.
    pub(crate) fn park(
        self: &Arc<Self>,
        connection: Box<Connection>,
        phase: Phase,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let config = self.config.load();
        if phase == Phase::Write && connection.output.is_overdue(&config.timeouts, now) {
            self.close(connection, CloseReason::WriteTimeout);
            return None;
        }
        match self.parking.park(connection, phase, &config.timeouts, now) {
            Parked::Waits { sooner } => {
                self.note_parked(sooner);
                None
            }
            Parked::Ready(connection) => Some(connection),
            Parked::Failed(connection, error) => {
                log::warn!("{}: cannot wait for it: {error}", connection.peer);
                self.close(connection, CloseReason::SocketError);
                None
            }
        }
    }
}
