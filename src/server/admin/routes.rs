//! [`Routes`]: what each path of the admin endpoint responds.

use std::time::Instant;

use log::LevelFilter;

use super::access::AccessRules;
use super::clients::BusiestClients;
use super::connection::Parsed;
use super::health::{Health, Observed};
use super::history::{CounterReading, History};
use super::message::AdminResponse;
use super::options::{AdminCommand, AdminOptions};
use super::report::Report;
use super::{autostatus, page, status};
use crate::http::codec::{DateCache, Head};
use crate::http::{Method, StatusCode, header};
use crate::server::handle::Handle;
use crate::server::metrics;
use crate::server::state::ServerState;
use crate::sync::unix_seconds;

const JSON: &str = "application/json";

/// What the thread knows of the server and of its own settings.
pub(super) struct Routes {
    handle: Handle,
    options: AdminOptions,
    is_unix: bool,
    health: Health,
    history: History,
    clients: BusiestClients,
    date: DateCache,
}

impl Routes {
    pub(super) fn new(handle: Handle, options: AdminOptions, is_unix: bool) -> Self {
        Self {
            handle,
            options,
            is_unix,
            health: Health::default(),
            history: History::default(),
            clients: BusiestClients::default(),
            date: DateCache::new(),
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// When the thread has to look at the server again, without a request; `None`: not at all.
    pub(super) fn due(&self) -> Option<Instant> {
        self.history.due()
    }

    /// Looks at the server, if that is due.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.due().is_some_and(|due| now >= due) {
            let _ = self.observe(now);
            self.history.advance(now, unix_seconds(), || reading(&self.handle));
            self.clients.advance(self.handle.shared().watch().client_requests());
            if self.due().is_none() {
                self.clients.clear();
            }
        }
    }

    /// The bytes of the response to a request, or to bytes that are none.
    pub(super) fn respond(&mut self, parsed: Parsed) -> Vec<u8> {
        let (method, response) = match parsed {
            Ok(head) => (head.method.clone(), self.route(&head).unwrap_or_else(|refused| refused)),
            Err(status) => {
                let reason = status.canonical_reason().unwrap_or_default();
                (Method::GET, AdminResponse::text(status, reason))
            }
        };
        response.encode(&method, self.date.at(unix_seconds()))
    }

    /// # Errors
    /// The response to a request that is not served.
    fn route(&mut self, head: &Head) -> Result<AdminResponse, AdminResponse> {
        let options = &self.options;
        let access = AccessRules {
            is_unix: self.is_unix,
            is_public: options.is_public,
            token: options.token.as_deref(),
        };
        access.check(head)?;
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        let is_command = matches!(path, "/drain" | "/reload" | "/log-level");
        let is_get = matches!(head.method, Method::GET | Method::HEAD);
        if is_command {
            if head.method != Method::POST {
                return Err(not_allowed("POST"));
            }
            access.check_command(&head.headers)?;
            return Ok(self.command(path, query));
        }
        let response = match path {
            "/live" if is_get => self.live(),
            "/ready" if is_get => self.ready(),
            "/status.json" if is_get => {
                AdminResponse::new(StatusCode::OK, JSON, status::json(&self.report()))
            }
            "/status" if is_get => AdminResponse::new(
                StatusCode::OK,
                "text/plain; charset=utf-8",
                autostatus::text(&self.handle),
            ),
            "/metrics" if is_get => self.metrics(head),
            "/" if is_get => page::page(&self.report()),
            "/" | "/live" | "/ready" | "/metrics" | "/status.json" | "/status" => {
                not_allowed("GET, HEAD")
            }
            _ => AdminResponse::text(StatusCode::NOT_FOUND, "no such path"),
        };
        Ok(response)
    }

    fn live(&mut self) -> AdminResponse {
        match self.observe(Instant::now()) {
            Ok(()) => AdminResponse::text(StatusCode::OK, "live"),
            Err(reason) => AdminResponse::text(StatusCode::SERVICE_UNAVAILABLE, &reason),
        }
    }

    fn ready(&self) -> AdminResponse {
        match self.handle.state() {
            ServerState::Running => AdminResponse::text(StatusCode::OK, "ready"),
            state => AdminResponse::text(StatusCode::SERVICE_UNAVAILABLE, state.as_str()),
        }
    }

    fn metrics(&self, head: &Head) -> AdminResponse {
        let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let (content_type, text) = metrics::encode(&self.handle, accept);
        AdminResponse::new(StatusCode::OK, content_type, text)
    }

    /// What the status and the page report.
    fn report(&mut self) -> Report<'_> {
        let now = Instant::now();
        if self.history.due().is_none() {
            self.clients.advance(self.handle.shared().watch().client_requests());
        }
        self.history.watch(now, || reading(&self.handle));
        let is_live = self.is_live(now);
        let samples = self.history.samples(unix_seconds()).collect();
        Report::new(&self.handle, is_live, samples, &self.clients)
    }

    fn command(&self, path: &str, query: &str) -> AdminResponse {
        let command = match path {
            "/drain" => AdminCommand::Drain,
            "/reload" => AdminCommand::Reload,
            _ => match level(query) {
                Some(level) => AdminCommand::LogLevel(level),
                None => {
                    let line =
                        "invalid level: expected ?level=off, error, warn, info, debug or trace";
                    return AdminResponse::text(StatusCode::BAD_REQUEST, line);
                }
            },
        };
        let is_run = self.options.run.as_ref().is_some_and(|run| run(command));
        match command {
            _ if is_run => log::info!("admin: {command:?}"),
            AdminCommand::Drain => {
                log::info!("admin: drain");
                self.handle.begin_drain(self.handle.shared().config().timeouts.drain);
            }
            _ => {
                let line = "this program does not run the command";
                return AdminResponse::text(StatusCode::NOT_FOUND, line);
            }
        }
        AdminResponse::text(StatusCode::ACCEPTED, "accepted")
    }

    /// Whether the server makes progress: the test of `/live`.
    pub(super) fn is_live(&mut self, now: Instant) -> bool {
        self.observe(now).is_ok()
    }

    fn observe(&mut self, now: Instant) -> Result<(), String> {
        let stats = self.handle.stats();
        let shared = self.handle.shared();
        let seen = Observed {
            rounds: self.handle.acceptor_rounds(),
            queued: stats.queued,
            done: stats.served + stats.refused_total() + stats.closed_total(),
            deadline: shared.config().overload.deadline,
            accepts: matches!(self.handle.state(), ServerState::Running | ServerState::LameDuck),
        };
        self.health.observe(seen, now)
    }
}

/// The level of `level=LEVEL`.
fn level(query: &str) -> Option<LevelFilter> {
    query.split('&').find_map(|pair| pair.strip_prefix("level="))?.parse().ok()
}

fn not_allowed(methods: &str) -> AdminResponse {
    let response = AdminResponse::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.with(header::ALLOW, methods)
}

fn reading(handle: &Handle) -> CounterReading {
    let stats = handle.stats();
    let (wait, service) = handle.shared().histograms();
    CounterReading { served: stats.served, refused: stats.refused_total(), wait, service }
}
