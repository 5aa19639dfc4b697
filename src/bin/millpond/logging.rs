//! The log: simplelog on standard error, as fits what reads it.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ColorChoice, Config, ConfigBuilder, TermLogger, TerminalMode, WriteLogger};

use crate::settings::{self, Color};

/// 2026-11-24T09:00:00.123Z
const TIME: &[simplelog::FormatItem<'_>] = time::macros::format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
);

/// Starts the log. It can be done once; the level can be changed later by [`set_level`].
pub(crate) fn start(settings: &settings::Log) {
    let logger: Box<dyn Log> = if under_journal() {
        Box::new(Journal::new())
    } else if colored(settings.color) {
        let config = config(true);
        TermLogger::new(LevelFilter::Trace, config, TerminalMode::Stderr, ColorChoice::Always)
    } else {
        WriteLogger::new(LevelFilter::Trace, config(true), Lines::new(""))
    };
    // It only fails where a logger was set before, which then stays.
    let _ = log::set_boxed_logger(logger);
    set_level(settings.level);
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

/// The log under systemd-journald, which keeps the time itself and takes the level as `<N>`
/// (sd-daemon(3)): one logger for each level, which differ in their prefix.
struct Journal([Box<WriteLogger<Lines<io::Stderr>>>; 5]);

impl Journal {
    fn new() -> Self {
        let prefixes = ["<3>", "<4>", "<6>", "<7>", "<7>"];
        Self(
            prefixes.map(|prefix| {
                WriteLogger::new(LevelFilter::Trace, config(false), Lines::new(prefix))
            }),
        )
    }

    fn of(&self, level: Level) -> &dyn Log {
        &*self.0[level as usize - 1]
    }
}

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.of(metadata.level()).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.of(record.level()).log(record);
    }

    fn flush(&self) {
        for logger in &self.0 {
            logger.flush();
        }
    }
}

/// Writes whole lines, each by one system call, so that those of several processes do not mix.
struct Lines<W> {
    prefix: &'static str,
    line: Vec<u8>,
    out: W,
}

impl Lines<io::Stderr> {
    fn new(prefix: &'static str) -> Self {
        Self { prefix, line: Vec::new(), out: io::stderr() }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line.is_empty() {
                self.line.extend_from_slice(self.prefix.as_bytes());
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                // A log that cannot be written to (a full disk, a closed pipe) stops nothing.
                let _ = self.out.write_all(&self.line);
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers each write by itself.
    #[derive(Default)]
    struct Calls(Vec<String>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_write_with_its_prefix() {
        let mut lines = Lines { prefix: "<6>", line: Vec::new(), out: Calls::default() };
        for piece in ["a", "b ", "c\n", "d\ne\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(lines.out.0, ["<6>ab c\n", "<6>d\n", "<6>e\n"]);
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_stream("8:42", 8, 42));
        for other in ["", "8", "8:43", "42:8", "8:42:1"] {
            assert!(!is_stream(other, 8, 42), "{other}");
        }
    }
}
