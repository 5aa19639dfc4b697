//! HTTP/1.1 (RFC 9110, RFC 9112).

mod exchange;
mod handler;
mod message;

// The sans-io core.
mod body;
mod date;
mod reject;
mod request;
mod response;

pub use handler::Handler;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use message::{Body, BodyWriter, Incoming, Request, Response, Segment, Upgraded};
