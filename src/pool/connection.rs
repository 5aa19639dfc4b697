//! [`Connection`]: a socket with its buffers, phase and deadline. It moves as a whole from owner to
//! owner.

use std::any::Any;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::config::Timeouts;
use crate::net::Addr;
use crate::pool::connections::Permit;
use crate::pool::output::Output;
use crate::pool::output_memory::Lease;
use crate::pool::overload::fairness::Bucket;
use crate::pool::poller::token::Token;
use crate::pool::wire::Wire;
use crate::sync::later;

/// What a connection waits for while it is parked. Each phase has its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The next message of the TLS handshake, from accept on.
    Handshake,
    /// The rest of a request's head, or the first bytes of a new connection.
    Head,
    /// The rest of a short body, before the handler is called.
    Body,
    /// The next request.
    Idle,
    /// The rest of a body that the handler did not read, after the response.
    Discard,
    /// Room to send the rest of a response.
    Write,
    /// The end of the peer's side, after this side was shut down (lingering close).
    Linger,
    /// The moment at which its request is refused. The delay slows down a client over its fair
    /// share that repeats its request at each refusal.
    Held,
}

/// How long a refusal is delayed in [`Phase::Held`].
pub(crate) const HOLD: Duration = Duration::from_millis(100);

impl Phase {
    pub(crate) fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Handshake => timeouts.handshake,
            Self::Head => timeouts.head,
            Self::Idle => timeouts.idle,
            Self::Body => timeouts.body,
            Self::Write => timeouts.write,
            Self::Discard | Self::Linger => timeouts.linger_total,
            Self::Held => HOLD,
        }
    }
}

/// What becomes of a request that came without TLS to a port that expects it.
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "no port expects TLS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleartext {
    Reject,
    /// To the same place, with TLS.
    Redirect,
}

/// A connected socket.
///
/// It has exactly one owner at any moment: the queue, a worker, or the poller. Dropping it closes
/// the socket, counts its [`CloseReason`] and frees its place in the table of connections.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    /// The peer's address, as accept(2) gave it.
    pub(crate) peer: Addr,
    /// The client's address, if a proxy has sent it in a PROXY header. In a box, as below.
    pub(crate) client: Option<Box<Addr>>,
    /// Whether its PROXY header names no client. A field that names one is then ignored: the proxy
    /// relays the client's bytes, and the client may have written the field.
    pub(crate) hides_client: bool,
    /// The client of the last request, if a trusted proxy has named it in a field of the request.
    /// In a box, as most connections have none.
    pub(crate) forwarded: Option<Box<Addr>>,
    /// Whether the peer was a trusted proxy when it connected. Its connections carry requests of
    /// many clients: each request counts for its own client, and the connections for none.
    pub(crate) from_proxy: bool,
    /// Whether a PROXY header has to come before anything else.
    pub(crate) awaits_proxy_header: bool,
    /// Bytes that were read and belong to no complete request yet. An empty one owns no memory.
    pub(crate) input: Vec<u8>,
    /// The part of the memory for unfinished requests that the input uses.
    pub(crate) input_lease: Option<Lease>,
    /// How many bytes of the input were searched for the end of a head.
    pub(crate) scanned: usize,
    /// The protocol's state of the incomplete request that the connection waits for.
    pub(crate) awaited: Option<Box<dyn Any + Send>>,
    pub(crate) output: Output,
    /// The protocol's state between two turns of one request, such as how much of an unread body
    /// has been discarded. While it is set, the connection is in the middle of a request that was
    /// admitted, and is not refused.
    pub(crate) unfinished: Option<Box<dyn Any + Send>>,
    pub(crate) phase: Phase,
    /// When the phase began. The deadline is counted from here.
    pub(crate) since: Instant,
    /// Whether an exchange was completed since the phase began, so that the next phase begins again
    /// even if it is the same.
    progressed: bool,
    /// Bytes of output that were left when the connection last waited for room to write.
    output_left: u64,
    /// When the client last sent something after its response.
    pub(crate) last_input: Instant,
    pub(crate) opened: Instant,
    /// Requests served so far.
    pub(crate) requests: u64,
    /// Its slot in the poller, once it has been parked for the first time.
    pub(crate) token: Option<Token>,
    /// The client that its next request counts for.
    pub(crate) bucket: Bucket,
    /// The number of its protocol.
    pub(crate) protocol: u16,
    /// Whether it came through an urgent listener.
    pub(crate) urgent: bool,
    /// Whether it came without TLS to a port that expects it, and what becomes of that.
    pub(crate) cleartext: Option<Cleartext>,
    /// Whether epoll watches for room to write.
    pub(crate) watches_write: bool,
    /// Whether there may be input that epoll will not report again.
    pub(crate) unread: bool,
    /// Whether the peer has shut down its side: the end follows the input.
    pub(crate) peer_ended: bool,
    /// The reason for closing, once a response that ends the connection is on its way.
    pub(crate) closing: Option<CloseReason>,
    permit: Permit,
}

