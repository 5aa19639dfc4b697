//! [`Pinger`]: ICMP echo, with the privilege or without.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, SocketType};

use super::endpoint::unfit;
use super::icmp::{self, Message};
use super::raw::{self, Raw};
use super::{Endpoint, Ipv4Header};
use crate::error::{Error, ErrorKind};
use crate::net::attempt::{AttemptError, try_each};

/// Sends ICMP echo requests to one host and receives the replies, over `SOCK_RAW`; or, without
/// `CAP_NET_RAW`, over the ICMP datagram socket where `net.ipv4.ping_group_range` allows it
/// (icmp(7)).
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use millpond::net::{Endpoint, Pinger};
///
/// let mut pinger = Pinger::open(&"icmp:127.0.0.1".parse::<Endpoint>()?, None, None)?;
/// let reply = pinger.ping(1, b"hello", Duration::from_secs(1))?;
/// println!("{} bytes in {:?}", reply.bytes, reply.time);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pinger {
    /// Receives the replies, and sends unless `sender` does.
    socket: Raw,
    /// Sends requests whose IPv4 header is built here.
    sender: Option<(Raw, Ipv4Header)>,
    to: SocketAddr,
    /// Whether it is `SOCK_RAW`, which sees headers and everybody's replies.
    raw: bool,
    id: u16,
}

/// An echo reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Who sent it.
    pub from: IpAddr,
    /// Bytes of the ICMP message.
    pub bytes: usize,
    /// The time to live that was left of it; only IPv4 over a raw socket tells.
    pub ttl: Option<u8>,
    /// The time from sending to receiving.
    pub time: Duration,
}

impl Pinger {
    /// Opens the socket for an `icmp:` endpoint: socket(2), bind(2) to `from` if it is given. With
    /// `own_header` the program builds the IPv4 header itself (`IP_HDRINCL`), with that time to
    /// live; it works only over IPv4 and with the privilege.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] if neither kind of socket is allowed; [`ErrorKind::Endpoint`] if
    /// it is no `icmp:` endpoint, its host is unknown, or an IPv6 address has to have its header
    /// built; those of socket(2) and bind(2).
    pub fn open(
        endpoint: &Endpoint,
        from: Option<SocketAddr>,
        own_header: Option<u8>,
    ) -> Result<Self, Error> {
        if !matches!(endpoint, Endpoint::Icmp { .. }) {
            return Err(unfit(endpoint, "no host to ping", "echo requests go to icmp:HOST"));
        }
        let opened = try_each(endpoint, "ping", |addr, _| {
            let to = addr.as_socket().ok_or(io::ErrorKind::Unsupported)?;
            Self::open_addr(to, from, own_header)
        });
        opened.map_err(|error| match error.kind() {
            ErrorKind::Permission if own_header.is_some() => error.with_hint(raw::PRIVILEGE),
            ErrorKind::Permission => error.with_hint(format!(
                "{}, or widen net.ipv4.ping_group_range, which allows ICMP without it",
                raw::PRIVILEGE
            )),
            _ => error,
        })
    }

    fn open_addr(
        to: SocketAddr,
        from: Option<SocketAddr>,
        own_header: Option<u8>,
    ) -> Result<Self, AttemptError> {
        let v6 = to.is_ipv6();
        let protocol = Some(if v6 { net::ipproto::ICMPV6 } else { net::ipproto::ICMP });
        let (fd, raw) = match raw::open(v6, SocketType::RAW, protocol) {
            Ok(fd) => (fd, true),
            Err(Errno::PERM | Errno::ACCESS) if own_header.is_none() => {
                (raw::open(v6, SocketType::DGRAM, protocol)?, false)
            }
            Err(errno) => return Err(errno.into()),
        };
        if let Some(from) = from {
            net::bind(&fd, &from)?;
        }
        if !raw {
            // So that it is told when the host cannot be reached.
            net::connect(&fd, &to)?;
        }
        let sender = match (own_header, to.ip()) {
            (None, _) => None,
            (Some(ttl), IpAddr::V4(destination)) => {
                let source = match from.map(|from| from.ip()) {
                    Some(IpAddr::V4(source)) => source,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                let header = Ipv4Header { source, destination, protocol: 1, ttl };
                Some((Raw::with_own_header()?, header))
            }
            (Some(_), IpAddr::V6(_)) => {
                return Err(AttemptError {
                    reason: io::Error::new(
                        io::ErrorKind::Unsupported,
                        "only the header of IPv4 can be built",
                    ),
                    hint: Some("choose an IPv4 address, or let the kernel build it".to_owned()),
                });
            }
        };
        let id = std::process::id() as u16;
        Ok(Self { socket: Raw::from_socket(fd), sender, to, raw, id })
    }

    /// The address that is pinged.
    #[must_use]
    pub fn target(&self) -> IpAddr {
        self.to.ip()
    }

    /// Whether it is a raw socket, and not the ICMP datagram socket.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// Sends one echo request and waits for its reply: sendto(2), recvfrom(2). Replies to other
    /// requests are passed over.
    ///
    /// # Errors
    /// `TimedOut`; `HostUnreachable` if a router says so, and the like; those of the calls.
    pub fn ping(&mut self, seq: u16, payload: &[u8], timeout: Duration) -> io::Result<Reply> {
        let request = icmp::echo_request(self.to.is_ipv6(), self.id, seq, payload);
        let start = Instant::now();
        match &self.sender {
            Some((sender, header)) => {
                let mut packet = header.encode(request.len()).to_vec();
                packet.extend(&request);
                sender.send_to(&packet, self.to)?;
            }
            None if self.raw => self.socket.send_to(&request, self.to)?,
            None => self.socket.send(&request)?,
        }
        // The IPv4 header, its options and the ICMP header are before the payload.
        let mut buf = vec![0; payload.len() + 128];
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                let text = format!("no reply within {timeout:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.socket.set_timeout(Some(left));
            let (received, from) = match self.socket.recv_from(&mut buf) {
                // The loop knows how to say it.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                result => result?,
            };
            let from = from.as_socket().map_or(self.to.ip(), |addr| addr.ip());
            if let Some(reply) = self.judge(&buf[..received.len], seq, from, start)? {
                return Ok(reply);
            }
        }
    }

    /// Whether a packet answers the request.
    fn judge(
        &self,
        packet: &[u8],
        wanted: u16,
        from: IpAddr,
        start: Instant,
    ) -> io::Result<Option<Reply>> {
        let v6 = self.to.is_ipv6();
        let (ttl, message) = match Ipv4Header::decode(packet) {
            Some((header, message)) if self.raw && !v6 => (Some(header.ttl), message),
            _ => (None, packet),
        };
        // The datagram socket has an id of the kernel's choosing, and sees no other.
        let ours = |id| id == self.id || !self.raw;
        match icmp::decode(v6, message) {
            Some(Message::Reply { id, seq, .. }) if ours(id) && seq == wanted => {
                Ok(Some(Reply { from, bytes: message.len(), ttl, time: start.elapsed() }))
            }
            Some(Message::Undelivered { id, seq, kind, code }) if ours(id) && seq == wanted => {
                Err(match (kind, code) {
                    (11, _) => io::Error::new(
                        io::ErrorKind::HostUnreachable,
                        format!("{from} says that the time to live is used up"),
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

impl AsFd for Pinger {
    /// The socket that receives the replies.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
