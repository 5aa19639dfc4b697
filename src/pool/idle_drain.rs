//! [`IdleDrain`]: how idle connections close while the server drains, so that no request races with
//! the close.
//!
//! A client that sends a request on a kept connection while the server closes it does not know
//! whether the request was served, and must not repeat a POST (RFC 9112 §9.3.1). HTTP/1.1 has no
//! message that announces the close of an idle connection. So the drain waits for
//! `timeouts.drain_idle` first. A request that arrives in this time is served, and its response has
//! `Connection: close`: a client that uses its connections often learns of the close that way, and
//! only connections that are hardly used are closed without a request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::pool::connection::{Connection, Phase};
use crate::pool::guard::ProtocolWorkers;
use crate::pool::queue::Work;
use crate::pool::shared::Shared;

/// How long a connection without a request may still send one once the server drains.
const NEWCOMERS_GRACE: Duration = Duration::from_secs(1);

/// How long a connection stays half closed. The client reads the end of the connection meanwhile; a
/// request that crosses with it is discarded instead of causing a reset, which might overtake the
/// end.
const HALF_CLOSED: Duration = Duration::from_millis(100);

/// The shortest time between two looks at all connections, each of which takes a lock.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The most input that is discarded before a close.
const DISCARDED: usize = 64 * 1024;

/// Closes idle connections while the server drains.
#[derive(Debug, Default)]
pub(super) struct IdleDrain {
    /// The connections whose sending side is shut down, and when that was done.
    half_closed: VecDeque<(Instant, Box<Connection>)>,
    next_look: Option<Instant>,
}

impl IdleDrain {
    /// Closes the connections on which no request arrived for long enough. A connection that has
    /// just sent a request is served; one that has not sent any gets [`NEWCOMERS_GRACE`] to do so.
    pub(super) fn close_idle(
        &mut self,
        shared: &Arc<Shared>,
        protocols: &mut ProtocolWorkers,
        now: Instant,
    ) {
        let since = shared.draining_since();
        // Idle connections are closed before the drain ends, and do not count as cut off.
        let quarter = shared.quarter_of_drain();
        self.close_half_closed(shared, now, HALF_CLOSED.min(quarter));
        if self.next_look.is_some_and(|at| now < at) {
            return;
        }
        let quiet = shared.config.load().timeouts.drain_idle.min(quarter);
        self.next_look = Some(now + LOOK_EVERY.min(quiet / 4));
        let newcomers_too = now.saturating_duration_since(since) > NEWCOMERS_GRACE;
        let wanted = |connection: &Connection| match connection.phase {
            Phase::Idle => now.saturating_duration_since(connection.since.max(since)) >= quiet,
            Phase::Head => newcomers_too && connection.input.is_empty(),
            Phase::Handshake => newcomers_too && connection.wire.is_silent(),
            Phase::Body | Phase::Discard | Phase::Write | Phase::Linger | Phase::Held => false,
        };
        let mut idle = Vec::new();
        shared.poller.sweep(wanted, |connection| idle.push(connection));
        for mut connection in idle {
            if connection.wire.has_input() {
                let protocol = protocols.of(connection.protocol);
                shared.enqueue_or_refuse(Work::of(connection), now, protocol);
                shared.wake_worker();
            } else if connection.wire.shutdown_write().is_ok() {
                self.half_closed.push_back((now, connection));
            } else {
                // The client has closed the connection already.
                shared.close(connection, CloseReason::Draining);
            }
        }
    }

    /// Closes the connections that were half closed for `time`.
    fn close_half_closed(&mut self, shared: &Shared, now: Instant, time: Duration) {
        let is_due = |since: Instant| now.saturating_duration_since(since) >= time;
        while self.half_closed.front().is_some_and(|(since, _)| is_due(*since))
            && let Some((_, mut connection)) = self.half_closed.pop_front()
        {
            // Unread input would turn the close into a reset.
            let mut scratch = [0; 4096];
            let mut discarded = 0;
            while discarded < DISCARDED
                && let Ok(count @ 1..) = connection.wire.try_discard(&mut scratch)
            {
                discarded += count;
            }
            shared.close(connection, CloseReason::Draining);
        }
    }

    /// Closes what is half closed when the server has stopped.
    pub(super) fn close_all(&mut self, shared: &Shared) {
        self.close_half_closed(shared, Instant::now(), Duration::ZERO);
    }
}
