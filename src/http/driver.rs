//! HTTP as a [`Protocol`]: bytes in, handler called, bytes out, keep-alive or close.
//!
//! ```text
//! serve ─► finish what is unsent ─► next head? ──no──► read ──nothing──► park (idle, head)
//!              │ blocked              ▲   │ yes
//!              ▼                      │   ▼
//!         park (write)          keep-alive  handler ─► answer ─► send ──blocked──► park (write)
//!                                     │                  │ close
//!                                     └──────────────────┴─────► close, or park (linger)
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode, Version};

use super::answer::{Answer, Asked};
use super::body::check_length;
use super::date::DateCache;
use super::exchange::{Client, Exchange, Incoming, Link};
use super::handler::Handler;
use super::message::{Body, Kind, Request, Response};
use super::refusal::Refusals;
use super::reject::Reject;
use super::request::{Framing, Head, HeadParser};
use crate::close::CloseReason;
use crate::config::Config;
use crate::pool::output::Sent;
use crate::pool::{Connection, Phase, Protocol, Refusal, Seat, Served, Turn};

/// How much of an answer is sent in one turn before others have theirs.
const TURN_BYTES: u64 = 2 << 20;

/// How many bytes a lingering close reads and throws away in all.
const LINGER_BYTES: u64 = 1 << 20;

/// HTTP/1.1 with a handler.
pub(crate) struct Http {
    handler: Arc<dyn Handler>,
    refusals: Arc<Refusals>,
    config: Arc<Config>,
}

impl Http {
    pub(crate) fn new(handler: Arc<dyn Handler>, config: &Config) -> Self {
        let refusals = Refusals::new(handler.refusal(), config.overload.retry_after);
        Self { handler, refusals: Arc::new(refusals), config: Arc::new(config.clone()) }
    }
}

impl Protocol for Http {
    fn seat(&self) -> Box<dyn Seat> {
        Box::new(HttpSeat {
            handler: Arc::clone(&self.handler),
            refusals: Arc::clone(&self.refusals),
            parser: HeadParser::new(&self.config.limits),
            date: DateCache::new(),
            link: Link::new(&self.config),
            config: Arc::clone(&self.config),
        })
    }
}

/// A thread's place at [`Http`].
struct HttpSeat {
    handler: Arc<dyn Handler>,
    refusals: Arc<Refusals>,
    parser: HeadParser,
    date: DateCache,
    link: Arc<Link>,
    /// The settings that the parts above were made from.
    config: Arc<Config>,
}

/// What is to be done next on a connection.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, on the stack")]
enum Step {
    Handle(Head),
    Leave(Served),
}

impl Seat for HttpSeat {
    fn serve(&mut self, mut connection: Box<Connection>, turn: &mut Turn<'_>) -> Served {
        self.keep_up(turn);
        if connection.phase == Phase::Linger {
            return linger(connection);
        }
        if !connection.output.is_empty() {
            match send_output(connection, turn) {
                Ok(sent) => connection = sent,
                Err(served) => return served,
            }
        }
        {
            let mut exchange = self.link.lock();
            exchange.input.load(&std::mem::take(&mut connection.input));
            exchange.connection = Some(connection);
        }
        loop {
            let step = {
                let mut exchange = self.link.lock();
                next_head(&mut self.parser, &mut exchange, turn)
            };
            let head = match step {
                Ok(Step::Handle(head)) => head,
                Ok(Step::Leave(served)) => return served,
                Err(reject) => return self.reject(reject, turn),
            };
            if let Some(served) = self.exchange(head, turn) {
                return served;
            }
        }
    }

    fn refuse(
        &mut self,
        mut connection: Box<Connection>,
        turn: &mut Turn<'_>,
        _refusal: Refusal,
    ) -> Served {
        self.keep_up(turn);
        let mut exchange = self.link.lock();
        exchange.input.load(&std::mem::take(&mut connection.input));
        let head = match exchange.input.fill(&connection.stream, turn.config().limits.head) {
            Ok((0, _)) => return Served::Close(connection, CloseReason::ClientClosed),
            Ok((_, all)) => {
                connection.note_read(all);
                self.parser.parse(exchange.input.filled(), &mut connection.scanned)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.unread = false;
                self.parser.parse(exchange.input.filled(), &mut connection.scanned)
            }
            Err(_) => return Served::Close(connection, CloseReason::ClientGone),
        };
        let asked = match head {
            // No request yet: it costs nothing to let it wait for one.
            Ok(None) => {
                connection.input = exchange.input.unload();
                return Served::Park(connection, Phase::Head);
            }
            Ok(Some((used, head))) => {
                exchange.input.consume(used);
                let bodiless = matches!(head.framing, Framing::None);
                let kept = bodiless && head.keep_alive && exchange.input.is_empty();
                let asked = (head.method == Method::HEAD, kept && !connection.unread);
                self.parser.recycle(head.headers);
                asked
            }
            Err(_) => (false, false),
        };
        connection.input = exchange.input.unload();
        drop(exchange);
        let (is_head, keep_alive) = (asked.0, asked.1 && !turn.is_draining());
        self.refusals.send(connection, is_head, keep_alive)
    }

