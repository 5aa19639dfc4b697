//! HTTP as a [`Protocol`]: bytes in, handler called, bytes out, keep-alive or close.
//!
//! ```text
//! serve ─► finish what is unsent ─► next head? ──no──► read ──nothing──► park (idle, head, body)
//!              │ blocked              ▲   │ yes
//!              ▼                      │   ▼
//!         park (write)          keep-alive  handler ─► answer ─► send ──blocked──► park (write)
//!                                     │                  │ close
//!                                     └──────────────────┴─────► close, or park (linger)
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};

use super::exchange::Link;
use super::refusal::{Refusals, Refuser};
use crate::close::CloseReason;
use crate::config::Config;
use crate::http::codec::date::DateCache;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::{Framing, Head, HeadParser};
use crate::http::codec::response::{
    HeadLine, Payload, Transfer, declared_length, encode_head, transfer,
};
use crate::http::conn::close::{abandon, linger, send_output};
use crate::http::conn::read::{Step, next_head, request};
use crate::http::conn::request_info::Asked;
use crate::http::conn::respond::Answer;
use crate::http::handler::Handler;
use crate::http::message::{Kind, Request, Response};
use crate::pool::{Connection, Outcome, Phase, Protocol, ProtocolWorker, Refusal, TurnContext};

/// HTTP/1.1 with a handler.
pub(crate) struct Http {
    handler: Arc<dyn Handler>,
    refuser: Arc<Refuser>,
    config: Arc<Config>,
}

impl Http {
    pub(crate) fn new(handler: Arc<dyn Handler>, config: &Config) -> Self {
        let config = Arc::new(config.clone());
        let refuser = Arc::new(Refuser::new(Arc::clone(&handler), &config));
        Self { handler, refuser, config }
    }
}

impl Protocol for Http {
    fn worker(&self) -> Box<dyn ProtocolWorker> {
        Box::new(HttpWorker {
            handler: Arc::clone(&self.handler),
            refuser: Arc::clone(&self.refuser),
            refusals: self.refuser.latest(),
            parser: parser(&self.config),
            date: DateCache::new(),
            link: Link::new(&self.config),
            config: Arc::clone(&self.config),
        })
    }
}

/// A thread's place at [`Http`].
struct HttpWorker {
    handler: Arc<dyn Handler>,
    refuser: Arc<Refuser>,
    refusals: Arc<Refusals>,
    parser: HeadParser,
    date: DateCache,
    link: Arc<Link>,
    /// The settings that the parts above were made from.
    config: Arc<Config>,
}

