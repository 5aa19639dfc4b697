//! From input to the next request, or to the phase in which the connection waits for it.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;

use super::awaited_body::AwaitedBody;
use super::exchange::{Exchange, ExchangeCell};
use super::identify::RequestOrigin;
use super::request_body::Discarded;
use crate::close::CloseReason;
use crate::http::codec::body::check_length;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::{Framing, Head, HeadParser};
use crate::http::message::incoming::{Client, Incoming};
use crate::http::message::{Body, BodyKind, Request};
use crate::pool::{Outcome, TurnContext};

impl Exchange {
    /// Reads input until it contains the next request. `Break`: the request is not complete yet,
    /// and the connection is parked; or it is closed.
    ///
    /// A short body counts as part of the request: if the handler were called before the body has
    /// arrived, a slow client would occupy a worker.
    ///
    /// `continued`: the turn began with the rest of an earlier exchange. Overload control has
    /// admitted that exchange, but not the request behind it.
    pub(super) fn next_head(
        &mut self,
        parser: &mut HeadParser,
        turn: &TurnContext<'_>,
        continued: bool,
    ) -> ControlFlow<Outcome, Result<Head, Reject>> {
        let limits = &turn.config().limits;
        // Whether the rest of a body is expected; and whether the client can still send.
        let (mut within_body, mut client_sends) = (false, true);
        loop {
            match self.discard() {
                Ok(Discarded::All) if self.input.is_empty() => {}
                Ok(Discarded::All) => {
                    let has_served = turn.requests() as usize >= limits.pipeline;
                    if (continued || has_served) && turn.anything_waits() {
                        self.send_responses(turn)?;
                        return Break(self.yield_worker(turn));
                    }
                    // The next handler may take long. The previous responses must not wait for it.
                    if turn.requests() > 0 && turn.handlers_are_slow() {
                        self.send_responses(turn)?;
                    }
                    if let Some(result) = self.take_head(parser, turn, client_sends)? {
                        return Continue(result);
                    }
                    within_body = self.awaited.is_some();
                }
                Ok(Discarded::Some) => {}
                // The response to this body has been sent.
                Ok(Discarded::TooMuch) => {
                    return Break(self.close_with_unread_body(turn, CloseReason::Finished));
                }
                Err(reject) => {
                    return Break(self.close_with_unread_body(turn, reject.close_reason()));
                }
            }
            let Some(connection) = self.connection.as_mut() else { return Break(Outcome::Gone) };
            if !connection.unread {
                self.send_responses(turn)?;
                return Break(self.park_for_input(turn, within_body));
            }
            // One byte more than a head and a short body: it shows that a chunked body is too long
            // to wait for.
            match self.input.fill(&mut connection.wire, limits.head + limits.read_ahead + 1) {
                // The handler finds the end when it reads the body.
                Ok((0, _)) if within_body => client_sends = false,
                Ok((0, _)) => {
                    return match self.is_within_head() {
                        true => Continue(Err(Reject::HeadCutShort)),
                        false => Break(self.close_after_client(turn)),
                    };
                }
                Ok((_, all)) => connection.note_read(all),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.unread = false;
                }
                Err(_) => return Break(self.close_at_once()),
            }
        }
    }

    /// Takes the head at the start of the input. `None`: the request is not complete. If the rest
    /// of its body is missing, `awaited` is set.
    fn take_head(
        &mut self,
        parser: &mut HeadParser,
        turn: &TurnContext<'_>,
        client_sends: bool,
    ) -> ControlFlow<Outcome, Option<Result<Head, Reject>>> {
        let limits = &turn.config().limits;
        let input = self.input.filled();
        if let Some(awaited) = &mut self.awaited
            && client_sends
            && !awaited.is_ready(input, limits.read_ahead)
        {
            return Continue(None);
        }
        let was_awaited = self.awaited.take().is_some();
        let Some(connection) = self.connection.as_mut() else { return Break(Outcome::Gone) };
        let (used, head) = match parser.parse(input, &mut connection.scanned) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Continue(None),
            Err(reject) => return Continue(Some(Err(reject))),
        };
        if let Err(reject) = check_length(&head.framing, limits) {
            return Continue(Some(Err(reject)));
        }
        if !was_awaited
            && client_sends
            && let Some(mut awaited) = AwaitedBody::new(&head, used, limits)
            && !awaited.is_ready(input, limits.read_ahead)
        {
            parser.recycle(head.headers);
            self.awaited = Some(Box::new(awaited));
            return Continue(None);
        }
        let is_complete = match head.framing {
            Framing::None => true,
            Framing::Length(length) => (input.len() - used) as u64 >= length,
            Framing::Chunked => false,
        };
        // The handler may wait for the body, and the client for the previous responses before it
        // sends the body.
        if !is_complete && let Break(outcome) = self.send_responses(turn) {
            parser.recycle(head.headers);
            return Break(outcome);
        }
        self.input.consume(used);
        Continue(Some(Ok(head)))
    }
}

/// The request with this head, from this client. Its body reads from the connection.
#[inline]
pub(super) fn new_request(
    head: Head,
    cell: &Arc<ExchangeCell>,
    exchange: &Exchange,
    origin: RequestOrigin,
    turn: &TurnContext<'_>,
) -> Request {
    let body = match head.framing {
        Framing::None => Body::empty(),
        Framing::Length(_) | Framing::Chunked => {
            Body(BodyKind::Incoming(Incoming::new(cell, exchange)))
        }
    };
    let (arrived, waited) = turn.arrival();
    let RequestOrigin { peer, named, is_trusted_proxy, is_https } = origin;
    let client = Client {
        #[cfg(feature = "tls")]
        tls: exchange.connection.as_ref().and_then(|it| it.wire.tls_info().cloned()),
        cell: Arc::clone(cell),
        number: exchange.number,
        peer,
        named,
        is_https,
        waited,
        arrived,
        is_trusted_proxy,
        timeout: head.client_timeout,
    };
    Request::new(head.into_request(body), client)
}
