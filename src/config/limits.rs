//! [`Limits`]: the number and the size of everything that the server keeps.

/// The number and the size of everything that the server keeps.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections at once. If more connect, the server closes a waiting connection of the
    /// client with the most connections for each new one. If every connection is being served, new
    /// ones wait in the backlog of the kernel. If there are urgent listeners, one place in 64, at
    /// least one and at most 64, is reserved for them. Default: 8192. Lowered to what
    /// `RLIMIT_NOFILE` allows.
    pub connections: usize,
    /// Bytes of the head of a request: request line and field lines. Default: 64 KiB. Exceeded:
    /// 431.
    pub head: usize,
    /// Bytes of the target of a request. Default: 16 KiB. Exceeded: 414.
    pub target: usize,
    /// Field lines of the head of a request, and of its trailer section. Default: 100. Exceeded:
    /// 431.
    pub fields: usize,
    /// Bytes of the body of a request, decoded. Default: 1 GiB. Exceeded: 413.
    pub body: u64,
    /// Bytes of the extensions of a chunk, and of a trailer section. Default: 16 KiB. Exceeded:
    /// 400, 431.
    pub trailers: usize,
    /// Bytes of a body, chunk framing included, that are received before a worker takes the request
    /// and calls the handler. The handler reads a longer body as it arrives, and also one that the
    /// client sends only after `100 Continue`. Default: 16 KiB. 0: no body is received ahead.
    pub read_ahead: usize,
    /// Bytes of unfinished requests (heads, and bodies that are received ahead) kept in memory, for
    /// all connections. Default: 64 MiB. Exceeded: the connections that use the most of it are
    /// closed.
    pub input_total: usize,
    /// Workers that may wait for clients at once: for the rest of a body that a handler reads, or
    /// for the client to receive a response that the handler produces. Default: `None`, half of the
    /// workers, and at least one. Exceeded: 503, or the connection is closed.
    pub waiting_workers: Option<usize>,
    /// Bytes of a body, unread by the handler, that are discarded to keep the connection. Default:
    /// 64 KiB. Exceeded: the connection is closed.
    pub unread_body: u64,
    /// Bytes of a response kept in memory for a slow client, for one connection. Default: 16 MiB.
    /// Exceeded: a worker waits, as one of `waiting_workers`, until the rest is no longer than
    /// that. A file takes no memory.
    pub pending: usize,
    /// Bytes of responses kept in memory for slow clients, for all connections. Default: 64 MiB.
    /// Exceeded: the connections of the slowest clients are closed.
    pub pending_total: usize,
    /// Bytes of a datagram, or of a record of a `unixpacket:` connection. Default: 65,536, more
    /// than UDP carries. Exceeded: a datagram is dropped, a connection is closed.
    pub datagram: usize,
    /// Bytes of all datagrams that wait for a worker. Default: 16 MiB. Exceeded: further datagrams
    /// are dropped.
    pub datagram_total: usize,
    /// Requests of one connection, after which it is closed. Default: `None`, any number.
    pub requests: Option<u64>,
    /// Pipelined requests of one connection that are served in a row while other connections wait
    /// for a worker. The connection then queues again. Default: 1.
    pub pipeline: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            head: 64 * 1024,
            target: 16 * 1024,
            fields: 100,
            body: 1 << 30,
            trailers: 16 * 1024,
            read_ahead: 16 * 1024,
            input_total: 64 << 20,
            waiting_workers: None,
            unread_body: 64 * 1024,
            pending: 16 << 20,
            pending_total: 64 << 20,
            datagram: 65_536,
            datagram_total: 16 << 20,
            requests: None,
            pipeline: 1,
        }
    }
}
