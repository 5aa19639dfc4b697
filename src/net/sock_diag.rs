//! The accept queues of listening sockets, as the kernel counts them: sock_diag(7).
//!
//! One request for each family of addresses, with the bit of the state LISTEN, makes the kernel
//! send a message for each listening socket of the network namespace. For such a socket `rqueue` is
//! the number of connections that wait for accept(2), and `wqueue` the limit that listen(2) set.
//! Connections that are not listening are not walked, so that the cost does not depend on them.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// The type of the request, and of the messages in its response (linux/sock_diag.h).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The types of the messages that end a response (linux/netlink.h).
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
/// The flags of the request.
const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
/// The bit of the state LISTEN, in which a Unix socket has the number that TCP has (tcp_states.h).
const LISTEN: u32 = 1 << 10;
const IPPROTO_TCP: u8 = libc::IPPROTO_TCP as u8;
/// A message has this header: its length, type, flags, number and port, in 16 bytes.
const HEADER: usize = 16;
/// The lengths of `inet_diag_msg` and `unix_diag_msg`.
const INET_MESSAGE: usize = 72;
const UNIX_MESSAGE: usize = 16;
/// The attribute with the length and the limit of a Unix socket's queue, and the bit that requests
/// it (linux/unix_diag.h).
const UNIX_DIAG_RQLEN: u16 = 4;
const UDIAG_SHOW_RQLEN: u32 = 1 << 4;
/// At most so many buffers are read of one response: about 25,000 sockets.
const BUFFERS_MAX: usize = 100;

/// The family of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiagFamily {
    Inet = 2,
    Inet6 = 10,
    Unix = 1,
}

/// A listening socket as the kernel identifies it. The kernel reports the lowest 32 bits of the
/// inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiagId {
    pub(crate) family: DiagFamily,
    pub(crate) inode: u32,
}

/// The accept queue of a socket: how many connections are in it, and may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiagQueue {
    pub(crate) inode: u32,
    pub(crate) length: u32,
    pub(crate) limit: u32,
}

/// The accept queues of these sockets, as far as the kernel knows them.
///
/// # Errors
/// Those of socket(2) for `AF_NETLINK`, which a sandbox may deny, and those of the kernel's
/// response.
pub(crate) fn accept_queues(sockets: &[DiagId]) -> io::Result<Vec<DiagQueue>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    let mut queues = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    for family in [DiagFamily::Inet, DiagFamily::Inet6, DiagFamily::Unix] {
        let is_wanted =
            |queue: &DiagQueue| sockets.contains(&DiagId { family, inode: queue.inode });
        if !sockets.iter().any(|socket| socket.family == family) {
            continue;
        }
        send(&socket, &request(family), SendFlags::empty())?;
        for _ in 0..BUFFERS_MAX {
            // The kernel makes the messages while it is asked for them: this never waits.
            let (count, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
            let found = |queue: DiagQueue| queues.extend(Some(queue).filter(is_wanted));
            if parse(&buffer[..count], family, found)?.is_break() {
                break;
            }
        }
    }
    Ok(queues)
}

/// The request for all listening sockets of a family.
fn request(family: DiagFamily) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    let mut put = |part: &[u8]| bytes.extend_from_slice(part);
    match family {
        // inet_diag_req_v2: the family, the protocol, no extensions, the states, no addresses.
        DiagFamily::Inet | DiagFamily::Inet6 => {
            put(&[family as u8, IPPROTO_TCP, 0, 0]);
            put(&LISTEN.to_ne_bytes());
            put(&[0; 48]);
        }
        // unix_diag_req: the family, the states, any inode, what to show, and no cookie.
        DiagFamily::Unix => {
            put(&[family as u8, 0, 0, 0]);
            put(&LISTEN.to_ne_bytes());
            put(&0_u32.to_ne_bytes());
            put(&UDIAG_SHOW_RQLEN.to_ne_bytes());
            put(&[0xff; 8]);
        }
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    bytes
}

/// Calls `found` for each socket in a part of a response. `Break`: the response is complete.
///
/// # Errors
/// The error that the kernel reports, or `InvalidData` for a message that is cut short.
fn parse(
    mut bytes: &[u8],
    family: DiagFamily,
    mut found: impl FnMut(DiagQueue),
) -> io::Result<ControlFlow<()>> {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0)? as usize;
        let message = bytes.get(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
        match u16_at(bytes, 4)? {
            NLMSG_DONE => return Ok(Break(())),
            NLMSG_ERROR => {
                let errno = (u32_at(message, 0)? as i32).wrapping_neg();
                return Err(io::Error::from_raw_os_error(errno));
            }
            SOCK_DIAG_BY_FAMILY => match family {
                DiagFamily::Unix => unix(message)?.into_iter().for_each(&mut found),
                DiagFamily::Inet | DiagFamily::Inet6 => found(inet(message)?),
            },
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Continue(()))
}

fn inet(message: &[u8]) -> io::Result<DiagQueue> {
    let message = message.get(..INET_MESSAGE).ok_or(io::ErrorKind::InvalidData)?;
    let [length, limit, inode] = [56, 60, 68].map(|at| u32_at(message, at));
    Ok(DiagQueue { inode: inode?, length: length?, limit: limit? })
}

