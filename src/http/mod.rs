//! HTTP/1.1 (RFC 9110, RFC 9112): what handlers see, and the driver behind it.

// The sans-io core.
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_api;
mod body;
mod date;
#[cfg(test)]
mod proof;
mod reject;
mod request;
mod response;

// What handlers see.
mod handler;
mod message;
mod middleware;
mod params;
mod router;
mod upgraded;

// The driver.
mod answer;
mod asked;
mod awaited;
mod buffer;
mod closing;
mod departure;
mod driver;
mod exchange;
mod incoming;
mod intake;
mod refusal;
mod sink;
mod switch;

pub(crate) use driver::Http;
pub use handler::Handler;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use message::{Body, BodyWriter, Incoming, Request, Response, Segment, Upgraded};
pub use middleware::{Next, With};
pub use router::Router;
