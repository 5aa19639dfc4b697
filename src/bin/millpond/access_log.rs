//! The access log: a line for each request that reached a handler, written by a thread of its own.
//!
//! A worker formats the line and gives it to a bounded channel. It never waits for the disk: when the
//! channel is full the line is dropped and counted, and when the disk is full the lines are.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::warn;

use crate::failure::{Failure, code};
use crate::settings::Access;

/// Bytes that are written by one system call when lines come fast.
const BATCH: usize = 64 * 1024;

const WRITABLE: &str = "access_log.file is in a directory that this user may write to; in a running \
                        and confined process, in one that was named at its start";

/// The running log. Its thread ends by [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct AccessLog {
    recorder: Recorder,
    /// What the thread will have, until it is started.
    opened: Option<(Output, Receiver<Message>)>,
    writer: Option<JoinHandle<()>>,
}

/// Where workers put lines.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    sender: Sender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Reopen,
    End,
}

impl AccessLog {
    /// Opens the file. Lines are taken from now on, and written from [`start`](Self::start) on.
    pub(crate) fn open(settings: &Access) -> Result<Self, Failure> {
        let output = Output::open(settings.file.clone()).map_err(|error| {
            let path = settings.file.as_deref().unwrap_or(Path::new("-"));
            Failure::io(code::CONFIG, format!("cannot write to {}", path.display()), error)
                .with_hint(WRITABLE)
        })?;
        let (sender, messages) = bounded(settings.buffer.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let recorder = Recorder { sender, dropped };
        Ok(Self { recorder, opened: Some((output, messages)), writer: None })
    }

    /// Starts the thread, which has the rights that the calling one has now.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        let Some((output, messages)) = self.opened.take() else { return Ok(()) };
        let dropped = Arc::clone(&self.recorder.dropped);
        let writer = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(output, &messages, &dropped))
            .map_err(|error| Failure::io(code::RUNTIME, "cannot start a thread", error))?;
        self.writer = Some(writer);
        Ok(())
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Has the file opened anew, as it was moved away.
    pub(crate) fn reopen(&self) {
        // Only the writer's end would make it fail, and then there is nothing to open.
        let _ = self.recorder.sender.send(Message::Reopen);
    }

    /// Lines that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.recorder.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is still waiting, and ends the thread. How many lines were dropped in all.
    pub(crate) fn finish(mut self) -> u64 {
        if self.opened.is_some() {
            return self.dropped();
        }
        let _ = self.recorder.sender.send(Message::End);
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            warn!("the access log's thread had panicked");
        }
        self.dropped()
    }
}

impl Recorder {
    /// Takes a line, with its line feed, or drops it: it never waits.
    pub(crate) fn put(&self, line: Vec<u8>) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(mut output: Output, messages: &Receiver<Message>, dropped: &AtomicU64) {
    let mut batch = Vec::new();
    while let Ok(first) = messages.recv() {
        let (mut lines, mut reopen, mut end) = (0, false, false);
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Message::Reopen => reopen = true,
                Message::End => end = true,
            }
            let full = batch.len() >= BATCH || reopen || end;
            next = if full { None } else { messages.try_recv().ok() };
        }
        if lines > 0 && !output.write(&batch) {
            dropped.fetch_add(lines, Ordering::Relaxed);
        }
        batch.clear();
        if reopen {
            output.reopen();
        }
        if end {
            return;
        }
    }
}

/// The file, or standard error.
#[derive(Debug)]
struct Output {
    path: Option<PathBuf>,
    file: Option<File>,
    /// Whether the last write failed, which is said once.
    failing: bool,
}

impl Output {
    fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let file = path.as_deref().map(append).transpose()?;
        Ok(Self { path, file, failing: false })
    }

    /// Whether all of it could be written.
    fn write(&mut self, bytes: &[u8]) -> bool {
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => io::stderr().lock().write_all(bytes),
        };
        match (&written, self.failing) {
            (Err(error), false) => warn!("the access log cannot be written: {error}"),
            (Ok(()), true) => warn!("the access log can be written again"),
            _ => {}
        }
        self.failing = written.is_err();
        written.is_ok()
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                warn!("cannot open {} anew: {error}; keeping the old file", path.display());
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Format;

    fn settings(file: &Path, buffer: usize) -> Access {
        Access { format: Format::Clf, file: Some(file.to_owned()), buffer }
    }

    fn started(settings: &Access) -> AccessLog {
        let mut log = AccessLog::open(settings).unwrap();
        log.start().unwrap();
        log
    }

    #[test]
    fn lines_are_written_by_the_end_and_a_moved_file_is_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let log = started(&settings(&path, 100));
        log.recorder().put(b"one\n".to_vec());
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.recorder().put(b"two\n".to_vec());
        assert_eq!(log.dropped(), 0);
        log.finish();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_full_buffer_drops_and_counts_instead_of_waiting() {
        let (sender, _messages) = bounded(2);
        let recorder = Recorder { sender, dropped: Arc::default() };
        for _ in 0..5 {
            recorder.put(b"line\n".to_vec());
        }
        assert_eq!(recorder.dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let log = started(&settings(Path::new("/dev/full"), 100));
        let recorder = log.recorder();
        recorder.put(b"line\n".to_vec());
        log.finish();
        assert_eq!(recorder.dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let failure = AccessLog::open(&settings(Path::new("/nonexistent/log"), 1)).unwrap_err();
        assert_eq!(failure.code(), code::CONFIG);
        assert!(failure.message().contains("/nonexistent/log"));
    }
}
