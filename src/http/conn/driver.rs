//! HTTP as a [`Protocol`]: read requests, call the handler, send the responses.
//!
//! ```text
//! serve ─► send queued output ─► next head? ──no──► read ──nothing──► park (Idle, Head, Body)
//!              │ blocked           ▲   │ yes
//!              ▼                   │   ▼
//!         park (Write)       keep-alive  handler ─► response ─► send ──blocked──► park (Write)
//!                                  │                  │ close
//!                                  └──────────────────┴─────► close, or park (Linger)
//! ```

use std::convert::Infallible;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, LOCATION};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::exchange::ExchangeCell;
use super::identify::RequestOrigin;
use super::problems::{ClientFormat, ProblemWriter, format_for};
use super::read::new_request;
use super::refusal::{RefusalSource, Refusals};
use super::request_info::{RequestInfo, accept_of_malformed};
use super::respond::PendingResponse;
use super::{load_report, server_timing};
use crate::close::CloseReason;
use crate::config::Config;
use crate::error::Error;
use crate::http::codec::date::DateCache;
use crate::http::codec::forwarded::ProxyFields;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::{Framing, Head, HeadParser};
use crate::http::codec::response::{Payload, Transfer, encode_head};
use crate::http::handler::Handler;
use crate::http::message::{BodyKind, Request, Response, wait_at_proxy};
use crate::pool::connection::Cleartext;
use crate::pool::{Connection, Outcome, Phase, Protocol, ProtocolWorker, Refusal, TurnContext};
use crate::sync::{LogThrottle, unix_seconds};

/// HTTP/1.1 with a handler.
pub(crate) struct Http {
    handler: Arc<dyn Handler>,
    refusal_source: Arc<RefusalSource>,
    problems: ProblemWriter,
    panics: Arc<LogThrottle>,
    config: Arc<Config>,
}

impl Http {
    pub(crate) fn new(handler: Arc<dyn Handler>, problems: ProblemWriter, config: &Config) -> Self {
        let config = Arc::new(config.clone());
        let source = RefusalSource::new(Arc::clone(&handler), problems.clone(), &config);
        let panics = Arc::new(LogThrottle::every(Duration::from_secs(1)));
        Self { handler, refusal_source: Arc::new(source), problems, panics, config }
    }
}

impl Protocol for Http {
    fn worker(&self) -> Box<dyn ProtocolWorker> {
        Box::new(HttpWorker {
            handler: Arc::clone(&self.handler),
            refusal_source: Arc::clone(&self.refusal_source),
            refusals: self.refusal_source.latest(),
            problems: self.problems.clone(),
            panics: Arc::clone(&self.panics),
            parser: new_parser(&self.config),
            proxies: ProxyFields::new(&self.config.proxy),
            date: DateCache::new(),
            cell: ExchangeCell::new(&self.config),
            config: Arc::clone(&self.config),
        })
    }
}

/// The state of one thread that serves HTTP.
struct HttpWorker {
    handler: Arc<dyn Handler>,
    refusal_source: Arc<RefusalSource>,
    refusals: Arc<Refusals>,
    problems: ProblemWriter,
    /// Limits the log lines about panics of the handler.
    panics: Arc<LogThrottle>,
    parser: HeadParser,
    /// `None` if no proxy is trusted.
    proxies: Option<ProxyFields>,
    date: DateCache,
    cell: Arc<ExchangeCell>,
    /// The configuration that the parts above were made from.
    config: Arc<Config>,
}

impl Drop for HttpWorker {
    fn drop(&mut self) {
        // A panic may have left the exchange without its end.
        self.cell.end();
    }
}

impl ProtocolWorker for HttpWorker {
    fn prepare(&mut self, index: usize) -> Result<(), Error> {
        self.handler.prepare_worker(index)
    }

    fn serve(&mut self, connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        match self.serve_requests(connection, turn) {
            Break(outcome) => outcome,
            Continue(never) => match never {},
        }
    }

