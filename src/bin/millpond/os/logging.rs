//! The log: simplelog's lines, which a thread of their own writes to standard error.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record, error};
use simplelog::{Config, ConfigBuilder, WriteLogger};

use crate::os::log_writer::{LogWriter, Pending, Source};
use crate::settings::{self, Color};

/// 2026-11-24T09:00:00.123Z
const TIME: &[simplelog::FormatItem<'_>] = time::macros::format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
);

/// Lines of the log that may wait to be written. Those of the access log have their own bound.
const LINES: usize = 4096;

/// How long the end of the process waits for the log to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The writer of standard error, from [`start`] on.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// The writer's thread, until [`write`] starts it.
static PENDING: Mutex<Option<Pending>> = Mutex::new(None);

/// Starts the log. It can be done once; the level can be changed later by [`set_level`]. Lines wait
/// until [`write`].
pub(crate) fn start(settings: &settings::Log) {
    let writer = WRITER.get_or_init(|| {
        let (writer, pending) = LogWriter::new();
        writer.bound(Source::Log, LINES);
        *PENDING.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
        writer
    });
    let logger = if under_journal() {
        Leveled::new(writer, &config(false), |level| Style { prefix: priority(level), paint: None })
    } else if colored(settings.color) {
        let style = |level| Style { prefix: "", paint: Some(paint(level)) };
        Leveled::new(writer, &config(true), style)
    } else {
        Leveled::new(writer, &config(true), |_| Style::default())
    };
    // It only fails where a logger was set before, which then stays.
    let _ = log::set_boxed_logger(Box::new(logger));
    set_level(settings.level);
    // The hook of the standard library blocks on a standard error that nobody reads.
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        match trace.status() {
            std::backtrace::BacktraceStatus::Captured => error!("{panic}\n{trace}"),
            _ => error!("{panic}"),
        }
    }));
}

/// Starts the thread that writes the log. It has the rights that the calling thread has now.
pub(crate) fn write() -> io::Result<()> {
    match PENDING.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(pending) => pending.start("log", io::stderr()),
        None => Ok(()),
    }
}

/// The writer of standard error, if the log was started.
pub(crate) fn writer() -> Option<LogWriter> {
    WRITER.get().cloned()
}

/// Puts lines into the log as they are, unless it was never started.
pub(crate) fn say(text: &str) -> bool {
    let Some(writer) = WRITER.get() else { return false };
    writer.put(Source::Log, text.as_bytes().to_vec());
    true
}

/// Lines of the log that were dropped so far.
pub(crate) fn dropped() -> u64 {
    WRITER.get().map_or(0, |writer| writer.dropped(Source::Log))
}

/// How long the start waits for its lines to be written before it reports that it is ready.
const READY_WITHIN: Duration = Duration::from_millis(100);

/// Waits until what was logged so far can be read, but not for a reader that has stopped.
pub(crate) fn settle() {
    if let Some(writer) = WRITER.get() {
        writer.flush(READY_WITHIN);
    }
}

/// Has the log written before the process ends, within a short time.
pub(crate) fn finish() {
    if let Some(writer) = WRITER.get()
        && write().is_ok()
    {
        writer.flush(FLUSH_WITHIN);
    }
}

/// Changes how much is logged.
pub(crate) fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

fn config(own_time_and_level: bool) -> Config {
    let mut builder = ConfigBuilder::new();
    builder
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // Who says it matters where much is said.
        .set_thread_level(LevelFilter::Debug)
        .set_thread_mode(simplelog::ThreadLogMode::Names)
        .set_time_format_custom(TIME);
    if !own_time_and_level {
        builder.set_time_level(LevelFilter::Off).set_max_level(LevelFilter::Off);
    }
    builder.build()
}

fn colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            io::stderr().is_terminal() && !unwanted && !dumb
        }
    }
}

