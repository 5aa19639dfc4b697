//! [`Poller`]: where connections that wait for their clients are parked, without a worker.
//!
//! One epoll(7) instance, edge-triggered, watches the sockets; the [leader](crate::pool::leader)
//! waits on it. A parked connection has a deadline. An ordered set has at most one entry for each
//! connection, which is moved only when it comes due or an earlier deadline arrives: so a kept
//! connection that is parked a thousand times a second touches the set once a minute.
//!
//! Lock order: a slot before the set of deadlines. [`Poller::expire`] takes an entry out of the set
//! and locks its slot afterwards, so it checks that the slot still has that entry. The list of free
//! slots is locked alone.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use crate::config::Timeouts;
use crate::pool::connection::{Connection, Phase};
use crate::pool::poller::candidate::{Candidate, Rank};
use crate::pool::poller::deadlines::{Deadlines, NEVER};
use crate::pool::poller::slots::{Slot, Slots, Tenant};
use crate::pool::poller::token::Token;
use crate::sync::{Waker, timespec};

/// The most events that one epoll_wait(2) returns.
pub(crate) const BATCH: usize = 64;

/// The user data of the waker; no token has it, as generations stay below `u32::MAX`.
const WAKER: u64 = u64::MAX;

/// The upper half of a datagram socket's user data, where a token has its generation. The lower
/// half is the socket's index.
const SOCKET: u64 = u32::MAX as u64;

/// The parked connections.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    waker: Waker,
    slots: Slots,
    deadlines: Deadlines,
}

/// What epoll reports.
#[derive(Debug)]
pub(crate) enum Ready {
    /// A parked connection. The caller owns it from now on.
    Connection(Box<Connection>),
    /// A datagram socket that is [watched](Poller::watch) has datagrams.
    DatagramSocket(usize),
}

/// The result of parking a connection.
#[derive(Debug)]
pub(crate) enum Parked {
    /// It is parked. `sooner`: its deadline is the earliest of all.
    Waits { sooner: bool },
    /// It became ready in the meantime: its owner has to look again.
    Ready(Box<Connection>),
    /// epoll failed.
    Failed(Box<Connection>, io::Error),
}

