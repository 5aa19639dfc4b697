//! [`LogWriter`]: a bounded queue of lines, and the one thread that may block while it writes them.
//!
//! ```text
//! workers ──► access lines ─┐
//! workers, acceptor,        ├─► queue ─► thread ─► standard error, a file, a FIFO
//! monitor ──► log lines ────┘
//! ```
//!
//! A thread that logs never waits: if the queue is full, its line is dropped and counted. The count
//! is logged once the sink accepts lines again. The log and the access log share a writer if both
//! go to standard error. An access log with a file has a writer of its own, so that a FIFO without
//! a reader does not stop the log.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use log::warn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Bytes that a pipe accepts without blocking once poll(2) reports it writable: `PIPE_BUF`,
/// pipe(7).
const PIPE_BUF: usize = 4096;

/// Bytes of waiting lines that are written to a regular file by one system call.
const FILE_BATCH: usize = 64 * 1024;

/// How often a thread that waits for its sink checks whether it has to reopen it.
const REOPEN_CHECK: Duration = Duration::from_millis(250);

/// The log that a line belongs to. Each has its own limit, so that neither crowds out the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    Log,
    Access,
}

/// The destination of a writer's lines.
pub(crate) trait Sink: Send + 'static {
    fn fd(&self) -> BorrowedFd<'_>;

    /// Opens the file again, after a tool has moved it away.
    fn reopen(&mut self) {}
}

