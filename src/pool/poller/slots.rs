//! A slot for each connection that epoll watches: the parked connection, or the note that its owner
//! has to look again.
//!
//! epoll is edge-triggered and never re-armed, which saves a system call for each request. So an
//! event may come while a worker has the connection. The slot's lock keeps the two from missing
//! each other: an event that finds the connection away leaves a note, and a worker that parks the
//! connection finds the note.

use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::pool::connection::Connection;
use crate::pool::poller::deadlines::NEVER;
use crate::sync::lock;

/// One connection's slot.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) tenant: Tenant,
    /// When the parked connection's phase ends, in milliseconds since the poller's epoch.
    pub(crate) deadline: u64,
    /// The slot's entry in the set of deadlines, or [`NEVER`] if it has none. It is never later
    /// than `deadline` while a connection is parked.
    pub(crate) scheduled: u64,
}

impl Default for Slot {
    fn default() -> Self {
        Self { generation: 0, tenant: Tenant::Vacant, deadline: 0, scheduled: NEVER }
    }
}

impl Slot {
    /// Takes the parked connection out, if there is one. Its owner may find a note of the events
    /// that come from now on.
    pub(super) fn take_parked(&mut self) -> Option<Box<Connection>> {
        if !matches!(self.tenant, Tenant::Parked(_)) {
            return None;
        }
        let away = Tenant::Away { ready: false, ended: false };
        match std::mem::replace(&mut self.tenant, away) {
            Tenant::Parked(connection) => Some(connection),
            _ => None,
        }
    }
}

/// What a slot has.
#[derive(Debug, Default)]
pub(crate) enum Tenant {
    /// No connection.
    #[default]
    Vacant,
    /// A parked connection.
    Parked(Box<Connection>),
    /// A connection that a worker or the queue has. `ready`: an event came in the meantime;
    /// `ended`: the peer has shut down its side.
    Away { ready: bool, ended: bool },
}

const CHUNK: usize = 256;

type Chunk = Box<[Mutex<Slot>]>;

/// The slots, which are allocated 256 at a time as connections come.
#[derive(Debug)]
pub(crate) struct Slots {
    chunks: Box<[OnceLock<Chunk>]>,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// Vacant slots that were used before. The last one freed is used first, as it is in the
    /// caches.
    vacant: Vec<u32>,
    /// The first slot that was never used.
    next: u32,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            chunks: (0..limit.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect(),
            free: Mutex::default(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// Allots a vacant slot. `None`: there is none.
    pub(crate) fn allot(&self) -> Option<u32> {
        let mut free = lock(&self.free);
        if let Some(index) = free.vacant.pop() {
            return Some(index);
        }
        if free.next as usize >= self.capacity() {
            return None;
        }
        free.next += 1;
        Some(free.next - 1)
    }

    /// Frees a slot that was made vacant.
    pub(crate) fn release(&self, index: u32) {
        lock(&self.free).vacant.push(index);
    }

    pub(crate) fn lock(&self, index: u32) -> MutexGuard<'_, Slot> {
        let chunk = self.chunks[index as usize / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| Mutex::default()).collect());
        lock(&chunk[index as usize % CHUNK])
    }

    /// The number of slots that were ever used: every tenant's index is below it.
    pub(crate) fn used(&self) -> u32 {
        lock(&self.free).next
    }
}
