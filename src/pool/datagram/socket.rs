//! Datagrams: a socket with its handler, what was received and waits, and what became of each.
//!
//! They go the way of connections. The acceptor, or whoever leads, receives them and pushes them
//! into the work queue, where each is judged by itself; a worker takes it, calls the handler, and
//! sends the answer back through the same socket. What is refused is dropped, as nobody expects a
//! datagram to arrive, and counted.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustix::net::SocketAddrAny;

use crate::net::socket::try_recv_from;
use crate::net::udp_batch::Segments;
use crate::net::{Addr, Datagram, Ipv4Header, Raw, Received};
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
use crate::sync::LogThrottle;
use crate::sync::lock;

/// Answers datagrams, or the records of a `unixpacket:` connection. It is called on a worker thread
/// and may block.
///
/// Every `Fn(&[u8], &Addr) -> Option<Vec<u8>>` is a handler. A panic costs the one datagram.
///
/// # Examples
/// ```
/// use std::borrow::Cow;
/// use millpond::net::Addr;
/// use millpond::pool::DatagramHandler;
///
/// /// Answers with what it gets, in place.
/// struct Mirror;
///
/// impl DatagramHandler for Mirror {
///     fn handle<'a>(&self, datagram: &'a [u8], _peer: &Addr) -> Option<Cow<'a, [u8]>> {
///         Some(Cow::Borrowed(datagram))
///     }
/// }
///
/// let loud = |datagram: &[u8], _peer: &Addr| Some(datagram.to_ascii_uppercase());
/// let peer = Addr::Ip("127.0.0.1:7".parse().unwrap());
/// assert_eq!(loud.handle(b"hello", &peer).unwrap(), &b"HELLO"[..]);
/// ```
pub trait DatagramHandler: Send + Sync + 'static {
    /// The answer to one datagram from `peer`, or `None` if there is to be none. Of a raw socket's
    /// packet (`ip4:`) it is what follows the IPv4 header, and the answer gets a header of its own.
    ///
    /// A borrowed answer costs no memory: a part of the datagram, or something static.
    fn handle<'a>(&self, datagram: &'a [u8], peer: &Addr) -> Option<Cow<'a, [u8]>>;
}

impl<F> DatagramHandler for F
where
    F: Fn(&[u8], &Addr) -> Option<Vec<u8>> + Send + Sync + 'static,
{
    fn handle<'a>(&self, datagram: &'a [u8], peer: &Addr) -> Option<Cow<'a, [u8]>> {
        self(datagram, peer).map(Cow::Owned)
    }
}

/// A bound socket without connections, and what answers there. The acceptor and the workers share
/// it; it is closed when the last of these threads ends.
pub(crate) struct DatagramSocket {
    socket: SocketKind,
    /// Where the answers of a raw socket come from: a packet from there is one of them, since such
    /// a socket hears itself.
    own: Option<IpAddr>,
    pub(crate) handler: Arc<dyn DatagramHandler>,
    pub(crate) urgent: bool,
    pub(crate) segments: Segments,
    /// Of the first failure of each kind within a while, a line in the log.
    pub(crate) throttle: LogThrottle,
}

/// What a server receives datagrams from.
#[derive(Debug)]
pub(crate) enum SocketKind {
    Datagram(Datagram),
    Raw(Raw),
}

impl DatagramSocket {
    pub(crate) fn new(socket: SocketKind, handler: Arc<dyn DatagramHandler>, urgent: bool) -> Self {
        let own = match &socket {
            SocketKind::Datagram(_) => None,
            SocketKind::Raw(raw) => {
                raw.local_addr().ok().and_then(|addr| Some(addr.as_socket()?.ip()))
            }
        };
        let is_udp = match &socket {
            SocketKind::Datagram(udp) => {
                udp.local_addr().is_ok_and(|addr| addr.as_socket().is_some())
            }
            SocketKind::Raw(_) => false,
        };
        let segments = Segments::new(is_udp);
        Self { socket, own, handler, urgent, segments, throttle: LogThrottle::default() }
    }

