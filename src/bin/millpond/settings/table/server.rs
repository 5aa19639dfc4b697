//! The settings of the library's server: pool, limits, timeouts, overload control, HTTP.

use super::row::{ROW, Row, in_short_help, single, with_short};
use crate::settings::value;

pub(super) static SERVER_ROWS: &[Row] = &[
    // The pool.
    Row {
        alias: Some("workers"),
        ..with_short(
            't',
            number!(
                config.pool.workers,
                "pool.workers",
                "threads",
                "N",
                "Threads that serve one request at a time",
                "Handlers block, so that one worker a core would leave cores idle. By default, \
                 there are 8 a core."
            ),
        )
    },
    in_short_help(number!(
        config.pool.backlog,
        "pool.backlog",
        "backlog",
        "N",
        "Connections that the kernel queues before they are accepted",
        "The kernel limits it to net.core.somaxconn; the server warns if it does."
    )),
    in_short_help(optional!(
        value::number,
        value::text,
        config.pool.queue,
        "pool.queue",
        "queue",
        "N",
        "Connections and requests that may wait for a worker",
        "None: as many as --backlog, but at most 4096."
    )),
    optional!(
        value::size_as,
        |bytes: &usize| value::size_text(*bytes as u64),
        config.pool.receive_buffer,
        "pool.receive_buffer",
        "receive-buffer",
        "SIZE",
        "Bytes of datagrams that the kernel queues for each socket (SO_RCVBUF)",
        "None: net.core.rmem_default. The kernel limits it to net.core.rmem_max; the server warns \
         if it does."
    ),
    time!(
        config.pool.tick,
        "pool.tick",
        "tick",
        "TIME",
        "Time after which another worker is woken if handlers block",
        ""
    ),
    number!(
        config.pool.worker_nice,
        "pool.worker_nice",
        "worker-nice",
        "N",
        "The number added to the nice value of workers, 0 to 19",
        "It lets the server accept, refuse and time out connections while handlers use the CPU."
    ),
    number!(
        config.pool.upgrades,
        "pool.upgrades",
        "max-upgrades",
        "N",
        "Upgraded connections (such as WebSocket) at once",
        "Each has a thread."
    ),
    optional!(
        value::number,
        value::text,
        config.pool.handshakes,
        "pool.handshakes",
        "max-handshakes",
        "N",
        "TLS handshakes at once",
        "None: as many as cores."
    ),
    // Limits.
    in_short_help(number!(
        config.limits.connections,
        "limits.connections",
        "max-connections",
        "N",
        "Connections open at once",
        "If more connect, the server closes a waiting connection of the client with the most \
         connections. Lowered to what RLIMIT_NOFILE allows."
    )),
    size!(
        config.limits.head,
        "limits.head",
        "max-head",
        "SIZE",
        "Bytes of the head of a request: request line and field lines",
        "Exceeded: 431."
    ),
    size!(
        config.limits.target,
        "limits.target",
        "max-target",
        "SIZE",
        "Bytes of the target of a request (its URL)",
        "Exceeded: 414."
    ),
    number!(
        config.limits.fields,
        "limits.fields",
        "max-fields",
        "N",
        "Field lines of a request",
        "Exceeded: 431."
    ),
    size!(
        config.limits.body,
        "limits.body",
        "max-body",
        "SIZE",
        "Bytes of the body of a request",
        "Exceeded: 413."
    ),
    size!(
        config.limits.trailers,
        "limits.trailers",
        "max-trailers",
        "SIZE",
        "Bytes of a trailer section, and of the extensions of a chunk",
        ""
    ),
    size!(
        config.limits.read_ahead,
        "limits.read_ahead",
        "read-ahead",
        "SIZE",
        "Bytes of a body that are received before a worker takes the request",
        "The handler reads a longer body as it arrives."
    ),
    size!(
        config.limits.input_total,
        "limits.input_total",
        "max-input-total",
        "SIZE",
        "Memory for unfinished requests of all connections",
        "Exceeded: the connections that use the most of it are closed."
    ),
    optional!(
        value::number,
        value::text,
        config.limits.waiting_workers,
        "limits.waiting_workers",
        "waiting-workers",
        "N",
        "Workers that may wait for slow clients at once",
        "A worker waits for the rest of a body that its handler reads, or for a client to receive \
         a response that the handler produces. None: half of the workers. Exceeded: 503."
    ),
    size!(
        config.limits.unread_body,
        "limits.unread_body",
        "max-unread",
        "SIZE",
        "Bytes of an unread body that are discarded to keep the connection",
        ""
    ),
    size!(
        config.limits.pending,
        "limits.pending",
        "max-pending",
        "SIZE",
        "Bytes of a response that are kept in memory for a slow client",
        ""
    ),
    size!(
        config.limits.pending_total,
        "limits.pending_total",
        "max-pending-total",
        "SIZE",
        "Memory for the responses to all slow clients",
        ""
    ),
    size!(
        config.limits.datagram,
        "limits.datagram",
        "max-datagram",
        "SIZE",
        "Bytes of a datagram, or of a record of a unixpacket: connection",
        ""
    ),
    size!(
        config.limits.datagram_total,
        "limits.datagram_total",
        "max-datagram-total",
        "SIZE",
        "Memory for all datagrams that wait for a worker",
        ""
    ),
    optional!(
        value::number,
        value::text,
        config.limits.requests,
        "limits.requests",
        "max-requests",
        "N",
        "Requests of one connection, after which it is closed",
        ""
    ),
    number!(
        config.limits.pipeline,
        "limits.pipeline",
        "max-pipeline",
        "N",
        "Pipelined requests served in a row while other connections wait",
        ""
    ),
    // Timeouts.
    time!(
        config.timeouts.handshake,
        "timeouts.handshake",
        "handshake-timeout",
        "TIME",
        "Timeout for the TLS handshake",
        ""
    ),
    time!(
        config.timeouts.head,
        "timeouts.head",
        "head-timeout",
        "TIME",
        "Timeout for the whole head of a request",
        ""
    ),
    time!(
        config.timeouts.idle,
        "timeouts.idle",
        "idle-timeout",
        "TIME",
        "Timeout between two requests of a connection",
        ""
    ),
    time!(
        config.timeouts.body,
        "timeouts.body",
        "body-timeout",
        "TIME",
        "Timeout between two pieces of a body",
        ""
    ),
    time!(
        config.timeouts.write,
        "timeouts.write",
        "write-timeout",
        "TIME",
        "Timeout between two successful writes of a response",
        ""
    ),
    time!(
        config.timeouts.linger,
        "timeouts.linger",
        "linger-timeout",
        "TIME",
        "Timeout between two pieces that a client still sends after its response",
        "The server discards them until the client closes, and closes the connection after TIME."
    ),
    time!(
        config.timeouts.linger_total,
        "timeouts.linger_total",
        "linger-total",
        "TIME",
        "Timeout for everything that a client still sends after its response",
        ""
    ),
    time!(
        config.timeouts.defer_accept,
        "timeouts.defer_accept",
        "defer-accept",
        "TIME",
        "How long the kernel keeps a new connection without a request",
        "TCP_DEFER_ACCEPT, for HTTP. 0: it is accepted at once."
    ),
    time!(
        config.timeouts.lame_duck,
        "timeouts.lame_duck",
        "lame-duck",
        "TIME",
        "How long the server still accepts and serves after TERM, before it drains",
        "Each response closes its connection meanwhile, and the server reports that it is not \
         ready, so that proxies send their requests elsewhere. A second TERM ends the server at \
         once."
    ),
    in_short_help(time!(
        config.timeouts.drain,
        "timeouts.drain",
        "drain",
        "TIME",
        "Timeout for requests in progress when the server stops",
        "Connections that are still open after it are closed, and the exit code is 75."
    )),
    time!(
        config.timeouts.drain_idle,
        "timeouts.drain_idle",
        "drain-idle",
        "TIME",
        "How long a stopping server keeps idle connections open for a request on its way",
        "At most a quarter of --drain."
    ),
    optional!(
        value::time,
        |t| value::time_text(*t),
        config.timeouts.age,
        "timeouts.age",
        "max-connection-age",
        "TIME",
        "Age of a connection after which its next response is the last",
        ""
    ),
    number!(
        config.timeouts.min_rate,
        "timeouts.min_rate",
        "min-rate",
        "N",
        "Bytes per second that a client must receive of a response",
        "0 turns it off."
    ),
    number!(
        config.timeouts.min_rate_on_worker,
        "timeouts.min_rate_on_worker",
        "min-rate-on-worker",
        "N",
        "Bytes per second that a client must send or receive while a worker waits",
        "0 turns it off."
    ),
    time!(
        config.timeouts.rate_grace,
        "timeouts.rate_grace",
        "rate-grace",
        "TIME",
        "How long a client may be slower than --min-rate and --min-rate-on-worker",
        ""
    ),
    // Overload.
    in_short_help(time!(
        config.overload.target,
        "overload.target",
        "target",
        "TIME",
        "The wait for a worker that overload control aims at",
        ""
    )),
    time!(
        config.overload.interval,
        "overload.interval",
        "interval",
        "TIME",
        "How long waits may exceed --target before requests are refused",
        ""
    ),
    in_short_help(time!(
        config.overload.deadline,
        "overload.deadline",
        "deadline",
        "TIME",
        "The time that a request may take, including its wait",
        "A request that would take longer is refused with 503."
    )),
    in_short_help(switch!(
        "false",
        config.overload.shed,
        "overload.shed",
        "no-shed",
        "",
        "Do not refuse requests before the queue is full",
        ""
    )),
    switch!(
        "false",
        config.overload.fairness,
        "overload.fairness",
        "no-fairness",
        "",
        "Do not limit each client address to its share of the queue under overload",
        ""
    ),
    switch!(
        "false",
        config.overload.drop_gone,
        "overload.drop_gone",
        "serve-gone",
        "",
        "Do not drop requests whose clients have disconnected",
        ""
    ),
    number!(
        config.overload.refuse_budget,
        "overload.refuse_budget",
        "refuse-budget",
        "SHARE",
        "Share of the CPU time that refusals may take, above 0 and up to 1; a quarter more for TLS handshakes",
        ""
    ),
    field!(
        row!(
            "overload.retry_after",
            "retry-after",
            "LOW-HIGH",
            "Range of the Retry-After field of a refusal, in seconds",
            ""
        ),
        config.overload.retry_after,
        value::range,
        |(a, b)| format!("{a}-{b}")
    ),
    field!(
        row!(
            "overload.timeout_field",
            "timeout-field",
            "NAME",
            "Request field in which clients send their own timeout",
            "Its value is a number of seconds, or has a unit: 250ms. A request that would take longer is \
             refused at once. The field can only shorten --deadline. Empty: no such field."
        ),
        config.overload.timeout_field,
        value::any,
        |name| name
    ),
    time!(
        config.overload.report,
        "overload.report",
        "overload-report",
        "TIME",
        "The shortest time between two log lines of an overload",
        "An overload is logged when it begins, while it lasts, and when it ends. 0 turns it off."
    ),
    // HTTP.
    switch!(
        "true",
        config.http.server_timing,
        "http.server_timing",
        "server-timing",
        "",
        "Report the time in the queue and in the handler to clients (Server-Timing)",
        "Each response has the field `Server-Timing: queue;dur=0.125, app;dur=3.200`, in \
         milliseconds, which browsers show. Every client can read it."
    ),
];
