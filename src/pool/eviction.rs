//! [`Eviction`]: which parked connection is closed when the table of connections is full.
//!
//! The table is shared max-min fairly: the client that holds most of the parked connections gives
//! one up, so that no client can keep another out with connections that idle, say nothing, or
//! dribble. Of one client's connections those go first whose end costs least: see [`Rank`]. A
//! connection in service is never closed, and one that came through an urgent listener only for
//! another such.
//!
//! Looking at all connections costs much more than closing one. So one look plans many closings,
//! each of which is carried out only when a newcomer needs the place, and only if the connection
//! still waits for what it waited for when it was planned.

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

/// How many slots one look covers at the most. Which client holds most shows in a part of the
/// table, too, and the acceptor must not be away for long.
const LOOK: u32 = 16 * 1024;

/// Of the connections that a look has found, the part that it plans to close.
const PLANNED: usize = 16;

/// For how long a plan is good. Afterwards others may hold most.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A connection that has waited for less than this is taken to be active, and is closed last.
const ACTIVE: Duration = Duration::from_secs(1);

/// How old a plan may be that would have a client give way which holds little, or less than the
/// newcomer's, for each slot that a look covers: about ten times what the look takes.
const FRESH: Duration = Duration::from_micros(1);

/// A client that holds no more than so many connections is not turned away for the sake of clients
/// that hold fewer. Browsers open six for each site.
const MODEST: u32 = 8;

/// How many connections one call tries. Those that turn out to have input are served instead.
const TRIES: usize = 64;

/// Among the connections of one client, the smallest is closed first.
type Order = (bool, bool, Rank, Instant);

impl<B> Candidate<B> {
    fn is_active(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < ACTIVE
    }

    fn order(&self, now: Instant) -> Order {
        (self.urgent, self.is_active(now), self.rank, self.since)
    }
}

/// The first `count` of `candidates` to be closed, in this order: one at a time of the client that
/// holds most connections, `held` at first, in service or not; of several such clients, of the one
/// whose turn comes first by [`Candidate::order`].
fn plan<B: Copy + Ord>(
    mut candidates: Vec<Candidate<B>>,
    count: usize,
    now: Instant,
    held: impl Fn(B) -> u32,
) -> Vec<Candidate<B>> {
    candidates.sort_unstable_by_key(|candidate| (candidate.bucket, candidate.order(now)));
    // The clients by (how many they hold, whose turn it is, which comes next).
    let mut clients = BinaryHeap::new();
    let mut next = 0;
    for group in candidates.chunk_by(|one, other| one.bucket == other.bucket) {
        clients.push((held(group[0].bucket), Reverse(group[0].order(now)), next));
        next += group.len();
    }
    let mut planned = Vec::with_capacity(count.min(candidates.len()));
    while planned.len() < count
        && let Some((held, _, next)) = clients.pop()
    {
        let candidate = candidates[next];
        planned.push(candidate);
        if let Some(other) = candidates.get(next + 1).filter(|it| it.bucket == candidate.bucket) {
            clients.push((held.saturating_sub(1), Reverse(other.order(now)), next + 1));
        }
    }
    planned
}

/// The slots of one look that begins at `cursor`, at most [`LOOK`] of `used`, and where the next
/// one begins.
fn parts(cursor: u32, used: u32) -> ([Range<u32>; 2], u32) {
    let count = used.min(LOOK);
    let start = if cursor < used { cursor } else { 0 };
    let end = used.min(start + count);
    let rest = count - (end - start);
    ([start..end, 0..rest], if rest > 0 { rest } else { end })
}

/// What is planned to be closed. It belongs to the acceptor.
#[derive(Debug)]
pub(crate) struct Eviction {
    /// Whether it makes room for connections through urgent listeners.
    urgent: bool,
    /// The next one to be closed is the last.
    planned: Vec<Candidate>,
    planned_at: Option<Instant>,
    /// Where the next look begins.
    cursor: u32,
}

/// What came of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// A connection was closed.
    One,
    /// All that may be closed are those of clients that hold fewer than the newcomer's.
    OverFairShare,
    /// None only waits any more, or only such as are active, of clients that hold little.
    Nothing,
}

impl Eviction {
    pub(crate) fn new(urgent: bool) -> Self {
        Self { urgent, planned: Vec::new(), planned_at: None, cursor: 0 }
    }

    /// Whether there is a connection that only waits.
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