    pub(crate) fn local_addr(&self) -> io::Result<Addr> {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.local_addr(),
            SocketKind::Raw(socket) => socket.local_addr(),
        }
    }

    pub(crate) fn endpoint_text(&self) -> String {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.endpoint_text(),
            SocketKind::Raw(socket) => socket.endpoint_text(),
        }
    }

    /// Whether another program goes on with the socket after this one.
    pub(crate) fn is_inherited(&self) -> bool {
        matches!(&self.socket, SocketKind::Datagram(socket) if socket.is_inherited())
    }

    pub(crate) fn receive(
        &self,
        buf: &mut [u8],
    ) -> rustix::io::Result<(Received, Option<SocketAddrAny>)> {
        try_recv_from(self, buf)
    }

    /// What of a datagram is the handler's: of a raw packet, what follows its header.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match &self.socket {
            SocketKind::Datagram(_) => bytes,
            SocketKind::Raw(_) => Ipv4Header::decode(bytes).map_or(&[], |(_, payload)| payload),
        }
    }

    /// Whether it is one of the server's own answers.
    pub(crate) fn is_own(&self, peer: &Addr) -> bool {
        self.own.is_some() && self.own == peer.as_socket().map(|addr| addr.ip())
    }

    fn kernel_drops(&self) -> Option<u64> {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.kernel_drops().ok(),
            SocketKind::Raw(_) => None,
        }
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            SocketKind::Datagram(socket) => socket.as_fd(),
            SocketKind::Raw(socket) => socket.as_fd(),
        }
    }
}

/// A datagram on its way to a worker.
#[derive(Debug)]
pub(crate) struct QueuedDatagram {
    pub(crate) bytes: Vec<u8>,
    /// Where it came from, as the system calls take it; `None` if it cannot be answered.
    pub(crate) from: Option<SocketAddrAny>,
    /// The same for the handler.
    pub(crate) peer: Addr,
    /// Which of the server's sockets it came through.
    pub(crate) socket: u16,
    pub(crate) urgent: bool,
    pub(crate) bucket: Bucket,
}

/// Buffers longer than this are not kept for the next datagram.
const SPARE: usize = 2048;

/// What became of the datagrams of all sockets, and the memory for those that wait.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    received: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    refused: [AtomicU64; Refusal::COUNT],
    pub(crate) too_long: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) unsent: AtomicU64,
    /// Bytes of those that wait.
    bytes: AtomicUsize,
    /// Parcels to be used again: no more than have ever been in use at once.
    #[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
    spare: Mutex<Vec<Box<QueuedDatagram>>>,
    sockets: OnceLock<Vec<Weak<DatagramSocket>>>,
    /// What the kernel had dropped when receiving ended.
    kernel_drops: OnceLock<u64>,
}

impl Datagrams {
    /// The sockets, of which the kernel's counters are read.
    pub(crate) fn watch(&self, sockets: &[Arc<DatagramSocket>]) {
        // Once, before any thread runs.
        let _ = self.sockets.set(sockets.iter().map(Arc::downgrade).collect());
    }

    /// One was received, and its bytes wait, unless more than `limit` of all would: then it is
    /// refused.
    pub(crate) fn reserve(&self, bytes: usize, limit: usize) -> Result<(), Refusal> {
        self.received.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > limit {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.refuse(Refusal::QueueFull);
            return Err(Refusal::QueueFull);
        }
        Ok(())
    }

    /// One was received that was longer than is allowed.
    pub(crate) fn count_too_long(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.too_long.fetch_add(1, Ordering::SeqCst);
    }

    /// Its bytes wait no longer.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// A datagram to fill, used before.
    pub(crate) fn reuse(&self) -> Option<Box<QueuedDatagram>> {
        lock(&self.spare).pop()
    }