/// `None`: the message does not have the attribute.
fn unix(message: &[u8]) -> io::Result<Option<DiagQueue>> {
    let inode = u32_at(message, 4)?;
    let mut attributes = message.get(UNIX_MESSAGE..).ok_or(io::ErrorKind::InvalidData)?;
    while !attributes.is_empty() {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length).ok_or(io::ErrorKind::InvalidData)?;
        if u16_at(attributes, 2)? == UNIX_DIAG_RQLEN {
            let (length, limit) = (u32_at(value, 0)?, u32_at(value, 4)?);
            return Ok(Some(DiagQueue { inode, length, limit }));
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let found = bytes.get(at..at + 2).and_then(|part| part.try_into().ok());
    found.map(u16::from_ne_bytes).ok_or(io::ErrorKind::InvalidData.into())
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let found = bytes.get(at..at + 4).and_then(|part| part.try_into().ok());
    found.map(u32::from_ne_bytes).ok_or(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use proptest::prelude::*;

    use super::*;
    use crate::net::{Endpoint, Listener};

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter_map(|byte| char::from(byte).to_digit(16))
            .map(|x| x as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn parsed(bytes: &[u8], family: DiagFamily) -> io::Result<(Vec<DiagQueue>, bool)> {
        let mut queues = Vec::new();
        let end = parse(bytes, family, |queue| queues.push(queue))?;
        Ok((queues, end.is_break()))
    }

    /// What Linux 6.18 sent for a listener at 127.0.0.1 with a backlog of 77 and one connection.
    #[cfg(target_endian = "little")]
    const TCP: &str = "
        7c000000 1400 0200 02000000 be4d0000
        02 0a 00 00  89b5 0000 7f000001 000000000000000000000000
        00000000 000000000000000000000000 00000000 0110000000000000
        00000000 01000000 4d000000 00000000 1bd10901
        0500 0800 00000000 0800 0f00 00000000
        0c00 1500 0100000000000000 0600 1600 5200 0000";

    /// What it sent for a Unix socket with a backlog of 5.
    #[cfg(target_endian = "little")]
    const UNIX: &str = "
        34000000 1400 0200 01000000 be4d0000
        01 01 0a 00 bdaf0901 0210000000000000
        0c00 0400 00000000 05000000
        0500 0600 00 000000";

    #[test]
    #[cfg(target_endian = "little")]
    fn recorded_messages_are_parsed() {
        let queue = DiagQueue { inode: 0x0109_d11b, length: 1, limit: 77 };
        assert_eq!(parsed(&hex(TCP), DiagFamily::Inet).unwrap(), (vec![queue], false));
        let queue = DiagQueue { inode: 0x0109_afbd, length: 0, limit: 5 };
        assert_eq!(parsed(&hex(UNIX), DiagFamily::Unix).unwrap(), (vec![queue], false));
        let done = "14000000 0300 0200 02000000 be4d0000 00000000";
        let both = [hex(UNIX), hex(done)].concat();
        assert_eq!(parsed(&both, DiagFamily::Unix).unwrap(), (vec![queue], true));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_request_has_the_layout_of_the_kernel() {
        let inet = hex("48000000 1400 0103 00000000 00000000 0206 0000 00040000");
        assert_eq!(request(DiagFamily::Inet), [inet, vec![0; 48]].concat());
        let unix = "28000000 1400 0103 00000000 00000000 0100 0000 00040000 00000000 10000000";
        assert_eq!(request(DiagFamily::Unix), [hex(unix), vec![0xff; 8]].concat());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_error_of_the_kernel_is_returned() {
        let error = hex("24000000 0200 0000 00000000 00000000 ffffffff 000000000000000000000000");
        let error = [error, vec![0; 4]].concat();
        let error = parsed(&error, DiagFamily::Inet).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for family in [DiagFamily::Inet, DiagFamily::Unix] {
                let _ = parsed(&bytes, family);
            }
        }

        #[test]
        #[cfg(target_endian = "little")]
        fn a_changed_message_does_not_make_it_panic(at in 0_usize..124, byte in any::<u8>()) {
            for (text, family) in [(TCP, DiagFamily::Inet), (UNIX, DiagFamily::Unix)] {
                let mut bytes = hex(text);
                let at = at % bytes.len();
                bytes[at] = byte;
                let _ = parsed(&bytes, family);
                let _ = parsed(&bytes[..at], family);
            }
        }
    }

    #[test]
    fn the_queue_of_a_listener_is_found() {
        let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&endpoint, 5).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let _waiting = [TcpStream::connect(addr).unwrap(), TcpStream::connect(addr).unwrap()];
        let id = listener.diag_id().unwrap();
        match accept_queues(&[id]) {
            Ok(queues) => {
                let expected = DiagQueue { inode: id.inode, length: 2, limit: 5 };
                assert_eq!(queues, [expected]);
            }
            Err(error) => println!("skipped: {error}"),
        }
    }
}