    /// Closes a connection that only waits. `for_client`: to make room for one more of this client,
    /// which must not hold more than the client that gives way.
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
            let held = shared.connections.held(candidate.bucket);
            let own = for_client == Some(candidate.bucket);
            // Of clients that hold about the same, one may have a little more than the others.
            let fair = own || demand <= held + held / 8 + 1;
            let fresh_for = FRESH * shared.poller.used().min(LOOK);
            let is_fresh = |at: Instant| now.saturating_duration_since(at) <= fresh_for;
            let sure = fair && (held > MODEST || demand < held);
            if !sure
                && !self.planned_at.is_some_and(is_fresh)
                && !std::mem::replace(&mut looked_again, true)
            {
                // Connections of a client that holds more may have come to wait since.
                self.look(shared, now);
                continue;
            }
            let modest = demand.max(held) <= MODEST && for_client.is_some();
            if modest && candidate.is_active(now) && shared.connections.may_overdraw() {
                // Nobody is to blame but those who are in service at this moment.
                self.planned.push(candidate);
                return Evicted::Nothing;
            }
            if !fair && demand > MODEST {
                self.planned.push(candidate);
                return Evicted::OverFairShare;
            }
            let Some(connection) = shared.poller.take_waiting(&candidate) else { continue };
            let waits_for_request = matches!(candidate.rank, Rank::Idle | Rank::Silent);
            if waits_for_request && connection.stream.has_input() {
                // Its request has just come, and no worker has looked yet.
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

    /// Looks at the parked connections, and plans.
    fn look(&mut self, shared: &Shared, now: Instant) {
        let used = shared.poller.used();
        let mut found = Vec::new();
        let mut looked = 0;
        // In a large table, up to the first part in which there is anything.
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

    /// (client, rank, seconds that it has waited), and by which index it is known.
    fn candidates(start: Instant, table: &[(u32, Rank, u64)]) -> (Vec<Candidate<u32>>, Instant) {
        let now = start + NOW;
        let candidate = |(index, &(bucket, rank, waited)): (usize, &(u32, Rank, u64))| Candidate {
            token: Token { index: index as u32, generation: 0 },
            bucket,
            urgent: false,
            rank,
            since: now - Duration::from_secs(waited),
        };
        (table.iter().enumerate().map(candidate).collect(), now)
    }

    /// All connections there are wait.
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

    use Rank::{Completion, HalfHead, Idle, Midway, Silent};

    #[test]
    fn the_client_that_holds_most_gives_up_first_whatever_its_connections_wait_for() {
        for rank in [Idle, Silent, Completion, HalfHead, Midway] {
            assert_plan(&[(1, Idle, 50), (2, rank, 2), (2, rank, 3), (2, rank, 4)], &[3, 2]);
        }
    }

    #[test]
    fn of_one_client_that_goes_first_whose_end_costs_least_and_then_what_has_waited_longest() {
        let table =
            [(1, Midway, 90), (1, HalfHead, 80), (1, Silent, 70), (1, Idle, 5), (1, Idle, 6)];
        assert_plan(&table, &[4, 3, 2, 1, 0]);
    }

    #[test]
    fn what_is_active_goes_last_of_its_client() {
        assert_plan(&[(1, Idle, 0), (1, Silent, 9), (1, Midway, 9)], &[1, 2, 0]);
    }

    #[test]
    fn what_came_through_an_urgent_listener_goes_last_of_its_client() {
        let (mut candidates, now) = candidates(Instant::now(), &[(1, Idle, 9), (1, Midway, 0)]);
        candidates[0].urgent = true;
        assert_eq!(plan(candidates, 1, now, |_| 2)[0].token.index, 1);
    }

    #[test]
    fn clients_that_hold_the_same_give_up_by_turns_the_longest_idle_first() {
        let table = [(1, Idle, 9), (2, Idle, 8), (1, Idle, 7), (2, Idle, 6), (3, Idle, 99)];
        assert_plan(&table, &[0, 1, 4, 2, 3]);
    }

    #[test]
    fn whoever_holds_least_keeps_all_of_it() {
        // 250 clients with 32 connections each, and one with one that has waited for the longest.
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
            // It has grown since, and is looked at as a whole all the same.
            (100, 101, ([100..101, 0..100], 100)),
            (0, 40_000, ([0..LOOK, 0..0], LOOK)),
            (2 * LOOK, 40_000, ([2 * LOOK..40_000, 0..3 * LOOK - 40_000], 3 * LOOK - 40_000)),
            (50_000, 40_000, ([0..LOOK, 0..0], LOOK)),
        ] {
            assert_eq!(parts(cursor, used), expected, "{cursor} of {used}");
        }
    }

    #[test]
    fn what_a_client_holds_in_service_counts_as_well() {
        let (candidates, now) =
            candidates(Instant::now(), &[(1, Idle, 9), (1, Idle, 8), (2, Idle, 1)]);
        let held = |bucket| if bucket == 2 { 40 } else { 2 };
        assert_eq!(plan(candidates, 1, now, held)[0].bucket, 2);
    }
}
