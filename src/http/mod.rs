//! HTTP/1.1 (RFC 9110, RFC 9112): the types that handlers use, and the protocol behind them.

pub(crate) mod accept;
#[cfg(any(millpond_bench, fuzzing))]
#[doc(hidden)]
pub mod bench_api;
mod codec;
mod conn;
mod handler;
pub(crate) mod json_text;
pub(crate) mod list;
mod message;
mod router;
mod upgraded;
mod worker_local;

pub(crate) use conn::{Http, ProblemWriter};
pub use handler::{Handler, Next, With};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use message::{
    Body, BodyError, BodyWriter, Html, IntoResponse, Problem, ProblemFormat, Request, RequestError,
    Response, Segment, Upgraded,
};
#[cfg(feature = "multipart")]
pub use message::{Multipart, MultipartLimits, Part};
pub use router::{IntoRoute, Route, Router, StateNext, UsesState, WithState, WithoutState};
pub use worker_local::PerWorker;
