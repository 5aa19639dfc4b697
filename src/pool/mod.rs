//! The engine: acceptor, work queue, workers, poller. It knows connections and protocols, never
//! what is spoken on them.
//!
//! ```text
//! acceptor ─► admit ─► queue ─► worker ─► protocol ─► park ─► poller ─► leader ─► admit …
//!               │                                        │
//!               └─► refuse, or drop a datagram           └─► close
//! ```
//!
//! - One file for each thread: `acceptor`, `worker`, `monitor`, and `upgrades` for threads that
//!   take a connection out of the pool.
//! - `shared`: what the threads share, and how the server stops. Its methods are in `admit`
//!   (enqueue or refuse), `park` (park or close), `wake` (which thread to wake) and `reclaim`
//!   (memory).
//! - `leader`: which thread polls, and which is woken. `poller`: where connections wait.
//! - `queue` and `overload`: what is admitted, and in which order it is served.
//! - `proxy_header`: the client's address, which a proxy sends at the beginning of a connection.
//! - `connection`, `output`: a connection, and what it has yet to send. `connections` counts and
//!   limits them, and `eviction` closes one to make room for another.
//! - `client_waits`, `hash_limit`: how many workers may wait for clients, or hash passwords.
//! - `cancel`: notifies handlers whose response is no longer wanted. `server_view`: what a request
//!   may ask of the server.
//! - `guard`: what a panic costs. `idle_drain`: how idle connections close while the server drains.
//!   `last_accepts`: how the listeners end then.
//! - `datagram`: sockets without connections. `stats`: what is counted.

pub(crate) mod acceptor;
mod admit;
pub(crate) mod arrivals;
pub(crate) mod cancel;
pub(crate) mod client_waits;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod datagram;
mod deferred;
pub(crate) mod eviction;
pub(crate) mod guard;
#[cfg(feature = "tls")]
mod handshake;
mod handshake_lane;
#[cfg_attr(not(feature = "files"), expect(dead_code, reason = "only files have passwords"))]
pub(crate) mod hash_limit;
mod idle_drain;
mod last_accepts;
pub(crate) mod leader;
pub(crate) mod monitor;
pub(crate) mod oldest_entry;
pub(crate) mod output;
pub(crate) mod output_memory;
#[cfg(feature = "tls")]
mod output_tls;
pub(crate) mod overload;
pub(crate) mod overload_log;
mod park;
pub(crate) mod poller;
pub(crate) mod protocol;
pub(crate) mod proxy_header;
pub(crate) mod queue;
#[cfg(any(millpond_bench, fuzzing))]
pub(crate) mod queue_bench;
mod reclaim;
pub(crate) mod server_view;
pub(crate) mod shared;
pub(crate) mod short_backlog;
pub(crate) mod source;
pub(crate) mod stats;
pub(crate) mod thread_time;
pub(crate) mod upgrades;
mod wake;
pub(crate) mod wire;
mod work;
pub(crate) mod worker;

pub use cancel::{Cancel, CancelReason};
pub(crate) use connection::{Connection, Phase};
pub use datagram::handler::DatagramHandler;
pub use datagram::stats::DatagramStats;
pub(crate) use output::Segment;
pub use overload::refusal::Refusal;
pub(crate) use protocol::{Outcome, Protocol, ProtocolWorker, TurnContext};
pub(crate) use shared::{OPENS_FILES, Shared};
pub use stats::durations::Durations;
pub use stats::handshakes::HandshakeStats;
pub use stats::reloads::ReloadStats;
pub use stats::snapshot::Stats;
pub use stats::worker_state::{WorkerActivity, WorkerState};
pub(crate) use wire::Wire;
