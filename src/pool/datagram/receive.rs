//! [`Receiver`]: receives datagrams and pushes them into the work queue.
//!
//! The acceptor has one. Each worker has one too, for the time in which the sockets are
//! [lent](crate::pool::datagram::lend).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use crate::net::{Addr, Received};
use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::overload::fairness::ClientKey;
use crate::pool::queue::Work;
use crate::pool::shared::Shared;

/// How many datagrams are received from one socket before the next socket has its turn.
const DATAGRAM_ROUND: usize = 32;

/// For how long receiving pauses after an error that does not concern one peer alone: the next
/// attempt would most likely fail too.
const RECEIVE_BACK_OFF: Duration = Duration::from_millis(50);

/// Rounds of receiving once the server drains: an endless stream of datagrams must not keep it from
/// stopping.
const LAST_ROUNDS: usize = 256;

/// The sockets as one thread sees them, and its buffer.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    pub(crate) sockets: Vec<Arc<DatagramSocket>>,
    buf: Vec<u8>,
    /// Until when receiving pauses.
    paused: Option<Instant>,
}

impl Receiver {
    pub(crate) fn new(shared: Arc<Shared>, sockets: Vec<Arc<DatagramSocket>>) -> Self {
        Self { shared, sockets, buf: Vec::new(), paused: None }
    }

    /// How long receiving has to pause, if it has to. A pause is due after an error, and under
    /// backpressure, when datagrams wait in the kernel instead of the queue.
    pub(crate) fn pause(&mut self, now: Instant) -> Option<Duration> {
        if self.sockets.is_empty() {
            return None;
        }
        if self.shared.applies_backpressure() {
            return Some(self.shared.pool.tick);
        }
        let left = self.paused?.saturating_duration_since(now);
        if left.is_zero() {
            self.paused = None;
            return None;
        }
        Some(left)
    }

    /// Receives from one socket and wakes workers for what came. Returns `true` if there may be
    /// more.
    pub(crate) fn receive_round(&mut self, index: usize) -> bool {
        let (pushed, more) = self.receive(index);
        if self.paused.is_none() {
            self.shared.lend_sockets(&self.sockets);
        }
        self.shared.wake_workers(pushed);
        more
    }

    /// Whether an error made receiving pause since the last call. Ends the pause.
    fn take_failure(&mut self) -> bool {
        self.paused.take().is_some()
    }

    /// Receives from one socket into the queue. Returns how many datagrams were enqueued, and
    /// whether there may be more.
    fn receive(&mut self, index: usize) -> (usize, bool) {
        let config = self.shared.config.load();
        let limits = &config.limits;
        if self.buf.len() != limits.datagram {
            // The kernel zeroes the pages on first use, so that the buffer takes no more memory
            // than the longest datagram that came.
            self.buf = vec![0; limits.datagram];
        }
        let mut pushed = 0;
        let mut more = true;
        for _ in 0..DATAGRAM_ROUND {
            if self.shared.applies_backpressure() {
                more = false;
                break;
            }
            match self.sockets[index].receive(&mut self.buf) {
                Ok((received, from)) => {
                    pushed += usize::from(self.push(index, received, from, limits.datagram_total));
                }
                Err(Errno::AGAIN) => {
                    more = false;
                    break;
                }
                Err(errno) => {
                    more = self.handle_error(index, errno);
                    break;
                }
            }
        }
        (pushed, more)
    }

    /// Logs an error, and pauses if the next attempt would fail too. Returns `true` if the error
    /// concerned one earlier datagram alone, so that there may be more to receive.
    fn handle_error(&mut self, index: usize, errno: Errno) -> bool {
        let now = Instant::now();
        let socket = &self.sockets[index];
        socket.throttle.warn(now, || {
            format!("{}: recvfrom: {}", socket.endpoint_text(), io::Error::from(errno))
        });
        // ICMP errors about a datagram sent earlier, which recvfrom(2) reports once.
        let is_of_peer = matches!(
            errno,
            Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN
        );
        if !is_of_peer {
            self.paused = Some(now + RECEIVE_BACK_OFF);
        }
        is_of_peer
    }

