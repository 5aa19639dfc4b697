//! HTTP/1.1 (RFC 9110, RFC 9112): the types that handlers use, and the protocol behind them.
//!
//! A request is an [`http::Request`](types::Request) of the crate `http`, and a response an
//! [`http::Response`](types::Response). The types that most handlers need are named here; the whole
//! crate is [`types`]. Programs that use it by that name need no version of their own, which would
//! have to be the same.
//!
//! # Examples
//! ```
//! use millpond::http::types::header;
//! use millpond::http::{HeaderValue, Response};
//!
//! let cache = HeaderValue::from_static("no-store");
//! let response = Response::text("grain").with_header(header::CACHE_CONTROL, cache);
//! assert!(response.headers().contains_key(header::CACHE_CONTROL));
//! ```

pub(crate) mod accept;
#[cfg(any(millpond_bench, fuzzing))]
#[doc(hidden)]
pub mod bench_api;
pub(crate) mod codec;
pub(crate) mod conditional;
mod conn;
pub(crate) mod file_stamp;
mod handler;
pub(crate) mod json_text;
#[cfg(feature = "files")]
pub(crate) mod known_types;
pub(crate) mod list;
mod message;
mod router;
mod upgraded;
mod worker_local;

#[cfg(feature = "cookies")]
pub use ::cookie;
/// The crate `http`, whose types are those of requests and responses.
pub use ::http as types;
pub(crate) use conn::{Http, OfflineRequest, ProblemWriter, respond_offline};
pub use handler::{Handler, Next, With};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
#[cfg(feature = "json")]
pub use message::Json;
pub(crate) use message::Standalone;
pub use message::{
    Body, BodyError, BodyWriter, Cancel, CancelReason, Html, IntoResponse, InvalidTraceParent,
    Pressure, Problem, ProblemFormat, Request, RequestError, Response, Segment, TraceParent,
    Upgraded,
};
#[cfg(feature = "multipart")]
pub use message::{Multipart, MultipartLimits, Part};
pub use router::{IntoRoute, Route, Router, StateNext, UsesState, WithState, WithoutState};
pub use worker_local::PerWorker;
