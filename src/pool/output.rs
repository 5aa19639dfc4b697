//! [`Output`]: the bytes that a connection has yet to send, as [`Segment`]s in memory or in files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use crate::config::Timeouts;
use crate::net::Stream;
use crate::pool::output_memory::{Lease, PendingPool};
use crate::pool::wire::Wire;
use crate::sync::{later, timespec};

/// The most segments in memory that one call sends.
pub(super) const PIECES: usize = 16;

/// A piece of a response whose bytes are known: in memory, or in a file (sent by sendfile(2)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// `length` bytes of the file from `offset` on. If the file has become shorter, the connection
    /// is closed, so that the client notices.
    File {
        /// The file; shared, as its own position is never used.
        file: Arc<File>,
        /// Where to start, in bytes.
        offset: u64,
        /// How much to send, in bytes.
        length: u64,
    },
}

impl Segment {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Whether its length is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The result of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has everything.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// As much was sent as one turn may send; the socket may take more.
    Turn,
}

/// The most bytes that the kernel may take from its buffer before it reports room.
const COARSE: u64 = 64 << 10;

/// After this time an overdue reader is overdue again, if no worker has tried to send meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The progress of a reader that does not take everything at once.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// When the connection began to wait for it.
    began: Instant,
    /// When it last read something.
    last_read: Instant,
    /// Bytes that it has read since `began`.
    taken: u64,
    /// When it was found to be overdue, and a worker was to find out whether it has read anything.
    noted_overdue: Option<Instant>,
}

/// Whether there is memory for the output of a slow reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leased {
    Yes,
    /// More than one connection may have.
    TooMuch,
    /// More than all connections may have together, by this many bytes.
    Full(usize),
}

/// The bytes that a connection has yet to send. An empty output owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(super) segments: VecDeque<Segment>,
    /// The connection's part of the memory that all share for slow readers.
    lease: Option<Lease>,
    /// In a box, as most connections never wait for their reader.
    reading: Option<Box<Reading>>,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The number of bytes that are left.
    pub(crate) fn left(&self) -> u64 {
        self.segments.iter().map(Segment::len).sum()
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        if !segment.is_empty() {
            self.segments.push_back(segment);
        }
    }

    /// Accounts for the memory of the rest, and of `unsent` bytes below, within the limits for one
    /// and for all connections.
    pub(crate) fn lease(&mut self, unsent: usize, each: usize, pool: &Arc<PendingPool>) -> Leased {
        let queued: usize = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Bytes(bytes) => bytes.len(),
                Segment::File { .. } => 0,
            })
            .sum();
        let memory = queued + unsent;
        if memory == 0 {
            self.lease = None;
            return Leased::Yes;
        }
        if let Some(lease) = &mut self.lease
            && lease.shrink(memory)
        {
            return Leased::Yes;
        }
        self.lease = None;
        if memory > each {
            return Leased::TooMuch;
        }
        self.lease = pool.lease(memory);
        if self.lease.is_some() { Leased::Yes } else { Leased::Full(memory) }
    }

    /// The connection's part of the shared memory, in bytes.
    pub(crate) fn leased(&self) -> usize {
        self.lease.as_ref().map_or(0, Lease::bytes)
    }

    /// The rate at which the reader reads, in bytes per second, as far as it is known. A reader
    /// that has just begun counts as fast.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        let Some(reading) = &self.reading else { return u64::MAX };
        let lasted = now.saturating_duration_since(reading.began) + Duration::from_secs(1);
        ((reading.taken + COARSE) as f64 / lasted.as_secs_f64()) as u64
    }

    /// The time by which the reader has to read something: within the write timeout of the last
    /// time, and at the minimum rate. `None`: the connection has not waited for it yet.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let due = self.due(timeouts)?;
        let noted = self.reading.as_ref().and_then(|reading| reading.noted_overdue);
        Some(noted.map_or(due, |noted| due.max(noted + LOOK_AGAIN)))
    }

    fn due(&self, timeouts: &Timeouts) -> Option<Instant> {
        let reading = self.reading.as_ref()?;
        let silent = later(reading.last_read, timeouts.write);
        if timeouts.min_rate == 0 {
            return Some(silent);
        }
        let taken = (reading.taken + COARSE) as f64;
        let earned = Duration::from_secs_f64(taken / f64::from(timeouts.min_rate));
        Some(silent.min(later(reading.began, earned.max(timeouts.rate_grace))))
    }

    /// Whether the reader is too slow. To be called when the socket takes nothing more.
    pub(crate) fn is_overdue(&self, timeouts: &Timeouts, now: Instant) -> bool {
        self.due(timeouts).is_some_and(|due| due <= now)
    }

    /// Notes that the reader is overdue. `false`: the connection has not waited for it.
    pub(crate) fn note_overdue(&mut self, now: Instant) -> bool {
        if let Some(reading) = &mut self.reading {
            reading.noted_overdue = Some(now);
        }
        self.reading.is_some()
    }

    /// Notes that the reader has read `taken` bytes. The first call, after the first send that left
    /// a rest, only starts its clock.
    fn note_taken(&mut self, taken: u64) {
        if let Some(reading) = &mut self.reading {
            reading.noted_overdue = None;
            if taken > 0 {
                reading.last_read = Instant::now();
                reading.taken += taken;
            }
        } else {
            let now = Instant::now();
            let reading = Reading { began: now, last_read: now, taken: 0, noted_overdue: None };
            self.reading = Some(Box::new(reading));
        }
    }

    /// Sends as much as the socket takes, at most about `budget` bytes.
    ///
    /// # Errors
    /// Those of sendmsg(2) and sendfile(2), except `WouldBlock`; `UnexpectedEof` if a file has
    /// become shorter than was announced.
    pub(crate) fn send(&mut self, wire: &mut Wire, budget: u64) -> io::Result<Sent> {
        let mut left = budget;
        let sent = match wire {
            Wire::Plain(stream) => self.send_within(stream, &mut left)?,
            #[cfg(feature = "tls")]
            Wire::Tls(session) => self.seal_within(session, &mut left)?,
        };
        match sent {
            Sent::All => *self = Self::default(),
            Sent::Blocked | Sent::Turn => self.note_taken(budget - left),
        }
        Ok(sent)
    }

    fn send_within(&mut self, stream: &Stream, left: &mut u64) -> io::Result<Sent> {
        while let Some(segment) = self.segments.front_mut() {
            if *left == 0 {
                return Ok(Sent::Turn);
            }
            let attempt = match segment {
                Segment::Bytes(_) => self.send_memory(stream),
                Segment::File { file, offset, length } => {
                    let most = (*length).min(*left).min(1 << 30) as usize;
                    let sent = stream.try_send_file(&**file, offset, most);
                    if matches!(sent, Ok(0)) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    sent.inspect(|n| *length -= *n as u64).map(|n| (n, n < most))
                }
            };
            let (sent, short) = match attempt {
                Ok(attempt) => attempt,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Sent::Blocked);
                }
                Err(error) => return Err(error),
            };
            *left = left.saturating_sub(sent as u64);
            if self.segments.front().is_some_and(Segment::is_empty) {
                self.segments.pop_front();
            }
            // Without this check a peer that reads in the meantime would get the rest in tiny
            // pieces: the socket counts as writable only when a third of its buffer is free.
            if short && !self.is_empty() && !is_writable(stream) {
                return Ok(Sent::Blocked);
            }
        }
        Ok(Sent::All)
    }

    /// Sends the segments in memory up to the next file, in one call. Before a file they wait in
    /// the kernel for its first bytes (`MSG_MORE`, send(2)), so that a head does not travel alone.
    fn send_memory(&mut self, stream: &Stream) -> io::Result<(usize, bool)> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut count, mut bytes) = (0, 0);
        let mut more = false;
        for segment in &self.segments {
            match segment {
                Segment::Bytes(piece) if count < PIECES => {
                    pieces[count] = IoSlice::new(piece);
                    count += 1;
                    bytes += piece.len();
                }
                _ => {
                    more = true;
                    break;
                }
            }
        }
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        let mut none = SendAncillaryBuffer::default();
        let sent = retry_on_intr(|| sendmsg(stream, &pieces[..count], &mut none, flags))?;
        let mut left = sent;
        while left > 0
            && let Some(Segment::Bytes(bytes)) = self.segments.front_mut()
        {
            let taken = left.min(bytes.len());
            bytes.advance(taken);
            left -= taken;
            if bytes.is_empty() && left > 0 {
                self.segments.pop_front();
            }
        }
        Ok((sent, sent < bytes))
    }
}