    fn identify(&mut self, mut connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        self.apply_config(turn);
        self.parser.set_secure(connection.wire.is_tls());
        match &self.proxies {
            Some(fields) => self.cell.lock().identify(fields, &mut self.parser, connection, turn),
            None => {
                // The peer was trusted before the settings were changed.
                (connection.from_proxy, connection.forwarded) = (false, None);
                Outcome::Requeue(connection)
            }
        }
    }

    fn serve_cleartext(
        &mut self,
        connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
    ) -> Outcome {
        if connection.phase == Phase::Linger || connection.is_continuing() {
            return self.serve(connection, turn);
        }
        match connection.cleartext {
            Some(Cleartext::Redirect) => self.serve(connection, turn),
            _ => {
                self.cell.attach(connection, turn);
                self.reject(Reject::Cleartext, turn)
            }
        }
    }

    fn refuse(
        &mut self,
        mut connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
        _refusal: Refusal,
    ) -> Outcome {
        self.apply_config(turn);
        if connection.is_continuing() {
            return Outcome::Close(connection, CloseReason::Overloaded);
        }
        self.parser.set_secure(connection.wire.is_tls());
        let mut exchange = self.cell.lock();
        connection.input_lease = None;
        exchange.input.load(std::mem::take(&mut connection.input));
        let limit = turn.config().limits.head;
        let head = match exchange.peek_head(&mut self.parser, &mut connection, limit) {
            Continue(head) => head,
            Break(reason) => return Outcome::Close(connection, reason),
        };
        let (is_head_method, keep_alive, format) = match head {
            // No complete request yet: the connection can wait for it without a worker.
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
                turn.note_refused_request(head.method.as_str(), head.uri.path());
                let is_head_method = head.method == Method::HEAD;
                let format = format_for(Some(&head.headers));
                let is_only_request = matches!(head.framing, Framing::None)
                    && exchange.input.is_empty()
                    && !connection.unread;
                self.parser.recycle(head.headers);
                (is_head_method, head.keep_alive && is_only_request, format)
            }
            Err(_) => (false, false, format_for(None)),
        };
        connection.input = exchange.input.unload();
        drop(exchange);
        let keep_alive = keep_alive && !turn.is_leaving();
        self.refusals.send(connection, turn, is_head_method, keep_alive, format)
    }

    fn expire(&mut self, connection: &mut Connection, turn: &mut TurnContext<'_>) -> CloseReason {
        match connection.phase {
            Phase::Head if connection.input.is_empty() => CloseReason::HeadTimeout,
            phase @ (Phase::Head | Phase::Body) => {
                let response = self.encode_timeout(&connection.input);
                // One attempt: a client this slow may not read it.
                if connection.wire.try_write_last(&response).is_ok() {
                    turn.count_response(StatusCode::REQUEST_TIMEOUT.as_u16());
                }
                if phase == Phase::Head {
                    CloseReason::HeadTimeout
                } else {
                    CloseReason::BodyTimeout
                }
            }
            Phase::Handshake => CloseReason::HandshakeTimeout,
            Phase::Idle => CloseReason::IdleTimeout,
            Phase::Discard => CloseReason::BodyTimeout,
            Phase::Write => CloseReason::WriteTimeout,
            Phase::Linger => connection.closing.unwrap_or(CloseReason::Finished),
            Phase::Held => CloseReason::Overloaded,
        }
    }
}

impl HttpWorker {
    /// Serves requests until the connection leaves the worker.
    fn serve_requests(
        &mut self,
        mut connection: Box<Connection>,
        turn: &mut TurnContext<'_>,
    ) -> ControlFlow<Outcome, Infallible> {
        self.apply_config(turn);
        if connection.phase == Phase::Linger {
            return Break(connection.linger(turn));
        }
        let continued = connection.is_continuing();
        if connection.has_unsent() {
            connection = connection.finish_output(turn)?;
        }
        self.parser.set_secure(connection.wire.is_tls());
        self.cell.attach(connection, turn);
        loop {
            // The statement ends the lock: the handler takes it again when it reads the body.
            let head = self.cell.lock().next_head(&mut self.parser, turn, continued)?;
            match head {
                Ok(head) => self.serve_request(head, turn)?,
                Err(reject) => return Break(self.reject(reject, turn)),
            }
        }
    }

