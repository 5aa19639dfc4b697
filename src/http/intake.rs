//! The way in: from bytes to the next request, or to where the connection waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::body::check_length;
use super::closing::{abandon, part, peer_ended};
use super::departure;
use super::exchange::{Discarded, Exchange, Link};
use super::incoming::{Client, Incoming};
use super::message::{Body, Kind, Request};
use super::reject::Reject;
use super::request::{Framing, Head, HeadParser};
use crate::close::CloseReason;
use crate::pool::{Served, Turn};

/// What is to be done next on a connection.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, on the stack")]
pub(super) enum Step {
    Handle(Head),
    Leave(Served),
}

/// Finds the next request's head, reading what is there; without one, says where the connection goes.
pub(super) fn next_head(
    parser: &mut HeadParser,
    exchange: &mut Exchange,
    turn: &mut Turn<'_>,
) -> Result<Step, Reject> {
    let limits = &turn.config().limits;
    loop {
        match exchange.discard() {
            Ok(Discarded::All) if exchange.input.is_empty() => {}
            Ok(Discarded::All) => {
                if turn.requests as usize >= limits.pipeline && turn.others_wait() {
                    return Ok(Step::Leave(departure::requeue(exchange)));
                }
                let Some(connection) = exchange.connection.as_mut() else {
                    return Ok(Step::Leave(Served::Gone));
                };
                let parsed = parser.parse(exchange.input.filled(), &mut connection.scanned)?;
                if let Some((used, head)) = parsed {
                    check_length(&head.framing, limits)?;
                    exchange.input.consume(used);
                    return Ok(Step::Handle(head));
                }
            }
            Ok(Discarded::Some) => {}
            // Its answer was sent: there is nothing more to say.
            Ok(Discarded::TooMuch) => {
                return Ok(Step::Leave(part(exchange, turn, CloseReason::Finished)));
            }
            Err(reject) => return Ok(Step::Leave(part(exchange, turn, reject.close_reason()))),
        }
        let Some(connection) = exchange.connection.as_mut() else {
            return Ok(Step::Leave(Served::Gone));
        };
        if !connection.unread {
            return Ok(Step::Leave(departure::park(exchange, turn)));
        }
        match exchange.input.fill(&connection.stream, limits.head + 1) {
            Ok((0, _)) => {
                return match exchange.is_within_head() {
                    true => Err(Reject::HeadCutShort),
                    false => Ok(Step::Leave(peer_ended(exchange))),
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

/// The request, its body tied to the connection. `None` cannot happen while a connection is there.
pub(super) fn request(
    head: Head,
    link: &Arc<Link>,
    exchange: &Exchange,
    turn: &Turn<'_>,
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
    let waited = if turn.requests == 0 { turn.waited } else { Duration::ZERO };
    let client = Client { link: Arc::clone(link), number: exchange.number, peer, waited };
    let mut request = http::Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    Some(Request::new(request, client))
}
