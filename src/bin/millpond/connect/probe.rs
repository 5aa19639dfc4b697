//! Probes: whether a server accepts connections (`--probe`), and waiting for it (`--wait-for`).

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use millpond::net::{Endpoint, describe};
use millpond::{Error, ErrorKind};
use rustix::termios::tcgetwinsize;

use super::args::ConnectArgs;
use super::output::note;
use super::proxy_header;
use super::socket::{ClientSocket, Target};
use super::tls::{self, TlsClient};
use crate::failure::{Failure, code, one_line};
use crate::os::stdout::print;

/// The pause between two attempts, doubled each time up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long a probe waits for the refusal of a datagram.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Connects. The exit code is 0, or else 1 after the reason of the system was printed.
pub(super) fn run(args: &ConnectArgs, target: Target<'_>) -> Result<ExitCode, Failure> {
    let endpoint = target.endpoint;
    let result = match args.wait_for {
        Some(limit) => retry(args, target, limit, true),
        None => attempt(args, target, args.timeout, true),
    };
    // A denied raw socket says nothing about the other side.
    let raw = matches!(endpoint, Endpoint::Raw { .. } | Endpoint::Icmp { .. });
    match result {
        Err(error) if raw && error.kind() == ErrorKind::Permission => Err(error.into()),
        Ok(socket) => {
            if args.verbose {
                note(&format!("{}: {}", target.text(), socket.addresses()));
            }
            match &socket {
                ClientSocket::Tls(client) => certificate(args, client),
                _ => Ok(ExitCode::SUCCESS),
            }
        }
        Err(error) => match error.io() {
            Some(reason) if !matches!(error.kind(), ErrorKind::Endpoint | ErrorKind::Lookup) => {
                print(format!("{}\n", describe(reason)).as_bytes())?;
                if args.verbose {
                    note(&one_line(&error));
                }
                Ok(ExitCode::from(code::RUNTIME))
            }
            _ => Err(error.into()),
        },
    }
}

/// Prints when the certificate of a server expires. Fails if that is too soon.
fn certificate(args: &ConnectArgs, client: &TlsClient) -> Result<ExitCode, Failure> {
    tls::report(args, client);
    if let Some(line) = tls::certificate_line(client) {
        print(format!("{line}\n").as_bytes())?;
    }
    let least = i64::from(args.min_days.unwrap_or(0));
    let enough = tls::days_left(client).is_some_and(|days| days >= least);
    Ok(if enough { ExitCode::SUCCESS } else { ExitCode::from(code::RUNTIME) })
}

/// Connects, with retries for `limit`.
pub(super) fn wait_for(
    args: &ConnectArgs,
    target: Target<'_>,
    limit: Duration,
) -> Result<ClientSocket, Failure> {
    retry(args, target, limit, false).map_err(|error| {
        let tried = format!("retried for {limit:?}");
        let hint = match error.hint() {
            None => tried,
            Some(hint) => format!("{hint}; {tried}"),
        };
        error.with_hint(hint).into()
    })
}

fn retry(
    args: &ConnectArgs,
    target: Target<'_>,
    limit: Duration,
    probing: bool,
) -> Result<ClientSocket, Error> {
    let start = Instant::now();
    let left = || limit.saturating_sub(start.elapsed());
    let mut progress = ProgressLine { shown: false, terminal: io::stderr().is_terminal() };
    progress.show(&format!("connecting to {}; {} s left", target.text(), left().as_secs()));
    let mut pause = PAUSES.0;
    loop {
        // The first attempt is made however short the time is.
        let timeout = args.timeout.min(left().max(PAUSES.0));
        let error = match attempt(args, target, timeout, probing) {
            // A denied permission stays denied.
            Err(error) if error.kind() != ErrorKind::Permission => error,
            result => return result,
        };
        if left().is_zero() {
            return Err(error);
        }
        progress.show(&format!("{}; {} s left", one_line(&error), left().as_secs()));
        std::thread::sleep(pause.min(left()));
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Attempts to connect once. Connecting a datagram socket always succeeds; the response to an empty
/// datagram may be a refusal.
fn attempt(
    args: &ConnectArgs,
    target: Target<'_>,
    timeout: Duration,
    probing: bool,
) -> Result<ClientSocket, Error> {
    let mut socket = proxy_header::open(args, target, timeout)?;
    let endpoint = target.endpoint;
    if probing && let ClientSocket::Datagram(_) = &socket {
        socket.set_timeout(timeout.min(REFUSAL_TIMEOUT));
        let refused = |error| {
            Error::new(ErrorKind::Connect, format!("cannot reach {endpoint}")).with_source(error)
        };
        socket.send(&[]).map_err(refused)?;
        match socket.recv(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                if args.verbose {
                    note("no response and no refusal: a server may be there");
                }
            }
            result => {
                result.map_err(refused)?;
            }
        }
    }
    Ok(socket)
}

/// A line on a terminal that each update overwrites, and that is removed in the end.
struct ProgressLine {
    shown: bool,
    terminal: bool,
}

impl ProgressLine {
    fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col.into());
            let _ = write!(io::stderr().lock(), "\r\x1b[K{}", fit(text, columns));
        }
    }
}

/// The part of a text that fits into one line of a terminal, since an update would not overwrite a
/// second line. A terminal of unknown width has 0 columns.
fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if columns < 2 || text.chars().count() < columns {
        return text.into();
    }
    text.chars().take(columns - 2).chain(['…']).collect()
}

impl Drop for ProgressLine {
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
    fn a_progress_line_fits_into_the_terminal() {
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
