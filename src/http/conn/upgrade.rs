//! Leaving HTTP for another protocol: 101, or the response that refuses it (RFC 9110 §7.8,
//! §15.2.2).

use std::ops::ControlFlow::{self, Break, Continue};

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, UPGRADE};

use super::exchange::Exchange;
use super::respond::PendingResponse;
use crate::close::CloseReason;
use crate::http::codec::response::{HeadLine, Transfer, encode_head};
use crate::http::message::{Response, UpgradeHandler};
use crate::http::upgraded::Upgraded;
use crate::pool::{Outcome, TurnContext};

impl PendingResponse<'_> {
    /// Whether the client offered the protocol of this upgrade. If not, the response becomes the
    /// 426 that says so.
    pub(super) fn accepts_upgrade(&mut self) -> bool {
        let protocol = self.parts.headers.get(UPGRADE);
        if self.request.offers_upgrade(protocol) {
            return true;
        }
        let protocol = protocol.cloned().unwrap_or(HeaderValue::from_static("unknown"));
        let required = Response::error(StatusCode::UPGRADE_REQUIRED);
        self.replace(required.with_header(UPGRADE, protocol));
        false
    }

    /// Sends a 101 and hands the connection to `handler`. `Continue`: the upgrade is refused, and
    /// this response has been replaced by the one that says why.
    pub(super) fn try_upgrade(
        &mut self,
        exchange: &mut Exchange,
        turn: &TurnContext<'_>,
        date: &[u8; 29],
        handler: UpgradeHandler,
    ) -> ControlFlow<Outcome> {
        if !self.accepts_upgrade() {
            return Continue(());
        }
        // The new protocol begins after the whole request, and a 100 precedes the 101.
        let refusal = match exchange.discard_to_end() {
            Ok(true) => None,
            Ok(false) => Some(Response::error(StatusCode::PAYLOAD_TOO_LARGE)),
            Err(error) => Some(Response::from(error)),
        };
        if let Some(refusal) = refusal {
            self.close_because(exchange.failure.unwrap_or(CloseReason::TooLarge));
            self.replace(refusal);
            return Continue(());
        }
        let Some(permit) = turn.upgrade_permit() else {
            let seconds = HeaderValue::from(turn.config().overload.retry_after.1);
            let busy = Response::error(StatusCode::SERVICE_UNAVAILABLE);
            self.replace(busy.with_header(RETRY_AFTER, seconds));
            self.close_because(CloseReason::Overloaded);
            return Continue(());
        };
        let head = HeadLine {
            version: self.request.version,
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers: &self.parts.headers,
            transfer: &Transfer::None,
            declared_length: None,
            keep_alive: true,
            date,
        };
        encode_head(&mut exchange.output, &head);
        let Ok(unsent) = exchange.take_unsent() else { return Break(exchange.close_at_once()) };
        let Some(connection) = exchange.connection.take() else { return Break(Outcome::Gone) };
        turn.count_response(head.status.as_u16());
        let ahead = exchange.input.unload();
        let write_timeout = turn.config().timeouts.write;
        turn.upgrade(permit, connection, move |connection, stop| {
            let mut upgraded = Upgraded::new(connection, ahead, stop, write_timeout);
            // If the socket has no room for the head, the new thread waits, and no worker.
            if upgraded.send_first(&unsent).is_ok() {
                handler(upgraded);
            }
        });
        Break(Outcome::Gone)
    }
}
