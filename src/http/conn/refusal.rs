//! The 503 that refuses a request under overload: rendered once, and sent without waiting.

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

/// The rendered refusals: one for each `Retry-After`, for a connection that is kept or closed, with
/// a body or for HEAD.
#[derive(Debug)]
pub(crate) struct Refusals {
    rendered: Vec<RenderedRefusal>,
    text: String,
    /// The first `Retry-After`, in seconds.
    soonest: u32,
    /// The index of the next one. Clients that are refused at the same time get different values of
    /// `Retry-After`, so that they do not retry at the same time.
    next: AtomicUsize,
}

/// The refusals that all threads share, so that the handler is called for their text once for each
/// configuration, and not once for each thread.
pub(crate) struct RefusalSource {
    handler: Arc<dyn Handler>,
    current: Mutex<CurrentRefusals>,
}

struct CurrentRefusals {
    config: Arc<Config>,
    /// Whether [`RefusalSource::refusals`] was not called yet. `config` is then a copy that
    /// [`Http::new`](super::Http::new) made, so the first call compares values. Later calls compare
    /// pointers.
    is_new: bool,
    refusals: Arc<Refusals>,
}

impl RefusalSource {
    pub(crate) fn new(handler: Arc<dyn Handler>, config: &Arc<Config>) -> Self {
        let refusals = Refusals::new(handler.refusal(), config.overload.retry_after);
        let (config, refusals) = (Arc::clone(config), Arc::new(refusals));
        Self { handler, current: Mutex::new(CurrentRefusals { config, is_new: true, refusals }) }
    }

    /// The refusals of the latest configuration.
    pub(crate) fn latest(&self) -> Arc<Refusals> {
        Arc::clone(&lock(&self.current).refusals)
    }

    /// The refusals of a configuration. If the handler panics, its previous text is kept.
    pub(crate) fn refusals(&self, config: &Arc<Config>) -> Arc<Refusals> {
        let mut current = lock(&self.current);
        let is_first = std::mem::take(&mut current.is_new) && *current.config == **config;
        if !is_first && !Arc::ptr_eq(&current.config, config) {
            let text = catch_unwind(AssertUnwindSafe(|| self.handler.refusal()));
            let text = text.unwrap_or_else(|_| {
                log::error!("the handler panicked in `refusal`; the previous text is kept");
                Some(current.refusals.text.clone())
            });
            current.refusals = Arc::new(Refusals::new(text, config.overload.retry_after));
        }
        current.config = Arc::clone(config);
        Arc::clone(&current.refusals)
    }
}

#[derive(Debug)]
struct RenderedRefusal {
    keep: Box<[u8]>,
    close: Box<[u8]>,
    /// The lengths of the heads: HEAD gets no body.
    keep_head_len: usize,
    close_head_len: usize,
}

impl Refusals {
    /// `text` is the body; `seconds` the range of `Retry-After`.
    pub(crate) fn new(text: Option<String>, seconds: (u32, u32)) -> Self {
        let text = text.unwrap_or_else(|| "503 Service Unavailable: try again later\n".to_owned());
        let rendered = (seconds.0..=seconds.1.min(seconds.0.saturating_add(60)))
            .map(|seconds| {
                let (keep, keep_head_len) = render(&text, seconds, "keep-alive");
                let (close, close_head_len) = render(&text, seconds, "close");
                RenderedRefusal { keep, close, keep_head_len, close_head_len }
            })
            .collect();
        Self { rendered, text, soonest: seconds.0, next: AtomicUsize::new(0) }
    }

    /// The index of the next refusal.
    fn next_index(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.rendered.len()
    }

    /// A refusal as a response, for a request that a worker has already read.
    pub(crate) fn response(&self) -> Response {
        let seconds = u64::from(self.soonest) + self.next_index() as u64;
        let response = Response::text(self.text.clone());
        response
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .with_header(RETRY_AFTER, seconds.into())
    }

    /// Sends a refusal. The caller may keep the connection only if it has read exactly one complete
    /// request without a body, and no byte behind it.
    pub(crate) fn send(
        &self,
        mut connection: Box<Connection>,
        turn: &TurnContext<'_>,
        is_head_method: bool,
        keep_alive: bool,
    ) -> Outcome {
        let rendered = &self.rendered[self.next_index()];
        let (bytes, head_len) = match keep_alive {
            true => (&rendered.keep, rendered.keep_head_len),
            false => (&rendered.close, rendered.close_head_len),
        };
        let bytes = if is_head_method { &bytes[..head_len] } else { bytes };
        let sent = match keep_alive {
            true => connection.stream.try_write(bytes),
            false => connection.stream.try_write_last(bytes),
        };
        match sent {
            Ok(sent) if sent == bytes.len() => {}
            // The socket does not accept even so few bytes. Waiting for room would cost more than
            // the refusal saves.
            _ => return Outcome::Close(connection, CloseReason::Overloaded),
        }
        if keep_alive {
            connection.requests += 1;
            return Outcome::Park(connection, Phase::Idle);
        }
        connection.closing = Some(CloseReason::Overloaded);
        connection.close_gracefully(turn, CloseReason::Overloaded)
    }
}

/// A whole refusal, and the length of its head.
fn render(text: &str, seconds: u32, connection: &str) -> (Box<[u8]>, usize) {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: {connection}\r\nRetry-After: {seconds}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let length = head.len();
    ((head + text).into_bytes().into(), length)
}
