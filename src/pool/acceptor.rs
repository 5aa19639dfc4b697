//! The acceptor: one thread over all listeners. It accepts, and pushes into the work queue; of sockets
//! without connections it [receives](super::receive).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::net::{Addr, Listener, Stream};
use crate::pool::Mill;
use crate::pool::connection::Connection;
use crate::pool::datagrams::Inlet;
use crate::pool::fairness::ClientKey;
use crate::pool::protocol::Seat;
use crate::pool::queue::Work;
use crate::pool::receive::Receiver;

/// How many connections are accepted from one listener before the others are looked at.
const ROUND: usize = 64;

/// For how long accepting pauses when the system has no descriptor or no memory left: doubled each
/// time, and cut short when a connection ends.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1600));

/// A listener, and what its connections are for.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) listener: Listener,
    pub(crate) protocol: u16,
    /// Its work is taken first, and refused last.
    pub(crate) urgent: bool,
}

/// The thread that accepts.
pub(crate) struct Acceptor {
    mill: Arc<Mill>,
    sources: Vec<Source>,
    seats: Vec<Box<dyn Seat>>,
    receiver: Receiver,
    back_off: Duration,
    /// Until when accepting pauses.
    paused: Option<Instant>,
}

/// What came of one accept(2).
enum Accepted {
    /// A connection.
    One(Stream, Addr),
    /// Something that concerned one connection alone, or a signal: try again.
    Again,
    /// Nobody waits.
    Nobody,
    /// No descriptors, no memory: pause.
    Exhausted(io::Error),
}

impl Acceptor {
    pub(crate) fn new(mill: Arc<Mill>, sources: Vec<Source>, inlets: Vec<Arc<Inlet>>) -> Self {
        let receiver = Receiver::new(Arc::clone(&mill), inlets);
        let seats = mill.seats();
        Self { mill, sources, seats, receiver, back_off: BACK_OFF.0, paused: None }
    }

    /// Accepts until the server drains; then accepts what the kernel still holds, and closes the
    /// listeners. (Closing them first would reset the connections in the backlog. That of a listener
    /// which was passed in is left to the program that goes on with it.)
    pub(crate) fn run(mut self) {
        let mill = Arc::clone(&self.mill);
        while !mill.is_draining() {
            let (callers, senders) = self.wait();
            count(&mill.counters.accept.rounds);
            if mill.is_draining() {
                break;
            }
            for index in callers {
                self.accept_round(index);
            }
            for index in senders {
                self.receiver.round(index);
            }
        }
        self.receiver.finish();
        for index in 0..self.sources.len() {
            if self.sources[index].listener.is_inherited() {
                continue;
            }
            while !mill.is_stopped() && !mill.ledger.is_full() && self.accept_round(index) {}
        }
        log::debug!("listeners closed");
    }

