//! [`Eviction`]: which parked connection is closed when the table of connections is full.
//!
//! The table is shared max-min fairly: the client that has most connections loses a parked one, so
//! that no client can keep others out with connections that idle, send nothing, or send byte after
//! byte. Of one client's connections, the one whose end costs least is closed first: see [`Rank`].
//! The connections of trusted proxies, which many clients share, are closed last. A connection in
//! service is never closed. One that came through an urgent listener is closed only
//! for another such.
//!
//! Looking at all connections costs much more than closing one. So one look plans many closings.
//! Each is carried out only when a new connection needs the place, and only if the planned one
//! still waits for what it waited for at the look.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::guard::ProtocolWorkers;
use crate::pool::overload::fairness::Bucket;
use crate::pool::poller::candidate::{Candidate, Rank};
use crate::pool::queue::Work;
use crate::pool::shared::Shared;

/// The most slots that one look covers. A part of the table shows well enough which client has
/// most, and the acceptor must not be busy for long.
const LOOK: u32 = 16 * 1024;

/// One in this many of the connections that a look has found is planned to be closed.
const PLANNED: usize = 16;

/// How long a plan is valid. Afterwards another client may have most.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A connection that has waited for less than this counts as active, and is closed last.
const ACTIVE: Duration = Duration::from_secs(1);

/// How long a plan counts as fresh, for each slot that a look covers: about ten times what the look
/// takes. Before an older plan closes a connection of a client that has few, or fewer than the new
/// connection's client, there is another look.
const FRESH: Duration = Duration::from_micros(1);

/// A client with no more connections than this is not refused in favour of clients with fewer.
/// Browsers open six connections to each site.
const MODEST: u32 = 8;

/// The most connections that one call tries. Those that turn out to have input are enqueued.
const TRIES: usize = 64;

/// Of one client's connections, the smallest is closed first.
type Order = (bool, bool, Rank, Instant);

impl<B> Candidate<B> {
    fn is_active(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < ACTIVE
    }

    fn order(&self, now: Instant) -> Order {
        (self.urgent, self.is_active(now), self.rank, self.since)
    }
}

/// The first `count` of `candidates` to be closed, in this order: each time one of the client that
/// has most connections left (at first `held`, in service or not); of several such clients, the one
/// whose next connection is first by [`Candidate::order`]. The connections of trusted proxies,
/// which are no single client's, come after all others.
fn plan<B: Copy + Ord>(
    mut candidates: Vec<Candidate<B>>,
    count: usize,
    now: Instant,
    held: impl Fn(B) -> u32,
) -> Vec<Candidate<B>> {
    let client = |candidate: &Candidate<B>| (candidate.from_proxy, candidate.bucket);
    candidates.sort_unstable_by_key(|candidate| (client(candidate), candidate.order(now)));
    // The clients by (number of connections, order of the next one, its index).
    let mut clients = BinaryHeap::new();
    let mut next = 0;
    for group in candidates.chunk_by(|one, other| client(one) == client(other)) {
        let held = if group[0].from_proxy { 0 } else { held(group[0].bucket) };
        clients.push((held, Reverse(group[0].order(now)), next));
        next += group.len();
    }
    let mut planned = Vec::with_capacity(count.min(candidates.len()));
    while planned.len() < count
        && let Some((held, _, next)) = clients.pop()
    {
        let candidate = candidates[next];
        planned.push(candidate);
        if let Some(other) = candidates.get(next + 1).filter(|it| client(it) == client(&candidate))
        {
            clients.push((held.saturating_sub(1), Reverse(other.order(now)), next + 1));
        }
    }
    planned
}

/// The slots of one look that begins at `cursor`, at most [`LOOK`] of `used`; and where the next
/// look begins.
fn parts(cursor: u32, used: u32) -> ([Range<u32>; 2], u32) {
    let count = used.min(LOOK);
    let start = if cursor < used { cursor } else { 0 };
    let end = used.min(start + count);
    let rest = count - (end - start);
    ([start..end, 0..rest], if rest > 0 { rest } else { end })
}

/// The planned closings. They belong to the acceptor.
#[derive(Debug)]
pub(crate) struct Eviction {
    /// Whether it makes room for connections through urgent listeners.
    urgent: bool,
    /// The last element is closed next.
    planned: Vec<Candidate>,
    planned_at: Option<Instant>,
    /// Where the next look begins.
    cursor: u32,
}

/// The result of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// A connection was closed.
    One,
    /// Every connection that could be closed is of a client with fewer than the new one's client.
    OverFairShare,
    /// No connection waits, or only active ones of clients with few.
    Nothing,
}

impl Eviction {
    pub(crate) fn new(urgent: bool) -> Self {
        Self { urgent, planned: Vec::new(), planned_at: None, cursor: 0 }
    }