    fn expire(&mut self, connection: &mut Connection, _turn: &mut Turn<'_>) -> CloseReason {
        match connection.phase {
            Phase::Head if connection.input.is_empty() => CloseReason::HeadTimeout,
            Phase::Head => {
                // One try: a client this slow may not even read it.
                let _ = connection.stream.try_write(REQUEST_TIMEOUT);
                CloseReason::HeadTimeout
            }
            Phase::Idle => CloseReason::IdleTimeout,
            Phase::Discard => CloseReason::BodyTimeout,
            Phase::Write => CloseReason::WriteTimeout,
            Phase::Linger => connection.closing.unwrap_or(CloseReason::Finished),
        }
    }
}

const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 20\r\n\r\n408 Request Timeout\n";

impl HttpSeat {
    /// Goes by the settings in force, if they are others than at the last turn.
    fn keep_up(&mut self, turn: &Turn<'_>) {
        if !Arc::ptr_eq(&self.config, turn.config()) {
            self.reconfigure(turn.config());
        }
    }

    #[cold]
    fn reconfigure(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
        self.parser = HeadParser::new(&config.limits);
        self.link.lock().reconfigure(config);
        let refusals = Refusals::new(self.handler.refusal(), config.overload.retry_after);
        self.refusals = Arc::new(refusals);
    }

    /// Calls the handler and answers. `Some`: the connection leaves the worker.
    fn exchange(&mut self, head: Head, turn: &mut Turn<'_>) -> Option<Served> {
        let asked = Asked::of(&head);
        let mut request = {
            let mut exchange = self.link.lock();
            exchange.begin(&head.framing, head.expects_continue);
            if turn.requests > 0 && turn.handlers_are_slow() && exchange.flush().is_err() {
                return Some(abandon(&mut exchange));
            }
            request(head, &self.link, &exchange, turn)?
        };
        let (response, panicked) = self.call(&mut request, turn);
        let number = self.link.lock().number;
        let mut answer = Answer::new(asked, response, panicked);
        if let Kind::Incoming(incoming) = answer.body_mut()
            && !incoming.belongs_to(&self.link, number)
        {
            *answer.body_mut() = Kind::Empty;
        }
        self.recycle(request);
        turn.count_request();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut exchange = self.link.lock();
        let outcome = answer.send(&mut exchange, turn, self.date.at(seconds));
        exchange.end();
        outcome
    }

    /// Calls the handler; a panic makes it a 500.
    fn call(&self, request: &mut Request, turn: &Turn<'_>) -> (Response, bool) {
        let expects = self.link.lock().expects_continue;
        let called = catch_unwind(AssertUnwindSafe(|| {
            if expects && let Some(response) = self.handler.expect_continue(request) {
                return response;
            }
            self.handler.handle(request)
        }));
        called.map_or_else(
            |_| {
                turn.count_panic();
                let worker = std::thread::current();
                log::error!(
                    "{}: the handler panicked at {} {}",
                    worker.name().unwrap_or("worker"),
                    request.method(),
                    request.uri()
                );
                (Response::error(StatusCode::INTERNAL_SERVER_ERROR), true)
            },
            |response| (response, false),
        )
    }

    fn recycle(&mut self, request: Request) {
        let (parts, _) = request.into_http().into_parts();
        self.parser.recycle(parts.headers);
    }

    /// Answers what is no acceptable request, and closes.
    fn reject(&mut self, reject: Reject, turn: &mut Turn<'_>) -> Served {
        let mut exchange = self.link.lock();
        let status = reject.status();
        if let Some(connection) = &exchange.connection {
            log::debug!("{}: {status}: {}", connection.peer, reject.explain());
        }
        let text = format!("{status}: {}\n", reject.explain());
        let asked = Asked { method: Method::GET, version: Version::HTTP_11, keep_alive: false };
        let mut answer = Answer::new(asked, Response::text(text).with_status(status), false);
        answer.close_because(reject.close_reason());
        exchange.begin(&Framing::None, false);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let outcome = answer.send(&mut exchange, turn, self.date.at(seconds));
        exchange.end();
        outcome.unwrap_or_else(|| abandon(&mut exchange))
    }
}

