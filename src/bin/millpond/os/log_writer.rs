//! [`LogWriter`]: a bounded queue of lines, and the one thread that may block on writing them.
//!
//! ```text
//! workers ──► access lines ─┐
//! workers, acceptor,        ├─► queue ─► thread ─► standard error, a file, a FIFO
//! monitor ──► log lines ────┘
//! ```
//!
//! A thread that logs never waits: past the bound its line is dropped and counted. The count is
//! logged once the sink takes lines again. The log and the access log share a writer where both go
//! to standard error. An access log with a file has a writer of its own, so that a FIFO that nobody
//! reads does not silence the log.

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

/// How much a pipe takes at once without blocking when poll(2) calls it writable: `PIPE_BUF`,
/// pipe(7).
const PIECE: usize = 4096;

/// How much is written to a regular file by one system call when lines come fast.
const FILE_BATCH: usize = 64 * 1024;

/// How often a thread whose sink is full looks whether it is to reopen it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// Whose line it is. Each source has its own bound, so that neither crowds out the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Log,
    Access,
}

/// Where a writer's lines go.
pub(crate) trait Sink: Send + 'static {
    fn fd(&self) -> BorrowedFd<'_>;

    /// Opens it again, after a tool has moved it away.
    fn reopen(&mut self) {}
}