/// Standard error, written to without its lock.
impl Sink for io::Stderr {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

enum Message {
    Line(LogKind, Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// Sends lines to the thread. Clones are the same writer. The thread ends once all of them are
/// dropped and every line is written.
#[derive(Clone)]
pub(crate) struct LogWriter {
    /// Bounded by `LineCount::limit` instead of a capacity, so that a reload can change the limit.
    sender: Sender<Message>,
    counts: Arc<LineCounts>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// The receiving end of a writer whose thread is not started yet.
pub(crate) struct UnstartedWriter {
    receiver: Receiver<Message>,
    counts: Arc<LineCounts>,
}

impl std::fmt::Debug for UnstartedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnstartedWriter").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct LineCounts {
    log: LineCount,
    access: LineCount,
    /// Set by [`LogWriter::reopen`], cleared by the thread once it has reopened the sink.
    reopening: AtomicBool,
}

/// The number of lines of one log.
#[derive(Debug, Default)]
struct LineCount {
    /// Lines that wait to be written.
    waiting: AtomicUsize,
    /// The number of lines that may wait.
    limit: AtomicUsize,
    /// Lines that were dropped before they were written, since the start.
    dropped: AtomicU64,
}

impl LineCounts {
    fn of(&self, log: LogKind) -> &LineCount {
        match log {
            LogKind::Log => &self.log,
            LogKind::Access => &self.access,
        }
    }
}

impl LogWriter {
    /// A writer whose lines wait until [`UnstartedWriter::start`].
    pub(crate) fn new() -> (Self, UnstartedWriter) {
        let (sender, receiver) = unbounded();
        let counts = Arc::new(LineCounts::default());
        (Self { sender, counts: Arc::clone(&counts) }, UnstartedWriter { receiver, counts })
    }

    /// Sets the number of lines of a log that may wait.
    pub(crate) fn set_limit(&self, log: LogKind, limit: usize) {
        self.counts.of(log).limit.store(limit.max(1), Ordering::Relaxed);
    }

    /// Enqueues a line, which ends with a line feed, or drops and counts it. Never waits.
    pub(crate) fn enqueue(&self, log: LogKind, line: Vec<u8>) {
        let count = self.counts.of(log);
        let waiting = count.waiting.fetch_add(1, Ordering::Relaxed);
        let has_room = waiting < count.limit.load(Ordering::Relaxed);
        if !has_room || self.sender.send(Message::Line(log, line)).is_err() {
            count.waiting.fetch_sub(1, Ordering::Relaxed);
            count.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of lines of a log that were dropped so far.
    pub(crate) fn dropped(&self, log: LogKind) -> u64 {
        self.counts.of(log).dropped.load(Ordering::Relaxed)
    }

    /// Makes the thread reopen the sink after it has written the lines enqueued so far. Those that
    /// the old sink does not accept are dropped.
    pub(crate) fn reopen(&self) {
        self.counts.reopening.store(true, Ordering::Release);
        let _ = self.sender.send(Message::Reopen);
    }

    /// Waits until every line enqueued so far is written, at most for `timeout`. Returns `false` if
    /// that was too short.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let (done, written) = bounded(1);
        let sent = self.sender.send(Message::Flush(done)).is_ok();
        sent && written.recv_timeout(timeout).is_ok()
    }

    /// Counts the lines that still wait as dropped, before the process ends.
    pub(crate) fn count_waiting_as_dropped(&self) {
        for count in [&self.counts.log, &self.counts.access] {
            let waiting = count.waiting.load(Ordering::Relaxed) as u64;
            count.dropped.fetch_add(waiting, Ordering::Relaxed);
        }
    }
}

impl UnstartedWriter {
    /// Starts the thread, which has the rights that the calling thread has now. It is not joined:
    /// it blocks while its sink does, and the process must end even then.
    pub(crate) fn start(self, name: &str, sink: impl Sink) -> io::Result<()> {
        let thread = Thread {
            regular: is_regular(sink.fd()),
            sink,
            counts: self.counts,
            failing: false,
            reported: [0; 2],
        };
        let receiver = self.receiver;
        thread::Builder::new().name(name.to_owned()).spawn(move || thread.run(&receiver))?;
        Ok(())
    }
}

struct Thread<S> {
    sink: S,
    /// Whether the sink is a regular file, whose writes do not wait for a reader.
    regular: bool,
    counts: Arc<LineCounts>,
    /// Whether the last write failed: a failure is logged once.
    failing: bool,
    /// The number of dropped lines that was logged, for each log.
    reported: [u64; 2],
}

/// Whole lines that are written by one call.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The number of lines of each log.
    lines: [usize; 2],
}

impl<S: Sink> Thread<S> {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut batch = Batch::default();
        while let Ok(first) = receiver.recv() {
            let mut next = Some(first);
            let mut after = None;
            while let Some(message) = next.take() {
                match message {
                    Message::Line(log, line) => {
                        batch.bytes.extend_from_slice(&line);
                        batch.lines[log as usize] += 1;
                        let limit = if self.regular { FILE_BATCH } else { PIPE_BUF / 2 };
                        if batch.bytes.len() < limit {
                            next = receiver.try_recv().ok();
                        }
                    }
                    other => after = Some(other),
                }
            }
            self.write(&mut batch);
            match after {
                Some(Message::Reopen) => {
                    self.sink.reopen();
                    self.regular = is_regular(self.sink.fd());
                    self.counts.reopening.store(false, Ordering::Release);
                }
                Some(Message::Flush(done)) => drop(done.send(())),
                _ => {}
            }
        }
    }

    fn write(&mut self, batch: &mut Batch) {
        if batch.bytes.is_empty() {
            return;
        }
        let written = self.write_all(&batch.bytes);
        for log in [LogKind::Log, LogKind::Access] {
            let (count, lines) = (self.counts.of(log), batch.lines[log as usize]);
            count.waiting.fetch_sub(lines, Ordering::Relaxed);
            if written.is_err() {
                count.dropped.fetch_add(lines as u64, Ordering::Relaxed);
            }
        }
        // A message about the log itself would be lost with it.
        let is_reported = batch.lines[LogKind::Access as usize] > 0;
        match (&written, self.failing) {
            (Err(error), false) if is_reported => warn!("access log: cannot write: {error}"),
            (Ok(()), true) if is_reported => warn!("access log: writing again"),
            _ => {}
        }
        self.failing = written.is_err();
        if written.is_ok() {
            self.report();
        }
        batch.bytes.clear();
        batch.lines = [0; 2];
    }

    /// Logs the number of dropped lines, once half of the queue is free again.
    fn report(&mut self) {
        for (log, name) in [(LogKind::Log, "log"), (LogKind::Access, "access log")] {
            let count = self.counts.of(log);
            let dropped = count.dropped.load(Ordering::Relaxed);
            let has_room =
                count.waiting.load(Ordering::Relaxed) <= count.limit.load(Ordering::Relaxed) / 2;
            let reported = &mut self.reported[log as usize];
            if dropped > *reported && has_room {
                warn!("{name}: dropped {} lines: the reader is too slow", dropped - *reported);
                *reported = dropped;
            }
        }
    }

    /// Writes all bytes. Waits while the sink accepts none.
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut piece = bytes;
            if !self.regular {
                self.wait_for_room()?;
                piece = &bytes[..bytes.len().min(PIPE_BUF)];
            }
            match rustix::io::write(self.sink.fd(), piece) {
                Ok(written) => bytes = &bytes[written..],
                // Another process may have made standard error non-blocking.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self) -> io::Result<()> {
        loop {
            let reopening = self.counts.reopening.load(Ordering::Acquire);
            let wait = if reopening { Duration::ZERO } else { REOPEN_CHECK };
            let wait = Timespec::try_from(wait).expect("a short time fits into a timespec");
            let fd = self.sink.fd();
            match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&wait)) {
                Ok(0) if reopening => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader has stopped"));
                }
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn is_regular(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd.as_fd())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, PipeWriter, Read, pipe};
    use std::time::Instant;

