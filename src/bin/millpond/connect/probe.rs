//! Whether somebody is there: `--probe` and `--wait-for`.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use millpond::net::{Addr, Endpoint, describe};
use millpond::{Error, ErrorKind};
use rustix::termios::tcgetwinsize;

use super::{ConnectArgs, note, print};
use crate::connect::socket::Line;
use crate::failure::{Failure, code};

/// The pause between two attempts, doubled each time up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long a datagram may take to be refused.
const REFUSAL: Duration = Duration::from_millis(500);

/// What connecting came to, as connect_ex would tell: nothing and 0, or the system's reason and 1.
pub(super) fn run(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    from: Option<&Addr>,
) -> Result<ExitCode, Failure> {
    let result = match args.wait_for {
        Some(patience) => keep_trying(args, endpoint, from, patience, true),
        None => attempt(args, endpoint, from, args.timeout, true),
    };
    // A raw socket that may not be made tells nothing about the other side.
    let raw = matches!(endpoint, Endpoint::Raw { .. } | Endpoint::Icmp { .. });
    match result {
        Err(error) if raw && error.kind() == ErrorKind::Permission => Err(error.into()),
        Ok(line) => {
            if args.verbose {
                note(&format!("{endpoint}: {}", line.names()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match error.io() {
            Some(reason) if error.kind() != ErrorKind::Endpoint => {
                print(format!("{}\n", describe(reason)).as_bytes())?;
                if args.verbose {
                    note(&error.to_string());
                }
                Ok(ExitCode::from(code::RUNTIME))
            }
            _ => Err(error.into()),
        },
    }
}

/// Connects, trying again until the time is up.
pub(super) fn wait_for(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    from: Option<&Addr>,
    patience: Duration,
) -> Result<Line, Failure> {
    keep_trying(args, endpoint, from, patience, false).map_err(|error| {
        let tried = format!("tried for {patience:?}");
        let hint = match error.hint() {
            None => tried,
            Some(hint) => format!("{hint}; {tried}"),
        };
        error.with_hint(hint).into()
    })
}

fn keep_trying(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    from: Option<&Addr>,
    patience: Duration,
    probing: bool,
) -> Result<Line, Error> {
    let start = Instant::now();
    let left = || patience.saturating_sub(start.elapsed());
    let mut progress = Progress { shown: false, terminal: io::stderr().is_terminal() };
    progress.show(&format!("trying {endpoint}; {} s left", left().as_secs()));
    let mut pause = PAUSES.0;
    loop {
        // The first attempt is made even where the time is short.
        let limit = args.timeout.min(left().max(PAUSES.0));
        let error = match attempt(args, endpoint, from, limit, probing) {
            // Waiting gives nobody a permission.
            Err(error) if error.kind() != ErrorKind::Permission => error,
            result => return result,
        };
        if left().is_zero() {
            return Err(error);
        }
        progress.show(&format!("{error}; {} s left", left().as_secs()));
        std::thread::sleep(pause.min(left()));
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// One attempt. A datagram socket connects to anything; where nobody is, an empty datagram brings
/// the refusal.
fn attempt(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    from: Option<&Addr>,
    timeout: Duration,
    probing: bool,
) -> Result<Line, Error> {
    let mut line = Line::open(endpoint, from, timeout)?;
    if probing && let Line::Datagram(_) = &line {
        line.set_timeout(timeout.min(REFUSAL));
        let refused = |error| {
            Error::new(ErrorKind::Connect, format!("cannot reach {endpoint}")).with_source(error)
        };
        line.send(&[]).map_err(refused)?;
        match line.recv(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                if args.verbose {
                    note("no answer, and no refusal either: somebody may be there");
                }
            }
            result => {
                result.map_err(refused)?;
            }
        }
    }
    Ok(line)
}

/// One line on a terminal that is written over each time, and removed in the end.
struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col.into());
            let _ = write!(io::stderr().lock(), "\r\x1b[K{}", fit(text, columns));
        }
    }
}

/// As much of a text as fits into one line of a terminal, since what goes on in a second one is not
/// written over. A terminal that does not tell its width has no columns.
fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if columns < 2 || text.chars().count() < columns {
        return text.into();
    }
    text.chars().take(columns - 2).chain(['…']).collect()
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_fits_into_the_terminal() {
        let table = [
            ("short", 80, "short"),
            ("exactly", 7, "exact…"),
            ("exactly", 8, "exactly"),
            ("too long by far", 8, "too lo…"),
            ("größer", 5, "grö…"),
            ("of unknown width", 0, "of unknown width"),
        ];
        for (text, columns, expected) in table {
            assert_eq!(fit(text, columns), expected);
        }
    }
}
