//! [`DatagramHandler`]: what a server does with a datagram.

use std::borrow::Cow;

use crate::net::Addr;

/// Handles datagrams, or the records of a `unixpacket:` connection.
///
/// Every `Fn(&[u8], &Addr) -> Option<Vec<u8>>` is a handler. Handlers run on a worker thread and
/// may block. If one panics, its datagram gets no response, and the server goes on.
///
/// # Examples
/// ```
/// use std::borrow::Cow;
/// use millpond::net::Addr;
/// use millpond::pool::DatagramHandler;
///
/// /// Sends every datagram back, without a copy.
/// struct Mirror;
///
/// impl DatagramHandler for Mirror {
///     fn handle<'a>(&self, datagram: &'a [u8], _peer: &Addr) -> Option<Cow<'a, [u8]>> {
///         Some(Cow::Borrowed(datagram))
///     }
/// }
///
/// let loud = |datagram: &[u8], _peer: &Addr| Some(datagram.to_ascii_uppercase());
/// let peer = Addr::Ip("127.0.0.1:7".parse().unwrap());
/// assert_eq!(loud.handle(b"hello", &peer).unwrap(), &b"HELLO"[..]);
/// ```
pub trait DatagramHandler: Send + Sync + 'static {
    /// The response to one datagram from `peer`; `None` sends no response.
    ///
    /// Of a packet from a raw socket (`ip4:`), `datagram` is the payload behind the IPv4 header,
    /// and the kernel adds a header to the response.
    ///
    /// A response that borrows, from the datagram or from something static, allocates no memory.
    fn handle<'a>(&self, datagram: &'a [u8], peer: &Addr) -> Option<Cow<'a, [u8]>>;
}

impl<F> DatagramHandler for F
where
    F: Fn(&[u8], &Addr) -> Option<Vec<u8>> + Send + Sync + 'static,
{
    fn handle<'a>(&self, datagram: &'a [u8], peer: &Addr) -> Option<Cow<'a, [u8]>> {
        self(datagram, peer).map(Cow::Owned)
    }
}