    /// Pushes what was received into the work queue. Returns `false` if it was dropped.
    fn push(
        &self,
        index: usize,
        received: Received,
        from: Option<SocketAddrAny>,
        limit: usize,
    ) -> bool {
        let shared = &self.shared;
        let socket = &self.sockets[index];
        let peer = from.clone().map_or(Addr::Unnamed, Addr::from).canonical();
        if socket.is_own(&peer) {
            // The response to the server's own response would come back in turn, without end.
            return false;
        }
        let now = Instant::now();
        if received.is_truncated() {
            socket.throttle.warn(now, || {
                let (socket, full) = (socket.endpoint_text(), received.full);
                format!("{socket}: dropped a datagram of {full} bytes, longer than limits.datagram")
            });
            shared.datagrams.count_too_long();
            return false;
        }
        if let Err(refusal) = shared.datagrams.reserve(received.len, limit) {
            shared.count_refusal(&peer, refusal, now, || "datagram".to_owned());
            return false;
        }
        let bytes = &self.buf[..received.len];
        let datagram = self.datagram(index, bytes, from, peer);
        match shared.queue.push(Work::Datagram(datagram), now) {
            Ok(()) => true,
            Err((Work::Datagram(datagram), refusal)) => {
                shared.drop_datagram(datagram, refusal, now);
                false
            }
            Err(_) => false,
        }
    }

    fn datagram(
        &self,
        index: usize,
        bytes: &[u8],
        from: Option<SocketAddrAny>,
        peer: Addr,
    ) -> Box<QueuedDatagram> {
        let shared = &self.shared;
        let key = peer.as_socket().map_or(ClientKey::None, |addr| ClientKey::from(addr.ip()));
        let bucket = shared.queue.controller.bucket(key);
        shared.counters.watch.note_client(bucket, key);
        let (socket, urgent) = (index as u16, self.sockets[index].urgent);
        let Some(mut datagram) = shared.datagrams.reuse() else {
            return Box::new(QueuedDatagram {
                bytes: bytes.to_vec(),
                from,
                peer,
                socket,
                urgent,
                bucket,
            });
        };
        let mut buf = std::mem::take(&mut datagram.bytes);
        buf.clear();
        buf.extend_from_slice(bytes);
        *datagram = QueuedDatagram { bytes: buf, from, peer, socket, urgent, bucket };
        datagram
    }

    /// Receives what is left in the kernel's buffers, but not from a socket that was passed in:
    /// another program goes on to use it.
    pub(crate) fn finish(&mut self) {
        self.shared.take_sockets_back();
        for index in 0..self.sockets.len() {
            if self.sockets[index].is_inherited() {
                continue;
            }
            for _ in 0..LAST_ROUNDS {
                if self.shared.is_stopped() || !self.receive_round(index) {
                    break;
                }
            }
        }
        if !self.sockets.is_empty() {
            self.shared.datagrams.freeze_kernel_drops();
            log::debug!("receiving of datagrams ended");
        }
    }
}

impl Shared {
    /// Lends the sockets, if handlers are fast and there is a worker to lead.
    fn lend_sockets(&self, sockets: &[Arc<DatagramSocket>]) {
        if self.leader.handlers_are_fast() && self.leader.has_leader() {
            self.lent_sockets.lend(&self.poller, sockets, || self.is_draining());
        }
    }

    /// Takes the sockets back, if they were lent, and wakes the acceptor to receive from them.
    pub(crate) fn take_sockets_back(&self) {
        if self.lent_sockets.take_back(&self.poller, &self.datagrams) {
            self.connections.acceptor.wake();
        }
    }

    /// Receives from the `ready` sockets, if they are still lent. Returns how many datagrams were
    /// enqueued. Called by the leader.
    pub(crate) fn receive_from_lent(&self, receiver: &mut Receiver, ready: &[usize]) -> usize {
        let receive = || {
            if self.is_draining() {
                return 0;
            }
            ready.iter().map(|index| receiver.receive(*index).0).sum()
        };
        let pushed = self.lent_sockets.receive(receive).unwrap_or(0);
        if receiver.take_failure() {
            // The acceptor receives again once its pause is over.
            self.take_sockets_back();
        }
        pushed
    }
}
