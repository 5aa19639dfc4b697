//! HTTP/1.1 (RFC 9110, RFC 9112).

mod exchange;
mod handler;
mod message;

pub use handler::Handler;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use message::{Body, BodyWriter, Incoming, Request, Response, Segment, Upgraded};
