//! A client that sends raw bytes and reads responses strictly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use super::PATIENCE;
use super::response::{self, Response};

/// Connects, with timeouts that turn a hang into a failure.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    with_timeouts(TcpStream::connect(addr).unwrap())
}

/// As [`connect`], from this IPv4 address.
pub(crate) fn connect_from(source: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = socket_at(source);
    rustix::net::connect(&socket, &addr).unwrap();
    with_timeouts(TcpStream::from(socket))
}

/// A socket that is bound to this IPv4 address and not yet connected.
pub(crate) fn socket_at(source: [u8; 4]) -> OwnedFd {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (inet, stream) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM);
    let socket = rustix::net::socket_with(inet, stream, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    socket
}

fn with_timeouts(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request on a connection of its own: the response, which the end of the connection
/// follows.
#[track_caller]
pub(crate) fn exchange(addr: SocketAddr, request: &[u8]) -> Response {
    let mut stream = connect(addr);
    stream.write_all(request).unwrap();
    match request.starts_with(b"HEAD ") {
        true => read_last_head(&mut stream),
        false => read_last_response(&mut stream),
    }
}

/// Reads one response to a request that was neither HEAD nor CONNECT, and no byte more.
#[track_caller]
pub(crate) fn read_response(stream: &mut impl Read) -> Response {
    response::read(stream, false).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads one response to a HEAD or CONNECT request, and no byte more.
#[track_caller]
pub(crate) fn read_head(stream: &mut impl Read) -> Response {
    response::read(stream, true).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads one response and the end of the connection, with nothing between them.
#[track_caller]
pub(crate) fn read_last_response(stream: &mut impl Read) -> Response {
    ended(stream, read_response)
}

/// As [`read_last_response`], after a HEAD or CONNECT request.
#[track_caller]
pub(crate) fn read_last_head(stream: &mut impl Read) -> Response {
    ended(stream, read_head)
}

#[track_caller]
fn ended<S: Read>(stream: &mut S, read: impl FnOnce(&mut S) -> Response) -> Response {
    let response = read(stream);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{} follows {response:?}", rest.escape_ascii());
    response
}

/// Reads responses until the connection closes, interim ones (1xx) too.
#[track_caller]
pub(crate) fn read_responses(stream: &mut impl Read) -> Vec<Response> {
    response::read_all(stream).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn statuses(responses: &[Response]) -> Vec<u16> {
    responses.iter().map(|response| response.status).collect()
}

/// Reads text of any protocol until the connection closes.
#[track_caller]
pub(crate) fn read_to_end(stream: &mut impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
