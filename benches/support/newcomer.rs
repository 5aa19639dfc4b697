//! A client that comes once, with a fresh connection, and waits: how long until it is served?

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::response::complete;

/// How long a newcomer tries at the most.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);
/// How long it waits before it tries again, having been refused.
const PAUSE: Duration = Duration::from_millis(2);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Connects from `source` within `patience`, which also bounds each later read and write.
pub(crate) fn open(
    target: SocketAddr,
    source: Option<Ipv4Addr>,
    patience: Duration,
) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if let Some(source) = source {
        bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    let patience = Some(patience.max(Duration::from_millis(1)));
    // connect(2) heeds the time-out for sending: socket(7).
    set_socket_timeout(&socket, Timeout::Send, patience)?;
    set_socket_timeout(&socket, Timeout::Recv, patience)?;
    connect(&socket, &target)?;
    Ok(TcpStream::from(socket))
}

/// Asks once over a fresh connection: the status of the response.
pub(crate) fn ask(
    target: SocketAddr,
    source: Option<Ipv4Addr>,
    patience: Duration,
) -> io::Result<u16> {
    ask_for(REQUEST, target, source, patience)
}

/// The same with another request.
pub(crate) fn ask_for(
    request: &[u8],
    target: SocketAddr,
    source: Option<Ipv4Addr>,
    patience: Duration,
) -> io::Result<u16> {
    let end = Instant::now() + patience;
    let mut stream = open(target, source, patience)?;
    stream.write_all(request)?;
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(whole) = complete(&response) {
            return Ok(whole.status);
        }
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => response.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How long it takes from now until a newcomer from `source` has been served with 200. It asks
/// again soon after each refusal, and gives up after [`LONGEST`].
pub(crate) fn served_after(target: SocketAddr, source: Option<Ipv4Addr>) -> Duration {
    let start = Instant::now();
    loop {
        let left = LONGEST.saturating_sub(start.elapsed());
        if left.is_zero() || ask(target, source, left).is_ok_and(|status| status == 200) {
            return start.elapsed();
        }
        thread::sleep(PAUSE);
    }
}

/// The longest wait of newcomers that come one after the other for `time` from now on.
pub(crate) fn worst(target: SocketAddr, source: Option<Ipv4Addr>, time: Duration) -> Duration {
    let start = Instant::now();
    let mut worst = Duration::ZERO;
    while start.elapsed() < time {
        worst = worst.max(served_after(target, source));
        thread::sleep(Duration::from_millis(20));
    }
    worst
}