    /// Waits until a listener has somebody, unless accepting pauses, until a datagram has come, unless
    /// receiving pauses, or until woken. The indices of those listeners, and of those inlets.
    fn wait(&mut self) -> (Vec<usize>, Vec<usize>) {
        let accepting = self.pause();
        let receiving = self.receiver.pause(Instant::now());
        let mut fds = vec![PollFd::new(&self.mill.ledger.acceptor, PollFlags::IN)];
        let listeners = if accepting.is_none() { &self.sources[..] } else { &[] };
        fds.extend(listeners.iter().map(|source| PollFd::new(&source.listener, PollFlags::IN)));
        let waits = receiving.is_some() || self.mill.loan.is_lent();
        let inlets = if waits { &[] } else { &self.receiver.inlets[..] };
        fds.extend(inlets.iter().map(|inlet| PollFd::new(inlet, PollFlags::IN)));
        let pause = accepting.flatten().into_iter().chain(receiving).min();
        let timeout = pause.map(|pause| Timespec {
            tv_sec: pause.as_secs() as i64,
            tv_nsec: pause.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => count(&self.mill.counters.accept.interrupted),
            Err(errno) => {
                log::error!("poll: {}", io::Error::from(errno));
                self.paused = Some(Instant::now() + self.back_off);
            }
        }
        let woken = !fds[0].revents().is_empty();
        let (callers, senders) = fds[1..].split_at(listeners.len());
        let ready = (ready(callers), ready(senders));
        if woken {
            self.mill.ledger.acceptor.clear();
            // A descriptor has come free, perhaps.
            self.paused = None;
        }
        ready
    }

    /// Whether accepting pauses: `Some(None)` until woken, `Some(Some(time))` for so long.
    fn pause(&mut self) -> Option<Option<Duration>> {
        let mill = &self.mill;
        let now = Instant::now();
        if mill.ledger.is_full() {
            mill.ledger.await_departure();
            if mill.ledger.is_full() {
                count(&mill.counters.accept.full);
                return Some(None);
            }
        }
        if let Some(until) = self.paused {
            if until > now {
                mill.ledger.await_departure();
                return Some(Some(until - now));
            }
            self.paused = None;
        }
        if let Some(pause) = mill.refusing_pause(now) {
            count(&mill.counters.accept.over_budget);
            return Some(Some(pause));
        }
        if self.is_held_back() {
            return Some(Some(mill.pool.tick));
        }
        None
    }

    /// Whether the queue is full of a burst that the workers will soon have dealt with, as requests
    /// are quick: the backlog is its place.
    fn is_held_back(&self) -> bool {
        let mill = &self.mill;
        mill.queue.room() == 0 && mill.queue.controller.holds_back() && !mill.is_draining()
    }

    /// Accepts from one listener. `true`: there may be more.
    fn accept_round(&mut self, index: usize) -> bool {
        let mill = Arc::clone(&self.mill);
        for _ in 0..ROUND {
            if mill.ledger.is_full() || self.is_held_back() {
                return false;
            }
            match self.accept(index) {
                Accepted::One(stream, addr) => {
                    self.back_off = BACK_OFF.0;
                    self.push(index, stream, addr);
                }
                Accepted::Again => {}
                Accepted::Nobody => return false,
                Accepted::Exhausted(error) => {
                    count(&mill.counters.accept.exhausted);
                    log::warn!("accepting pauses for {:?}: {error}", self.back_off);
                    self.paused = Some(Instant::now() + self.back_off);
                    self.back_off = (self.back_off * 2).min(BACK_OFF.1);
                    return false;
                }
            }
        }
        true
    }

    fn accept(&self, index: usize) -> Accepted {
        let error = match self.sources[index].listener.accept() {
            Ok((stream, addr)) => return Accepted::One(stream, addr),
            Err(error) => error,
        };
        let counters = &self.mill.counters.accept;
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Accepted::Nobody,
            Some(Errno::INTR) => {
                count(&counters.interrupted);
                Accepted::Again
            }
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                Accepted::Exhausted(error)
            }
            // Linux passes pending network errors of the new socket on (accept(2)): they concern
            // that connection alone. Others are unknown, and ending the server would help nobody.
            _ => {
                count(&counters.skipped);
                log::debug!("accept: {error}");
                Accepted::Again
            }
        }
    }

    /// Pushes a newcomer into the work queue; a full queue, or a wait too long, refuses it.
    fn push(&mut self, index: usize, stream: Stream, peer: Addr) {
        let mill = &self.mill;
        let source = &self.sources[index];
        let now = Instant::now();
        let bucket = mill.queue.controller.bucket(client_key(&stream, &peer));
        let permit = mill.ledger.enter();
        let connection =
            Connection::new((stream, peer), source.protocol, source.urgent, bucket, permit, now);
        let seat = &mut self.seats[source.protocol as usize];
        if mill.bring(Work::Connection(connection), now, seat.as_mut()) {
            mill.call();
        }
    }
}

fn ready(fds: &[PollFd<'_>]) -> Vec<usize> {
    (0..fds.len()).filter(|index| !fds[*index].revents().is_empty()).collect()
}

/// Whose share of the queue a connection takes.
fn client_key(stream: &Stream, peer: &Addr) -> ClientKey {
    match peer {
        Addr::Ip(addr) => ClientKey::from(addr.ip()),
        _ => stream.peer_uid().map_or(ClientKey::None, ClientKey::Uid),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
