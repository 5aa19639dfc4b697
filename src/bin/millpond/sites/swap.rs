//! [`SiteSwap`]: the handler of a listener, which a reload can replace while the server runs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use millpond::http::{Handler, Request, Response, StatusCode};
use time::OffsetDateTime;

use crate::access_log::line::RequestSummary;
use crate::access_log::writer::Recorder;
use crate::settings::AccessLogFormat;

/// The handler that the server calls. A request that is being served when a reload replaces the
/// handler is finished by the old one.
#[derive(Clone)]
pub(crate) struct SiteSwap(Arc<ArcSwap<ListenerHandler>>);

/// The handler of a listener's sites, and its access log.
#[derive(Clone)]
pub(crate) struct ListenerHandler {
    pub(crate) handler: Arc<dyn Handler>,
    /// Where each request is logged, and in which format.
    pub(crate) access_log: Option<(Recorder, AccessLogFormat)>,
}

/// The swap of each listener, with its endpoint. `None`: the listener has the sockets that the
/// service manager passed and that no endpoint names.
pub(crate) type ListenerSwaps = Vec<(Option<String>, SiteSwap)>;

impl SiteSwap {
    pub(crate) fn new(handler: ListenerHandler) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(handler)))
    }

    /// Replaces the handler.
    pub(crate) fn replace(&self, handler: ListenerHandler) {
        self.0.store(Arc::new(handler));
    }

    /// The present handler.
    pub(crate) fn current(&self) -> Arc<ListenerHandler> {
        self.0.load_full()
    }
}

impl Handler for SiteSwap {
    fn handle(&self, request: &mut Request) -> Response {
        // A guard: no reference count that all workers would share is touched.
        let current = self.0.load();
        let Some((recorder, format)) = &current.access_log else {
            return current.handler.handle(request);
        };
        let summary = RequestSummary::new(request, *format);
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| current.handler.handle(request)));
        // The server responds to a panic with this status. The log must have a line for it, too.
        let failed = Response::empty(StatusCode::INTERNAL_SERVER_ERROR);
        let response = result.as_ref().unwrap_or(&failed);
        let line = summary.line(*format, response, start.elapsed(), OffsetDateTime::now_utc());
        if let Some(line) = line {
            recorder.enqueue(line);
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn expect_continue(&self, request: &Request) -> Option<Response> {
        self.0.load().handler.expect_continue(request)
    }

    fn refusal(&self) -> Option<String> {
        self.0.load().handler.refusal()
    }

    fn check(&self) -> Result<(), millpond::Error> {
        self.0.load().handler.check()
    }
}