    impl Sink for PipeWriter {
        fn fd(&self) -> BorrowedFd<'_> {
            self.as_fd()
        }
    }

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    /// A writer whose sink is a pipe, and the reader of the pipe.
    fn started(limit: usize) -> (LogWriter, PipeReader) {
        let (reader, sink) = pipe().unwrap();
        let (writer, pending) = LogWriter::new();
        writer.set_limit(LogKind::Access, limit);
        writer.set_limit(LogKind::Log, limit);
        pending.start("test", sink).unwrap();
        (writer, reader)
    }

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let (writer, mut reader) = started(10);
        writer.enqueue(LogKind::Access, b"one\n".to_vec());
        writer.enqueue(LogKind::Log, b"two\n".to_vec());
        assert!(writer.flush(LONG));
        drop(writer);
        let mut text = String::new();
        // The thread ends with its last writer and closes the pipe.
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_pipe_without_a_reader_loses_lines_and_blocks_no_writer() {
        let (writer, mut reader) = started(100);
        let began = Instant::now();
        for _ in 0..10_000 {
            writer.enqueue(LogKind::Access, vec![b'a'; 1000]);
        }
        // One log does not crowd out the other.
        writer.enqueue(LogKind::Log, b"end\n".to_vec());
        assert_eq!(writer.dropped(LogKind::Log), 0);
        assert!(!writer.flush(SHORT));
        writer.count_waiting_as_dropped();
        assert!(began.elapsed() < LONG);
        // The pipe holds 64 KiB, the queue 100 lines.
        let dropped = writer.dropped(LogKind::Access);
        assert!((9_700..10_000).contains(&dropped), "{dropped}");
        let mut bytes = [0; 4096];
        let mut seen = Vec::new();
        while !seen.ends_with(b"end\n") {
            let count = reader.read(&mut bytes).unwrap();
            seen.extend_from_slice(&bytes[..count]);
        }
        assert!(writer.flush(LONG));
    }

    #[test]
    fn a_line_before_the_start_is_written_after_it() {
        let (writer, pending) = LogWriter::new();
        writer.set_limit(LogKind::Log, 1);
        writer.enqueue(LogKind::Log, b"early\n".to_vec());
        writer.enqueue(LogKind::Log, b"too many\n".to_vec());
        let (mut reader, sink) = pipe().unwrap();
        pending.start("test", sink).unwrap();
        assert!(writer.flush(LONG));
        let mut bytes = [0; 64];
        let count = reader.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"early\n");
        assert_eq!(writer.dropped(LogKind::Log), 1);
    }
}
