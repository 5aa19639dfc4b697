//! What handlers see: [`Request`], [`Response`], [`Body`]. They are the types of the `http` crate,
//! or wrap and become them without copying.

mod body;
mod body_error;
pub(super) mod incoming;
mod request;
mod response;

pub use super::upgraded::Upgraded;
pub use crate::pool::Segment;
pub(crate) use body::Kind;
pub use body::{Body, BodyWriter};
pub(crate) use body_error::BodyError;
pub use incoming::Incoming;
pub use request::Request;
pub use response::Response;
pub(crate) use response::UpgradeHandler;