impl Poller {
    pub(crate) fn new(limit: usize, epoch: Instant) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = Waker::new()?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &waker, epoll::EventData::new_u64(WAKER), edge)?;
        Ok(Self { epoll, waker, slots: Slots::new(limit), deadlines: Deadlines::new(epoch) })
    }

    /// The number of connections that there are slots for.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Ends another thread's [`wait`](Self::wait): the current one, or the next.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Watches a datagram socket. It is reported while there is something to receive
    /// (level-triggered).
    pub(crate) fn watch(&self, index: usize, socket: impl AsFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(SOCKET << 32 | index as u64);
        Ok(epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN)?)
    }

    /// Stops watching a datagram socket.
    pub(crate) fn unwatch(&self, socket: impl AsFd) {
        // It can only fail for a socket that is not watched.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until something is ready, at most for `timeout` (`None`: for ever), and calls `ready`
    /// with at most `most` of it. Returns the number of connections among it.
    ///
    /// # Errors
    /// Those of epoll_wait(2), except `EINTR`, which counts as nothing being ready.
    pub(crate) fn wait(
        &self,
        most: usize,
        timeout: Option<Duration>,
        mut ready: impl FnMut(Ready),
    ) -> io::Result<usize> {
        let blank =
            epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [blank; BATCH];
        // A longer timeout ends early, which is harmless.
        let timeout = timeout.map(|timeout| timespec(timeout.min(Duration::from_secs(1 << 20))));
        let room = most.clamp(1, BATCH);
        let count = match epoll::wait(&self.epoll, &mut events[..room], timeout.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let mut found = 0;
        for event in &events[..count] {
            let (bits, flags) = (event.data.u64(), event.flags);
            if bits == WAKER {
                continue;
            }
            if bits >> 32 == SOCKET {
                ready(Ready::DatagramSocket(bits as u32 as usize));
                continue;
            }
            let ended = flags.intersects(
                epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
            );
            if let Some(connection) = self.take(Token::from_bits(bits), ended) {
                found += 1;
                ready(Ready::Connection(connection));
            }
        }
        Ok(found)
    }

    /// Takes the connection that became ready out of its slot. `None`: it is not parked. Then the
    /// event leaves a note in the slot, and the connection's owner finds it when it parks the
    /// connection.
    fn take(&self, token: Token, peer_ended: bool) -> Option<Box<Connection>> {
        let mut slot = self.slots.lock(token.index);
        if slot.generation != token.generation {
            return None;
        }
        match &mut slot.tenant {
            Tenant::Vacant => None,
            Tenant::Away { ready, ended } => {
                *ready = true;
                *ended |= peer_ended;
                None
            }
            Tenant::Parked(_) => {
                let mut connection = slot.take_parked()?;
                connection.note_event(peer_ended);
                Some(connection)
            }
        }
    }

    /// Parks a connection in `phase` until it becomes ready or its deadline passes.
    pub(crate) fn park(
        &self,
        mut connection: Box<Connection>,
        phase: Phase,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Parked {
        connection.enter(phase, now);
        let deadline = self.deadlines.millis(connection.deadline(timeouts));
        let Some(token) = connection.token else {
            connection.watches_write = waits_for_room(&connection);
            return self.register(connection, deadline);
        };
        if let Err(error) = self.watch_write(&mut connection, token) {
            return Parked::Failed(connection, error);
        }
        let mut slot = self.slots.lock(token.index);
        if let Tenant::Away { ready: true, ended } = slot.tenant {
            // The event came while the connection was away, and epoll will not report it again.
            slot.tenant = Tenant::Away { ready: false, ended: false };
            connection.note_event(ended);
            return Parked::Ready(connection);
        }
        slot.tenant = Tenant::Parked(connection);
        slot.deadline = deadline;
        Parked::Waits { sooner: self.schedule(&mut slot, token.index) }
    }

    /// Makes the slot's entry in the set of deadlines early enough. `true`: the deadline is the
    /// earliest of all now.
    fn schedule(&self, slot: &mut Slot, index: u32) -> bool {
        let deadline = slot.deadline;
        if deadline >= slot.scheduled {
            return false;
        }
        let before = std::mem::replace(&mut slot.scheduled, deadline);
        self.deadlines.schedule(index, before, deadline)
    }

    /// Parks a connection for the first time: allots a slot, and adds the socket to epoll. Input
    /// that is already there is an event as well, and so is room to write, if that is watched.
    fn register(&self, mut connection: Box<Connection>, deadline: u64) -> Parked {
        let Some(index) = self.slots.allot() else {
            return Parked::Failed(connection, io::ErrorKind::OutOfMemory.into());
        };
        let mut slot = self.slots.lock(index);
        let token = Token { index, generation: slot.generation };
        let flags = interest(connection.watches_write);
        let data = epoll::EventData::new_u64(token.to_bits());
        // The slot is locked before epoll knows the socket: an event that comes at once waits for
        // the lock, and finds the connection parked.
        if let Err(errno) = epoll::add(&self.epoll, &connection.wire, data, flags) {
            drop(slot);
            self.slots.release(index);
            return Parked::Failed(connection, errno.into());
        }
        connection.token = Some(token);
        slot.tenant = Tenant::Parked(connection);
        slot.deadline = deadline;
        Parked::Waits { sooner: self.schedule(&mut slot, index) }
    }

    /// Watches for room to write only while the connection waits for it: otherwise a Unix socket
    /// would report room each time its peer reads. Changing the interest makes epoll report what is
    /// ready again.
    fn watch_write(&self, connection: &mut Connection, token: Token) -> io::Result<()> {
        let wanted = waits_for_room(connection);
        if wanted != connection.watches_write {
            let data = epoll::EventData::new_u64(token.to_bits());
            epoll::modify(&self.epoll, &connection.wire, data, interest(wanted))?;
            connection.watches_write = wanted;
        }
        Ok(())
    }

    /// Parks a ready connection that the queue has no room for. Changing the interest makes epoll
    /// report it again at the next poll: for unread input, or for room to write. `true`: its
    /// deadline is the earliest of all.
    pub(crate) fn postpone(
        &self,
        mut connection: Box<Connection>,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Result<bool, (Box<Connection>, io::Error)> {
        let sends = connection.has_unsent();
        if sends {
            // The connection does not wait for the client: it has the whole timeout again.
            connection.note_progress();
            connection.enter(Phase::Write, now);
        }
        let hidden = connection.wire.hides_input();
        let reportable = sends || (connection.unread && !hidden);
        debug_assert!(reportable || hidden, "it waits for something that epoll cannot report");
        // Any socket has room sooner or later, so that this one is reported in any case.
        connection.watches_write = sends || !reportable;
        let deadline = self.deadlines.millis(connection.deadline(timeouts));
        let Some(token) = connection.token else {
            return match self.register(connection, deadline) {
                Parked::Failed(connection, error) => Err((connection, error)),
                Parked::Waits { sooner } => Ok(sooner),
                // Its slot is new, so that it has no note.
                Parked::Ready(_) => Ok(false),
            };
        };
        let data = epoll::EventData::new_u64(token.to_bits());
        let flags = interest(connection.watches_write);
        let mut slot = self.slots.lock(token.index);
        if let Err(errno) = epoll::modify(&self.epoll, &connection.wire, data, flags) {
            return Err((connection, errno.into()));
        }
        slot.tenant = Tenant::Parked(connection);
        slot.deadline = deadline;
        Ok(self.schedule(&mut slot, token.index))
    }

    /// Frees the slot of a connection that is about to be closed or to leave the pool. Closing the
    /// socket takes it out of epoll. A slot that was freed before, and may have another tenant by
    /// now, is not touched: its generation differs.
    pub(crate) fn forget(&self, token: Option<Token>) {
        let Some(Token { index, generation }) = token else { return };
        let mut slot = self.slots.lock(index);
        if slot.generation != generation {
            return;
        }
        slot.tenant = Tenant::Vacant;
        slot.generation = slot.generation.wrapping_add(1) % u32::MAX;
        let scheduled = std::mem::replace(&mut slot.scheduled, NEVER);
        if scheduled != NEVER {
            self.deadlines.remove(scheduled, index);
        }
        drop(slot);
        self.slots.release(index);
    }

    /// As [`forget`](Self::forget), for a connection whose socket stays open.
    pub(crate) fn release(&self, connection: &mut Connection) {
        if connection.token.is_some() {
            // The socket is registered, so that this cannot fail.
            let _ = epoll::delete(&self.epoll, &connection.wire);
        }
        self.forget(connection.token.take());
    }

    /// The time until the earliest deadline; `None` if there is none.
    pub(crate) fn until_deadline(&self, now: Instant) -> Option<Duration> {
        self.deadlines.until_earliest(now)
    }

    /// Takes out the connections whose deadline has passed.
    pub(crate) fn expire(&self, now: Instant, mut expired: impl FnMut(Box<Connection>)) {
        let millis = self.deadlines.passed(now);
        while let Some((due, index)) = self.deadlines.pop_due(millis) {
            let mut slot = self.slots.lock(index);
            if slot.scheduled != due {
                continue;
            }
            slot.scheduled = NEVER;
            if !matches!(slot.tenant, Tenant::Parked(_)) {
                // The connection's owner schedules it again when it parks it.
                continue;
            }
            if slot.deadline > millis {
                // The connection was parked again since: the later deadline counts.
                self.schedule(&mut slot, index);
                continue;
            }
            if let Some(connection) = slot.take_parked() {
                drop(slot);
                expired(connection);
            }
        }
    }

    /// Takes out the parked connections for which `wanted` returns true.
    pub(crate) fn sweep(
        &self,
        wanted: impl Fn(&Connection) -> bool,
        mut swept: impl FnMut(Box<Connection>),
    ) {
        for index in 0..self.slots.used() {
            let mut slot = self.slots.lock(index);
            if !matches!(&slot.tenant, Tenant::Parked(connection) if wanted(connection)) {
                continue;
            }
            if let Some(connection) = slot.take_parked() {
                drop(slot);
                swept(connection);
            }
        }
    }

    /// The number of slots that were ever used.
    pub(crate) fn used(&self) -> u32 {
        self.slots.used()
    }

    /// Looks at the connections that are parked in these slots.
    pub(crate) fn waiting(&self, slots: Range<u32>) -> Vec<Candidate> {
        let waiting = |index| {
            let slot = self.slots.lock(index);
            let Tenant::Parked(connection) = &slot.tenant else { return None };
            Some(Candidate {
                token: Token { index, generation: slot.generation },
                bucket: connection.bucket,
                urgent: connection.urgent,
                from_proxy: connection.from_proxy,
                rank: Rank::of(connection),
                since: connection.since,
            })
        };
        slots.filter_map(waiting).collect()
    }

    /// Whether a candidate still waits as it did at the look.
    pub(crate) fn waits(&self, candidate: &Candidate) -> bool {
        candidate.is_in(&self.slots.lock(candidate.token.index))
    }

    /// Takes out a candidate that still waits as it did at the look.
    pub(crate) fn take_waiting(&self, candidate: &Candidate) -> Option<Box<Connection>> {
        let mut slot = self.slots.lock(candidate.token.index);
        if !candidate.is_in(&slot) {
            return None;
        }
        slot.take_parked()
    }

    /// The number of parked connections. It looks at every slot.
    pub(crate) fn count(&self) -> usize {
        let parked = |index| matches!(self.slots.lock(index).tenant, Tenant::Parked(_));
        (0..self.slots.used()).filter(|index| parked(*index)).count()
    }
}

/// Whether a connection that is parked waits for room to write. A handshake may wait for it, too.
fn waits_for_room(connection: &Connection) -> bool {
    connection.phase == Phase::Write || connection.wire.unsent() > 0
}

fn interest(write: bool) -> epoll::EventFlags {
    let read = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    if write { read | epoll::EventFlags::OUT } else { read }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_went_with_its_connection_does_not_wake_the_monitor() {
        let epoch = Instant::now();
        let poller = Poller::new(8, epoch).unwrap();
        let index = poller.slots.allot().unwrap();
        let generation = {
            let mut slot = poller.slots.lock(index);
            slot.scheduled = 5;
            slot.generation
        };
        assert!(poller.deadlines.schedule(index, NEVER, 5));
        poller.forget(Some(Token { index, generation }));
        let later = epoch + Duration::from_millis(10);
        poller.expire(later, |_| unreachable!("nothing is parked"));
        assert_eq!(poller.until_deadline(later), None);
    }

    #[test]
    fn a_freed_slot_is_not_freed_again() {
        let poller = Poller::new(8, Instant::now()).unwrap();
        let index = poller.slots.allot().unwrap();
        let old = Token { index, generation: poller.slots.lock(index).generation };
        poller.forget(Some(old));
        assert_eq!(poller.slots.allot(), Some(index), "it is the next tenant's");
        poller.forget(Some(old));
        assert_ne!(poller.slots.allot(), Some(index), "no two connections share it");
    }
}
