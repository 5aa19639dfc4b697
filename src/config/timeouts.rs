//! [`Timeouts`]: how long each phase of a connection may take.

use std::time::Duration;

/// How long each phase of a connection may take, counted from the start of the phase.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Timeout for the TLS handshake, from accept. Default: 10 s.
    pub handshake: Duration,
    /// Timeout for the whole head of a request, from its first byte; for the first request of a
    /// connection, from accept. Default: 10 s.
    pub head: Duration,
    /// Timeout between two requests of a connection. Default: 60 s.
    pub idle: Duration,
    /// Timeout between two pieces of a body, and for the whole of a body that is received before
    /// the handler is called. Default: 30 s.
    pub body: Duration,
    /// Timeout between two successful writes of a response. Default: 30 s.
    pub write: Duration,
    /// Timeout between two pieces that a client still sends after its response: the rest of an
    /// unread body, and everything until it closes after the server has (lingering close). Default:
    /// 5 s.
    pub linger: Duration,
    /// Timeout for everything that a client still sends after its response. Default: 30 s.
    pub linger_total: Duration,
    /// How long the server still accepts and serves after it was asked to stop and before it
    /// drains, so that proxies can send their requests elsewhere. Each response has `Connection:
    /// close` meanwhile. The daemon does this on TERM and INT; a library calls
    /// [`Handle::lame_duck`](crate::Handle::lame_duck). Default: 0, none.
    pub lame_duck: Duration,
    /// Timeout for requests in progress when the server stops. Default: 30 s.
    pub drain: Duration,
    /// How long a drain keeps an idle connection open, so that a request which is on its way gets
    /// its response instead of a closed connection; at most a quarter of the drain's time. Default:
    /// 1 s.
    pub drain_idle: Duration,
    /// How long the kernel keeps a new TCP connection to HTTP that has sent nothing, before the
    /// server accepts it (`TCP_DEFER_ACCEPT`, tcp(7), in whole seconds). The server spends nothing
    /// on the connection meanwhile. Default: 1 s. 0: it is accepted at once.
    pub defer_accept: Duration,
    /// Age of a connection after which its next response is the last. Default: `None`, any age.
    pub age: Option<Duration>,
    /// Bytes per second that a client must receive of a response once `rate_grace` is over, give or
    /// take 64 KiB that the kernel may buffer. Default: 240. 0 turns it off.
    pub min_rate: u32,
    /// Bytes per second that a client must send or receive while a worker waits for it: the rest of
    /// a body that a handler reads, or a response that the handler produces. Only the time in which
    /// the worker waits counts. Default: 8192. 0 turns it off.
    pub min_rate_on_worker: u32,
    /// How long a client may be slower than `min_rate` and `min_rate_on_worker`. Default: 5 s.
    pub rate_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            linger_total: Duration::from_secs(30),
            lame_duck: Duration::ZERO,
            drain: Duration::from_secs(30),
            drain_idle: Duration::from_secs(1),
            defer_accept: Duration::from_secs(1),
            age: None,
            min_rate: 240,
            min_rate_on_worker: 8 * 1024,
            rate_grace: Duration::from_secs(5),
        }
    }
}
