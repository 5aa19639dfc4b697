//! TLS handshakes on workers.

use std::sync::Arc;
use std::time::Instant;

use crate::close::CloseReason;
use crate::pool::connection::{Cleartext, Connection, Phase};
use crate::pool::shared::Shared;
use crate::pool::stats::handshakes::HandshakeCounters;
use crate::pool::wire::Wire;
use crate::tls::session::Handshake;

impl Shared {
    /// Takes a step of a connection's handshake. Returns the connection once requests may follow.
    /// `None`: it is parked until its client goes on, or closed.
    ///
    /// The time is counted as that of handshakes only. What the handlers' estimates learned from it
    /// would be wrong: the next request on the connection takes no handshake.
    pub(super) fn continue_handshake(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        now: Instant,
    ) -> Option<Box<Connection>> {
        let counters = &self.counters.handshakes;
        let mut began = now;
        loop {
            let awaited_hello = connection.wire.awaits_hello();
            let Wire::Tls(session) = &mut connection.wire else { return Some(connection) };
            let step = session.handshake_step();
            let ended = Instant::now();
            let lasted = ended.saturating_duration_since(began);
            began = ended;
            counters.add_time(lasted);
            if awaited_hello && !session.awaits_hello() {
                self.queue.controller.note_handshake(lasted);
            }
            match step {
                Handshake::Pending => {
                    // It has read until nothing was left.
                    connection.unread = false;
                    connection = self.park(connection, Phase::Handshake, ended)?;
                }
                Handshake::Done => {
                    let resumed = session.info().is_some_and(|info| info.is_resumed());
                    HandshakeCounters::count(match resumed {
                        true => &counters.resumed,
                        false => &counters.full,
                    });
                    connection.enter(Phase::Head, ended);
                    return Some(connection);
                }
                Handshake::Cleartext(input) => {
                    HandshakeCounters::count(&counters.cleartext);
                    let cleartext = match session.redirects() {
                        true => Cleartext::Redirect,
                        false => Cleartext::Reject,
                    };
                    let mut connection = connection.without_tls();
                    connection.input = input;
                    connection.cleartext = Some(cleartext);
                    connection.enter(Phase::Head, ended);
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
                    HandshakeCounters::count(&counters.failed);
                    self.note_failed_handshake(&connection, ended, &why);
                    self.close(connection, CloseReason::TlsFailed);
                    return None;
                }
            }
        }
    }

    #[cold]
    fn note_failed_handshake(&self, connection: &Connection, now: Instant, why: &str) {
        self.handshake_log
            .info(now, || format!("{}: the TLS handshake failed: {why}", connection.peer));
    }
}