    /// Applies the configuration in force, if it has changed since the last turn.
    fn apply_config(&mut self, turn: &TurnContext<'_>) {
        if !Arc::ptr_eq(&self.config, turn.config()) {
            self.reconfigure(turn.config());
        }
    }

    #[cold]
    fn reconfigure(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
        self.parser = new_parser(config);
        self.proxies = ProxyFields::new(&config.proxy);
        self.cell.lock().reconfigure(config);
        self.refusals = self.refusal_source.refusals(config);
    }

    /// Calls the handler and sends its response. `Continue`: the connection can read the next
    /// request.
    fn serve_request(&mut self, head: Head, turn: &mut TurnContext<'_>) -> ControlFlow<Outcome> {
        let info = RequestInfo::of(&head);
        turn.note_request(head.method.as_str(), head.uri.path());
        let forwarded = match &self.proxies {
            Some(fields) => self.cell.lock().serve_for(fields, &head.headers, turn),
            None => None,
        };
        let at_proxy = match forwarded {
            Some(_) => wait_at_proxy(&head.headers, turn.arrival().0),
            None => Duration::ZERO,
        };
        // A request that waited in a proxy has the server's deadline as well.
        let timeout = head.client_timeout.or((!at_proxy.is_zero()).then_some(Duration::MAX));
        if let Some(timeout) = timeout
            && !turn.can_respond_within(timeout, at_proxy)
        {
            return self.refuse_deadline(info, head, turn);
        }
        let has_body = !matches!(head.framing, Framing::None);
        let mut exchange = self.cell.lock();
        exchange.begin(&head.framing, head.expects_continue);
        let (number, expects_continue) = (exchange.number, exchange.expects_continue);
        let Some(connection) = exchange.connection.as_ref() else {
            return Break(Outcome::Gone);
        };
        let reports_load = load_report::is_trusted(&self.config, &connection.peer)
            && load_report::is_asked_for(&head.headers);
        let is_cleartext = connection.cleartext.is_some();
        let origin = RequestOrigin::new(connection, forwarded);
        let mut request = new_request(head, &self.cell, &exchange, origin, turn);
        drop(exchange);
        let mut panicked = false;
        let began = self.config.http.server_timing.then(Instant::now);
        let response = match is_cleartext {
            true => Ok(redirect_to_https(&request)),
            false => self.call_handler(&mut request, expects_continue),
        };
        let mut response = match response {
            Ok(response) => response,
            Err(_) => {
                panicked = true;
                self.note_panic(&request, turn)
            }
        };
        if let Some(began) = began {
            server_timing::add(&mut response, request.queue_wait(), began.elapsed());
        }
        if reports_load && let Some(server) = self.cell.server() {
            load_report::add(&mut response, server);
        }
        let body_taken = has_body && !matches!(request.body().0, BodyKind::Incoming(_));
        let format = ClientFormat { writer: &self.problems, headers: Some(request.headers()) };
        let mut pending = PendingResponse::new(info, response, body_taken, format);
        if let BodyKind::Incoming(incoming) = pending.body_mut()
            && !incoming.belongs_to(&self.cell, number)
        {
            *pending.body_mut() = BodyKind::Empty;
        }
        if is_cleartext {
            pending.close_because(CloseReason::Finished);
        }
        if panicked {
            pending.close_because(CloseReason::HandlerPanicked);
        }
        turn.count_request();
        let flow = pending.send(&self.cell, turn, self.date.at(unix_seconds()));
        self.parser.recycle(std::mem::take(request.headers_mut()));
        drop(request);
        let waited = self.cell.end();
        turn.add_client_wait(waited);
        flow
    }

