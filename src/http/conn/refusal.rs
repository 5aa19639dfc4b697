//! The 503 that refuses a request under overload: rendered once, and sent without waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::problems::{ProblemWriter, WrittenProblem};
use crate::close::CloseReason;
use crate::config::Config;
use crate::http::codec::response::encode_field;
use crate::http::handler::Handler;
use crate::http::message::{BodyKind, Problem, ProblemFormat, Response, TEXT};
use crate::pool::{Connection, Outcome, Phase, TurnContext};
use crate::sync::lock;

/// The rendered refusals: one for each `Retry-After` and each format, for a connection that is kept
/// or closed, with a body or for HEAD.
#[derive(Debug)]
pub(crate) struct Refusals {
    text: FormatRefusals,
    json: FormatRefusals,
    /// The text of the handler, if it has one.
    own_text: Option<String>,
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
    problems: ProblemWriter,
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
    pub(crate) fn new(
        handler: Arc<dyn Handler>,
        problems: ProblemWriter,
        config: &Arc<Config>,
    ) -> Self {
        let refusals = Refusals::new(handler.refusal(), &problems, config.overload.retry_after);
        let (config, refusals) = (Arc::clone(config), Arc::new(refusals));
        let current = Mutex::new(CurrentRefusals { config, is_new: true, refusals });
        Self { handler, problems, current }
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
                current.refusals.own_text.clone()
            });
            let seconds = config.overload.retry_after;
            current.refusals = Arc::new(Refusals::new(text, &self.problems, seconds));
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

/// The refusals in one format.
#[derive(Debug)]
struct FormatRefusals {
    /// The media type, and the other fields of the program's function.
    fields: HeaderMap,
    text: String,
    /// One for each `Retry-After`.
    rendered: Vec<RenderedRefusal>,
}

impl FormatRefusals {
    fn new(fields: HeaderMap, text: String, seconds: (u32, u32)) -> Self {
        let rendered = (seconds.0..=seconds.1.min(seconds.0.saturating_add(60)))
            .map(|seconds| {
                let (keep, keep_head_len) = render(&fields, &text, seconds, "keep-alive");
                let (close, close_head_len) = render(&fields, &text, seconds, "close");
                RenderedRefusal { keep, close, keep_head_len, close_head_len }
            })
            .collect();
        Self { fields, text, rendered }
    }

    /// The refusals as `problems` writes them. A body that is not text in memory cannot be rendered
    /// ahead, and is replaced.
    fn written(problems: &ProblemWriter, format: ProblemFormat, seconds: (u32, u32)) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE).with_detail("try again later");
        let WrittenProblem { headers: mut fields, body } = problems.write(&problem, format);
        for name in SERVER_FIELDS {
            fields.remove(name);
        }
        let text = match &body.0 {
            BodyKind::Empty => Some(String::new()),
            BodyKind::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            _ => None,
        };
        match text {
            Some(text) => Self::new(fields, text, seconds),
            None => Self::new(text_fields(), problem.to_text(), seconds),
        }
    }
}

impl Refusals {
    /// `own_text` is the body as text, if it is not that of `problems`; `seconds` is the range of
    /// `Retry-After`.
    pub(crate) fn new(
        own_text: Option<String>,
        problems: &ProblemWriter,
        seconds: (u32, u32),
    ) -> Self {
        let json = FormatRefusals::written(problems, ProblemFormat::Json, seconds);
        let text = match &own_text {
            Some(text) => FormatRefusals::new(text_fields(), text.clone(), seconds),
            None => FormatRefusals::written(problems, ProblemFormat::Text, seconds),
        };
        Self { text, json, own_text, soonest: seconds.0, next: AtomicUsize::new(0) }
    }

    fn of_format(&self, format: ProblemFormat) -> &FormatRefusals {
        match format {
            ProblemFormat::Text => &self.text,
            ProblemFormat::Json => &self.json,
        }
    }

    /// The index of the next refusal.
    fn next_index(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.text.rendered.len()
    }

    /// A refusal as a response, for a request that a worker has already read.
    pub(crate) fn response(&self, format: ProblemFormat) -> Response {
        let seconds = u64::from(self.soonest) + self.next_index() as u64;
        let FormatRefusals { fields, text, .. } = self.of_format(format);
        let mut response = Response::new(text.clone());
        *response.headers_mut() = fields.clone();
        response.with_status(StatusCode::SERVICE_UNAVAILABLE).with_header(RETRY_AFTER, seconds)
    }

    /// Sends a refusal. The caller may keep the connection only if it has read exactly one complete
    /// request without a body, and no byte behind it.
    pub(crate) fn send(
        &self,
        mut connection: Box<Connection>,
        turn: &TurnContext<'_>,
        is_head_method: bool,
        keep_alive: bool,
        format: ProblemFormat,
    ) -> Outcome {
        let rendered = &self.of_format(format).rendered[self.next_index()];
        let (bytes, head_len) = match keep_alive {
            true => (&rendered.keep, rendered.keep_head_len),
            false => (&rendered.close, rendered.close_head_len),
        };
        let bytes = if is_head_method { &bytes[..head_len] } else { bytes };
        let sent = match keep_alive {
            true => connection.wire.try_write(bytes),
            false => connection.wire.try_write_last(bytes),
        };
        match sent {
            Ok(sent) if sent == bytes.len() && connection.wire.unsent() == 0 => {}
            // The socket does not accept even so few bytes. Waiting for room would cost more than
            // the refusal saves.
            _ => return Outcome::Close(connection, CloseReason::Overloaded),
        }
        turn.count_response(StatusCode::SERVICE_UNAVAILABLE.as_u16());
        if keep_alive {
            connection.requests += 1;
            return Outcome::Park(connection, Phase::Idle);
        }
        connection.closing = Some(CloseReason::Overloaded);
        connection.close_gracefully(turn, CloseReason::Overloaded)
    }
}

/// Fields of a refusal that the server sets.
const SERVER_FIELDS: [HeaderName; 5] =
    [CONNECTION, CONTENT_LENGTH, DATE, RETRY_AFTER, TRANSFER_ENCODING];

/// The fields of a refusal that is plain text.
fn text_fields() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(TEXT))])
}

/// A whole refusal, and the length of its head.
fn render(fields: &HeaderMap, text: &str, seconds: u32, connection: &str) -> (Box<[u8]>, usize) {
    let mut bytes = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: {connection}\r\nRetry-After: {seconds}\r\n\
         Content-Length: {}\r\n",
        text.len()
    )
    .into_bytes();
    for (name, value) in fields {
        encode_field(&mut bytes, name, value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    let length = bytes.len();
    bytes.extend_from_slice(text.as_bytes());
    (bytes.into(), length)
}