    /// Whether there is a connection that could be closed.
    pub(crate) fn has_candidate(&mut self, shared: &Shared, now: Instant) -> bool {
        let is_stale = |at: Instant| now.saturating_duration_since(at) > GOOD_FOR;
        if self.planned_at.is_none_or(is_stale) {
            self.planned.clear();
        }
        while self.planned.last().is_some_and(|candidate| !shared.poller.waits(candidate)) {
            self.planned.pop();
        }
        if self.planned.is_empty() {
            self.look(shared, now);
        }
        !self.planned.is_empty()
    }

    /// Closes a waiting connection. `for_client`: to make room for one of this client, which must
    /// not have more than the client that loses one.
    pub(crate) fn evict(
        &mut self,
        shared: &Arc<Shared>,
        protocols: &mut ProtocolWorkers,
        for_client: Option<Bucket>,
        now: Instant,
    ) -> Evicted {
        let demand = for_client.map_or(0, |bucket| shared.connections.held(bucket) + 1);
        let mut looked_again = false;
        for _ in 0..TRIES {
            if !self.has_candidate(shared, now) {
                return Evicted::Nothing;
            }
            let Some(candidate) = self.planned.pop() else { return Evicted::Nothing };
            let held = match candidate.from_proxy {
                true => 0,
                false => shared.connections.held(candidate.bucket),
            };
            let own = for_client == Some(candidate.bucket) && !candidate.from_proxy;
            // Of clients with about the same number, one may have a few more.
            let fair = own || demand <= held + held / 8 + 1;
            let fresh_for = FRESH * shared.poller.used().min(LOOK);
            let is_fresh = |at: Instant| now.saturating_duration_since(at) <= fresh_for;
            let sure = fair && (held > MODEST || demand < held);
            if !sure
                && !self.planned_at.is_some_and(is_fresh)
                && !std::mem::replace(&mut looked_again, true)
            {
                // A client with more may have parked connections since the last look.
                self.look(shared, now);
                continue;
            }
            let modest = demand.max(held) <= MODEST && for_client.is_some();
            if modest && candidate.is_active(now) && shared.connections.may_overdraw() {
                // All others are in service at this moment: the limit is exceeded for a moment.
                self.planned.push(candidate);
                return Evicted::Nothing;
            }
            if !fair && demand > MODEST {
                self.planned.push(candidate);
                return Evicted::OverFairShare;
            }
            let Some(connection) = shared.poller.take_waiting(&candidate) else { continue };
            let waits_for_request = matches!(candidate.rank, Rank::Idle | Rank::Silent);
            if waits_for_request && connection.wire.has_input() {
                // A request has just come that no worker has seen.
                let protocol = protocols.of(connection.protocol);
                if shared.enqueue_or_refuse(Work::of(connection), now, protocol) {
                    shared.wake_worker();
                }
                continue;
            }
            let reason = connection.closing.unwrap_or(CloseReason::MadeRoom);
            shared.close(connection, reason);
            return Evicted::One;
        }
        Evicted::Nothing
    }

