//! The 503 that turns a request away: rendered once, sent without waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::close::CloseReason;
use crate::config::Config;
use crate::http::handler::Handler;
use crate::http::message::Response;
use crate::pool::{Connection, Outcome, Phase, TurnContext};
use crate::sync::lock;

/// The pre-rendered refusals: one for each `Retry-After`, kept alive or closed, with a body or for
/// HEAD.
#[derive(Debug)]
pub(crate) struct Refusals {
    rendered: Vec<Rendered>,
    text: String,
    /// The first `Retry-After`, in seconds.
    soonest: u32,
    /// Which comes next. Clients that were refused together are told different times, so that they
    /// do not come back together.
    next: AtomicUsize,
}

/// Where the protocols of all threads get their refusals, so that the handler is asked for the text
/// once for each configuration, and not by each of them.
pub(crate) struct Refuser {
    handler: Arc<dyn Handler>,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<Config>,
    /// Whether the server has not said yet which configuration is its first.
    is_new: bool,
    refusals: Arc<Refusals>,
}

impl Refuser {
    pub(crate) fn new(handler: Arc<dyn Handler>, config: &Arc<Config>) -> Self {
        let refusals = Refusals::new(handler.refusal(), config.overload.retry_after);
        let (config, refusals) = (Arc::clone(config), Arc::new(refusals));
        Self { handler, current: Mutex::new(Current { config, is_new: true, refusals }) }
    }

    /// Those of the last configuration.
    pub(crate) fn latest(&self) -> Arc<Refusals> {
        Arc::clone(&lock(&self.current).refusals)
    }

    /// The refusals of a configuration. A handler that panics when it is asked keeps its last text.
    pub(crate) fn refusals(&self, config: &Arc<Config>) -> Arc<Refusals> {
        let mut current = lock(&self.current);
        let is_first = std::mem::take(&mut current.is_new) && *current.config == **config;
        if !is_first && !Arc::ptr_eq(&current.config, config) {
            let text = catch_unwind(AssertUnwindSafe(|| self.handler.refusal()));
            let text = text.unwrap_or_else(|_| {
                log::error!("the handler panicked when it was asked for the text of its refusals");
                Some(current.refusals.text.clone())
            });
            current.refusals = Arc::new(Refusals::new(text, config.overload.retry_after));
        }
        current.config = Arc::clone(config);
        Arc::clone(&current.refusals)
    }
}

#[derive(Debug)]
struct Rendered {
    keep: Box<[u8]>,
    close: Box<[u8]>,
    keep_head: usize,
    close_head: usize,
}

impl Refusals {
    /// `text` is the body; `seconds` the range of `Retry-After`.
    pub(crate) fn new(text: Option<String>, seconds: (u32, u32)) -> Self {
        let text = text.unwrap_or_else(|| "503 Service Unavailable: try again later\n".to_owned());
        let rendered = (seconds.0..=seconds.1.min(seconds.0.saturating_add(60)))
            .map(|seconds| {
                let (keep, keep_head) = render(&text, seconds, "keep-alive");
                let (close, close_head) = render(&text, seconds, "close");
                Rendered { keep, close, keep_head, close_head }
            })
            .collect();
        Self { rendered, text, soonest: seconds.0, next: AtomicUsize::new(0) }
    }

    /// Whose turn it is.
    fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.rendered.len()
    }

    /// One as a response, for a request that a worker has in hand already.
    pub(crate) fn response(&self) -> Response {
        let seconds = u64::from(self.soonest) + self.next() as u64;
        let response = Response::text(self.text.clone());
        response
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .with_header(RETRY_AFTER, seconds.into())
    }

    /// Sends one. Whether the connection is kept is the caller's to say: only if one whole request
    /// without a body was read and nothing more is there.
    pub(crate) fn send(
        &self,
        mut connection: Box<Connection>,
        turn: &TurnContext<'_>,
        is_head: bool,
        keep_alive: bool,
    ) -> Outcome {
        let rendered = &self.rendered[self.next()];
        let (bytes, head) = match keep_alive {
            true => (&rendered.keep, rendered.keep_head),
            false => (&rendered.close, rendered.close_head),
        };
        let bytes = if is_head { &bytes[..head] } else { bytes };
        let sent = match keep_alive {
            true => connection.stream.try_write(bytes),
            false => connection.stream.try_write_last(bytes),
        };
        match sent {
            Ok(sent) if sent == bytes.len() => {}
            // It does not even take so little: waiting for it would be service.
            _ => return Outcome::Close(connection, CloseReason::Overloaded),
        }
        if keep_alive {
            connection.requests += 1;
            return Outcome::Park(connection, Phase::Idle);
        }
        connection.closing = Some(CloseReason::Overloaded);
        crate::http::conn::close::close(connection, CloseReason::Overloaded, turn)
    }
}

fn render(text: &str, seconds: u32, connection: &str) -> (Box<[u8]>, usize) {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: {connection}\r\nRetry-After: {seconds}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let length = head.len();
    ((head + text).into_bytes().into(), length)
}
