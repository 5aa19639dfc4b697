//! HTTP/1.1 (RFC 9110, RFC 9112): the types that handlers use, and the protocol behind them.

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_api;
mod codec;
mod conn;
mod handler;
pub(crate) mod list;
mod message;
mod router;
mod upgraded;

pub(crate) use conn::Http;
pub use handler::{Handler, Next, With};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use message::{Body, BodyWriter, Incoming, Request, Response, Segment, Upgraded};
pub use router::Router;