    /// Keeps a datagram for the next datagram.
    pub(crate) fn recycle(&self, mut datagram: Box<QueuedDatagram>) {
        if datagram.bytes.capacity() > SPARE {
            datagram.bytes = Vec::new();
        }
        lock(&self.spare).push(datagram);
    }

    /// How many are neither answered nor dropped yet.
    pub(crate) fn waiting(&self) -> u64 {
        // The settled ones first, so that none is missed among those received.
        let settled =
            [&self.answered, &self.unanswered, &self.too_long, &self.panicked, &self.unsent];
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let settled: u64 = settled.into_iter().chain(&self.refused).map(load).sum();
        self.received.load(Ordering::SeqCst).saturating_sub(settled)
    }

    /// Receiving has ended: the kernel's counters are read for the last time.
    pub(crate) fn freeze_kernel_drops(&self) {
        let _ = self.kernel_drops.set(self.read_kernel_drops());
    }

    pub(crate) fn each_socket(&self, visit: impl FnMut(Arc<DatagramSocket>)) {
        let sockets = self.sockets.get().map(Vec::as_slice).unwrap_or_default();
        sockets.iter().filter_map(Weak::upgrade).for_each(visit);
    }

    fn read_kernel_drops(&self) -> u64 {
        let mut drops = 0;
        self.each_socket(|socket| drops += socket.kernel_drops().unwrap_or(0));
        drops
    }

    pub(crate) fn stats(&self) -> DatagramStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Before those received, of which the kernel's are no part.
        let waiting = self.waiting();
        DatagramStats {
            answered: load(&self.answered),
            unanswered: load(&self.unanswered),
            refused: std::array::from_fn(|index| load(&self.refused[index])),
            too_long: load(&self.too_long),
            panicked: load(&self.panicked),
            unsent: load(&self.unsent),
            received: load(&self.received),
            waiting,
            kernel_drops: self
                .kernel_drops
                .get()
                .copied()
                .unwrap_or_else(|| self.read_kernel_drops()),
        }
    }
}

/// What became of the datagrams. Once none is on its way, `received` is the sum of `answered`,
/// `unanswered` and [`dropped`](Self::dropped), and what clients sent over UDP is `received` plus
/// `kernel_drops`.
///
/// # Examples
/// ```
/// use millpond::handlers::Echo;
/// use millpond::{Server, Service};
///
/// let server = Server::builder().bind("udp://127.0.0.1:0").serve(&Service::datagrams(Echo))?;
/// let handle = server.spawn()?;
/// let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", handle.local_addrs()[0].as_socket().unwrap())?;
/// assert_eq!(client.recv(&mut [0; 16])?, 5);
/// # handle.drain(std::time::Duration::from_secs(5));
/// let stats = handle.stats().datagrams;
/// assert_eq!((stats.received, stats.answered, stats.dropped()), (1, 1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramStats {
    /// Taken from the kernel.
    pub received: u64,
    /// Answered by the handler, with the answer sent.
    pub answered: u64,
    /// Taken by the handler, which had no answer.
    pub unanswered: u64,
    /// Dropped because of overload, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::COUNT],
    /// Dropped for being longer than [`limits.datagram`](crate::config::Limits::datagram).
    pub too_long: u64,
    /// Dropped because the handler panicked.
    pub panicked: u64,
    /// The handler's answer could not be sent: the peer has gone, reads too slowly or has no name,
    /// or the answer was too long.
    pub unsent: u64,
    /// In the work queue or in hand.
    pub waiting: u64,
    /// Dropped by the kernel before they were received, as the receive buffer was full; of the UDP
    /// sockets. A longer buffer helps against bursts:
    /// [`pool.receive_buffer`](crate::config::Pool::receive_buffer).
    pub kernel_drops: u64,
}

impl DatagramStats {
    /// How many were received and dropped, or not answered as they should, for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.refused.iter().sum::<u64>() + self.too_long + self.panicked + self.unsent
    }
}
