//! A slot for each connection that epoll knows: where it is parked, or the note that its owner has
//! to look again.
//!
//! epoll is edge-triggered and never re-armed, which saves a system call a request; so an event may
//! come while a worker has the connection in hand. The slot's state is how the two meet without
//! losing one: an event that finds the connection away leaves a note, and who parks it finds the
//! note.

use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::pool::connection::Connection;
use crate::sync::lock;

/// One connection's slot.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) tenant: Tenant,
    /// When the parked connection's phase ends, in milliseconds on the parking clock.
    pub(crate) deadline: u64,
    /// The entry that the slot has in the set of deadlines; never later than `deadline` while a
    /// connection is parked.
    pub(crate) scheduled: Option<u64>,
}

/// Who is in a slot.
#[derive(Debug, Default)]
pub(crate) enum Tenant {
    /// Nobody.
    #[default]
    Vacant,
    /// A connection that waits.
    Parked(Box<Connection>),
    /// A connection that a worker or the queue has. `ready`: an event came meanwhile; `ended`: the
    /// peer has ended its side.
    Away { ready: bool, ended: bool },
}

const CHUNK: usize = 256;

type Chunk = Box<[Mutex<Slot>]>;

/// The slots, made 256 at a time as connections come.
#[derive(Debug)]
pub(crate) struct Slots {
    chunks: Box<[OnceLock<Chunk>]>,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// Slots that were used and are vacant; the last freed is warm, and goes first.
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

    /// A vacant slot's index; `None` when all are taken.
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

    /// Gives a slot back, which its last user has made vacant.
    pub(crate) fn release(&self, index: u32) {
        lock(&self.free).vacant.push(index);
    }

    pub(crate) fn lock(&self, index: u32) -> MutexGuard<'_, Slot> {
        let chunk = self.chunks[index as usize / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| Mutex::default()).collect());
        lock(&chunk[index as usize % CHUNK])
    }

    /// How many slots were ever used: all tenants are below it.
    pub(crate) fn used(&self) -> u32 {
        lock(&self.free).next
    }
}