impl Connection {
    pub(crate) fn new(
        (wire, peer): (Wire, Addr),
        protocol: u16,
        urgent: bool,
        bucket: Bucket,
        permit: Permit,
        now: Instant,
    ) -> Box<Self> {
        let phase = if wire.is_handshaking() { Phase::Handshake } else { Phase::Head };
        Box::new(Self {
            wire,
            peer,
            client: None,
            hides_client: false,
            forwarded: None,
            from_proxy: false,
            awaits_proxy_header: false,
            input: Vec::new(),
            input_lease: None,
            scanned: 0,
            awaited: None,
            output: Output::default(),
            unfinished: None,
            phase,
            since: now,
            progressed: false,
            output_left: 0,
            last_input: now,
            opened: now,
            requests: 0,
            token: None,
            bucket,
            protocol,
            urgent,
            cleartext: None,
            watches_write: false,
            unread: true,
            peer_ended: false,
            closing: None,
            permit,
        })
    }

    /// Sets the client that a trusted proxy names in a field of the next request. Returns whether
    /// it is another one than before.
    pub(crate) fn set_forwarded(&mut self, client: Option<SocketAddr>) -> bool {
        let before = self.forwarded.as_deref().and_then(Addr::as_socket);
        if before != client {
            self.forwarded = client.map(|client| Box::new(Addr::Ip(client)));
        }
        before != client
    }

    /// The client's address, as far as it is known: that of the peer, unless a trusted proxy has
    /// named another.
    pub(crate) fn client_or_peer(&self) -> &Addr {
        self.forwarded.as_deref().or(self.client.as_deref()).unwrap_or(&self.peer)
    }

    /// Whether the client of the next request is to be found out before the queue judges it.
    pub(crate) fn names_client_first(&self) -> bool {
        self.from_proxy || self.awaits_proxy_header
    }

    /// Gives up the place in the table of connections that it had as one of its first client, and
    /// counts there for its present client.
    pub(crate) fn move_place(&mut self) {
        self.permit.move_to(self.bucket);
    }

    /// Whether it is in the middle of an exchange, or of a handshake, that was admitted before.
    pub(crate) fn is_continuing(&self) -> bool {
        self.has_unsent()
            || self.unfinished.is_some()
            || self.closing.is_some()
            || (self.wire.is_handshaking() && !self.wire.awaits_hello())
    }

    /// Whether the next step is the expensive one of a handshake, which waits in a lane of its own.
    pub(crate) fn begins_handshake(&self) -> bool {
        !self.urgent && self.wire.awaits_hello()
    }

    /// Whether there is input that no exchange has used.
    pub(crate) fn has_unserved(&self) -> bool {
        !self.input.is_empty() || self.wire.hides_input() || self.wire.stream().has_unread()
    }

