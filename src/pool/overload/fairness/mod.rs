//! Which client has how much of the queue and of the workers.
//!
//! All counters are in tables of fixed size, one entry a [`Bucket`]: [`ClientKey`]s are hashed into
//! 1024 buckets with a secret that is drawn at start. Two clients can share a bucket, and then
//! share its part of the queue too. No client can choose which others share its bucket, and no
//! number of clients makes the tables grow.

mod client;
mod queue_shares;
mod table;
mod worker_shares;

pub(crate) use client::{Bucket, CLIENT_BUCKETS, ClientKey};
pub(crate) use table::Fairness;
pub(crate) use worker_shares::{InService, Tick};
