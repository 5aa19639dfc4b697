//! The messages that handlers work with: [`Request`], [`Response`], [`Body`]. They wrap the types
//! of the `http` crate, and convert from and to them without copying.

mod body;
mod body_error;
mod body_read;
mod conditions;
#[cfg(feature = "cookies")]
mod cookies;
#[cfg(any(feature = "form", feature = "json"))]
mod decode;
mod file;
#[cfg(feature = "form")]
mod form;
pub(super) mod incoming;
mod into_response;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "multipart")]
mod multipart;
mod pressure;
mod problem;
mod proxy_wait;
mod request;
mod request_error;
mod response;
mod standalone;
mod timing;
mod trace;
mod whole_body;

#[cfg(feature = "multipart")]
pub use crate::http::codec::multipart::MultipartLimits;
pub use crate::http::upgraded::Upgraded;
pub use crate::pool::output::Segment;
pub use crate::pool::{Cancel, CancelReason};
pub(crate) use body::BodyKind;
pub use body::{Body, BodyWriter};
pub use body_error::BodyError;
pub(crate) use body_error::BodyFault;
pub(crate) use body_read::MemorySink;
pub use into_response::{Html, IntoResponse};
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "multipart")]
pub use multipart::{Multipart, Part};
pub use pressure::Pressure;
pub(crate) use problem::{Chain, TEXT};
pub use problem::{Problem, ProblemFormat};
pub(crate) use proxy_wait::wait_at_proxy;
pub use request::Request;
pub use request_error::RequestError;
pub use response::Response;
pub(crate) use response::UpgradeHandler;
pub(crate) use standalone::Standalone;
pub use trace::{InvalidTraceParent, TraceParent};