    /// Sends a 503 without calling the handler: the response would come after the client's timeout.
    fn refuse_deadline(
        &mut self,
        info: RequestInfo,
        head: Head,
        turn: &mut TurnContext<'_>,
    ) -> ControlFlow<Outcome> {
        let mut exchange = self.cell.lock();
        exchange.begin(&head.framing, head.expects_continue);
        if let Some(connection) = &exchange.connection {
            let line = [head.method.as_str(), head.uri.path()];
            turn.count_refusal(connection.client_or_peer(), Refusal::Deadline, line);
        }
        drop(exchange);
        let response = self.refusals.response(format_for(Some(&head.headers)));
        self.parser.recycle(head.headers);
        let format = ClientFormat { writer: &self.problems, headers: None };
        let pending = PendingResponse::new(info, response, false, format);
        let flow = pending.send(&self.cell, turn, self.date.at(unix_seconds()));
        self.cell.lock().end();
        flow
    }

    /// Calls the handler. `Err`: it panicked.
    fn call_handler(
        &self,
        request: &mut Request,
        expects_continue: bool,
    ) -> std::thread::Result<Response> {
        catch_unwind(AssertUnwindSafe(|| {
            if expects_continue && let Some(response) = self.handler.expect_continue(request) {
                return response;
            }
            self.handler.handle(request)
        }))
    }

    /// Counts and logs a panic of the handler. Returns the response: a 500.
    #[cold]
    fn note_panic(&self, request: &Request, turn: &TurnContext<'_>) -> Response {
        turn.count_panic();
        self.panics.error(Instant::now(), || {
            let worker = std::thread::current();
            format!(
                "{}: the handler panicked at {} {}",
                worker.name().unwrap_or("worker"),
                request.method(),
                request.uri()
            )
        });
        Response::error(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Responds to a malformed request, and closes the connection.
    fn reject(&mut self, reject: Reject, turn: &mut TurnContext<'_>) -> Outcome {
        let (info, accept) = {
            let mut exchange = self.cell.lock();
            if let Some(connection) = &exchange.connection {
                log::debug!("{}: {}: {}", connection.peer, reject.status(), reject.explain());
            }
            let input = exchange.input.filled();
            let known = (RequestInfo::of_malformed(input), accept_of_malformed(input));
            exchange.begin(&Framing::None, false);
            known
        };
        let format = ClientFormat { writer: &self.problems, headers: Some(&accept) };
        let mut pending = PendingResponse::new(info, reject.into(), false, format);
        pending.close_because(reject.close_reason());
        let flow = pending.send(&self.cell, turn, self.date.at(unix_seconds()));
        let mut exchange = self.cell.lock();
        exchange.end();
        match flow {
            Break(outcome) => outcome,
            Continue(()) => exchange.close_at_once(),
        }
    }

    /// Encodes the 408 to a request of which no more than `input` has arrived in time.
    fn encode_timeout(&mut self, input: &[u8]) -> Vec<u8> {
        let (info, accept) = (RequestInfo::of_malformed(input), accept_of_malformed(input));
        let format = ClientFormat { writer: &self.problems, headers: Some(&accept) };
        let response = Response::error(StatusCode::REQUEST_TIMEOUT);
        let mut pending = PendingResponse::new(info, response, false, format);
        let payload = Payload::Known(pending.body.length().unwrap_or(0));
        let transfer = pending.transfer(payload);
        let date = self.date.at(unix_seconds());
        let mut out = Vec::new();
        encode_head(&mut out, &pending.head_line(payload, &transfer, false, date));
        if let (Transfer::Length(_), BodyKind::Bytes(bytes)) = (transfer, pending.body_mut()) {
            out.extend_from_slice(bytes);
        }
        out
    }
}

/// A parser with the limits of this configuration.
pub(super) fn new_parser(config: &Config) -> HeadParser {
    HeadParser::new(&config.limits).with_timeout_field(&config.overload.timeout_field)
}

/// The response to a request that came without TLS to a port that expects it: the same target, with
/// TLS. The client keeps its method (RFC 9110 §15.4.9).
fn redirect_to_https(request: &Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    match host {
        Some(host) if !host.is_empty() => {
            let location = format!("https://{host}{target}");
            Response::new(())
                .with_status(StatusCode::PERMANENT_REDIRECT)
                .with_header(LOCATION, location)
        }
        _ => Reject::Cleartext.into(),
    }
}
