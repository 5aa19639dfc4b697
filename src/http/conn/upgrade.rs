//! Leaving HTTP for another protocol: 101, or why not (RFC 9110 §7.8, §15.2.2).

use std::io::Write;

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, UPGRADE};

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::http::codec::response::{HeadLine, Transfer, encode_head};
use crate::http::conn::close::abandon;
use crate::http::conn::respond::Answer;
use crate::http::message::{Response, UpgradeHandler};
use crate::http::upgraded::Upgraded;
use crate::pool::{Outcome, TurnContext};

impl Answer {
    /// Sends a 101 and hands the connection over. `Err`: something else is to be sent instead.
    pub(super) fn switch(
        mut self,
        exchange: &mut Exchange,
        turn: &mut TurnContext<'_>,
        date: &[u8; 29],
        handler: UpgradeHandler,
    ) -> Result<Outcome, Box<Self>> {
        let protocol = self.parts.headers.get(UPGRADE);
        if !self.asked.offered(protocol) {
            let required = Response::error(StatusCode::UPGRADE_REQUIRED);
            let protocol = protocol.cloned().unwrap_or(HeaderValue::from_static("unknown"));
            self.replace(required.with_header(UPGRADE, protocol));
            return Err(Box::new(self));
        }
        // The whole request comes before the new protocol; a 100 comes before the 101.
        let refusal = match exchange.finish_body() {
            Ok(true) => None,
            Ok(false) => Some(Response::error(StatusCode::PAYLOAD_TOO_LARGE)),
            Err(error) => Some(Response::from(error)),
        };
        if let Some(refusal) = refusal {
            self.reason = Some(exchange.failure.unwrap_or(CloseReason::TooLarge));
            self.replace(refusal);
            return Err(Box::new(self));
        }
        let Some(permit) = turn.upgrade_permit() else {
            let seconds = HeaderValue::from(turn.config().overload.retry_after.1);
            let busy = Response::error(StatusCode::SERVICE_UNAVAILABLE);
            self.replace(busy.with_header(RETRY_AFTER, seconds));
            self.reason = Some(CloseReason::Overloaded);
            return Err(Box::new(self));
        };
        let head = HeadLine {
            version: self.asked.version,
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers: &self.parts.headers,
            transfer: &Transfer::None,
            declared_length: None,
            keep_alive: true,
            date,
        };
        encode_head(&mut exchange.output, &head);
        let Ok(unsent) = exchange.take_unsent() else { return Ok(abandon(exchange)) };
        let Some(connection) = exchange.connection.take() else { return Ok(Outcome::Gone) };
        let ahead = exchange.input.unload();
        let write_timeout = turn.config().timeouts.write;
        turn.upgrade(permit, connection, move |connection, stop| {
            let mut upgraded = Upgraded::new(connection, ahead, stop, write_timeout);
            // A client that does not take the head at once is waited for here, on no worker.
            if unsent.is_empty() || upgraded.write_all(&unsent).is_ok() {
                handler(upgraded);
            }
        });
        Ok(Outcome::Gone)
    }
}
