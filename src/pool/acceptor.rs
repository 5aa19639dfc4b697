//! The acceptor: one thread for all listeners. It accepts connections and pushes them into the work
//! queue. From sockets without connections it [receives](crate::pool::datagram::receive).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::close::CloseReason;
use crate::net::{Addr, Stream};
use crate::pool::connection::Connection;
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::eviction::{Evicted, Eviction};
use crate::pool::guard::{ProtocolWorkers, persist};
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::refusal_budget::{Allowance, Refused};
use crate::pool::queue::Work;
use crate::pool::shared::Shared;
use crate::pool::short_backlog::{SHORT_BACKLOG, ShortBacklog};
use crate::pool::source::{Accepted, Source, client_key, count};
use crate::pool::thread_time::ThreadTime;
use crate::sync::timespec;

/// How many connections are accepted from one listener before the next listener has its turn.
pub(crate) const ROUND: usize = 64;

/// How long accepting pauses when the process has no descriptor or memory left: from the first to
/// the last, doubled each time. A connection that ends cuts the pause short, as it frees a
/// descriptor. (Without a pause poll(2) would report the listener at once, and the acceptor would
/// spin.)
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1600));

/// A poll(2) that took at least this long began with empty backlogs.
pub(crate) const POLL_WAITED: Duration = Duration::from_micros(200);

/// The acceptor thread.
pub(crate) struct Acceptor {
    pub(super) shared: Arc<Shared>,
    pub(super) sources: Vec<Source>,
    protocols: ProtocolWorkers,
    receiver: Receiver,
    back_off: Duration,
    /// The end of the pause in accepting, if there is one.
    paused: Option<Instant>,
    /// The backlogs of the listeners without TLS, and of those with it.
    short: [ShortBacklog; 2],
    /// Whether accepting pauses, as refusing has cost too much: of requests, and of handshakes.
    over_budget: [bool; 2],
    /// Whether the last round refused more connections than it enqueued.
    refuses: bool,
    /// Whether the ordinary and the urgent listeners pause because the table of connections is full
    /// and no connection can be closed to make room.
    full: [bool; 2],
    /// What makes room for ordinary connections, and for urgent ones.
    evictions: [Eviction; 2],
}

/// Which listeners are polled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Accepting {
    /// All of them.
    All,
    /// The urgent ones; the others after this time, or once woken.
    Urgent(Option<Duration>),
    /// None, for this time or until woken.
    None(Option<Duration>),
    /// The urgent ones. After this time all are accepted from: one round over many connections
    /// costs less than one for each.
    UrgentThenAll(Duration),
}

/// What became of a connection that was accepted.
enum Pushed {
    /// It is in the work queue.
    Queued,
    Refused,
    /// It waits for its PROXY header, or was closed for want of one.
    Unread,
}

