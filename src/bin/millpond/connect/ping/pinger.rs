//! [`Pinger`]: sends ICMP echo requests to one host and receives the replies.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use millpond::net::{Addr, Datagram, Endpoint, Family, Host, Ipv4Header, Raw, Received};
use millpond::{Error, ErrorKind};
use rustix::io::Errno;

use super::icmp::{self, EchoResult};
use crate::failure::one_line;

/// The number of the protocol in an IPv4 header.
const ICMP: u8 = 1;

/// The sockets that exchange ICMP echo messages with one host.
#[derive(Debug)]
pub(super) struct Pinger {
    socket: Socket,
    target: SocketAddr,
    id: u16,
}

#[derive(Debug)]
enum Socket {
    /// `SOCK_RAW`, which receives all ICMP messages for this machine, over IPv4 with their headers.
    Raw { socket: Raw, header: Option<OwnHeader> },
    /// The ICMP datagram socket (icmp(7)). The kernel chooses the id of its requests, and it
    /// receives only replies to them.
    Datagram(Datagram),
}

/// Sends requests with an IPv4 header that this program builds (`IP_HDRINCL`).
#[derive(Debug)]
struct OwnHeader {
    sender: Raw,
    header: Ipv4Header,
}

/// An echo reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The host that sent it.
    pub(super) from: IpAddr,
    /// The length of the ICMP message in bytes.
    pub(super) bytes: usize,
    /// The time to live of the received packet. Only known over IPv4 and a raw socket.
    pub(super) ttl: Option<u8>,
    /// The time from sending the request to receiving the reply.
    pub(super) time: Duration,
}

