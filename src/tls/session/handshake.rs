//! The handshake of a [`Session`].

use rustls::HandshakeKind;

use super::{Session, SessionFault, SessionState};
use crate::tls::info::TlsInfo;

/// The most bytes of a handshake. Without client certificates it has about 600; a chain of large
/// certificates has 10,000.
const HANDSHAKE_MAX: u32 = 64 * 1024;

/// The result of a step of the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// It goes on when the socket has more input, or room for output.
    Pending,
    /// It is complete.
    Done,
    /// The first bytes are these, and not those of a TLS record.
    Cleartext(Vec<u8>),
    /// The client closed the connection.
    Closed,
    /// It has failed: why.
    Failed(String),
}

impl Session {
    /// Whether the server has yet to do the expensive part of the handshake, and may refuse it.
    pub(crate) fn awaits_hello(&self) -> bool {
        let SessionState::Open(connection) = &self.state else { return true };
        match connection.handshake_kind() {
            None => true,
            // The client was asked for another key: only its second message costs time.
            Some(HandshakeKind::FullWithHelloRetryRequest) => self.flights < 2,
            Some(_) => false,
        }
    }

    /// Takes a step of the handshake: reads what has arrived, and sends what is to be sent.
    pub(crate) fn handshake_step(&mut self) -> Handshake {
        loop {
            if self.flush().is_err() {
                return Handshake::Closed;
            }
            if let SessionState::Open(connection) = &self.state
                && !self.failed // by what came in one read with the last message
                && !connection.is_handshaking()
            {
                self.info = Some(TlsInfo::shared(connection));
                self.bytes_without_data = 0;
                return Handshake::Done;
            }
            match self.receive() {
                Ok(0) => return Handshake::Closed,
                Ok(count) => self.bytes_without_data += count as u32,
                Err(SessionFault::Blocked) => return Handshake::Pending,
                Err(SessionFault::Socket(_)) => return Handshake::Closed,
                Err(SessionFault::Cleartext(bytes)) => return Handshake::Cleartext(bytes),
                Err(SessionFault::Tls(why)) => return Handshake::Failed(why),
            }
            if self.bytes_without_data > HANDSHAKE_MAX {
                self.failed = true;
                return Handshake::Failed(format!("it has more than {HANDSHAKE_MAX} bytes"));
            }
            if let SessionState::Open(connection) = &self.state
                && connection.wants_write()
            {
                self.flights = self.flights.saturating_add(1);
            }
        }
    }
}
