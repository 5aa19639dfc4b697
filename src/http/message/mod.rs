//! The messages that handlers work with: [`Request`], [`Response`], [`Body`]. They wrap the types
//! of the `http` crate, and convert from and to them without copying.

mod body;
mod body_error;
pub(super) mod incoming;
mod into_response;
mod problem;
mod request;
mod request_error;
mod response;

pub use crate::http::upgraded::Upgraded;
pub use crate::pool::Segment;
pub(crate) use body::BodyKind;
pub use body::{Body, BodyWriter};
pub use body_error::BodyError;
pub(crate) use body_error::BodyFault;
pub use incoming::Incoming;
pub use into_response::{Html, IntoResponse};
pub(crate) use problem::{Chain, TEXT};
pub use problem::{Problem, ProblemFormat};
pub use request::Request;
pub use request_error::RequestError;
pub use response::Response;
pub(crate) use response::UpgradeHandler;
