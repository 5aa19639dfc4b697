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
///
/// A short body is part of what is waited for: were the handler called before it is there, a slow
/// client would hold a worker.
pub(super) fn next_head(
    parser: &mut HeadParser,
    exchange: &mut Exchange,
    turn: &mut Turn<'_>,
) -> Result<Step, Reject> {
    let limits = &turn.config().limits;
    // Whether a head is there, and its body is waited for; and whether it still may be.
    let (mut within_body, mut more_may_come) = (false, true);
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
                    let there = exchange.input.filled().len() - used;
                    if !more_may_come || !awaits_body(&head, there, limits.read_ahead) {
                        exchange.input.consume(used);
                        return Ok(Step::Handle(head));
                    }
                    parser.recycle(head.headers);
                    within_body = true;
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
            return Ok(Step::Leave(departure::park(exchange, turn, within_body)));
        }
        match exchange.input.fill(&connection.stream, limits.head + limits.read_ahead + 1) {
            // The handler is told of it when it reads the body.
            Ok((0, _)) if within_body => more_may_come = false,
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

/// Whether the handler is called only once more of the body is there than `there` bytes. A client that
/// waits for a `100 Continue` would wait for ever.
fn awaits_body(head: &Head, there: usize, read_ahead: usize) -> bool {
    match head.framing {
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            length <= read_ahead && there < length && !head.expects_continue
        }
        Framing::None | Framing::Chunked => false,
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
