//! What a [`Handle`] reports about the listeners.

use super::accept_queues::AcceptQueue;
use super::handle::Handle;
#[cfg(feature = "tls")]
use crate::tls::{CertificateInfo, Tls};

impl Handle {
    /// The kernel's queue of each listener: the connections that wait to be accepted, and their
    /// limit. Empty if the system does not report them, as under a sandbox without `AF_NETLINK`,
    /// and once the server has closed its listeners.
    ///
    /// It costs a few system calls.
    #[must_use]
    pub fn accept_queues(&self) -> Vec<AcceptQueue> {
        self.listening().queues()
    }

    /// What the present certificates of the listeners say. Empty for a server without TLS.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.listening().tls.iter().flat_map(Tls::certificates).collect()
    }
}
