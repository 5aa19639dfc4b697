//! The messages that handlers work with: [`Request`], [`Response`], [`Body`]. They wrap the types
//! of the `http` crate, and convert from and to them without copying.

mod body;
mod body_error;
pub(super) mod incoming;
mod request;
mod response;

pub use super::upgraded::Upgraded;
pub use crate::pool::Segment;
pub(crate) use body::BodyKind;
pub use body::{Body, BodyWriter};
pub(crate) use body_error::BodyError;
pub use incoming::Incoming;
pub use request::Request;
pub use response::Response;
pub(crate) use response::UpgradeHandler;