/// The request, its body tied to the connection. `None` cannot happen while a connection is there.
fn request(head: Head, link: &Arc<Link>, exchange: &Exchange, turn: &Turn<'_>) -> Option<Request> {
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

/// Takes the connection out and closes it, as its exchange cannot go on.
pub(super) fn abandon(exchange: &mut Exchange) -> Served {
    let reason = exchange.failure.unwrap_or(CloseReason::ClientGone);
    exchange.output.clear();
    match exchange.connection.take() {
        Some(connection) => Served::Close(connection, reason),
        None => Served::Gone,
    }
}

/// Finds the next request's head, reading what is there; without one, says where the connection goes.
fn next_head(
    parser: &mut HeadParser,
    exchange: &mut Exchange,
    turn: &mut Turn<'_>,
) -> Result<Step, Reject> {
    let limits = &turn.config().limits;
    loop {
        if !exchange.body.is_done() && !discard(exchange, limits.drain)? {
            // More of the unwanted body is to come.
        } else if !exchange.input.is_empty() {
            if turn.requests as usize >= limits.pipeline && turn.others_wait() {
                return Ok(Step::Leave(super::answer::requeue(exchange)));
            }
            let Some(connection) = exchange.connection.as_mut() else {
                return Ok(Step::Leave(Served::Gone));
            };
            let parsed = parser.parse(exchange.input.filled(), &mut connection.scanned)?;
            if let Some((used, head)) = parsed {
                exchange.input.consume(used);
                check_length(&head.framing, limits)?;
                return Ok(Step::Handle(head));
            }
        }
        let Some(connection) = exchange.connection.as_mut() else {
            return Ok(Step::Leave(Served::Gone));
        };
        if !connection.unread {
            return Ok(Step::Leave(super::answer::park(exchange, turn)));
        }
        match exchange.input.fill(&connection.stream, limits.head + 1) {
            Ok((0, _)) => return Ok(Step::Leave(peer_ended(exchange))),
            Ok((_, all)) => connection.note_read(all),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.unread = false;
            }
            Err(_) => return Ok(Step::Leave(abandon(exchange))),
        }
    }
}

/// Throws away what has come of a body that nobody wants. `true`: it has ended.
fn discard(exchange: &mut Exchange, limit: u64) -> Result<bool, Reject> {
    loop {
        let (used, _) = exchange.body.decode(exchange.input.filled())?;
        exchange.input.consume(used);
        exchange.discarded += used as u64;
        if exchange.discarded > limit {
            return Err(Reject::BodyTooLarge);
        }
        if exchange.body.is_done() {
            return Ok(true);
        }
        if used == 0 {
            return Ok(false);
        }
    }
}

/// The client has shut down its side: what was answered is sent, then it is over.
fn peer_ended(exchange: &mut Exchange) -> Served {
    let between = exchange.input.is_empty() && exchange.body.is_done();
    if exchange.flush().is_err() {
        return abandon(exchange);
    }
    exchange.failure =
        Some(if between { CloseReason::ClientClosed } else { CloseReason::ClientGone });
    abandon(exchange)
}

/// Sends what a connection still has to send. `Err`: it leaves the worker.
fn send_output(
    mut connection: Box<Connection>,
    turn: &Turn<'_>,
) -> Result<Box<Connection>, Served> {
    loop {
        match connection.output.send(&connection.stream, TURN_BYTES) {
            Ok(Sent::All) => break,
            Ok(Sent::Blocked) => return Err(Served::Park(connection, Phase::Write)),
            Ok(Sent::Turn) if turn.others_wait() => return Err(Served::Requeue(connection)),
            Ok(Sent::Turn) => {}
            Err(error) => return Err(Served::Close(connection, send_failure(&error))),
        }
    }
    match connection.closing {
        Some(reason) => Err(close(connection, reason)),
        None => Ok(connection),
    }
}

/// Why sending failed.
pub(super) fn send_failure(error: &std::io::Error) -> CloseReason {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => CloseReason::HandlerFailed,
        _ => CloseReason::ClientGone,
    }
}

/// Closes a connection whose last answer is with the kernel. With input unread, closing at once would
/// reset the connection and might cost the client the answer: then only this side is shut down, and
/// the client's end is waited for, off the workers.
pub(super) fn close(mut connection: Box<Connection>, reason: CloseReason) -> Served {
    if !connection.unread && connection.input.is_empty() {
        return Served::Close(connection, reason);
    }
    connection.closing = Some(reason);
    connection.input = Vec::new();
    if connection.stream.shutdown_write().is_err() {
        return Served::Close(connection, reason);
    }
    linger(connection)
}

/// Reads and throws away what still comes, until the client has ended too.
fn linger(mut connection: Box<Connection>) -> Served {
    let reason = connection.closing.unwrap_or(CloseReason::Finished);
    let mut scratch = [0; 4096];
    let mut read = 0;
    loop {
        match connection.stream.try_read(&mut scratch) {
            Ok(count) if count > 0 && read < LINGER_BYTES => read += count as u64,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.unread = false;
                return Served::Park(connection, Phase::Linger);
            }
            _ => return Served::Close(connection, reason),
        }
    }
}

impl Turn<'_> {
    /// Whether handlers take so long that an answer should not wait for the next one.
    fn handlers_are_slow(&self) -> bool {
        self.mill.dispatch.is_eager()
    }

    fn count_panic(&self) {
        self.mill.counters.panicked();
    }

    /// Whether a connection that was opened then has reached its age.
    pub(super) fn is_worn_out(&self, requests: u64, opened: Instant) -> bool {
        let config = self.config();
        config.limits.requests.is_some_and(|most| requests >= most)
            || config
                .timeouts
                .age
                .is_some_and(|age| self.now.saturating_duration_since(opened) > age)
    }
}
