//! [`LentSockets`]: while handlers are fast, the acceptor lends the datagram sockets to the leader.
//!
//! A datagram that the acceptor receives has to be handed to a worker, and the hand-off costs more
//! than a fast handler. So epoll watches the sockets as well: the leader receives a burst, enqueues
//! it, and is the first to take work from the queue. Once a handler was slow, or no worker is free
//! to lead, the acceptor takes the sockets back. It receives no matter what the workers do, so that
//! a burst waits in the queue, where it is counted and can be refused, and not in the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::pool::datagram::socket::DatagramSocket;
use crate::pool::datagram::stats::Datagrams;
use crate::pool::poller::Poller;
use crate::sync::lock;

/// Whether the sockets are lent.
#[derive(Debug, Default)]
pub(crate) struct LentSockets {
    /// A worker holds the lock while it receives, so that none receives any more once the sockets
    /// were taken back.
    lent: Mutex<bool>,
    /// The same, to be read without the lock: a worker that receives may hold it for long.
    hint: AtomicBool,
}

impl LentSockets {
    pub(crate) fn is_lent(&self) -> bool {
        self.hint.load(Ordering::SeqCst)
    }

    /// Lets epoll watch the sockets, unless it does already or `forbidden` returns `true`. That is
    /// checked under the lock, so that no socket is lent after a drain has taken all of them back.
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
                log::debug!(
                    "{}: epoll cannot watch it, the acceptor keeps it: {error}",
                    socket.endpoint_text()
                );
                sockets[..index].iter().for_each(|socket| poller.unwatch(socket));
                return;
            }
        }
        *lent = true;
        self.hint.store(true, Ordering::SeqCst);
    }

    /// Takes the sockets back. Returns `false` if they were not lent.
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

    /// Calls `receive` if the sockets are lent, and keeps them lent until it returns.
    pub(crate) fn receive<R>(&self, receive: impl FnOnce() -> R) -> Option<R> {
        let lent = lock(&self.lent);
        lent.then(receive)
    }
}
