//! Datagrams as a server moves them: without waiting, and the answers several at a time.
//!
//! One sendmmsg(2) for 32 answers costs 0.6 µs less for each than as many sendto(2), of 4 µs for
//! receiving and sending one over loopback. recvmmsg(2) would save 0.2 µs more, at the price of unsafe
//! code: it is not worth that.

use std::io::IoSlice;
use std::os::fd::AsFd;

use rustix::io::{Result, retry_on_intr};
use rustix::net::{
    MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, recvfrom, sendmmsg,
};

use super::Received;

/// Receives one datagram: recvfrom(2) with `MSG_DONTWAIT` and `MSG_TRUNC`. No sender means that it has
/// no name, so that it cannot be answered.
pub(crate) fn receive(
    socket: impl AsFd,
    buf: &mut [u8],
) -> Result<(Received, Option<SocketAddrAny>)> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let (_, full, from) = retry_on_intr(|| recvfrom(&socket, &mut *buf, flags))?;
    Ok((Received::new(buf.len(), full), from))
}

/// Sends datagrams, each to its address: sendmmsg(2) with `MSG_DONTWAIT` and `MSG_NOSIGNAL`. How many
/// were sent, from the first on; an error concerns the first alone.
pub(crate) fn send(socket: impl AsFd, datagrams: &[(&SocketAddrAny, &[u8])]) -> Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
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
