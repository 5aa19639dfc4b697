//! The numbers of a server for Prometheus and for what reads its formats (feature `metrics`).
//!
//! [`encode`] returns them as text, for a handler that responds to scrapes. [`ServerCollector`]
//! adds them to a program's own registry. Each number is read from the counters that the server
//! keeps for itself, at the moment of the scrape: nothing is counted twice, and between scrapes
//! nothing is done. docs/observability.md describes each metric, with the alert to set.
//!
//! - `collector`: which metrics there are. `families`: how one is written.
//! - `process`: the numbers of the process and of its network namespace.
//! - `format`: which of the two formats a client gets.

mod collector;
mod families;
mod format;
mod process;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

pub use collector::ServerCollector;
pub use format::{OPENMETRICS, PROMETHEUS, content_type};

use super::handle::Handle;

/// The metrics of a server, and the [content type](content_type) of the text, for a client with
/// this field `Accept`.
///
/// # Examples
/// A server whose metrics are at `/metrics`. Under overload such a request may be refused as any
/// other: an [urgent](crate::Bind::urgent) endpoint for scrapes is better.
/// ```
/// use std::sync::OnceLock;
///
/// use millpond::http::types::HeaderValue;
/// use millpond::http::types::header::CONTENT_TYPE;
/// use millpond::http::{Request, Response, Router};
/// use millpond::{Handle, Server, metrics};
///
/// static SERVER: OnceLock<Handle> = OnceLock::new();
///
/// fn scrape(request: &mut Request) -> Response {
///     let accept = request.headers().get("accept").and_then(|value| value.to_str().ok());
///     let Some(handle) = SERVER.get() else { return Response::text("") };
///     let (content_type, text) = metrics::encode(handle, accept);
///     let content_type = HeaderValue::from_static(content_type);
///     Response::text(text).with_header(CONTENT_TYPE, content_type)
/// }
///
/// let server = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .http(Router::new().get("/metrics", scrape))
///     .build()?;
/// let _ = SERVER.set(server.handle());
/// let (content_type, text) = metrics::encode(&server.handle(), None);
/// assert_eq!(content_type, metrics::PROMETHEUS);
/// assert!(text.contains("millpond_connections_accepted_total 0\n"));
/// # Ok::<(), millpond::Error>(())
/// ```
#[must_use]
pub fn encode(handle: &Handle, accept: Option<&str>) -> (&'static str, String) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector::new(handle)));
    let content_type = content_type(accept);
    let mut out = String::with_capacity(16 * 1024);
    let written = match content_type == OPENMETRICS {
        true => text::encode(&mut out, &registry),
        false => prometheus_text::encode(&mut out, &registry),
    };
    written.expect("a string takes what is written to it");
    (content_type, out)
}

/// Opens the files that scrapes read, before the program gives up the right to.
pub(super) fn prepare() {
    process::open_files();
}
