//! [`HeldConnections`]: how many connections each client has open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::client::{Bucket, counters};

/// Open connections, by bucket. The table of connections and [`Fairness`](super::Fairness) share
/// it: a client keeps its bucket as long as a connection of it is open.
#[derive(Clone, Debug)]
pub(crate) struct HeldConnections(Arc<[AtomicU32]>);

impl HeldConnections {
    pub(super) fn new() -> Self {
        Self(counters().into())
    }

    pub(crate) fn add(&self, bucket: Bucket) {
        self.0[bucket.index()].fetch_add(1, Relaxed);
    }

    pub(crate) fn remove(&self, bucket: Bucket) {
        self.0[bucket.index()].fetch_sub(1, Relaxed);
    }

    /// How many this client has open.
    pub(crate) fn of(&self, bucket: Bucket) -> u32 {
        self.0[bucket.index()].load(Relaxed)
    }
}