/// Whether the socket has enough room again: poll(2) without waiting. If not, the kernel notes that
/// room is awaited.
fn is_writable(stream: &Stream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
    let now = timespec(Duration::ZERO);
    // If poll(2) fails, the next attempt to send will report the error.
    poll(&mut fds, Some(&now)).is_err() || !fds[0].revents().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::{Read, Write};

    #[test]
    fn pieces_arrive_whole_and_in_order_however_little_the_socket_takes() {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (mut wire, mut peer) = (Wire::from(Stream::from(one)), File::from(other));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'f'; 500_000]).unwrap();
        let file = Arc::new(file);
        let mut output = Output::default();
        let mut expected = Vec::new();
        for n in 0..40_u8 {
            let bytes = vec![n; 20_000 * usize::from(n % 3)];
            expected.extend_from_slice(&bytes);
            output.push(Segment::Bytes(bytes.into()));
            if n % 13 == 0 {
                let (offset, length) = (u64::from(n), 200_000);
                expected.resize(expected.len() + length as usize, b'f');
                output.push(Segment::File { file: Arc::clone(&file), offset, length });
            }
        }
        let mut received = Vec::new();
        let mut piece = vec![0; 30_000];
        while output.send(&mut wire, 100_000).unwrap() != Sent::All {
            let count = peer.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..count]);
        }
        drop(wire);
        peer.read_to_end(&mut received).unwrap();
        assert!(received == expected);
        let file = Segment::File { file, offset: 500_000, length: 1 };
        output.push(file);
        let (one, _peer) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None)
                .unwrap();
        let error = output.send(&mut Stream::from(one).into(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn memory_for_slow_readers_is_bounded_for_each_and_for_all() {
        let pool = PendingPool::new(100);
        let output = |bytes: usize| {
            let mut output = Output::default();
            output.push(Segment::Bytes(vec![0; bytes].into()));
            output
        };
        let (mut first, mut second) = (output(60), output(60));
        assert_eq!(first.lease(0, 59, &pool), Leased::TooMuch);
        assert_eq!(first.lease(0, 60, &pool), Leased::Yes);
        assert_eq!(second.lease(0, 60, &pool), Leased::Full(60));
        drop(first);
        assert_eq!(second.lease(0, 60, &pool), Leased::Yes);
        drop(second);
        assert_eq!(pool.used(), 0);
    }
}