    /// Whether there is output that the socket has not taken.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.output.is_empty() || self.wire.unsent() > 0
    }

    /// How many bytes of output the socket has not taken.
    fn unsent(&self) -> u64 {
        self.output.left() + self.wire.unsent() as u64
    }

    /// The connection without TLS, whose first bytes are not TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn without_tls(self: Box<Self>) -> Box<Self> {
        let connection = *self;
        let wire = match connection.wire {
            Wire::Tls(session) => Wire::Plain(session.into_stream()),
            plain @ Wire::Plain(_) => plain,
        };
        Box::new(Self { wire, ..connection })
    }

    /// Notes that an exchange was completed. The next phase begins again, also if it is the same:
    /// each request, and each wait for one, has the whole of its timeouts.
    pub(crate) fn note_progress(&mut self) {
        self.progressed = true;
    }

    /// Enters a phase. A phase that continues keeps the time at which it began, so that a client
    /// cannot stretch a deadline by sending byte after byte. In [`Phase::Write`] the time is
    /// counted from the last piece that the client read.
    pub(crate) fn enter(&mut self, phase: Phase, now: Instant) {
        let left = if phase == Phase::Write { self.unsent() } else { 0 };
        // Reset in any phase: progress counts for the next phase only.
        let progressed = std::mem::take(&mut self.progressed) || left != self.output_left;
        if self.phase != phase || progressed {
            self.phase = phase;
            self.since = now;
        }
        self.output_left = left;
    }

    /// Notes that the reader of the output is overdue. `true`: there is output, so that a worker
    /// can find out whether the reader has read anything. (The kernel reports room only once a
    /// third of its buffer is free.)
    pub(crate) fn note_overdue(&mut self, now: Instant) -> bool {
        self.output.note_overdue(now) && self.has_unsent()
    }

    /// Notes an event that epoll reported.
    pub(crate) fn note_event(&mut self, peer_ended: bool) {
        self.unread = true;
        self.peer_ended |= peer_ended;
    }

    /// Notes that input was read. `short`: the buffer had room for more, so that nothing is left in
    /// the socket.
    pub(crate) fn note_read(&mut self, short: bool) {
        self.unread = !short || self.peer_ended;
    }

    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        if let Phase::Discard | Phase::Linger = self.phase {
            let whole = later(self.since, timeouts.linger_total);
            return whole.min(later(self.last_input, timeouts.linger));
        }
        if self.phase == Phase::Write
            && let Some(deadline) = self.output.deadline(timeouts)
        {
            return deadline;
        }
        later(self.since, self.phase.timeout(timeouts))
    }

    /// Closes the connection, and counts the reason.
    pub(crate) fn close(mut self: Box<Self>, reason: CloseReason) {
        let reason = match reason {
            CloseReason::ClientGone if self.wire.has_failed() => CloseReason::TlsFailed,
            _ => reason,
        };
        // After an error, the client must not take the end for the end of a whole response.
        if reason.is_orderly() {
            self.wire.end();
        }
        log::debug!("{}: closed: {reason}", self.peer);
        self.permit.reason = reason;
    }

    /// Sets the reason that is counted if the connection is dropped from now on.
    pub(crate) fn set_reason(&mut self, reason: CloseReason) {
        self.permit.reason = reason;
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::net::Stream;
    use crate::pool::connections::Connections;
    use crate::pool::output::Segment;
    use crate::pool::overload::fairness::{ClientKey, Fairness};
    use crate::sync::Waker;

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(now: Instant) -> Box<Connection> {
        let none = SocketFlags::empty();
        let (one, _) = socketpair(AddressFamily::UNIX, SocketType::STREAM, none, None).unwrap();
        let fairness = Fairness::new();
        let bucket = fairness.bucket(ClientKey::None);
        let permit = Connections::new(1, Waker::new().unwrap(), fairness.held).enter(bucket);
        let peer = Addr::Ip("127.0.0.1:1".parse().unwrap());
        Connection::new((Stream::from(one).into(), peer), 0, false, bucket, permit, now)
    }

    #[test]
    fn a_phase_begins_afresh_once_an_exchange_was_completed_and_not_before() {
        let start = Instant::now();
        for phase in [Phase::Head, Phase::Body, Phase::Idle, Phase::Discard] {
            let mut connection = connection(start);
            connection.enter(phase, start);
            connection.enter(phase, start + SECOND);
            assert_eq!(connection.since, start, "{phase:?}: it continues");
            connection.note_progress();
            connection.enter(phase, start + 2 * SECOND);
            assert_eq!(connection.since, start + 2 * SECOND, "{phase:?}: it is a new one");
            connection.enter(phase, start + 3 * SECOND);
            assert_eq!(connection.since, start + 2 * SECOND, "{phase:?}: progress counts once");
        }
    }

    #[test]
    fn room_to_write_is_counted_from_the_last_piece_taken() {
        let start = Instant::now();
        let mut connection = connection(start);
        connection.output.push(Segment::Bytes(vec![0; 10].into()));
        connection.enter(Phase::Write, start);
        connection.enter(Phase::Write, start + SECOND);
        assert_eq!(connection.since, start, "an event that is no progress stretches nothing");
        connection.output.push(Segment::Bytes(vec![0; 1].into()));
        connection.enter(Phase::Write, start + 2 * SECOND);
        assert_eq!(connection.since, start + 2 * SECOND);
    }
}
