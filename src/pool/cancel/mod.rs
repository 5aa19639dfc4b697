//! Cancellation: a handler is notified when its response is no longer wanted.
//!
//! ```text
//! worker ─► CancelSlot ◄── each 100 ms ── monitor ─► Cancel is set ─► canceller: callbacks
//!    └────────────────── end of the exchange: no callback runs any more ─────────┘
//! ```
//!
//! - `handle`: [`Cancel`], which handlers share with other threads.
//! - `canceller`: the thread that runs the callbacks, since a callback may block and the monitor
//!   must not.
//! - `registry`: the requests that the monitor checks, and when it checks them.

mod canceller;
mod handle;
mod registry;

pub use handle::{Cancel, CancelReason};
pub(crate) use registry::{CancelSlot, CancelSource, Cancellations, Watched};
