//! The admin endpoint: health, status and commands of a server, on a thread and a socket of its
//! own. The thread serves the agent's endpoint as well: see [`agent`](super::agent).
//!
//! The thread never touches the work queue and takes no lock that a worker holds while a handler
//! runs. So it responds when every worker is stuck and the queue is full. It has bounds of its
//! own: see [`connection`] and
//! [`bounded_listener`].
//!
//! ```text
//! options    the builder's settings: endpoint, token, commands ─► bound listeners
//! thread     poll(2) over the listeners and their connections
//!   bounded_listener   at most 8 connections, accepted at a limited rate
//!   connection   one exchange: read a head, respond, close
//!   access       which requests may be served: Host, Origin, token
//!   routes       paths ─► responses
//!     health, history, clients    what the thread observes once a second while it is asked
//!     status, autostatus, page    what it reports
//! ```

mod access;
mod autostatus;
mod bounded_listener;
mod clients;
mod connection;
mod drawing;
mod health;
mod history;
mod message;
mod options;
mod page;
mod page_time;
mod report;
mod routes;
mod status;
mod thread;

pub use options::AdminCommand;
pub(super) use options::{AdminOptions, BoundAdmin};
pub(super) use thread::AdminThread;