impl Pinger {
    /// Opens a socket to the first address of an `icmp:` endpoint for which that works: a raw
    /// socket, or without `CAP_NET_RAW` the ICMP datagram socket where `net.ipv4.ping_group_range`
    /// allows it. `own_header` is the time to live of an IPv4 header that this program builds,
    /// which needs a raw socket.
    pub(super) fn open(
        endpoint: &Endpoint,
        from: Option<SocketAddr>,
        own_header: Option<u8>,
    ) -> Result<Self, Error> {
        let mut failed =
            Error::new(ErrorKind::Endpoint, format!("the host of {endpoint} has no address"));
        for target in endpoint.resolve()?.iter().filter_map(Addr::as_socket) {
            match Self::open_address(endpoint, target, from, own_header) {
                Ok(pinger) => return Ok(pinger),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn open_address(
        endpoint: &Endpoint,
        target: SocketAddr,
        from: Option<SocketAddr>,
        own_header: Option<u8>,
    ) -> Result<Self, Error> {
        let failed = |cause: Error| cannot_ping(endpoint, target, &cause);
        let header = match (own_header, target.ip()) {
            (None, _) => None,
            (Some(ttl), IpAddr::V4(destination)) => Some(OwnHeader::open(destination, from, ttl)),
            (Some(_), IpAddr::V6(_)) => {
                let what = format!("cannot ping {endpoint} with --own-header");
                return Err(Error::new(ErrorKind::Endpoint, what)
                    .with_source(io::Error::new(
                        io::ErrorKind::Unsupported,
                        "only an IPv4 header can be built",
                    ))
                    .with_hint("use an IPv4 address, or omit --own-header"));
            }
        };
        let socket = match raw(target, from) {
            Ok(socket) => Socket::Raw { socket, header: header.transpose().map_err(&failed)? },
            Err(error) if error.kind() == ErrorKind::Permission && header.is_none() => {
                let hint = error.hint().unwrap_or_default();
                let hint = format!(
                    "{hint}, or widen net.ipv4.ping_group_range, which allows ICMP without it"
                );
                Socket::Datagram(datagram(target, from).map_err(|error| match error.kind() {
                    ErrorKind::Permission => failed(error.with_hint(hint)),
                    _ => failed(error),
                })?)
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { socket, target, id: std::process::id() as u16 })
    }

    /// The address to which the requests go.
    pub(super) fn target(&self) -> IpAddr {
        self.target.ip()
    }

    /// Whether the socket is a raw one, and not the ICMP datagram socket.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self.socket, Socket::Raw { .. })
    }

    /// Sends one echo request and waits for its reply; replies to other requests are ignored. An
    /// error is `TimedOut`, `HostUnreachable` and the like if a router reports that, or that of the
    /// system call.
    pub(super) fn ping(
        &mut self,
        seq: u16,
        payload: &[u8],
        timeout: Duration,
    ) -> io::Result<Reply> {
        let start = Instant::now();
        self.send(&icmp::echo_request(self.target.is_ipv6(), self.id, seq, payload))?;
        // The IPv4 header with its options and the ICMP header come before the payload.
        let mut buf = vec![0; payload.len() + 128];
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                let text = format!("no reply within {timeout:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            let (received, from) = match self.receive(&mut buf, left) {
                // The next turn of the loop reports it with the whole timeout.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                result => result?,
            };
            let from = from.as_socket().map_or(self.target.ip(), |addr| addr.ip());
            if let Some((bytes, ttl)) = self.find_reply(&buf[..received.len], seq, from)? {
                return Ok(Reply { from, bytes, ttl, time: start.elapsed() });
            }
        }
    }

    fn send(&self, request: &[u8]) -> io::Result<()> {
        match &self.socket {
            Socket::Raw { header: Some(OwnHeader { sender, header }), .. } => {
                let mut packet = header.encode(request.len()).to_vec();
                packet.extend(request);
                sender.send_to(&packet, self.target)
            }
            Socket::Raw { socket, header: None } => socket.send_to(request, self.target),
            Socket::Datagram(socket) => socket.send(request),
        }
    }

    fn receive(&mut self, buf: &mut [u8], timeout: Duration) -> io::Result<(Received, Addr)> {
        match &mut self.socket {
            Socket::Raw { socket, .. } => {
                socket.set_timeout(Some(timeout));
                socket.recv_from(buf)
            }
            Socket::Datagram(socket) => {
                socket.set_timeout(Some(timeout));
                socket.recv_from(buf)
            }
        }
    }

    /// The length and the time to live of the reply to request `seq`; `None` if the packet is
    /// something else. An error if the packet reports that the request was not delivered.
    fn find_reply(
        &self,
        packet: &[u8],
        seq: u16,
        from: IpAddr,
    ) -> io::Result<Option<(usize, Option<u8>)>> {
        let v6 = self.target.is_ipv6();
        let (ttl, message) = match Ipv4Header::decode(packet) {
            Some((header, message)) if self.is_raw() && !v6 => (Some(header.ttl), message),
            _ => (None, packet),
        };
        let is_own = |id, number| (id == self.id || !self.is_raw()) && number == seq;
        match icmp::decode(v6, message) {
            Some(EchoResult::Reply { id, seq, .. }) if is_own(id, seq) => {
                Ok(Some((message.len(), ttl)))
            }
            Some(EchoResult::Undelivered { id, seq, kind, code }) if is_own(id, seq) => {
                Err(match (kind, code) {
                    (11, _) => io::Error::new(
                        io::ErrorKind::HostUnreachable,
                        format!("{from} reports that the time to live was exceeded"),
                    ),
                    (_, 0) => Errno::NETUNREACH.into(),
                    (_, 9 | 10 | 13) => Errno::ACCESS.into(),
                    _ => Errno::HOSTUNREACH.into(),
                })
            }
            _ => Ok(None),
        }
    }
}

/// A raw ICMP socket that is bound to `from` but not connected: reports that a request was not
/// delivered come from routers.
fn raw(target: SocketAddr, from: Option<SocketAddr>) -> Result<Raw, Error> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    Raw::bind(&icmp_endpoint(from.unwrap_or(any)))
}

/// An ICMP datagram socket that is connected, so that its calls fail when the host is unreachable.
fn datagram(target: SocketAddr, from: Option<SocketAddr>) -> Result<Datagram, Error> {
    Datagram::connect(&icmp_endpoint(target), from.map(Addr::Ip).as_ref())
}

fn icmp_endpoint(addr: SocketAddr) -> Endpoint {
    let family = if addr.is_ipv4() { Family::V4 } else { Family::V6 };
    Endpoint::Icmp { family, host: addr.into() }
}

/// The reason why a call on a socket failed, as an error that names the endpoint.
fn cannot_ping(endpoint: &Endpoint, target: SocketAddr, cause: &Error) -> Error {
    let what = match endpoint {
        Endpoint::Icmp { host: Host::Name(_), .. } => {
            format!("cannot ping {endpoint} at {}", target.ip())
        }
        _ => format!("cannot ping {endpoint}"),
    };
    let error = match cause.io().and_then(Errno::from_io_error) {
        Some(reason) => Error::new(ErrorKind::Connect, what).with_source(reason.into()),
        None => Error::new(ErrorKind::Connect, format!("{what}: {}", one_line(cause))),
    };
    match cause.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

impl OwnHeader {
    fn open(destination: Ipv4Addr, from: Option<SocketAddr>, ttl: u8) -> Result<Self, Error> {
        let source = match from.map(|from| from.ip()) {
            Some(IpAddr::V4(source)) => source,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let header = Ipv4Header { source, destination, protocol: ICMP, ttl };
        let sender = Raw::with_own_header().map_err(|error| {
            Error::new(ErrorKind::System, "cannot open a raw socket").with_source(error)
        })?;
        Ok(Self { sender, header })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// `None`, after a line on standard error, if the test lacks the privilege. The error then has
    /// to name it.
    fn open(text: &str, own_header: Option<u8>) -> Option<Pinger> {
        match Pinger::open(&text.parse().unwrap(), None, own_header) {
            Ok(pinger) => Some(pinger),
            Err(error) if error.kind() == ErrorKind::Permission => {
                assert!(error.hint().unwrap().contains("CAP_NET_RAW"), "{error}");
                let _ = writeln!(io::stderr(), "skipped: {error:#}");
                None
            }
            Err(error) => panic!("{error:#}"),
        }
    }

    fn ping(text: &str, own_header: Option<u8>) {
        let Some(mut pinger) = open(text, own_header) else { return };
        for seq in 1..=3 {
            let reply = pinger.ping(seq, b"0123456789", LONG).unwrap();
            assert_eq!(reply.from, pinger.target());
            assert_eq!(reply.bytes, 18, "eight bytes of header before the payload");
            assert!(reply.time < LONG);
            assert_eq!(reply.ttl.is_some(), pinger.is_raw() && reply.from.is_ipv4());
        }
    }

    #[test]
    fn a_host_replies_over_both_versions_of_ip() {
        ping("icmp:127.0.0.1", None);
        ping("icmp:::1", None);
        ping("icmp:localhost", None);
    }

    #[test]
    fn a_host_replies_to_a_request_with_its_own_header() {
        ping("icmp:127.0.0.1", Some(7));
        let error = Pinger::open(&"icmp:::1".parse().unwrap(), None, Some(7)).unwrap_err();
        assert!(format!("{error:#}").contains("only an IPv4 header"), "{error:#}");
    }

    #[test]
    fn waiting_for_a_reply_ends_with_the_timeout() {
        let Some(mut pinger) = open("icmp:127.0.0.1", None) else { return };
        // Loopback takes longer than that.
        let error = pinger.ping(1, b"", Duration::from_nanos(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "no reply within 1ns");
        pinger.ping(2, b"", LONG).unwrap();
    }
}
