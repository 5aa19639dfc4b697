//! Sends responses to datagrams, several in one system call.
//!
//! Most of the cost of a datagram is a fixed cost per call into the kernel's network layer. So
//! responses of one length to one peer are sent as one long datagram, which the kernel splits when
//! it arrives at the peer or leaves the machine (`UDP_SEGMENT`): the echo of 64 bytes over
//! loopback, 32 at a time, then takes 2.4 µs of CPU time instead of 4.5. For other responses
//! sendmmsg(2) saves calls. recvmmsg(2) would save another 0.2 µs and need unsafe code, which is
//! not worth it.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg, sendto};

/// The longest segment in bytes: the minimum MTU of IPv6 (RFC 8200 §5) less the headers, which
/// every path can carry unfragmented.
const SEGMENT_MAX: usize = 1232;

/// The most segments of one call (`UDP_MAX_SEGMENTS`, before Linux 6.9).
const SEGMENTS_MAX: usize = 64;

/// The shortest run of segments for which a call of sendmmsg(2) ends early, so that the run is sent
/// by a call of its own.
const RUN_MIN: usize = 4;

/// A datagram to send, and its destination.
pub(crate) type Outgoing<'a> = (&'a SocketAddrAny, &'a [u8]);

/// Whether a socket can send several datagrams as segments of a long one. Cleared when the kernel
/// reports that the network device cannot.
#[derive(Debug)]
pub(crate) struct Segments(AtomicBool);

impl Segments {
    /// Only UDP supports segments.
    pub(crate) fn new(is_udp: bool) -> Self {
        Self(AtomicBool::new(is_udp))
    }

    /// The number of datagrams, from the first on, that can be sent as segments of one.
    fn run_length(&self, datagrams: &[Outgoing<'_>]) -> usize {
        let Some((to, first)) = datagrams.first() else { return 0 };
        if !self.0.load(Ordering::Relaxed) || first.is_empty() || first.len() > SEGMENT_MAX {
            return 1;
        }
        let fits = |(other, bytes): &&Outgoing<'_>| other == to && bytes.len() == first.len();
        datagrams.iter().take(SEGMENTS_MAX).take_while(fits).count()
    }

    /// The number of datagrams before the next run that gets a call of its own.
    fn until_next_run(&self, datagrams: &[Outgoing<'_>]) -> usize {
        let starts_run = |index: &usize| self.run_length(&datagrams[*index..]) >= RUN_MIN;
        (1..datagrams.len()).find(starts_run).unwrap_or(datagrams.len())
    }
}

/// Sends datagrams, each to its address, without waiting. Returns how many were sent, from the
/// first on, which may be less than all. An error concerns only the first datagram.
pub(crate) fn send(
    socket: impl AsFd,
    segments: &Segments,
    datagrams: &[Outgoing<'_>],
) -> Result<usize> {
    let run = segments.run_length(datagrams);
    if run > 1 {
        match send_segments(&socket, &datagrams[..run]) {
            Ok(()) => return Ok(run),
            // The network device does not support segments.
            Err(Errno::IO) => segments.0.store(false, Ordering::Relaxed),
            // The error may concern one datagram only: sending each by itself shows which.
            Err(_) => {}
        }
        return send_each(socket, datagrams);
    }
    send_each(socket, &datagrams[..segments.until_next_run(datagrams)])
}

/// sendmsg(2) with `UDP_SEGMENT` (udp(7)), which sends all datagrams or none.
fn send_segments(socket: impl AsFd, datagrams: &[Outgoing<'_>]) -> Result<()> {
    let (to, first) = datagrams[0];
    let to = SocketAddr::try_from(to.clone())?;
    let to = SockaddrStorage::from(to);
    let length = first.len() as u16;
    let pieces: Vec<_> = datagrams.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
    let segments = [ControlMessage::UdpGsoSegments(&length)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    retry_on_intr(|| {
        let fd = socket.as_fd().as_raw_fd();
        let sent = sendmsg(fd, &pieces, &segments, flags, Some(&to));
        sent.map(drop).map_err(|errno| Errno::from_raw_os_error(errno as i32))
    })
}

/// sendto(2) for one datagram, sendmmsg(2) for several, with `MSG_DONTWAIT` and `MSG_NOSIGNAL`.
fn send_each(socket: impl AsFd, datagrams: &[Outgoing<'_>]) -> Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    if let [(to, bytes)] = datagrams {
        return retry_on_intr(|| sendto(&socket, bytes, flags, *to)).map(|_| 1);
    }
    let pieces: Vec<_> = datagrams.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
    let mut none: Vec<_> = datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> = datagrams
        .iter()
        .zip(&pieces)
        .zip(&mut none)
        .map(|(((to, _), piece), none)| MMsgHdr::new_with_addr(to, piece, none))
        .collect();
    retry_on_intr(|| sendmmsg(&socket, &mut messages, flags))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    #[test]
    fn datagrams_keep_their_order_and_boundaries_with_and_without_segments() {
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let [server, one, two] = &sockets[..] else { unreachable!() };
        let names = [one, two].map(|client| SocketAddrAny::from(client.local_addr().unwrap()));
        // Runs of one length, single datagrams, an empty one and one too long for a segment.
        let lengths = [5, 5, 5, 5, 5, 3, 0, 7, 7, 2000, 9, 9, 9, 9];
        let expected: Vec<(usize, Vec<u8>)> = (0..28)
            .map(|index: usize| (index / 7 % 2, vec![index as u8; lengths[index % 14]]))
            .collect();
        let messages: Vec<Outgoing<'_>> =
            expected.iter().map(|(client, bytes)| (&names[*client], &bytes[..])).collect();
        for is_udp in [true, false] {
            let segments = Segments::new(is_udp);
            let mut sent = 0;
            while sent < messages.len() {
                sent += send(server, &segments, &messages[sent..]).unwrap();
            }
            for (client, bytes) in &expected {
                let client = &sockets[1 + client];
                client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut buf = [0; 4096];
                let length = client.recv(&mut buf).unwrap();
                assert_eq!(&buf[..length], bytes);
            }
        }
    }
}
