//! Admission: work enters the queue or is refused, and what becomes of what was refused.

use std::sync::Arc;
use std::time::Instant;

use crate::close::CloseReason;
use crate::config::Config;
use crate::pool::connection::{Connection, Phase};
use crate::pool::datagram::socket::QueuedDatagram;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::refusal_budget::Allowance;
use crate::pool::protocol::{Outcome, ProtocolWorker, TurnContext};
use crate::pool::queue::{Queued, Work};
use crate::pool::shared::Shared;
use crate::pool::thread_time::ThreadTime;

impl Shared {
    /// Puts work into the queue, or does what is to be done when it does not take it. `true`: it is
    /// in the queue.
    pub(crate) fn enqueue_or_refuse(
        self: &Arc<Self>,
        work: Work,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> bool {
        self.enqueue_or_refuse_since(work, now, now, protocol)
    }

    /// As [`enqueue_or_refuse`](Self::enqueue_or_refuse), for work that has waited since `arrived`
    /// elsewhere: in the kernel's backlog.
    pub(crate) fn enqueue_or_refuse_since(
        self: &Arc<Self>,
        work: Work,
        arrived: Instant,
        now: Instant,
        protocol: &mut dyn ProtocolWorker,
    ) -> bool {
        let urgent = work.is_urgent();
        match self.queue.push_from(work, arrived, now) {
            Ok(()) => {
                if urgent {
                    self.leader.wake_urgent();
                }
                return true;
            }
            Err((Work::Connection(connection), refusal)) => {
                refuse(self, protocol, connection, refusal, now);
            }
            Err((Work::Datagram(datagram), refusal)) => self.drop_datagram(datagram, refusal),
            // It was admitted before.
            Err((Work::Continuation(connection), _)) => self.put_off(connection, now),
        }
        false
    }

    /// Turns a datagram away.
    pub(crate) fn drop_datagram(&self, datagram: Box<QueuedDatagram>, refusal: Refusal) {
        self.counters.refuse(refusal);
        self.datagrams.leave(datagram.bytes.len());
        self.datagrams.keep(datagram);
        self.datagrams.refuse(refusal);
        self.connections.completion.notify();
    }
}

/// Turns a connection's work away, and charges the CPU time which that took.
///
/// Past half of the budget responses to all that is refused would take the CPU from what is served.
/// A kept connection of a client that is over its share is then held for a moment: so loops that
/// ask again at each refusal slow down by themselves. Any other is reset.
pub(crate) fn refuse(
    shared: &Arc<Shared>,
    protocol: &mut dyn ProtocolWorker,
    connection: Box<Connection>,
    refusal: Refusal,
    now: Instant,
) {
    if connection.urgent || shared.refusal_allowance(now) == Allowance::Response {
        refuse_at_once(shared, protocol, connection, refusal, now);
        return;
    }
    let time = ThreadTime::start();
    let kept = connection.token.is_some() && !connection.is_continuing();
    if kept && shared.queue.controller.is_over_share(connection.bucket) && !shared.is_draining() {
        if let Some(connection) = shared.park(connection, Phase::Held, now) {
            // Something has come meanwhile, perhaps its end.
            refuse_at_once(shared, protocol, connection, refusal, now);
            return;
        }
    } else {
        shared.counters.refuse(refusal);
        connection.stream.reset_on_close();
        shared.close(connection, CloseReason::Overloaded);
    }
    shared.charge_refusing(time.elapsed());
}

/// As [`refuse`], with a response, whatever that costs.
pub(crate) fn refuse_at_once(
    shared: &Arc<Shared>,
    protocol: &mut dyn ProtocolWorker,
    connection: Box<Connection>,
    refusal: Refusal,
    now: Instant,
) {
    let time = ThreadTime::start();
    let config = shared.config.load();
    let mut served =
        protocol.refuse(connection, &mut TurnContext::new(shared, &config, now), refusal);
    // What has said nothing yet only waits on, elsewhere.
    if !matches!(served, Outcome::Park(_, Phase::Head)) {
        shared.counters.refuse(refusal);
        served.note_progress();
    }
    settle(shared, &config, protocol, served, now);
    shared.charge_refusing(time.elapsed());
}

/// Parks or closes a connection that was refused.
fn settle(
    shared: &Arc<Shared>,
    config: &Arc<Config>,
    protocol: &mut dyn ProtocolWorker,
    mut served: Outcome,
    now: Instant,
) {
    loop {
        let again = match served {
            Outcome::Park(connection, phase) => shared.park(connection, phase, now),
            Outcome::Requeue(connection) => {
                leave_to_workers(shared, connection, now);
                None
            }
            Outcome::Close(connection, reason) => {
                shared.close(connection, reason);
                None
            }
            Outcome::Gone => None,
        };
        let Some(connection) = again else { return };
        if connection.phase != Phase::Linger {
            leave_to_workers(shared, connection, now);
            return;
        }
        // No handler is called for it.
        served = protocol.serve(connection, &mut TurnContext::new(shared, config, now));
    }
}

fn leave_to_workers(shared: &Arc<Shared>, connection: Box<Connection>, now: Instant) {
    match shared.queue.push(Work::of(connection), now) {
        Ok(()) => shared.wake_worker(),
        Err((Work::Connection(connection) | Work::Continuation(connection), _)) => {
            shared.close(connection, CloseReason::Overloaded);
        }
        Err((Work::Datagram(_), _)) => {}
    }
}
