//! [`Datagrams`]: counters and memory of the datagrams of all sockets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::overload::refusal::Refusal;
use crate::sync::lock;

/// Buffers with more capacity than this, in bytes, are not kept for the next datagram.
const SPARE_CAPACITY_MAX: usize = 2048;

/// Counts what became of the datagrams of all sockets, and limits the memory of those that wait.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    received: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) unanswered: AtomicU64,
    refused: [AtomicU64; Refusal::COUNT],
    too_long: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) unsent: AtomicU64,
    /// Bytes of the datagrams in the queue or in a handler.
    bytes: AtomicUsize,
    /// Datagrams to be filled again: no more than were ever in use at once.
    #[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
    spare: Mutex<Vec<Box<QueuedDatagram>>>,
    sockets: OnceLock<Vec<Weak<DatagramSocket>>>,
    /// What the kernel had dropped when receiving ended; later the sockets may be closed.
    kernel_drops: OnceLock<u64>,
}

impl Datagrams {
    /// Registers the sockets whose drops in the kernel are counted.
    pub(crate) fn register_sockets(&self, sockets: &[Arc<DatagramSocket>]) {
        // Called once, before any thread runs.
        let _ = self.sockets.set(sockets.iter().map(Arc::downgrade).collect());
    }

    /// Counts a datagram as received, and reserves memory for its bytes.
    ///
    /// # Errors
    /// The refusal, already counted, if the bytes of all datagrams would be more than `limit`.
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

    /// Counts a datagram as received and as longer than allowed.
    pub(crate) fn count_too_long(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.too_long.fetch_add(1, Ordering::SeqCst);
    }

    /// Releases the memory that was reserved for a datagram.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a datagram as refused.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// A datagram to fill, if one was recycled.
    pub(crate) fn reuse(&self) -> Option<Box<QueuedDatagram>> {
        lock(&self.spare).pop()
    }

    /// Keeps a datagram, with its buffer, to be filled again.
    pub(crate) fn recycle(&self, mut datagram: Box<QueuedDatagram>) {
        if datagram.bytes.capacity() > SPARE_CAPACITY_MAX {
            datagram.bytes = Vec::new();
        }
        lock(&self.spare).push(datagram);
    }

    /// How many datagrams are neither handled nor dropped yet.
    pub(crate) fn waiting(&self) -> u64 {
        // Those that are finished first: one that finishes meanwhile then counts as waiting, and
        // no datagram is missed.
        let finished =
            [&self.answered, &self.unanswered, &self.too_long, &self.panicked, &self.unsent];
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let finished: u64 = finished.into_iter().chain(&self.refused).map(load).sum();
        self.received.load(Ordering::SeqCst).saturating_sub(finished)
    }

    /// Reads the kernel's counters for the last time, as receiving has ended.
    pub(crate) fn freeze_kernel_drops(&self) {
        let _ = self.kernel_drops.set(self.read_kernel_drops());
    }

    /// Calls `visit` for each socket that is still open.
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

/// What became of the datagrams.
///
/// Once none is waiting, `received` is the sum of `answered`, `unanswered` and
/// [`dropped`](Self::dropped), and the number that clients sent over UDP is `received` plus
/// `kernel_drops`.
///
/// # Examples
/// ```
/// use millpond::handlers::Echo;
/// use millpond::{Server, Service};
///
/// let server = Server::builder().bind("udp://127.0.0.1:0");
/// let server = server.service(Service::datagrams(Echo)).build()?;
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
    /// Received from the kernel.
    pub received: u64,
    /// The handler's response was sent.
    pub answered: u64,
    /// The handler returned no response.
    pub unanswered: u64,
    refused: [u64; Refusal::COUNT],
    /// Dropped for being longer than [`limits.datagram`](crate::config::Limits::datagram).
    pub too_long: u64,
    /// Dropped because the handler panicked.
    pub panicked: u64,
    /// The handler's response could not be sent: the peer has gone, reads too slowly or has no
    /// name, or the response was too long.
    pub unsent: u64,
    /// In the work queue or in a handler.
    pub waiting: u64,
    /// Dropped by the kernel because the receive buffer of a UDP socket was full; not part of
    /// `received`. A longer buffer helps against bursts:
    /// [`pool.receive_buffer`](crate::config::Pool::receive_buffer).
    pub kernel_drops: u64,
}

impl DatagramStats {
    /// How many were dropped because of overload, for each reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().copied().zip(self.refused)
    }

    /// How many were dropped because of overload for this reason.
    #[must_use]
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize]
    }

    /// How many were received but got no response although they should have, for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.refused.iter().sum::<u64>() + self.too_long + self.panicked + self.unsent
    }
}
