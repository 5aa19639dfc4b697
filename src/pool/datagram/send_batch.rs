//! [`SendBatch`]: a worker's responses to datagrams, sent several in one system call.
//!
//! While handlers are fast, a response waits for the next one of the same socket: one call for many
//! costs less than a sendto(2) for each. A worker sends its batch before it does anything else, and
//! after every datagram once a handler was slow.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use crate::net::{Addr, advice, udp_batch};
use crate::pool::datagram::queued::QueuedDatagram;
use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::shared::Shared;

/// How many responses are sent in one call at most.
const BATCH_MAX: usize = 32;

/// The batch is sent once it has more bytes than this: a longer one would save nothing that can be
/// measured.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// For how long the first response of a batch waits for others.
const BATCH_WAIT_MAX: Duration = Duration::from_micros(100);

/// The responses of one worker through one socket.
#[derive(Debug, Default)]
pub(crate) struct SendBatch {
    socket: usize,
    bytes: Vec<u8>,
    responses: Vec<(SocketAddrAny, Range<usize>)>,
    /// When the datagram of the first response was taken from the queue.
    since: Option<Instant>,
}

impl SendBatch {
    /// Calls the handler for a datagram, and adds its response to the batch. Returns the time at
    /// which the handler was done.
    pub(crate) fn serve(
        &mut self,
        shared: &Shared,
        sockets: &[Arc<DatagramSocket>],
        datagram: Box<QueuedDatagram>,
        now: Instant,
    ) -> Instant {
        let index = usize::from(datagram.socket);
        let socket = &sockets[index];
        let datagrams = &shared.datagrams;
        if self.socket != index {
            self.send(shared, sockets);
            self.socket = index;
        }
        let call = AssertUnwindSafe(|| {
            let response = socket.handler.handle(socket.payload(&datagram.bytes), &datagram.peer);
            response.map(|response| {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(&response);
                start..self.bytes.len()
            })
        });
        let result = catch_unwind(call);
        let end = Instant::now();
        datagrams.release(datagram.bytes.len());
        match (result, &datagram.from) {
            (Ok(Some(range)), Some(from)) if datagram.peer != Addr::Unnamed => {
                self.responses.push((from.clone(), range));
                self.since.get_or_insert(now);
            }
            (Ok(Some(_)), _) => {
                socket.throttle.warn(end, || {
                    let socket = socket.endpoint_text();
                    format!("{socket}: cannot respond to a client without an address")
                });
                shared.count_finished(&datagrams.unsent, 1);
            }
            (Ok(None), _) => shared.count_finished(&datagrams.unanswered, 1),
            (Err(_), _) => {
                shared.counters.panicked();
                log::error!("{}: the handler panicked on a datagram", socket.endpoint_text());
                shared.count_finished(&datagrams.panicked, 1);
            }
        }
        datagrams.recycle(datagram);
        let waited = self.since.map_or(Duration::ZERO, |since| end - since);
        if self.responses.len() >= BATCH_MAX
            || self.bytes.len() > BATCH_BYTES_MAX
            || waited > BATCH_WAIT_MAX
            || !shared.leader.handlers_are_fast()
        {
            self.send(shared, sockets);
        }
        end
    }

    /// Sends the batch, if there is one.
    pub(crate) fn send(&mut self, shared: &Shared, sockets: &[Arc<DatagramSocket>]) {
        if self.responses.is_empty() {
            return;
        }
        let socket = &sockets[self.socket];
        let messages: Vec<(&SocketAddrAny, &[u8])> =
            self.responses.iter().map(|(to, range)| (to, &self.bytes[range.clone()])).collect();
        let (mut sent, mut unsent) = (0, 0);
        while sent + unsent < messages.len() {
            let rest = &messages[sent + unsent..];
            match udp_batch::send(socket, &socket.segments, rest) {
                Ok(count) => sent += count,
                Err(errno) => {
                    unsent += 1;
                    log_unsent(socket, rest[0], errno);
                }
            }
        }
        self.responses.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * BATCH_BYTES_MAX);
        self.since = None;
        shared.count_finished(&shared.datagrams.answered, sent as u64);
        shared.count_finished(&shared.datagrams.unsent, unsent as u64);
    }
}

/// Logs why a response could not be sent, within the limit of the socket's throttle.
fn log_unsent(socket: &DatagramSocket, (to, response): (&SocketAddrAny, &[u8]), errno: Errno) {
    socket.throttle.warn(Instant::now(), || {
        let error = std::io::Error::from(errno);
        let (socket, to) = (socket.endpoint_text(), Addr::from(to.clone()).canonical());
        let length = response.len();
        let advice = advice(&error).map_or(String::new(), |advice| format!("; {advice}"));
        format!("{socket}: cannot send a response of {length} bytes to {to}: {error}{advice}")
    });
}

impl Shared {
    /// Counts `count` datagrams as finished, and notifies a drain that waits for the last one.
    fn count_finished(&self, counter: &std::sync::atomic::AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Ordering::SeqCst);
            self.connections.completion.notify();
        }
    }
}
