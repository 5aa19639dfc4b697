//! One message there, its answer back.

use std::io;
use std::time::{Duration, Instant};

use millpond::net::{Endpoint, Received};
use rustix::io::Errno;

use super::reader::{Waited, wait};
use super::{ConnectArgs, broken, note, print};
use crate::connect::socket::{Line, ROOM};
use crate::failure::{Failure, code};

/// Bytes of a stream's answer that are printed as one; a longer answer comes in several lines.
const ANSWER: usize = 1 << 20;

/// After only sending, how long the other side has to take it in: closing at once could cost it the
/// end (a reset throws away what it has not read yet).
const LINGER: Duration = Duration::from_secs(1);

pub(super) fn run(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    line: &mut Line,
    message: &[u8],
) -> Result<(), Failure> {
    line.set_timeout(args.timeout);
    line.send_all(message).map_err(|error| broken("cannot send to", endpoint, error))?;
    if !args.no_shutdown || args.send_only {
        shut(line, endpoint)?;
    }
    if args.send_only {
        linger(line);
        return Ok(());
    }
    line.set_timeout(args.idle.unwrap_or(args.timeout));
    if line.keeps_boundaries() {
        records(args, endpoint, line)
    } else {
        stream(args, endpoint, line)
    }
}

/// Ends the sending side. That the other side has gone already is seen when receiving.
pub(super) fn shut(line: &Line, endpoint: &Endpoint) -> Result<(), Failure> {
    match line.shutdown_write() {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
            Err(broken("cannot end sending to", endpoint, error))
        }
        _ => Ok(()),
    }
}

/// Waits for the other side's end, for a while, and throws away what it sends.
pub(super) fn linger(line: &mut Line) {
    let deadline = Instant::now() + LINGER;
    let mut buf = vec![0; 16 * 1024];
    while line.has_end() {
        let left = deadline.saturating_duration_since(Instant::now());
        line.set_timeout(left);
        match line.recv(&mut buf) {
            Ok(Received { len: 1.., .. }) if !left.is_zero() => {}
            _ => return,
        }
    }
}

/// Receives once. `None`: nobody reads standard output any more.
fn receive(args: &ConnectArgs, line: &Line, buf: &mut [u8]) -> io::Result<Option<Received>> {
    match wait(line, args.idle.unwrap_or(args.timeout))? {
        Waited::Unread => Ok(None),
        Waited::TimedOut => Err(Errno::TIMEDOUT.into()),
        Waited::Ready => line.recv(buf).map(Some),
    }
}

/// A stream's answer is what comes until its end; or until it stops coming.
fn stream(args: &ConnectArgs, endpoint: &Endpoint, line: &Line) -> Result<(), Failure> {
    let mut answer = Vec::new();
    let mut buf = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let len = match receive(args, line, &mut buf) {
            Ok(Some(received)) => received.len,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && total > 0 => {
                let time = args.idle.unwrap_or(args.timeout);
                note(&format!(
                    "note: {endpoint} left the connection open; nothing came for {time:?}"
                ));
                0
            }
            Err(error) => {
                // What came before the error is not lost.
                show(args, &answer)?;
                return Err(broken("nothing more received from", endpoint, error));
            }
        };
        total += len;
        answer.extend(&buf[..len]);
        if len == 0 || args.raw || answer.len() >= ANSWER {
            let more = (answer.is_empty() && total > 0) || show(args, &answer)?;
            if len == 0 || !more {
                return Ok(());
            }
            answer.clear();
        }
    }
}

/// Records are printed one by one. Of a connection all until its end; of datagrams one, or with
/// `--idle` all until no more come.
fn records(args: &ConnectArgs, endpoint: &Endpoint, line: &Line) -> Result<(), Failure> {
    let mut buf = vec![0; ROOM];
    let mut count = 0;
    loop {
        let received = match receive(args, line, &mut buf) {
            Ok(Some(received)) => received,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && count > 0 => return Ok(()),
            Err(error) => {
                return Err(broken("nothing received from", endpoint, error));
            }
        };
        if line.has_end() && received.len == 0 {
            return Ok(());
        }
        warn_if_cut(received);
        count += 1;
        let more = show(args, line.payload(&buf[..received.len]))?;
        if !more || !(line.has_end() || args.idle.is_some()) {
            return Ok(());
        }
    }
}

/// Says that the end of a datagram was lost.
pub(super) fn warn_if_cut(received: Received) {
    if received.is_truncated() {
        note(&format!(
            "warning: a datagram of {} bytes was cut to {}",
            received.full, received.len
        ));
    }
}

fn show(args: &ConnectArgs, bytes: &[u8]) -> Result<bool, Failure> {
    if args.raw {
        return print(bytes);
    }
    print(format!("Received b\"{}\"\n", bytes.escape_ascii()).as_bytes())
}

/// What ends a conversation that `--idle` found silent.
pub(super) fn silent(endpoint: &Endpoint, idle: Duration) -> Failure {
    Failure::new(code::RUNTIME, format!("nothing sent or received for {idle:?} at {endpoint}"))
}