impl ProtocolWorker for HttpWorker {
    fn serve(&mut self, mut connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        self.keep_up(turn);
        if connection.phase == Phase::Linger {
            return linger(connection, turn);
        }
        let continued = connection.is_continuing();
        if !connection.output.is_empty() {
            match send_output(connection, turn) {
                Ok(sent) => connection = sent,
                Err(served) => return served,
            }
        }
        self.link.lock().take_up(connection, turn.client_waits());
        loop {
            let step = {
                let mut exchange = self.link.lock();
                next_head(&mut self.parser, &mut exchange, turn, continued)
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
        turn: &mut TurnContext<'_>,
        _refusal: Refusal,
    ) -> Outcome {
        self.keep_up(turn);
        if connection.is_continuing() {
            return Outcome::Close(connection, CloseReason::Overloaded);
        }
        let mut exchange = self.link.lock();
        connection.input_lease = None;
        exchange.input.load(std::mem::take(&mut connection.input));
        let head = match exchange.input.fill(&connection.stream, turn.config().limits.head) {
            Ok((0, _)) => return Outcome::Close(connection, CloseReason::ClientClosed),
            Ok((_, all)) => {
                connection.note_read(all);
                self.parser.parse(exchange.input.filled(), &mut connection.scanned)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.unread = false;
                self.parser.parse(exchange.input.filled(), &mut connection.scanned)
            }
            Err(_) => return Outcome::Close(connection, CloseReason::ClientGone),
        };
        let asked = match head {
            // No request yet: it costs nothing to let it wait for one.
            Ok(None) => {
                connection.input = exchange.input.unload();
                return match turn.lease_input(&mut connection) {
                    true => Outcome::Park(connection, Phase::Head),
                    false => Outcome::Close(connection, CloseReason::Overloaded),
                };
            }
            Ok(Some((used, head))) => {
                exchange.input.consume(used);
                connection.awaited = None;
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
        self.refusals.send(connection, turn, is_head, keep_alive)
    }

    fn expire(&mut self, connection: &mut Connection, _turn: &mut TurnContext<'_>) -> CloseReason {
        match connection.phase {
            Phase::Head if connection.input.is_empty() => CloseReason::HeadTimeout,
            phase @ (Phase::Head | Phase::Body) => {
                let answer = self.timed_out(&Asked::of_bytes(&connection.input));
                // One try: a client this slow may not even read it.
                let _ = connection.stream.try_write(&answer);
                if phase == Phase::Head {
                    CloseReason::HeadTimeout
                } else {
                    CloseReason::BodyTimeout
                }
            }
            Phase::Idle => CloseReason::IdleTimeout,
            Phase::Discard => CloseReason::BodyTimeout,
            Phase::Write => CloseReason::WriteTimeout,
            Phase::Linger => connection.closing.unwrap_or(CloseReason::Finished),
            Phase::Held => CloseReason::Overloaded,
        }
    }
}

impl HttpWorker {
    /// Goes by the settings in force, if they are others than at the last turn.
    fn keep_up(&mut self, turn: &TurnContext<'_>) {
        if !Arc::ptr_eq(&self.config, turn.config()) {
            self.reconfigure(turn.config());
        }
    }

    #[cold]
    fn reconfigure(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
        self.parser = parser(config);
        self.link.lock().reconfigure(config);
        self.refusals = self.refuser.refusals(config);
    }

    /// Calls the handler and answers. `Some`: the connection leaves the worker.
    fn exchange(&mut self, head: Head, turn: &mut TurnContext<'_>) -> Option<Outcome> {
        let asked = Asked::of(&head);
        if let Some(patience) = head.client_timeout
            && !turn.can_answer_within(patience)
        {
            return self.turn_away(asked, head, turn);
        }
        let has_body = !matches!(head.framing, Framing::None);
        let (mut request, number, expects) = {
            let mut exchange = self.link.lock();
            exchange.begin(&head.framing, head.expects_continue);
            let (number, expects) = (exchange.number, exchange.expects_continue);
            (request(head, &self.link, &exchange, turn)?, number, expects)
        };
        let (response, panicked) = self.call(&mut request, expects, turn);
        let body_taken = has_body && !matches!(request.body().0, Kind::Incoming(_));
        let mut answer = Answer::new(asked, response, body_taken);
        if let Kind::Incoming(incoming) = answer.body_mut()
            && !incoming.belongs_to(&self.link, number)
        {
            *answer.body_mut() = Kind::Empty;
        }
        if panicked {
            answer.close_because(CloseReason::HandlerPanicked);
        }
        self.recycle(request);
        turn.count_request();
        let outcome = answer.send(&self.link, turn, self.date.at(unix_seconds()));
        let waited = self.link.lock().end();
        turn.add_client_wait(waited);
        outcome
    }

    /// Answers 503 in place of the handler: the client would not wait for as long as that takes.
    fn turn_away(
        &mut self,
        asked: Asked,
        head: Head,
        turn: &mut TurnContext<'_>,
    ) -> Option<Outcome> {
        self.link.lock().begin(&head.framing, head.expects_continue);
        self.parser.recycle(head.headers);
        turn.count_refusal(Refusal::Deadline);
        let answer = Answer::new(asked, self.refusals.response(), false);
        let outcome = answer.send(&self.link, turn, self.date.at(unix_seconds()));
        self.link.lock().end();
        outcome
    }

    /// Calls the handler; a panic makes it a 500.
    fn call(
        &self,
        request: &mut Request,
        expects: bool,
        turn: &TurnContext<'_>,
    ) -> (Response, bool) {
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
    fn reject(&mut self, reject: Reject, turn: &mut TurnContext<'_>) -> Outcome {
        let asked = {
            let mut exchange = self.link.lock();
            if let Some(connection) = &exchange.connection {
                log::debug!("{}: {}: {}", connection.peer, reject.status(), reject.explain());
            }
            let asked = Asked::of_bytes(exchange.input.filled());
            exchange.begin(&Framing::None, false);
            asked
        };
        let mut answer = Answer::new(asked, reject.into(), false);
        answer.close_because(reject.close_reason());
        let outcome = answer.send(&self.link, turn, self.date.at(unix_seconds()));
        let mut exchange = self.link.lock();
        exchange.end();
        outcome.unwrap_or_else(|| abandon(&mut exchange))
    }

    /// The 408 to a request that has not come whole.
    fn timed_out(&mut self, asked: &Asked) -> Vec<u8> {
        let (parts, body, _) = Response::error(StatusCode::REQUEST_TIMEOUT).into_split();
        let payload = Payload::Known(body.length().unwrap_or(0));
        let transfer = transfer(&asked.method, asked.version, parts.status, payload);
        let mut out = Vec::new();
        encode_head(
            &mut out,
            &HeadLine {
                version: asked.version,
                status: parts.status,
                headers: &parts.headers,
                transfer: &transfer,
                declared_length: declared_length(
                    &asked.method,
                    parts.status,
                    payload,
                    &parts.headers,
                ),
                keep_alive: false,
                date: self.date.at(unix_seconds()),
            },
        );
        if let (Transfer::Length(_), Kind::Bytes(bytes)) = (transfer, &body.0) {
            out.extend_from_slice(bytes);
        }
        out
    }
}

/// A parser by these settings.
fn parser(config: &Config) -> HeadParser {
    HeadParser::new(&config.limits).with_timeout_field(&config.overload.timeout_field)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl TurnContext<'_> {
    /// Whether a connection that was opened then has reached its age.
    pub(super) fn is_at_its_limit(&self, requests: u64, opened: Instant) -> bool {
        let config = self.config();
        config.limits.requests.is_some_and(|most| requests >= most)
            || config
                .timeouts
                .age
                .is_some_and(|age| self.now.saturating_duration_since(opened) > age)
    }
}
