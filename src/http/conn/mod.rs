//! The life of an HTTP/1.1 connection: read a head, call the handler, send the response, keep the
//! connection or close it.
//!
//! While a connection is parked, its [`Phase`](crate::pool::Phase) is what it waits for:
//!
//! ```text
//!          accepted
//!             │
//!             ▼
//! ┌───────► WORKER ──┬─ no complete head, first request or partial ─────► Head ────┐
//! │           │      ├─ head complete, short body incomplete ───────────► Body ────┤
//! │           │      ├─ response sent, nothing of the next request ─────► Idle ────┤
//! │           │      ├─ response sent, rest of the body unread ─────────► Discard ─┤
//! │           │      ├─ the socket accepts no more of the response ─────► Write ───┤
//! │           │      └─ response sent, closing with input unread ───────► Linger ──┤
//! │           │                                                                    │
//! │           ├─ reached its end ────────► closed ◄──── deadline: the monitor ─────┤
//! │           │                                         closes it (`expire`)       │
//! │           ▼                                                                    │
//! └──────── queue ◄────── event: the poller sees input, or room to write ──────────┘
//! ```
//!
//! - A worker moves the connection into a phase: [`ProtocolWorker::serve`] returns
//!   [`Outcome::Park`].
//! - The thread that polls moves it back, when epoll reports input (in Write: room to write); if
//!   no other work is queued, it may serve the connection itself.
//! - The monitor closes it when the deadline of the phase passes. In Head and Body it sends a 408
//!   first, if any byte of the request has arrived.
//! - A worker returns [`Outcome::Requeue`] to let other connections have a turn.
//! - Under overload, [`ProtocolWorker::refuse`] takes the place of `serve`. It sends a 503 and
//!   moves the connection to Idle, Linger or its end; or back to Head, if no complete head has
//!   arrived.
//! - Before a request of a trusted proxy is queued, [`ProtocolWorker::identify`] names its client.
//! - Only the pool uses the phase Held: the connection waits 100 ms for its refusal.
//!
//! The files from the bottom to the top: [`exchange`] and `buffer` (state), `request_body`, `park`,
//! `send` and `close` (the ways off the worker), `identify`, `read` and `respond` (one request),
//! `driver` (the protocol). A method that may leave the connection on the worker returns
//! `ControlFlow<Outcome>`: `Break` is what the worker returns to the pool, `Continue` means that
//! the turn goes on. A method after which the connection has always left returns the [`Outcome`].
//!
//! [`Outcome`]: crate::pool::Outcome
//! [`Outcome::Park`]: crate::pool::Outcome::Park
//! [`Outcome::Requeue`]: crate::pool::Outcome::Requeue
//! [`ProtocolWorker::identify`]: crate::pool::ProtocolWorker::identify
//! [`ProtocolWorker::serve`]: crate::pool::ProtocolWorker::serve
//! [`ProtocolWorker::refuse`]: crate::pool::ProtocolWorker::refuse

mod awaited_body;
mod body_sink;
mod buffer;
mod close;
mod driver;
pub(super) mod exchange;
mod identify;
mod load_report;
mod offline;
mod park;
mod problems;
mod read;
mod refusal;
mod request_body;
mod request_info;
mod respond;
mod send;
mod server_timing;
mod upgrade;

pub(crate) use driver::Http;
pub(crate) use offline::{OfflineRequest, respond_offline};
pub(crate) use problems::ProblemWriter;
