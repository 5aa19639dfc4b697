//! Which client has how much of the queue and of the workers.
//!
//! All counters are in tables of fixed size, one entry a [`Bucket`]. A secret hash of a client's
//! [`ClientKey`] chooses eight of 1024 buckets. A client that has a connection or work owns one of
//! its eight. If all of them have other owners, it shares one, and the part of the queue that goes
//! with it. No client can choose which others share its bucket, and no number of clients makes the
//! tables grow.

mod client;
mod client_counts;
mod held;
mod places;
mod queue_shares;
mod table;
mod worker_shares;

#[cfg(feature = "admin")]
pub(crate) use client::CLIENT_BUCKETS;
pub(crate) use client::{Bucket, ClientKey};
pub(crate) use held::HeldConnections;
pub(crate) use table::Fairness;
pub(crate) use worker_shares::{InService, Tick};
