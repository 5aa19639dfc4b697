//! [`LentSockets`]: while handlers are fast, the acceptor lends the datagram sockets to the leader.
//!
//! What the acceptor receives has to be handed to a worker, and the hand-off costs more than a
//! fast handler. So epoll watches the sockets as well: the leader receives a burst, enqueues it, and
//! is the first to take work from the queue. Once a handler was slow, or no worker is left to lead,
//! the acceptor gets the sockets back. It receives whatever the workers do, so that a burst waits in
//! the queue, where it is judged and counted, and not in the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::pool::datagram::socket::{DatagramSocket, Datagrams};
use crate::pool::poller::Poller;
use crate::sync::lock;

/// Whether the sockets are lent.
#[derive(Debug, Default)]
pub(crate) struct LentSockets {
    /// A worker keeps the lock while it receives, so that none receives once they were taken back.
    lent: Mutex<bool>,
    /// The same, to be read without the lock.
    hint: AtomicBool,
}

impl LentSockets {
    pub(crate) fn is_lent(&self) -> bool {
        self.hint.load(Ordering::SeqCst)
    }

    /// Lets epoll watch the sockets, unless it does already or `forbidden`.
    pub(crate) fn lend(
        &self,
        poller: &Poller,
        sockets: &[Arc<DatagramSocket>],
        forbidden: impl Fn() -> bool,
    ) {
        let mut lent = lock(&self.lent);
        if *lent || forbidden() {
            return;
        }
        for (index, socket) in sockets.iter().enumerate() {
            if let Err(error) = poller.watch(index, socket) {
                log::debug!("{}: the acceptor keeps it: {error}", socket.endpoint_text());
                sockets[..index].iter().for_each(|socket| poller.unwatch(socket));
                return;
            }
        }
        *lent = true;
        self.hint.store(true, Ordering::SeqCst);
    }

    /// Takes the sockets back. `false`: they were not lent.
    pub(crate) fn take_back(&self, poller: &Poller, datagrams: &Datagrams) -> bool {
        if !self.is_lent() {
            return false;
        }
        let mut lent = lock(&self.lent);
        let taken = std::mem::take(&mut *lent);
        if taken {
            datagrams.each_socket(|socket| poller.unwatch(socket));
            self.hint.store(false, Ordering::SeqCst);
        }
        taken
    }

    /// Calls `receive` while the sockets stay lent; not at all if they are not.
    pub(crate) fn receive<R>(&self, receive: impl FnOnce() -> R) -> Option<R> {
        let lent = lock(&self.lent);
        lent.then(receive)
    }
}
