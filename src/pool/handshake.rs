//! TLS handshakes on workers.

use std::sync::Arc;
use std::time::Instant;

use crate::close::CloseReason;
use crate::pool::connection::{Cleartext, Connection, Phase};
use crate::pool::shared::Shared;
use crate::pool::wire::Wire;
use crate::tls::session::Handshake;

impl Shared {
    /// Takes a step of a connection's handshake. Returns the connection once requests may follow.
    /// `None`: it is parked until its client goes on, or closed.
    pub(super) fn shake_hands(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        now: Instant,
    ) -> Option<Box<Connection>> {
        loop {
            let Wire::Tls(session) = &mut connection.wire else { return Some(connection) };
            match session.shake() {
                Handshake::Pending => {
                    connection.unread = false;
                    connection = self.park(connection, Phase::Handshake, now)?;
                }
                Handshake::Done => {
                    connection.enter(Phase::Head, Instant::now());
                    return Some(connection);
                }
                Handshake::Cleartext(input) => {
                    let redirects = session.redirects();
                    let mut connection = connection.without_tls();
                    connection.input = input;
                    connection.cleartext =
                        Some(if redirects { Cleartext::Redirect } else { Cleartext::Reject });
                    connection.enter(Phase::Head, Instant::now());
                    return Some(connection);
                }
                Handshake::Closed => {
                    let reason = match connection.wire.is_silent() {
                        true => CloseReason::ClientClosed,
                        false => CloseReason::ClientGone,
                    };
                    self.close(connection, reason);
                    return None;
                }
                Handshake::Failed(why) => {
                    self.note_failed_handshake(&connection, &why);
                    self.close(connection, CloseReason::TlsFailed);
                    return None;
                }
            }
        }
    }

    #[cold]
    fn note_failed_handshake(&self, connection: &Connection, why: &str) {
        self.handshake_log.info(Instant::now(), || {
            format!("{}: the TLS handshake failed: {why}", connection.peer)
        });
    }
}
