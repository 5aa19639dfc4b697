//! [`Server`]: the only maker of threads. Start, drain, join.
//!
//! [`Builder`] turns [`Bind`]s, [`Service`]s and settings into a plan (`plan`), binds it, and makes a
//! [`Server`] of it. [`Server::spawn`] starts the threads (`threads`) and returns a [`Handle`], which
//! reports, reconfigures, drains and stops.

mod bind;
mod bound;
mod builder;
mod descriptors;
mod handle;
mod plan;
mod service;
mod threads;

pub use bind::Bind;
pub use bound::Server;
pub use builder::Builder;
pub use handle::{DrainReport, Handle};
pub use service::Service;
