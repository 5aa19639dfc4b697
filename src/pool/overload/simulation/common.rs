//! What both simulations share.

use crate::pool::overload::fairness::{Bucket, ClientKey, Fairness};

/// How long clients wait for a response, in nanoseconds.
pub(super) const RESPONSE_TIMEOUT: u64 = 200_000_000;

/// Buckets of clients, all different: otherwise the figures would depend on the table's secret,
/// which differs from run to run.
pub(super) fn distinct_buckets(clients: usize) -> Vec<Bucket> {
    let table = Fairness::new();
    let mut buckets = Vec::new();
    for uid in 0.. {
        if buckets.len() == clients {
            break;
        }
        let bucket = table.bucket(ClientKey::Uid(uid));
        if !buckets.contains(&bucket) {
            buckets.push(bucket);
        }
    }
    buckets
}

/// The latency that a share of `rank` of all latencies do not exceed, in milliseconds.
pub(super) fn percentile(latencies: &[u64], rank: f64) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let index = ((sorted.len() as f64 * rank).ceil() as usize).max(1) - 1;
    sorted.get(index).map_or(0.0, |nanos| *nanos as f64 / 1e6)
}
