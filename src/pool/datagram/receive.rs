//! The acceptor's other half: it receives datagrams, and pushes them into the work queue. While the
//! sockets are [lent](crate::pool::datagram::lend), workers have one as well.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use crate::net::{Addr, Received};
use crate::pool::datagram::socket::{DatagramSocket, QueuedDatagram};
use crate::pool::overload::fairness::ClientKey;
use crate::pool::queue::Work;
use crate::pool::shared::Shared;

/// How many datagrams are received from one socket before the others are looked at.
const DATAGRAM_ROUND: usize = 32;

/// For how long receiving pauses after an error that nothing is known of.
const RECEIVE_BACK_OFF: Duration = Duration::from_millis(50);

/// Rounds of receiving once the server stops: a stream of datagrams without end must not keep it.
const LAST_ROUNDS: usize = 256;

/// The sockets, in the hands of one thread.
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

    /// How long receiving has to pause: what the queue has no room for waits with the kernel, if
    /// the workers will have dealt with the queue soon.
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

    /// Receives from one socket, and sees to it that somebody serves that. `true`: there may be
    /// more.
    pub(crate) fn round(&mut self, index: usize) -> bool {
        let (pushed, more) = self.receive(index);
        if self.paused.is_none() {
            self.shared.lend(&self.sockets);
        }
        self.shared.wake_workers(pushed);
        more
    }

    /// Whether an error, since this was asked last, makes receiving pause.
    pub(crate) fn has_failed(&mut self) -> bool {
        self.paused.take().is_some()
    }

    /// Receives from one socket into the queue. How many are there, and whether there may be more.
    pub(crate) fn receive(&mut self, index: usize) -> (usize, bool) {
        let config = self.shared.config.load();
        let limits = &config.limits;
        if self.buf.len() != limits.datagram {
            // Zeroed by the kernel, so that it takes no more memory than what comes.
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

    /// What an error means for the socket. `true`: it has been told, and is over.
    fn handle_error(&mut self, index: usize, errno: Errno) -> bool {
        let now = Instant::now();
        let socket = &self.sockets[index];
        socket.throttle.warn(now, || {
            format!("{}: recvfrom: {}", socket.endpoint_text(), io::Error::from(errno))
        });
        // A connected socket is told so of a peer that has gone.
        let told = matches!(
            errno,
            Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN
        );
        if !told {
            self.paused = Some(now + RECEIVE_BACK_OFF);
        }
        told
    }

    /// Pushes what was received into the work queue. `false`: it was dropped.
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
            return false;
        }
        let now = Instant::now();
        if received.is_truncated() {
            socket.throttle.warn(now, || {
                let (socket, full) = (socket.endpoint_text(), received.full);
                format!(
                    "{socket}: a datagram of {full} bytes is dropped: limits.datagram is shorter"
                )
            });
            shared.datagrams.count_too_long();
            return false;
        }
        if let Err(refusal) = shared.datagrams.reserve(received.len, limit) {
            shared.counters.refuse(refusal);
            return false;
        }
        let bytes = &self.buf[..received.len];
        let datagram = self.datagram(index, bytes, from, peer);
        match shared.queue.push(Work::Datagram(datagram), now) {
            Ok(()) => true,
            Err((Work::Datagram(datagram), refusal)) => {
                shared.drop_datagram(datagram, refusal);
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

    /// Receives what the kernel still holds, within what its buffers can hold, unless another
    /// program goes on with the socket.
    pub(crate) fn finish(&mut self) {
        self.shared.take_back();
        for index in 0..self.sockets.len() {
            if self.sockets[index].is_inherited() {
                continue;
            }
            for _ in 0..LAST_ROUNDS {
                if self.shared.is_stopped() || !self.round(index) {
                    break;
                }
            }
        }
        if !self.sockets.is_empty() {
            self.shared.datagrams.freeze_kernel_drops();
            log::debug!("nothing more is received");
        }
    }
}

impl Shared {
    /// The acceptor lends its sockets, if handlers are fast and there is a worker to lead.
    fn lend(&self, sockets: &[Arc<DatagramSocket>]) {
        if self.leader.handlers_are_fast() && self.leader.has_leader() {
            self.lent_sockets.lend(&self.poller, sockets, || self.is_draining());
        }
    }

    /// The acceptor gets its sockets back, and is woken.
    pub(crate) fn take_back(&self) {
        if self.lent_sockets.take_back(&self.poller, &self.datagrams) {
            self.connections.acceptor.wake();
        }
    }

    /// The leader receives from the `ready` sockets, if they are still lent. Returns how many
    /// datagrams it enqueued.
    pub(crate) fn borrow(&self, receiver: &mut Receiver, ready: &[usize]) -> usize {
        let receive = || {
            if self.is_draining() {
                return 0;
            }
            ready.iter().map(|index| receiver.receive(*index).0).sum()
        };
        let pushed = self.lent_sockets.receive(receive).unwrap_or(0);
        if receiver.has_failed() {
            // The acceptor waits until the trouble is over.
            self.take_back();
        }
        pushed
    }
}