    /// Looks at the parked connections, and plans which to close.
    fn look(&mut self, shared: &Shared, now: Instant) {
        let used = shared.poller.used();
        let mut found = Vec::new();
        let mut looked = 0;
        // In a large table the look ends with the first part that has a candidate.
        while found.is_empty() && looked < used {
            let (parts, next) = parts(self.cursor, used);
            for part in parts {
                looked += part.end - part.start;
                found.extend(shared.poller.waiting(part));
            }
            found.retain(|candidate| self.urgent || !candidate.urgent);
            self.cursor = next;
        }
        let count = found.len().div_ceil(PLANNED);
        self.planned = plan(found, count, now, |bucket| shared.connections.held(bucket));
        self.planned.reverse();
        self.planned_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::poller::token::Token;

    const NOW: Duration = Duration::from_secs(1000);

    /// Candidates from (client, rank, seconds of waiting), and the time at which they are looked
    /// at.
    fn candidates(start: Instant, table: &[(u32, Rank, u64)]) -> (Vec<Candidate<u32>>, Instant) {
        let now = start + NOW;
        let candidate = |(index, &(bucket, rank, waited)): (usize, &(u32, Rank, u64))| Candidate {
            token: Token { index: index as u32, generation: 0 },
            bucket,
            urgent: false,
            from_proxy: false,
            rank,
            since: now - Duration::from_secs(waited),
        };
        (table.iter().enumerate().map(candidate).collect(), now)
    }

    /// The number of connections of a client, if all wait.
    fn counted(table: &[(u32, Rank, u64)]) -> impl Fn(u32) -> u32 {
        |bucket| table.iter().filter(|(other, ..)| *other == bucket).count() as u32
    }

    #[track_caller]
    fn assert_plan(table: &[(u32, Rank, u64)], expected: &[u32]) {
        let (candidates, now) = candidates(Instant::now(), table);
        let planned = plan(candidates, expected.len(), now, counted(table));
        let indices: Vec<_> = planned.iter().map(|candidate| candidate.token.index).collect();
        assert_eq!(indices, expected, "{table:?}");
    }

    use Rank::{Closing, HalfHead, Idle, Midway, Silent};

    #[test]
    fn the_client_with_most_loses_one_first_whatever_its_connections_wait_for() {
        for rank in [Idle, Silent, Closing, HalfHead, Midway] {
            assert_plan(&[(1, Idle, 50), (2, rank, 2), (2, rank, 3), (2, rank, 4)], &[3, 2]);
        }
    }

    #[test]
    fn of_one_client_the_cheapest_end_comes_first_and_then_the_longest_wait() {
        let table =
            [(1, Midway, 90), (1, HalfHead, 80), (1, Silent, 70), (1, Idle, 5), (1, Idle, 6)];
        assert_plan(&table, &[4, 3, 2, 1, 0]);
    }

    #[test]
    fn an_active_connection_is_closed_last_of_its_client() {
        assert_plan(&[(1, Idle, 0), (1, Silent, 9), (1, Midway, 9)], &[1, 2, 0]);
    }

    #[test]
    fn an_urgent_connection_is_closed_last_of_its_client() {
        let (mut candidates, now) = candidates(Instant::now(), &[(1, Idle, 9), (1, Midway, 0)]);
        candidates[0].urgent = true;
        assert_eq!(plan(candidates, 1, now, |_| 2)[0].token.index, 1);
    }

    #[test]
    fn a_connection_of_a_trusted_proxy_is_closed_last_of_all() {
        let table = [(1, Idle, 90), (1, Idle, 80), (1, Idle, 70), (2, Midway, 0)];
        let (mut candidates, now) = candidates(Instant::now(), &table);
        candidates[..3].iter_mut().for_each(|candidate| candidate.from_proxy = true);
        let planned = plan(candidates, 3, now, counted(&table));
        let indices: Vec<_> = planned.iter().map(|candidate| candidate.token.index).collect();
        assert_eq!(indices, [3, 0, 1]);
    }

    #[test]
    fn clients_with_equal_numbers_lose_connections_in_turn() {
        let table = [(1, Idle, 9), (2, Idle, 8), (1, Idle, 7), (2, Idle, 6), (3, Idle, 99)];
        assert_plan(&table, &[0, 1, 4, 2, 3]);
    }

    #[test]
    fn the_client_with_fewest_keeps_all() {
        // 250 clients with 32 connections each, and one client with one that has waited longest.
        let mut table = vec![(0, Idle, 900)];
        table.extend((0..8000).map(|n| (1 + n % 250, Silent, 10 + u64::from(n) / 250)));
        let (candidates, now) = candidates(Instant::now(), &table);
        let planned = plan(candidates, 7749, now, counted(&table));
        let mut left = [32; 251];
        for candidate in planned {
            assert_ne!(candidate.bucket, 0);
            left[candidate.bucket as usize] -= 1;
        }
        assert!(left[1..].iter().all(|left| (1..=2).contains(left)), "{left:?}");
    }

    #[test]
    fn with_nothing_to_close_the_plan_is_empty() {
        assert_plan(&[], &[]);
        let none: Vec<Candidate<u32>> = Vec::new();
        assert!(plan(none, 5, Instant::now(), |_| 1).is_empty());
    }

    #[test]
    fn a_look_covers_the_whole_table_or_a_part_of_it_in_turn() {
        for (cursor, used, expected) in [
            (0, 0, ([0..0, 0..0], 0)),
            (0, 100, ([0..100, 0..0], 100)),
            // The table has grown since, and is covered as a whole.
            (100, 101, ([100..101, 0..100], 100)),
            (0, 40_000, ([0..LOOK, 0..0], LOOK)),
            (2 * LOOK, 40_000, ([2 * LOOK..40_000, 0..3 * LOOK - 40_000], 3 * LOOK - 40_000)),
            (50_000, 40_000, ([0..LOOK, 0..0], LOOK)),
        ] {
            assert_eq!(parts(cursor, used), expected, "{cursor} of {used}");
        }
    }

    #[test]
    fn connections_in_service_count_as_well() {
        let (candidates, now) =
            candidates(Instant::now(), &[(1, Idle, 9), (1, Idle, 8), (2, Idle, 1)]);
        let held = |bucket| if bucket == 2 { 40 } else { 2 };
        assert_eq!(plan(candidates, 1, now, held)[0].bucket, 2);
    }
}
