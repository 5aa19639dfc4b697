//! The way in: from bytes to the next request, or to where the connection waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::awaited::Awaited;
use super::exchange::{Discarded, Exchange, Link};
use crate::close::CloseReason;
use crate::http::codec::body::check_length;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::{Framing, Head, HeadParser};
use crate::http::conn::close::{abandon, part, peer_ended};
use crate::http::conn::send;
use crate::http::message::incoming::{Client, Incoming};
use crate::http::message::{Body, Kind, Request};
use crate::pool::{Outcome, TurnContext};

/// What is to be done next on a connection.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, on the stack")]
pub(super) enum Step {
    Handle(Head),
    Leave(Outcome),
}

/// Finds the next request's head, reading what is there; without one, says where the connection
/// goes.
///
/// A short body is part of what is waited for: were the handler called before it is there, a slow
/// client would hold a worker.
///
/// `continued`: the turn began with the rest of an earlier exchange. That was admitted; what comes
/// behind it was not.
pub(super) fn next_head(
    parser: &mut HeadParser,
    exchange: &mut Exchange,
    turn: &mut TurnContext<'_>,
    continued: bool,
) -> Result<Step, Reject> {
    let limits = &turn.config().limits;
    // Whether the rest of a body is waited for; and whether anything more may come.
    let (mut within_body, mut more_may_come) = (false, true);
    loop {
        match exchange.discard() {
            Ok(Discarded::All) if exchange.input.is_empty() => {}
            Ok(Discarded::All) => {
                let has_served = turn.requests() as usize >= limits.pipeline;
                if (continued || has_served) && turn.anything_waits() {
                    return Ok(Step::Leave(send::requeue(exchange, turn)));
                }
                // A response does not wait for a handler that may be long.
                if turn.requests() > 0
                    && turn.handlers_are_slow()
                    && let Some(served) = send::send_encoded(exchange, turn)
                {
                    return Ok(Step::Leave(served));
                }
                if let Some(step) = begin(parser, exchange, turn, more_may_come)? {
                    return Ok(step);
                }
                within_body = exchange.awaited.is_some();
            }
            Ok(Discarded::Some) => {}
            // Its answer was sent: there is nothing more to say.
            Ok(Discarded::TooMuch) => {
                return Ok(Step::Leave(part(exchange, turn, CloseReason::Finished)));
            }
            Err(reject) => return Ok(Step::Leave(part(exchange, turn, reject.close_reason()))),
        }
        let Some(connection) = exchange.connection.as_mut() else {
            return Ok(Step::Leave(Outcome::Gone));
        };
        if !connection.unread {
            return Ok(Step::Leave(send::park(exchange, turn, within_body)));
        }
        match exchange.input.fill(&connection.stream, limits.head + limits.read_ahead + 1) {
            // The handler is told of it when it reads the body.
            Ok((0, _)) if within_body => more_may_come = false,
            Ok((0, _)) => {
                return match exchange.is_within_head() {
                    true => Err(Reject::HeadCutShort),
                    false => Ok(Step::Leave(peer_ended(exchange, turn))),
                };
            }
            Ok((_, all)) => connection.note_read(all),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.unread = false;
            }
            Err(_) => return Ok(Step::Leave(abandon(exchange))),
        }
    }
}

/// The request at the start of the input, if it has come. `None`: more has to come, and `awaited`
/// says what if it is of the body.
fn begin(
    parser: &mut HeadParser,
    exchange: &mut Exchange,
    turn: &TurnContext<'_>,
    more_may_come: bool,
) -> Result<Option<Step>, Reject> {
    let limits = &turn.config().limits;
    let input = exchange.input.filled();
    if let Some(awaited) = &mut exchange.awaited
        && more_may_come
        && !awaited.has_come(input, limits.read_ahead)
    {
        return Ok(None);
    }
    let was_awaited = exchange.awaited.take().is_some();
    let Some(connection) = exchange.connection.as_mut() else {
        return Ok(Some(Step::Leave(Outcome::Gone)));
    };
    let Some((used, head)) = parser.parse(input, &mut connection.scanned)? else {
        return Ok(None);
    };
    check_length(&head.framing, limits)?;
    if !was_awaited
        && more_may_come
        && let Some(mut awaited) = Awaited::new(&head, used, limits)
        && !awaited.has_come(input, limits.read_ahead)
    {
        parser.recycle(head.headers);
        exchange.awaited = Some(Box::new(awaited));
        return Ok(None);
    }
    let is_there = match head.framing {
        Framing::None => true,
        Framing::Length(length) => (input.len() - used) as u64 >= length,
        Framing::Chunked => false,
    };
    // The handler may wait for the client, who may wait for the responses before.
    if !is_there && let Some(served) = send::send_encoded(exchange, turn) {
        parser.recycle(head.headers);
        return Ok(Some(Step::Leave(served)));
    }
    exchange.input.consume(used);
    Ok(Some(Step::Handle(head)))
}

/// The request, its body tied to the connection. `None` cannot happen while a connection is there.
pub(super) fn request(
    head: Head,
    link: &Arc<Link>,
    exchange: &Exchange,
    turn: &TurnContext<'_>,
) -> Option<Request> {
    let connection = exchange.connection.as_ref()?;
    let body = match head.framing {
        Framing::None => Body::empty(),
        Framing::Length(_) | Framing::Chunked => {
            Body(Kind::Incoming(Incoming::new(link, exchange)))
        }
    };
    let peer = connection.peer.clone();
    // The requests behind the first one of a turn were only waiting for that one.
    let waited = if turn.requests() == 0 { turn.waited } else { Duration::ZERO };
    let client = Client { link: Arc::clone(link), number: exchange.number, peer, waited };
    let mut request = http::Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    Some(Request::new(request, client))
}
