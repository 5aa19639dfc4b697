//! [`Echo`]: sends back what it receives (RFC 862).

use std::borrow::Cow;
use std::io;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::net::Addr;
use crate::pool::output::Sent;
use crate::pool::{
    Connection, DatagramHandler, Outcome, Phase, Protocol, ProtocolWorker, Segment, TurnContext,
};

/// The most bytes that are read at once. They are echoed before more are read.
const BUFFER_SIZE: usize = 16 * 1024;

/// Reads in one turn, after which other connections get their turn.
const READS_PER_TURN: usize = 64;

/// Ports whose services respond to any datagram: echo, daytime, quote of the day, chargen and time
/// (RFC 862 to 868). A datagram with a forged source address of such a service would be echoed back
/// and forth without end.
const RESPONDERS: [u16; 5] = [7, 13, 17, 19, 37];

/// The echo protocol (RFC 862). On a stream, every byte is sent back until the client closes. Each
/// datagram or record is sent back as one. Datagrams from the ports of echo, daytime, quote of the
/// day, chargen and time get no response.
///
/// A client that does not read the echo occupies no worker, and at most one buffer of memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Protocol for Echo {
    fn worker(&self) -> Box<dyn ProtocolWorker> {
        Box::new(EchoWorker { buffer: vec![0; BUFFER_SIZE].into() })
    }
}

impl DatagramHandler for Echo {
    fn handle<'a>(&self, datagram: &'a [u8], peer: &Addr) -> Option<Cow<'a, [u8]>> {
        let loops = peer.as_socket().is_some_and(|peer| RESPONDERS.contains(&peer.port()));
        (!loops).then_some(Cow::Borrowed(datagram))
    }
}

struct EchoWorker {
    buffer: Box<[u8]>,
}

impl ProtocolWorker for EchoWorker {
    fn serve(&mut self, mut connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        let mut counted = false;
        for _ in 0..READS_PER_TURN {
            match connection.output.send(&mut connection.wire, u64::MAX) {
                Ok(Sent::All) => {}
                Ok(_) => return Outcome::Park(connection, Phase::Write),
                Err(_) => return Outcome::Close(connection, CloseReason::ClientGone),
            }
            match connection.wire.try_read(&mut self.buffer) {
                Ok(0) => return Outcome::Close(connection, CloseReason::ClientClosed),
                Ok(count) => {
                    // Counted once a turn, and only in a turn that reads something: the client's
                    // timeouts start again with it.
                    if !std::mem::replace(&mut counted, true) {
                        turn.count_request();
                    }
                    let buffer = Bytes::copy_from_slice(&self.buffer[..count]);
                    connection.output.push(Segment::Bytes(buffer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Outcome::Park(connection, Phase::Idle);
                }
                Err(_) => return Outcome::Close(connection, CloseReason::ClientGone),
            }
        }
        Outcome::Requeue(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_respond_to_everything_get_no_response() {
        let echo = |peer: &str| Echo.handle(b"x", &Addr::Ip(peer.parse().unwrap())).is_some();
        for port in RESPONDERS {
            assert!(!echo(&format!("192.0.2.1:{port}")) && !echo(&format!("[2001:db8::1]:{port}")));
        }
        // A raw socket's peer has no port.
        assert!(echo("192.0.2.1:41312") && echo("192.0.2.1:0"));
        assert!(Echo.handle(b"x", &Addr::Unnamed).is_some());
    }
}
