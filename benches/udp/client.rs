//! The client: keeps a number of datagrams on their way, and counts what comes back.

use std::io::{ErrorKind, IoSlice};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use crate::server::Server;

/// A datagram that is not back by then is lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// What came of one load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Responses a second.
    pub(crate) rate: f64,
    /// CPU time of the server for each response, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) lost: u64,
}

/// Loads the server for `time`. Responses are counted by their bytes.
pub(crate) fn load(
    server: &Server,
    window: usize,
    length: usize,
    time: Duration,
) -> Result<Outcome, String> {
    let socket = &server.client;
    let fail = |error: std::io::Error| error.to_string();
    socket.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    let payload = vec![b'x'; length];
    let mut buf = vec![0; 65_536];
    let (mut sent, mut bytes, mut lost) = (0_u64, 0_u64, 0_u64);
    let (start, cpu) = (Instant::now(), server.cpu_us());
    while start.elapsed() < time {
        let away = sent - lost - bytes / length as u64;
        let room = window as u64 - away.min(window as u64);
        sent += send(socket, &payload, room as usize)?;
        match socket.recv(&mut buf) {
            Ok(count) => bytes += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                lost += sent - lost - bytes / length as u64;
            }
            Err(error) => return Err(fail(error)),
        }
        // What else has come is taken without waiting, so that the next call sends several.
        socket.set_nonblocking(true).map_err(fail)?;
        while let Ok(count) = socket.recv(&mut buf) {
            bytes += count as u64;
        }
        socket.set_nonblocking(false).map_err(fail)?;
    }
    let elapsed = start.elapsed();
    // The last ones are waited for, but do not count for the rate.
    let responses = bytes / length as u64;
    while bytes / (length as u64) < sent - lost {
        match socket.recv(&mut buf) {
            Ok(count) => bytes += count as u64,
            Err(_) => lost += sent - lost - bytes / length as u64,
        }
    }
    Ok(Outcome {
        rate: responses as f64 / elapsed.as_secs_f64(),
        cpu_us: (server.cpu_us() - cpu) as f64 / (bytes / length as u64).max(1) as f64,
        lost,
    })
}

/// Sends so many copies with one call, so that the client costs less than the servers.
fn send(socket: &UdpSocket, payload: &[u8], count: usize) -> Result<u64, String> {
    if count == 0 {
        return Ok(0);
    }
    let piece = [IoSlice::new(payload)];
    let mut none: Vec<_> = (0..count).map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> = none.iter_mut().map(|none| MMsgHdr::new(&piece, none)).collect();
    let sent = sendmmsg(socket, &mut messages, SendFlags::NOSIGNAL);
    sent.map(|sent| sent as u64).map_err(|errno| errno.to_string())
}
