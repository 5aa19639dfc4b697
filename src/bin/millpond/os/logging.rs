//! The log: simplelog formats the lines, and a thread writes them to standard error.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record, error};
use simplelog::{Config, ConfigBuilder, WriteLogger};

use crate::os::log_writer::{LogKind, LogWriter, UnstartedWriter};
use crate::settings::{self, Color};

/// 2026-11-24T09:00:00.123Z
const TIME: &[simplelog::FormatItem<'_>] = time::macros::format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
);

/// Lines of the log that may wait to be written. Those of the access log have their own limit.
const WAITING_LINES: usize = 4096;

/// How long the process waits for the log to be written before it ends.
const EXIT_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The writer of standard error, set by [`start`].
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// The writer until [`start_thread`] starts its thread.
static UNSTARTED: Mutex<Option<UnstartedWriter>> = Mutex::new(None);

/// Starts the log, once in a process. Lines wait until [`start_thread`]; [`set_level`] can change
/// the level at any time.
pub(crate) fn start(settings: &settings::LogSettings) {
    let writer = WRITER.get_or_init(|| {
        let (writer, pending) = LogWriter::new();
        writer.set_limit(LogKind::Log, WAITING_LINES);
        *UNSTARTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
        writer
    });
    let logger = if under_journal() {
        LeveledLogger::new(writer, &config(false), |level| Style {
            prefix: priority(level),
            colored_level: None,
        })
    } else if colored(settings.color) {
        let style = |level| Style { prefix: "", colored_level: Some(colored_level(level)) };
        LeveledLogger::new(writer, &config(true), style)
    } else {
        LeveledLogger::new(writer, &config(true), |_| Style::default())
    };
    // Fails only if a logger was set before, which then stays.
    let _ = log::set_boxed_logger(Box::new(logger));
    set_level(settings.level);
    // The hook of the standard library would block on a standard error without a reader.
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        match trace.status() {
            std::backtrace::BacktraceStatus::Captured => error!("{panic}\n{trace}"),
            _ => error!("{panic}"),
        }
    }));
}

/// Starts the thread that writes the log. It has the rights that the calling thread has now.
pub(crate) fn start_thread() -> io::Result<()> {
    match UNSTARTED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(pending) => pending.start("log", io::stderr()),
        None => Ok(()),
    }
}

/// The writer of standard error, if the log is started.
pub(crate) fn writer() -> Option<LogWriter> {
    WRITER.get().cloned()
}

/// Writes whole lines to the log as they are. Returns `false` if the log is not started.
pub(crate) fn write_raw(text: &str) -> bool {
    let Some(writer) = WRITER.get() else { return false };
    writer.enqueue(LogKind::Log, text.as_bytes().to_vec());
    true
}

/// The number of lines of the log that were dropped so far.
pub(crate) fn dropped() -> u64 {
    WRITER.get().map_or(0, |writer| writer.dropped(LogKind::Log))
}

/// How long the start waits for its lines to be written before it reports readiness.
const START_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// Waits until the lines logged so far are written, for a short time, as the reader may have
/// stopped.
pub(crate) fn flush_at_start() {
    if let Some(writer) = WRITER.get() {
        writer.flush(START_FLUSH_TIMEOUT);
    }
}

/// Waits until the whole log is written before the process ends, for a short time.
pub(crate) fn flush_at_exit() {
    if let Some(writer) = WRITER.get()
        && start_thread().is_ok()
    {
        writer.flush(EXIT_FLUSH_TIMEOUT);
    }
}

/// Sets the level from which on records are logged.
pub(crate) fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

fn config(own_time_and_level: bool) -> Config {
    let mut builder = ConfigBuilder::new();
    builder
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // The name of the thread helps only in a detailed log.
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

/// The prefix of a line, and the colour of its level.
#[derive(Clone, Copy, Default)]
struct Style {
    prefix: &'static str,
    /// The level as simplelog writes it, and the same with colour.
    colored_level: Option<(&'static str, &'static str)>,
}

/// The prefix with which the journal recognises a level (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// A level as simplelog writes it, and the same with its colour (ECMA-48).
fn colored_level(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Error => ("[ERROR]", "\x1b[31m[ERROR]\x1b[0m"),
        Level::Warn => ("[WARN]", "\x1b[33m[WARN]\x1b[0m"),
        Level::Info => ("[INFO]", "\x1b[34m[INFO]\x1b[0m"),
        Level::Debug => ("[DEBUG]", "\x1b[36m[DEBUG]\x1b[0m"),
        Level::Trace => ("[TRACE]", "\x1b[37m[TRACE]\x1b[0m"),
    }
}

const LEVELS: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

/// One logger for each level, as the style depends on the level.
struct LeveledLogger([Box<WriteLogger<LineBuffer>>; 5]);

impl LeveledLogger {
    fn new(writer: &LogWriter, config: &Config, style: impl Fn(Level) -> Style) -> Self {
        Self(LEVELS.map(|level| {
            let lines =
                LineBuffer { style: style(level), line: Vec::new(), writer: writer.clone() };
            WriteLogger::new(LevelFilter::Trace, config.clone(), lines)
        }))
    }

    fn of(&self, level: Level) -> &dyn Log {
        &*self.0[level as usize - 1]
    }
}

impl Log for LeveledLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.of(metadata.level()).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.of(record.level()).log(record);
    }

    fn flush(&self) {}
}

/// Enqueues whole lines.
struct LineBuffer {
    style: Style,
    line: Vec<u8>,
    writer: LogWriter,
}

impl LineBuffer {
    /// Takes the finished line.
    fn take(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.line);
        let Some((plain, colored)) = self.style.colored_level else { return line };
        // The first occurrence is the level: text that a client wrote comes after it.
        match line.windows(plain.len()).position(|window| window == plain.as_bytes()) {
            Some(at) => [&line[..at], colored.as_bytes(), &line[at + plain.len()..]].concat(),
            None => line,
        }
    }
}

impl Write for LineBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line.is_empty() {
                self.line.extend_from_slice(self.style.prefix.as_bytes());
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = self.take();
                self.writer.enqueue(LogKind::Log, line);
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

    /// The text that a logger with this style writes.
    fn written(style: Style, pieces: &[&str]) -> String {
        struct Pipe(PipeWriter);
        impl Sink for Pipe {
            fn fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }
        let (mut reader, sink) = pipe().unwrap();
        let (writer, pending) = LogWriter::new();
        writer.set_limit(LogKind::Log, 10);
        let mut lines = LineBuffer { style, line: Vec::new(), writer };
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
        let style = Style { prefix: "<6>", colored_level: None };
        assert_eq!(written(style, &["a", "b ", "c\n", "d\ne\n"]), "<6>ab c\n<6>d\n<6>e\n");
    }

    #[test]
    fn only_the_level_is_coloured() {
        let style = Style { prefix: "", colored_level: Some(colored_level(Level::Info)) };
        let text = written(style, &["now [INFO]", " [INFO]\n"]);
        assert_eq!(text, "now \x1b[34m[INFO]\x1b[0m [INFO]\n");
    }

    #[test]
    fn the_journal_is_recognised_by_device_and_inode() {
        assert!(is_stream("8:42", 8, 42));
        for other in ["", "8", "8:43", "42:8", "8:42:1"] {
            assert!(!is_stream(other, 8, 42), "{other}");
        }
    }
}
