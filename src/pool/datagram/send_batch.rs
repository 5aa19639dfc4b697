//! [`SendBatch`]: a worker's answers to datagrams, sent several at a time.
//!
//! While handlers are quick and the next datagram in the queue is of the same socket, its answer is
//! worth waiting for: one call for many costs less than as many sendto(2). A worker sends what
//! it has before it does anything else, and after every handler once one of late was slow.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use crate::net::{Addr, advice, udp_batch};
use crate::pool::datagram::socket::{DatagramSocket, QueuedDatagram};
use crate::pool::shared::Shared;

/// How many answers leave in one call at the most.
const BATCH_MAX: usize = 32;

/// Bytes of answers past which they leave: more would save nothing that counts.
const BATCH_BYTES_MAX: usize = 64 * 1024;

/// For how long an answer waits for others.
const BATCH_WAIT_MAX: Duration = Duration::from_micros(100);

/// The answers that one worker has for one socket.
#[derive(Debug, Default)]
pub(crate) struct SendBatch {
    socket: usize,
    bytes: Vec<u8>,
    list: Vec<(SocketAddrAny, Range<usize>)>,
    /// When the first of them was ready.
    since: Option<Instant>,
}

impl SendBatch {
    /// Calls the handler for a datagram. The time at which it is done, and whether it was.
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
            let answer = socket.handler.handle(socket.payload(&datagram.bytes), &datagram.peer);
            answer.map(|answer| {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(&answer);
                start..self.bytes.len()
            })
        });
        let answered = catch_unwind(call);
        let end = Instant::now();
        datagrams.release(datagram.bytes.len());
        match (answered, &datagram.from) {
            (Ok(Some(range)), Some(from)) if datagram.peer != Addr::Unnamed => {
                self.list.push((from.clone(), range));
                self.since.get_or_insert(now);
            }
            (Ok(Some(_)), _) => {
                socket.throttle.warn(end, || {
                    let socket = socket.endpoint_text();
                    format!("{socket}: a client has no name, and cannot be answered")
                });
                shared.count_finished(&datagrams.unsent, 1);
            }
            (Ok(None), _) => shared.count_finished(&datagrams.unanswered, 1),
            (Err(_), _) => {
                shared.counters.panicked();
                log::error!("{}: the handler panicked at a datagram", socket.endpoint_text());
                shared.count_finished(&datagrams.panicked, 1);
            }
        }
        datagrams.recycle(datagram);
        let waited = self.since.map_or(Duration::ZERO, |since| end - since);
        if self.list.len() >= BATCH_MAX
            || self.bytes.len() > BATCH_BYTES_MAX
            || waited > BATCH_WAIT_MAX
            || !shared.leader.handlers_are_fast()
        {
            self.send(shared, sockets);
        }
        end
    }

    /// Sends what there is.
    pub(crate) fn send(&mut self, shared: &Shared, sockets: &[Arc<DatagramSocket>]) {
        if self.list.is_empty() {
            return;
        }
        let socket = &sockets[self.socket];
        let messages: Vec<(&SocketAddrAny, &[u8])> =
            self.list.iter().map(|(to, range)| (to, &self.bytes[range.clone()])).collect();
        let (mut sent, mut unsent) = (0, 0);
        while sent + unsent < messages.len() {
            let rest = &messages[sent + unsent..];
            match udp_batch::send(socket, &socket.segments, rest) {
                Ok(count) => sent += count,
                Err(errno) => {
                    unsent += 1;
                    report(socket, rest[0], errno);
                }
            }
        }
        self.list.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * BATCH_BYTES_MAX);
        self.since = None;
        shared.count_finished(&shared.datagrams.answered, sent as u64);
        shared.count_finished(&shared.datagrams.unsent, unsent as u64);
    }
}

/// Says why an answer could not be sent: one line in a while, however many there are.
fn report(socket: &DatagramSocket, (to, answer): (&SocketAddrAny, &[u8]), errno: Errno) {
    socket.throttle.warn(Instant::now(), || {
        let error = std::io::Error::from(errno);
        let (socket, to) = (socket.endpoint_text(), Addr::from(to.clone()).canonical());
        let length = answer.len();
        let advice = advice(&error).map_or(String::new(), |advice| format!("; {advice}"));
        format!("{socket}: an answer of {length} bytes to {to} was not sent: {error}{advice}")
    });
}

impl Shared {
    /// So many datagrams are done with. Whoever waits for the last one is told.
    pub(crate) fn count_finished(&self, counter: &std::sync::atomic::AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Ordering::SeqCst);
            self.connections.completion.notify();
        }
    }
}
