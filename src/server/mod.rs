//! [`Server`]: starts the threads, and ends them at a stop. No other module of the library starts
//! threads.
//!
//! [`Builder`] turns [`Bind`]s, [`Service`]s and a configuration into a plan (`plan`), binds the
//! sockets, and returns a [`Server`]. [`Server::spawn`] starts the threads (`threads`) and returns
//! a [`Handle`], which reports on, reconfigures, drains and stops the running server.

mod accept_queues;
#[cfg(feature = "admin")]
mod admin;
#[cfg(feature = "admin")]
mod admin_endpoints;
#[cfg(feature = "admin")]
mod agent;
mod bind;
mod bind_options;
mod bound;
mod builder;
mod descriptors;
mod handle;
mod listeners;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
#[cfg(test)]
mod panics;
mod plan;
#[cfg(feature = "admin")]
mod private_endpoint;
mod report;
mod service;
mod state;
mod threads;

pub use accept_queues::AcceptQueue;
#[cfg(feature = "admin")]
pub use admin::AdminCommand;
pub use bind::Bind;
pub use bind_options::BindOptions;
pub use bound::Server;
pub use builder::Builder;
pub use handle::{Handle, Stopped};
pub use report::DrainReport;
pub use service::Service;
pub use state::ServerState;