/// Whether standard error is the journal's socket (systemd.exec(5), `$JOURNAL_STREAM`).
fn under_journal() -> bool {
    let Ok(stat) = rustix::fs::fstat(io::stderr().as_fd()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|text| is_stream(&text, stat.st_dev, stat.st_ino))
}

/// Whether `DEVICE:INODE` names this file.
fn is_stream(text: &str, device: u64, inode: u64) -> bool {
    text == format!("{device}:{inode}")
}

/// What begins a line, and how its level is painted.
#[derive(Clone, Copy, Default)]
struct Style {
    prefix: &'static str,
    paint: Option<(&'static str, &'static str)>,
}

/// The priority of a level in the journal, which keeps the time itself (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// A level as simplelog writes it, and the same with its colour (ECMA-48).
fn paint(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Error => ("[ERROR]", "\x1b[31m[ERROR]\x1b[0m"),
        Level::Warn => ("[WARN]", "\x1b[33m[WARN]\x1b[0m"),
        Level::Info => ("[INFO]", "\x1b[34m[INFO]\x1b[0m"),
        Level::Debug => ("[DEBUG]", "\x1b[36m[DEBUG]\x1b[0m"),
        Level::Trace => ("[TRACE]", "\x1b[37m[TRACE]\x1b[0m"),
    }
}

const LEVELS: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

/// One logger for each level, which differ in their style.
struct Leveled([Box<WriteLogger<Lines>>; 5]);

impl Leveled {
    fn new(writer: &LogWriter, config: &Config, style: impl Fn(Level) -> Style) -> Self {
        Self(LEVELS.map(|level| {
            let lines = Lines { style: style(level), line: Vec::new(), writer: writer.clone() };
            WriteLogger::new(LevelFilter::Trace, config.clone(), lines)
        }))
    }

    fn of(&self, level: Level) -> &dyn Log {
        &*self.0[level as usize - 1]
    }
}

impl Log for Leveled {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.of(metadata.level()).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.of(record.level()).log(record);
    }

    fn flush(&self) {}
}

/// Puts whole lines into the writer's queue.
struct Lines {
    style: Style,
    line: Vec<u8>,
    writer: LogWriter,
}

impl Lines {
    /// The line so far, finished.
    fn take(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.line);
        let Some((plain, painted)) = self.style.paint else { return line };
        // A level that is there stands before everything that a client could have written.
        match line.windows(plain.len()).position(|window| window == plain.as_bytes()) {
            Some(at) => [&line[..at], painted.as_bytes(), &line[at + plain.len()..]].concat(),
            None => line,
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line.is_empty() {
                self.line.extend_from_slice(self.style.prefix.as_bytes());
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = self.take();
                self.writer.put(Source::Log, line);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::log_writer::Sink;
    use std::io::{PipeWriter, Read, pipe};
    use std::os::fd::BorrowedFd;

    /// What a logger with this style writes.
    fn written(style: Style, pieces: &[&str]) -> String {
        struct Pipe(PipeWriter);
        impl Sink for Pipe {
            fn fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
        let (mut reader, sink) = pipe().unwrap();
        let (writer, pending) = LogWriter::new();
        writer.bound(Source::Log, 10);
        let mut lines = Lines { style, line: Vec::new(), writer };
        for piece in pieces {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        drop(lines);
        pending.start("test", Pipe(sink)).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn each_line_has_its_prefix() {
        let style = Style { prefix: "<6>", paint: None };
        assert_eq!(written(style, &["a", "b ", "c\n", "d\ne\n"]), "<6>ab c\n<6>d\n<6>e\n");
    }

    #[test]
    fn the_level_is_painted_once() {
        let style = Style { prefix: "", paint: Some(paint(Level::Info)) };
        let text = written(style, &["now [INFO]", " [INFO]\n"]);
        assert_eq!(text, "now \x1b[34m[INFO]\x1b[0m [INFO]\n");
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_stream("8:42", 8, 42));
        for other in ["", "8", "8:43", "42:8", "8:42:1"] {
            assert!(!is_stream(other, 8, 42), "{other}");
        }
    }
}
