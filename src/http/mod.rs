//! HTTP/1.1 (RFC 9110, RFC 9112): what handlers see, and the driver behind it.

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_api;
mod codec;
mod conn;
mod handler;
pub(crate) mod list;
mod message;
mod middleware;
mod router;
mod upgraded;

pub(crate) use conn::Http;
pub use handler::Handler;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use message::{Body, BodyWriter, Incoming, Request, Response, Segment, Upgraded};
pub use middleware::{Next, With};
pub use router::Router;