impl Acceptor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        protocols: ProtocolWorkers,
        sources: Vec<Source>,
        sockets: Vec<Arc<DatagramSocket>>,
    ) -> Self {
        let receiver = Receiver::new(Arc::clone(&shared), sockets);
        if sources.iter().any(|source| source.urgent) {
            shared.connections.keep_urgent();
        }
        Self {
            shared,
            sources,
            protocols,
            receiver,
            back_off: BACK_OFF.0,
            paused: None,
            short: Default::default(),
            over_budget: [false; 2],
            refuses: false,
            full: [false; 2],
            evictions: [Eviction::new(false), Eviction::new(true)],
        }
    }

    /// Accepts until the server drains; then accepts what has already connected, and closes the
    /// listeners.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        persist(&shared, &mut self, |it| it.protocols.renew(), Self::accept_until_drained);
        log::debug!("listeners closed");
    }

    fn accept_until_drained(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_draining() {
            let (listeners, sockets) = self.wait();
            count(&shared.counters.accept.rounds);
            if shared.is_draining() {
                break;
            }
            self.refuses = false;
            for index in listeners {
                self.accept_round(index);
            }
            for index in sockets {
                self.receiver.receive_round(index);
            }
        }
        self.receiver.finish();
        for refused in [Refused::Request, Refused::Handshake] {
            if self.short[refused as usize].end() {
                // The next program gets a passed listener with the backlog that it has now.
                self.set_backlogs(refused, self.shared.pool.backlog);
            }
        }
        self.accept_last();
    }

    /// Waits until a listener has a connection, unless accepting pauses; until a socket has a
    /// datagram, unless receiving pauses; or until woken. Returns the indices of those listeners,
    /// and of those sockets.
    fn wait(&mut self) -> (Vec<usize>, Vec<usize>) {
        let began = Instant::now();
        let accepting = self.accepting(began);
        let over_budget =
            matches!(accepting, Accepting::Urgent(_)) && !self.shared.applies_backpressure();
        self.fit_backlogs(Refused::Request, over_budget, began);
        // If nothing is accepted anyway, it is for another reason.
        let handshakes = match accepting {
            Accepting::All | Accepting::UrgentThenAll(_) => self.pause(Refused::Handshake),
            Accepting::Urgent(_) | Accepting::None(_) => None,
        };
        self.fit_backlogs(Refused::Handshake, over_budget || handshakes.is_some(), began);
        let receiving = self.receiver.pause(began);
        let accepts_from = |source: &Source| match accepting {
            Accepting::All => {
                source.urgent || handshakes.is_none() || source.refused() != Refused::Handshake
            }
            Accepting::Urgent(_) | Accepting::UrgentThenAll(_) => source.urgent,
            Accepting::None(_) => false,
        };
        let is_polled =
            |source: &Source| accepts_from(source) && !self.full[usize::from(source.urgent)];
        let listeners: Vec<usize> =
            (0..self.sources.len()).filter(|index| is_polled(&self.sources[*index])).collect();
        let mut fds = vec![PollFd::new(&self.shared.connections.acceptor, PollFlags::IN)];
        fds.extend(
            listeners.iter().map(|i| PollFd::new(&self.sources[*i].listener, PollFlags::IN)),
        );
        let skips_sockets = receiving.is_some() || self.shared.lent_sockets.is_lent();
        let sockets = if skips_sockets { &[] } else { &self.receiver.sockets[..] };
        fds.extend(sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let pause = match accepting {
            Accepting::All => None,
            Accepting::Urgent(pause) | Accepting::None(pause) => pause,
            Accepting::UrgentThenAll(pause) => Some(pause),
        };
        let restore = self.short.iter().filter_map(|short| short.left(began));
        let timeout = restore.chain(pause).chain(handshakes).chain(receiving).min();
        let timeout = timeout.map(timespec);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => count(&self.shared.counters.accept.interrupted),
            Err(errno) => {
                log::error!("poll failed: {}", io::Error::from(errno));
                self.paused = Some(Instant::now() + self.back_off);
            }
        }
        let woken = !fds[0].revents().is_empty();
        let (of_listeners, of_sockets) = fds[1..].split_at(listeners.len());
        let (ready_listeners, ready_sockets) = (ready(of_listeners), ready(of_sockets));
        drop(fds);
        let ended = Instant::now();
        if ended.saturating_duration_since(began) > POLL_WAITED {
            // The poll had to wait: the backlogs were empty until now.
            listeners.iter().for_each(|index| self.sources[*index].arrivals.emptied(ended));
        }
        if woken {
            self.shared.connections.acceptor.clear();
            // A descriptor or a place in the table may have become free.
            self.paused = None;
            self.full = [false; 2];
        }
        let ready_listeners = match accepting {
            Accepting::UrgentThenAll(_) => (0..self.sources.len()).collect(),
            _ => ready_listeners.into_iter().map(|index| listeners[index]).collect(),
        };
        (ready_listeners, ready_sockets)
    }

    /// Which listeners are polled at `now`.
    fn accepting(&mut self, now: Instant) -> Accepting {
        if let Some(until) = self.paused {
            if until > now {
                self.shared.connections.await_change();
                return Accepting::None(Some(until - now));
            }
            self.paused = None;
        }
        if let Some(pause) = self.pause(Refused::Request) {
            return Accepting::Urgent(Some(pause));
        }
        let shared = &self.shared;
        if shared.applies_backpressure() {
            return Accepting::Urgent(Some(shared.pool.tick));
        }
        if self.refuses && shared.queue.controller.is_overloaded() {
            return Accepting::UrgentThenAll(shared.pool.tick);
        }
        Accepting::All
    }

    /// For how long accepting pauses, as refusing requests or handshakes has cost too much.
    fn pause(&mut self, refused: Refused) -> Option<Duration> {
        let pause = match self.shared.refusal_allowance(refused) {
            Allowance::Pause(pause) => Some(pause),
            Allowance::Response | Allowance::Reset => None,
        };
        let paused = &mut self.over_budget[refused as usize];
        if pause.is_some() && !*paused {
            count(&self.shared.counters.accept.over_budget);
        }
        *paused = pause.is_some();
        pause
    }

    /// Shortens the backlogs while refusing costs too much, and restores them a while after.
    fn fit_backlogs(&mut self, refused: Refused, over_budget: bool, now: Instant) {
        if let Some(is_short) = self.short[refused as usize].note(over_budget, now) {
            let full = self.shared.pool.backlog;
            self.set_backlogs(refused, if is_short { SHORT_BACKLOG.min(full) } else { full });
        }
    }

    fn set_backlogs(&mut self, refused: Refused, backlog: u32) {
        for source in &mut self.sources {
            if !source.urgent && source.refused() == refused {
                source.set_backlog(backlog);
            }
        }
    }

    /// Whether a place in the full table can be made by closing a waiting connection when a new one
    /// comes. If not, the listener pauses until a connection ends or begins to wait.
    fn may_make_room(&mut self, urgent: bool) -> bool {
        let shared = Arc::clone(&self.shared);
        // The second look comes after `await_change`: what changed between the first look and that
        // call wakes no thread, and would be missed.
        for is_second in [false, true] {
            if is_second {
                shared.connections.await_change();
            }
            if shared.connections.has_room(urgent)
                || self.evictions[usize::from(urgent)].has_candidate(&shared, Instant::now())
            {
                return true;
            }
        }
        count(&shared.counters.accept.full);
        self.full[usize::from(urgent)] = true;
        false
    }

    /// Closes a waiting connection, to make room for one of this client.
    fn make_room(&mut self, urgent: bool, client: Option<Bucket>) -> Evicted {
        let eviction = &mut self.evictions[usize::from(urgent)];
        eviction.evict(&self.shared, &mut self.protocols, client, Instant::now())
    }

    /// Accepts from one listener. `true`: the backlog may have more.
    pub(super) fn accept_round(&mut self, index: usize) -> bool {
        let shared = Arc::clone(&self.shared);
        // A part of the cost of accepting goes to connections that are refused. Handshakes may be
        // refused without an overload.
        let refuses = shared.queue.controller.is_overloaded()
            || self.sources[index].refused() == Refused::Handshake;
        let time = refuses.then(|| (ThreadTime::start(), shared.spent_refusing()));
        let (mut pushed, mut refused, mut more) = (0, 0, true);
        for _ in 0..ROUND {
            let urgent = self.sources[index].urgent;
            let pauses =
                !urgent && (self.shared.applies_backpressure() || self.is_over_budget(index));
            let full = !shared.connections.has_room(urgent);
            if pauses || (full && !self.may_make_room(urgent)) {
                more = false;
                break;
            }
            match self.sources[index].accept(&shared.counters.accept) {
                Accepted::One(stream, addr) => {
                    self.back_off = BACK_OFF.0;
                    match self.push(index, stream, addr, full) {
                        Pushed::Queued => pushed += 1,
                        Pushed::Refused => refused += 1,
                        Pushed::Unread => {}
                    }
                }
                Accepted::Again => {}
                Accepted::Empty => {
                    self.sources[index].arrivals.emptied(Instant::now());
                    more = false;
                    break;
                }
                Accepted::Exhausted(error) => {
                    count(&shared.counters.accept.exhausted);
                    if self.make_room(urgent, None) == Evicted::One {
                        continue;
                    }
                    log::warn!("accepting pauses for {:?}: {error}", self.back_off);
                    self.paused = Some(Instant::now() + self.back_off);
                    self.back_off = (self.back_off * 2).min(BACK_OFF.1);
                    more = false;
                    break;
                }
            }
        }
        self.refuses |= refused > pushed as u32;
        shared.wake_workers(pushed);
        if let Some((time, before)) = time
            && refused > 0
        {
            // The refusals themselves were charged already; the rest is the cost of accept(2).
            let charged = shared.spent_refusing().saturating_sub(before);
            let each = time.elapsed().saturating_sub(charged) / (pushed as u32 + refused);
            shared.charge_refusing(self.sources[index].refused(), each * refused);
        }
        more
    }

    /// Whether refusing more connections of this listener would cost too much. Not while draining,
    /// when all that waits in the kernel is to be accepted.
    fn is_over_budget(&self, index: usize) -> bool {
        let shared = &self.shared;
        let pauses = |refused| matches!(shared.refusal_allowance(refused), Allowance::Pause(_));
        let refused = self.sources[index].refused();
        !shared.is_draining()
            && (pauses(refused) || (refused != Refused::Request && pauses(Refused::Request)))
    }

    /// Pushes a new connection into the work queue, or refuses it.
    ///
    /// `full`: the table of connections was full before.
    fn push(&mut self, index: usize, stream: Stream, peer: Addr, full: bool) -> Pushed {
        let shared = Arc::clone(&self.shared);
        let now = Instant::now();
        let arrived = self.sources[index].arrivals.accepted(now);
        let urgent = self.sources[index].urgent;
        let key = client_key(&stream, &peer);
        let bucket = shared.queue.controller.bucket(key);
        shared.counters.watch.note_client(bucket, key);
        let from_proxy = shared.config.load().proxy.trusts(&peer);
        let client = (!urgent && !from_proxy).then_some(bucket);
        let evicted = if full { self.make_room(urgent, client) } else { Evicted::Nothing };
        let is_over = !shared.connections.has_room(urgent);
        if is_over && evicted == Evicted::One {
            // The limit was exceeded for a moment: one more connection is closed.
            self.make_room(urgent, client);
        }
        let permit = shared.connections.enter(bucket);
        let source = &self.sources[index];
        let ends = (source.wire(stream), peer);
        let mut connection = Connection::new(ends, source.protocol, urgent, bucket, permit, now);
        connection.from_proxy = from_proxy;
        connection.awaits_proxy_header = source.proxy_header;
        if is_over && evicted == Evicted::OverFairShare {
            // The client has more connections than each client that could lose one.
            shared.count_refusal(&connection.peer, Refusal::OverFairShare, now, String::new);
            connection.close(CloseReason::Overloaded);
            return Pushed::Refused;
        }
        let Some(connection) = shared.read_proxy_header(connection, now) else {
            return Pushed::Unread;
        };
        let protocol = self.protocols.of(source.protocol);
        let work = Work::Connection(connection);
        match shared.enqueue_or_refuse_since(work, arrived, now, protocol) {
            true => Pushed::Queued,
            false => Pushed::Refused,
        }
    }
}

fn ready(fds: &[PollFd<'_>]) -> Vec<usize> {
    (0..fds.len()).filter(|index| !fds[*index].revents().is_empty()).collect()
}
