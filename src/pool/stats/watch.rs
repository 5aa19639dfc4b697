//! [`Watch`]: what is recorded only while an admin endpoint shows it: the last refusals, and which
//! clients ask for most.

use std::collections::VecDeque;
#[cfg(any(test, feature = "admin"))]
use std::fmt;
#[cfg(any(test, feature = "admin"))]
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "admin")]
use crate::pool::overload::fairness::CLIENT_BUCKETS;
use crate::pool::overload::fairness::{Bucket, ClientKey};
use crate::pool::overload::refusal::Refusal;
use crate::sync::lock;

/// Refusals that are kept.
const REFUSALS: usize = 64;
/// At most one refusal in this time is recorded, so that a flood costs nothing more.
const SAMPLE_GAP: Duration = Duration::from_millis(10);

/// What is recorded only while it is on.
#[derive(Debug)]
pub(crate) struct Watch {
    on: AtomicBool,
    epoch: Instant,
    /// When the next refusal may be recorded, in nanoseconds since the epoch.
    next_sample: AtomicU64,
    refusals: Mutex<VecDeque<RefusedRequest>>,
    /// For each bucket, the requests of its clients. Empty until it is on, as it takes 20 KiB.
    clients: OnceLock<Box<[ClientCount]>>,
}

/// A refusal of the past.
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "only the admin endpoint reads it"))]
#[derive(Clone, Debug)]
pub(crate) struct RefusedRequest {
    pub(crate) at: SystemTime,
    pub(crate) refusal: Refusal,
    pub(crate) client: String,
    /// Method and path, as far as the request was read.
    pub(crate) line: String,
    /// The wait that the length of the queue predicted.
    pub(crate) predicted: Duration,
}

/// The requests of a bucket, and the client that it was last seen with.
#[derive(Debug, Default)]
struct ClientCount {
    requests: AtomicU32,
    /// The kind of client in the lowest byte; 0: none was seen.
    kind: AtomicU32,
    address: AtomicU64,
}

impl Watch {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            on: AtomicBool::new(false),
            epoch,
            next_sample: AtomicU64::new(0),
            refusals: Mutex::default(),
            clients: OnceLock::new(),
        }
    }

    #[cfg(feature = "admin")]
    pub(crate) fn turn_on(&self) {
        let counts = || (0..CLIENT_BUCKETS).map(|_| ClientCount::default()).collect();
        self.clients.get_or_init(counts);
        self.on.store(true, Relaxed);
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Whether a refusal at `now` is recorded.
    pub(crate) fn takes_refusal(&self, now: Instant) -> bool {
        if !self.is_on() {
            return false;
        }
        let nanos = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        let next = self.next_sample.load(Relaxed);
        let later = nanos + SAMPLE_GAP.as_nanos() as u64;
        nanos >= next && self.next_sample.compare_exchange(next, later, Relaxed, Relaxed).is_ok()
    }

    pub(crate) fn record_refusal(&self, refused: RefusedRequest) {
        let mut refusals = lock(&self.refusals);
        if refusals.len() == REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back(refused);
    }

    /// The recorded refusals, the last one first.
    #[cfg(feature = "admin")]
    pub(crate) fn refusals(&self) -> Vec<RefusedRequest> {
        lock(&self.refusals).iter().rev().cloned().collect()
    }

    /// A client has connected, or has sent a request through a proxy.
    pub(crate) fn note_client(&self, bucket: Bucket, key: ClientKey) {
        let Some(client) = self.clients.get().and_then(|all| all.get(bucket.index())) else {
            return;
        };
        let (kind, address) = match key {
            ClientKey::None => (1, 0),
            ClientKey::V4(octets) => (2, u32::from_be_bytes(octets).into()),
            ClientKey::V6Prefix(octets) => (3, u64::from_be_bytes(octets)),
            ClientKey::Uid(uid) => (4, uid.into()),
        };
        // Two clients of one bucket may be mixed for a moment.
        client.address.store(address, Relaxed);
        client.kind.store(kind, Relaxed);
    }

    /// Requests of a client were served or refused.
    #[inline]
    pub(crate) fn count_requests(&self, bucket: Bucket, count: u32) {
        if self.is_on()
            && let Some(client) = self.clients.get().and_then(|all| all.get(bucket.index()))
        {
            client.requests.fetch_add(count, Relaxed);
        }
    }

    /// The requests of each bucket since the start, modulo 2^32.
    #[cfg(feature = "admin")]
    pub(crate) fn client_requests(&self) -> Vec<u32> {
        let all = self.clients.get().map(|all| &all[..]).unwrap_or_default();
        all.iter().map(|client| client.requests.load(Relaxed)).collect()
    }

    /// The client of a bucket, as text.
    #[cfg(feature = "admin")]
    pub(crate) fn client_name(&self, bucket: usize) -> String {
        let Some(client) = self.clients.get().and_then(|all| all.get(bucket)) else {
            return String::new();
        };
        ClientName(client.kind.load(Relaxed), client.address.load(Relaxed)).to_string()
    }
}

/// A client by its kind and address.
#[cfg(any(test, feature = "admin"))]
struct ClientName(u32, u64);

#[cfg(any(test, feature = "admin"))]
impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(2, address) => Ipv4Addr::from(address as u32).fmt(f),
            Self(3, prefix) => {
                write!(f, "{}/64", Ipv6Addr::from(u128::from(prefix) << 64))
            }
            Self(4, uid) => write!(f, "uid {uid}"),
            Self(1, _) => f.write_str("local"),
            Self(..) => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_as_the_tables_of_fairness_distinguish_it() {
        let name = |kind, address| ClientName(kind, address).to_string();
        assert_eq!(name(2, 0xc000_0207), "192.0.2.7");
        assert_eq!(name(3, 0x2001_0db8_0000_0001), "2001:db8:0:1::/64");
        assert_eq!(name(4, 1000), "uid 1000");
    }

    #[test]
    fn nothing_is_recorded_before_it_is_on_and_a_hundred_refusals_a_second_after() {
        let epoch = Instant::now();
        let watch = Watch::new(epoch);
        assert!(!watch.takes_refusal(epoch));
        watch.on.store(true, Relaxed);
        let at = |millis| epoch + Duration::from_millis(millis);
        let taken = (0..1000).filter(|millis| watch.takes_refusal(at(*millis))).count();
        assert_eq!(taken, 100);
    }
}
