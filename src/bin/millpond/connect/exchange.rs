//! An exchange: sends one message, receives and prints its response.

use std::io;
use std::time::{Duration, Instant};

use millpond::net::Received;
use rustix::io::Errno;

use super::args::ConnectArgs;
use super::output::{note, socket_failure};
use super::reader::{Waited, wait};
use super::socket::{ClientSocket, MAX_RECORD};
use crate::failure::{Failure, code};
use crate::os::stdout::{Reader, print};

/// Bytes of a stream's response that are printed as one line; a longer one takes several lines.
const MAX_LINE: usize = 1 << 20;

/// How long `--send-only` waits for the other side to close. If the client closed at once, a reset
/// could discard bytes that the other side has not read yet.
const LINGER: Duration = Duration::from_secs(1);

pub(super) fn run(
    args: &ConnectArgs,
    endpoint: &str,
    socket: &mut ClientSocket,
    message: &[u8],
) -> Result<(), Failure> {
    socket.set_timeout(args.timeout);
    socket.send_all(message).map_err(|error| socket_failure("cannot send to", endpoint, error))?;
    if !args.no_shutdown || args.send_only {
        shutdown(socket, endpoint)?;
    }
    if args.send_only {
        linger(socket);
        return Ok(());
    }
    socket.set_timeout(args.idle.unwrap_or(args.timeout));
    if socket.keeps_boundaries() {
        records(args, endpoint, socket)
    } else {
        stream(args, endpoint, socket)
    }
}

/// Ends the sending side. If the other side has closed already, the next receive reports it.
pub(super) fn shutdown(socket: &ClientSocket, endpoint: &str) -> Result<(), Failure> {
    match socket.shutdown_write() {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
            Err(socket_failure("cannot end sending to", endpoint, error))
        }
        _ => Ok(()),
    }
}

/// Waits until the other side closes, for [`LINGER`] at most, and discards what it sends.
pub(super) fn linger(socket: &mut ClientSocket) {
    let deadline = Instant::now() + LINGER;
    let mut buf = vec![0; 16 * 1024];
    while socket.has_end() {
        let left = deadline.saturating_duration_since(Instant::now());
        socket.set_timeout(left);
        match socket.recv(&mut buf) {
            Ok(Received { len: 1.., .. }) if !left.is_zero() => {}
            _ => return,
        }
    }
}

/// Receives once. `None`: the reader of standard output has closed it.
fn receive(
    args: &ConnectArgs,
    socket: &ClientSocket,
    buf: &mut [u8],
) -> io::Result<Option<Received>> {
    match wait(socket, args.idle.unwrap_or(args.timeout))? {
        Waited::StdoutClosed => Ok(None),
        Waited::TimedOut => Err(Errno::TIMEDOUT.into()),
        Waited::Ready => socket.recv(buf).map(Some),
    }
}

/// Receives from a stream until its end, or until nothing arrives within the timeout.
fn stream(args: &ConnectArgs, endpoint: &str, socket: &ClientSocket) -> Result<(), Failure> {
    let mut response = Vec::new();
    let mut buf = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let len = match receive(args, socket, &mut buf) {
            Ok(Some(received)) => received.len,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && total > 0 => {
                let time = args.idle.unwrap_or(args.timeout);
                note(&format!(
                    "note: {endpoint} kept the connection open and sent nothing for {time:?}"
                ));
                0
            }
            Err(error) => {
                // Bytes that arrived before the error are printed.
                show(args, &response)?;
                return Err(socket_failure("nothing more received from", endpoint, error));
            }
        };
        total += len;
        response.extend(&buf[..len]);
        if len == 0 || args.raw || response.len() >= MAX_LINE {
            let reader = match response.is_empty() && total > 0 {
                true => Reader::Open,
                false => show(args, &response)?,
            };
            if len == 0 || reader == Reader::Closed {
                return Ok(());
            }
            response.clear();
        }
    }
}

/// Prints records one by one: those of a connection until its end; of datagrams one, or with
/// `--idle` all until none arrives within that time.
fn records(args: &ConnectArgs, endpoint: &str, socket: &ClientSocket) -> Result<(), Failure> {
    let mut buf = vec![0; MAX_RECORD];
    let mut count = 0;
    loop {
        let received = match receive(args, socket, &mut buf) {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && count > 0 => return Ok(()),
            Err(error) => {
                return Err(socket_failure("nothing received from", endpoint, error));
            }
        };
        if socket.has_end() && received.len == 0 {
            return Ok(());
        }
        warn_if_cut(received);
        count += 1;
        let reader = show(args, socket.payload(&buf[..received.len]))?;
        if reader == Reader::Closed || !(socket.has_end() || args.idle.is_some()) {
            return Ok(());
        }
    }
}

/// Warns that the end of a datagram was lost.
pub(super) fn warn_if_cut(received: Received) {
    if received.is_truncated() {
        note(&format!("warning: datagram of {} bytes cut to {}", received.full, received.len));
    }
}

fn show(args: &ConnectArgs, bytes: &[u8]) -> Result<Reader, Failure> {
    if args.raw {
        return print(bytes);
    }
    print(format!("Received b\"{}\"\n", bytes.escape_ascii()).as_bytes())
}

/// The failure of a conversation that `--idle` ended.
pub(super) fn idle_failure(endpoint: &str, idle: Duration) -> Failure {
    Failure::new(code::RUNTIME, format!("nothing sent or received for {idle:?} at {endpoint}"))
}
