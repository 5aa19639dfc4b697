//! The lent_sockets: while handlers are quick, the acceptor lends its sockets to whoever leads.
//!
//! What the acceptor receives has to be handed to a worker, and the hand-off costs more than a
//! quick handler. So epoll watches the sockets as well: the leader receives a burst, puts it into
//! the queue, and is the first to take from there. Once a handler was slow, or no worker is left to
//! lead, the acceptor gets the sockets back, which receives whatever the workers do: then a burst
//! waits in the queue, where it is judged and counted, and not with the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::pool::Shared;
use crate::pool::datagram::receive::Receiver;
use crate::pool::datagram::socket::DatagramSocket;
use crate::sync::lock;

/// Whether the sockets are lent.
#[derive(Debug, Default)]
pub(crate) struct LentSockets {
    /// The lock is held while a worker receives, so that nobody does once they were taken back.
    lent: Mutex<bool>,
    /// The same, to be read without the lock.
    hint: AtomicBool,
}

impl LentSockets {
    pub(crate) fn is_lent(&self) -> bool {
        self.hint.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// The acceptor lends its sockets, if handlers are quick and there is a worker to lead.
    pub(crate) fn lend(&self, sockets: &[Arc<DatagramSocket>]) {
        if !self.leader.handlers_are_fast() || !self.leader.has_leader() {
            return;
        }
        let mut lent = lock(&self.lent_sockets.lent);
        if *lent || self.is_draining() {
            return;
        }
        for (index, socket) in sockets.iter().enumerate() {
            if let Err(error) = self.poller.watch(index, socket) {
                log::debug!("{}: the acceptor keeps it: {error}", socket.endpoint_text());
                sockets[..index].iter().for_each(|socket| self.poller.unwatch(socket));
                return;
            }
        }
        *lent = true;
        self.lent_sockets.hint.store(true, Ordering::SeqCst);
    }

    /// The acceptor gets its sockets back, and is woken.
    pub(crate) fn take_back(&self) {
        if !self.lent_sockets.is_lent() {
            return;
        }
        let mut lent = lock(&self.lent_sockets.lent);
        if std::mem::take(&mut *lent) {
            self.datagrams.each_socket(|socket| self.poller.unwatch(socket));
            self.lent_sockets.hint.store(false, Ordering::SeqCst);
            self.connections.acceptor.wake();
        }
    }

    /// The leader receives from these sockets, if they are still lent. How many it put into the
    /// queue.
    pub(crate) fn borrow(&self, receiver: &mut Receiver, ready: &[usize]) -> usize {
        let lent = lock(&self.lent_sockets.lent);
        if !*lent || self.is_draining() {
            return 0;
        }
        let pushed = ready.iter().map(|index| receiver.receive(*index).0).sum();
        drop(lent);
        if receiver.has_failed() {
            // The acceptor knows how to wait until it is over.
            self.take_back();
        }
        pushed
    }
}
