//! What a connection still has to send: [`Segment`]s whose bytes are known, in memory or in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};

use crate::net::Stream;

/// A piece of an answer whose bytes are known: in memory, or in a file (sent by sendfile(2)).
#[derive(Clone, Debug)]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// `length` bytes of the file from `offset` on. If the file is shorter by then, the connection
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
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far sending came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Everything is with the kernel.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// It took as much as was allowed for one turn, and may take more.
    Turn,
}

/// The bytes that a connection still has to send. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Output {
    segments: VecDeque<Segment>,
    /// What this connection has taken from the memory that all share for slow readers.
    lease: Option<Lease>,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> u64 {
        self.segments.iter().map(Segment::len).sum()
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        if !segment.is_empty() {
            self.segments.push_back(segment);
        }
    }

    /// Accounts for the memory of what is left, within the bounds for one and for all connections.
    /// `false`: it does not fit, and the caller has to send it now, waiting.
    pub(crate) fn lease(&mut self, each: usize, pool: &Arc<PendingPool>) -> bool {
        let memory: usize = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Bytes(bytes) => bytes.len(),
                Segment::File { .. } => 0,
            })
            .sum();
        self.lease = None;
        if memory == 0 {
            return true;
        }
        if memory <= each {
            self.lease = pool.lease(memory);
        }
        self.lease.is_some()
    }

    /// Sends what the socket takes, at most about `budget` bytes.
    ///
    /// # Errors
    /// Those of send(2) and sendfile(2), except `WouldBlock`; `UnexpectedEof` if a file has become
    /// shorter than was announced.
    pub(crate) fn send(&mut self, stream: &Stream, budget: u64) -> io::Result<Sent> {
        let mut left = budget;
        while let Some(segment) = self.segments.front_mut() {
            if left == 0 {
                return Ok(Sent::Turn);
            }
            let sent = match segment {
                Segment::Bytes(bytes) => stream.try_write(bytes).inspect(|n| bytes.advance(*n)),
                Segment::File { file, offset, length } => {
                    let most = (*length).min(left).min(1 << 30) as usize;
                    let sent = stream.try_send_file(&**file, offset, most);
                    if matches!(sent, Ok(0)) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    sent.inspect(|n| *length -= *n as u64)
                }
            };
            match sent {
                Ok(n) => left = left.saturating_sub(n as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Sent::Blocked);
                }
                Err(error) => return Err(error),
            }
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
        *self = Self::default();
        Ok(Sent::All)
    }
}

/// The memory that all connections together may use for what slow readers have not yet taken.
#[derive(Debug)]
pub(crate) struct PendingPool {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl PendingPool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0) })
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn lease(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let lease = Lease { pool: Arc::clone(self), bytes };
        // Dropping the lease gives back what did not fit.
        (before + bytes <= self.limit.load(Ordering::Relaxed)).then_some(lease)
    }
}

#[derive(Debug)]
struct Lease {
    pool: Arc<PendingPool>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_slow_readers_is_bounded_for_each_and_for_all() {
        let pool = PendingPool::new(100);
        let output = |bytes: usize| {
            let mut output = Output::default();
            output.push(Segment::Bytes(vec![0; bytes].into()));
            output
        };
        let (mut first, mut second) = (output(60), output(60));
        assert!(!first.lease(59, &pool), "more than one connection may have");
        assert!(first.lease(60, &pool));
        assert!(!second.lease(60, &pool), "more than all may have together");
        drop(first);
        assert!(second.lease(60, &pool));
        drop(second);
        assert_eq!(pool.used.load(Ordering::Relaxed), 0);
    }
}