/// Standard error, which is written to without its lock.
impl Sink for io::Stderr {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

enum Message {
    Line(Source, Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// Hands lines to the thread. Clones are the same writer. The thread ends when all of them are gone
/// and every line is written.
#[derive(Clone)]
pub(crate) struct LogWriter {
    /// Bounded by `Shared::waiting`, so that a reload can move the bound.
    sender: Sender<Message>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// The thread's end, until it is started.
pub(crate) struct Pending {
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Shared {
    log: Count,
    access: Count,
    /// Set from a call of [`LogWriter::reopen`] until the thread has done it.
    reopening: AtomicBool,
}

/// The lines of one source.
#[derive(Debug, Default)]
struct Count {
    /// Lines that are not written yet.
    waiting: AtomicUsize,
    /// The most that may wait.
    most: AtomicUsize,
    /// Lines that were not taken or not written, since the start.
    dropped: AtomicU64,
}

impl Shared {
    fn of(&self, source: Source) -> &Count {
        match source {
            Source::Log => &self.log,
            Source::Access => &self.access,
        }
    }
}

impl LogWriter {
    /// A writer whose lines wait until [`Pending::start`].
    pub(crate) fn new() -> (Self, Pending) {
        let (sender, receiver) = unbounded();
        let shared = Arc::new(Shared::default());
        (Self { sender, shared: Arc::clone(&shared) }, Pending { receiver, shared })
    }

    /// Sets how many lines of a source may wait.
    pub(crate) fn bound(&self, source: Source, most: usize) {
        self.shared.of(source).most.store(most.max(1), Ordering::Relaxed);
    }

    /// Takes a line, with its line feed, or drops and counts it: it never waits.
    pub(crate) fn put(&self, source: Source, line: Vec<u8>) {
        let count = self.shared.of(source);
        let waiting = count.waiting.fetch_add(1, Ordering::Relaxed);
        let room = waiting < count.most.load(Ordering::Relaxed);
        if !room || self.sender.send(Message::Line(source, line)).is_err() {
            count.waiting.fetch_sub(1, Ordering::Relaxed);
            count.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines of a source that were dropped so far.
    pub(crate) fn dropped(&self, source: Source) -> u64 {
        self.shared.of(source).dropped.load(Ordering::Relaxed)
    }

    /// Has the sink opened again behind the lines put so far. If it takes no more of those, they
    /// are dropped.
    pub(crate) fn reopen(&self) {
        self.shared.reopening.store(true, Ordering::Release);
        let _ = self.sender.send(Message::Reopen);
    }

    /// Waits until every line put so far is written, at most this long. `false` if the time was not
    /// enough.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        let (done, written) = bounded(1);
        let sent = self.sender.send(Message::Flush(done)).is_ok();
        sent && written.recv_timeout(within).is_ok()
    }

    /// Counts the lines that still wait as dropped, as the process ends.
    pub(crate) fn give_up(&self) {
        for count in [&self.shared.log, &self.shared.access] {
            let waiting = count.waiting.load(Ordering::Relaxed) as u64;
            count.dropped.fetch_add(waiting, Ordering::Relaxed);
        }
    }
}

impl Pending {
    /// Starts the thread, which has the rights that the calling one has now. It is not joined: it
    /// may block for as long as its sink does, and the process ends without it.
    pub(crate) fn start(self, name: &str, sink: impl Sink) -> io::Result<()> {
        let thread = Thread {
            regular: is_regular(sink.fd()),
            sink,
            shared: self.shared,
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
    /// Whether a write to the sink cannot wait for a reader.
    regular: bool,
    shared: Arc<Shared>,
    /// Whether the last write failed, which is logged once.
    failing: bool,
    /// How many dropped lines of each source are reported.
    reported: [u64; 2],
}

/// Whole lines that are written together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Lines of each source.
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
                    Message::Line(source, line) => {
                        batch.bytes.extend_from_slice(&line);
                        batch.lines[source as usize] += 1;
                        let most = if self.regular { FILE_BATCH } else { PIECE / 2 };
                        if batch.bytes.len() < most {
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
                    self.shared.reopening.store(false, Ordering::Release);
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
        for source in [Source::Log, Source::Access] {
            let (count, lines) = (self.shared.of(source), batch.lines[source as usize]);
            count.waiting.fetch_sub(lines, Ordering::Relaxed);
            if written.is_err() {
                count.dropped.fetch_add(lines as u64, Ordering::Relaxed);
            }
        }
        // What is said of the log itself would be lost with it.
        let says = batch.lines[Source::Access as usize] > 0;
        match (&written, self.failing) {
            (Err(error), false) if says => warn!("the access log cannot be written: {error}"),
            (Ok(()), true) if says => warn!("the access log can be written again"),
            _ => {}
        }
        self.failing = written.is_err();
        if written.is_ok() {
            self.report();
        }
        batch.bytes.clear();
        batch.lines = [0; 2];
    }

    /// Logs how many lines were dropped, once there is room again.
    fn report(&mut self) {
        for (source, name) in [(Source::Log, "log"), (Source::Access, "access log")] {
            let count = self.shared.of(source);
            let dropped = count.dropped.load(Ordering::Relaxed);
            let room =
                count.waiting.load(Ordering::Relaxed) <= count.most.load(Ordering::Relaxed) / 2;
            let reported = &mut self.reported[source as usize];
            if dropped > *reported && room {
                warn!(
                    "{} lines of the {name} were dropped: its reader fell behind",
                    dropped - *reported
                );
                *reported = dropped;
            }
        }
    }

    /// Writes everything, and waits for as long as the sink takes nothing.
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut piece = bytes;
            if !self.regular {
                self.wait_for_room()?;
                piece = &bytes[..bytes.len().min(PIECE)];
            }
            match rustix::io::write(self.sink.fd(), piece) {
                Ok(written) => bytes = &bytes[written..],
                // Standard error may be non-blocking, as another process left it.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self) -> io::Result<()> {
        loop {
            let leaving = self.shared.reopening.load(Ordering::Acquire);
            let wait = if leaving { Timespec { tv_sec: 0, tv_nsec: 0 } } else { LOOK };
            let fd = self.sink.fd();
            match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&wait)) {
                Ok(0) if leaving => {
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

    /// A writer whose sink is this pipe.
    fn started(most: usize) -> (LogWriter, PipeReader) {
        let (reader, sink) = pipe().unwrap();
        let (writer, pending) = LogWriter::new();
        writer.bound(Source::Access, most);
        writer.bound(Source::Log, most);
        pending.start("test", sink).unwrap();
        (writer, reader)
    }

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let (writer, mut reader) = started(10);
        writer.put(Source::Access, b"one\n".to_vec());
        writer.put(Source::Log, b"two\n".to_vec());
        assert!(writer.flush(LONG));
        drop(writer);
        let mut text = String::new();
        // The thread ends with its last writer, and closes the pipe.
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_its_lines_and_no_time() {
        let (writer, mut reader) = started(100);
        let began = Instant::now();
        for _ in 0..10_000 {
            writer.put(Source::Access, vec![b'a'; 1000]);
        }
        // One source does not crowd out the other.
        writer.put(Source::Log, b"end\n".to_vec());
        assert_eq!(writer.dropped(Source::Log), 0);
        assert!(!writer.flush(SHORT));
        writer.give_up();
        assert!(began.elapsed() < LONG);
        // The pipe holds 64 KiB, the queue 100 lines.
        let dropped = writer.dropped(Source::Access);
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
    fn a_line_before_the_start_waits_for_it() {
        let (writer, pending) = LogWriter::new();
        writer.bound(Source::Log, 1);
        writer.put(Source::Log, b"early\n".to_vec());
        writer.put(Source::Log, b"too many\n".to_vec());
        let (mut reader, sink) = pipe().unwrap();
        pending.start("test", sink).unwrap();
        assert!(writer.flush(LONG));
        let mut bytes = [0; 64];
        let count = reader.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"early\n");
        assert_eq!(writer.dropped(Source::Log), 1);
    }
}
