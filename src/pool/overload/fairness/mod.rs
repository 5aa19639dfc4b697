//! Which client has how much of the queue and of the workers.
//!
//! All counters are in tables of fixed size, one entry a [`Bucket`]. Each client that has a connection
//! or work has one of eight, which a secret hash of its [`ClientKey`] chooses among 1024. If all eight
//! have such owners, it shares the bucket of one of them, and its part of the queue too. No client can
//! choose which others share its bucket, and no number of clients makes the tables grow.

mod client;
mod held;
mod places;
mod queue_shares;
mod table;
mod worker_shares;

pub(crate) use client::{Bucket, CLIENT_BUCKETS, ClientKey};
pub(crate) use held::HeldConnections;
pub(crate) use table::Fairness;
pub(crate) use worker_shares::{InService, Tick};
