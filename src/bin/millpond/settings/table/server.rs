//! The server's own settings: pool, limits, timeouts, overload control.

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
                "Worker threads: requests served at once",
                "Handlers block, so more than one per core: eight by default."
            ),
        )
    },
    in_short_help(number!(
        config.pool.backlog,
        "pool.backlog",
        "backlog",
        "N",
        "Connections that the kernel holds before they are accepted",
        "Clipped by the kernel to net.core.somaxconn, which is warned of."
    )),
    in_short_help(optional!(
        value::number,
        value::text,
        config.pool.queue,
        "pool.queue",
        "queue",
        "N",
        "Work that waits for a worker",
        "None: as many as the backlog, but at most 4096."
    )),
    optional!(
        value::size_as,
        |bytes: &usize| value::size_text(*bytes as u64),
        config.pool.receive_buffer,
        "pool.receive_buffer",
        "receive-buffer",
        "SIZE",
        "Bytes of datagrams that the kernel holds for each socket (SO_RCVBUF)",
        "None: the kernel's own, net.core.rmem_default. Clipped to net.core.rmem_max, which is warned \
         of."
    ),
    time!(
        config.pool.tick,
        "pool.tick",
        "tick",
        "TIME",
        "How soon another worker is woken when handlers block",
        ""
    ),
    number!(
        config.pool.worker_nice,
        "pool.worker_nice",
        "worker-nice",
        "N",
        "How much is added to the nice value of workers, from 0 to 19",
        "So that connections are accepted, refused and timed while handlers compute."
    ),
    number!(
        config.pool.upgrades,
        "pool.upgrades",
        "max-upgrades",
        "N",
        "Upgraded connections at once",
        "Each takes a thread."
    ),
    // Limits.
    in_short_help(number!(
        config.limits.connections,
        "limits.connections",
        "max-connections",
        "N",
        "Connections open at once",
        "Past it one that only waits, of the client that holds most, is closed for a newcomer. \
         Lowered at start to what RLIMIT_NOFILE allows."
    )),
    size!(
        config.limits.head,
        "limits.head",
        "max-head",
        "SIZE",
        "Bytes of a request's head",
        "Exceeded: 431."
    ),
    size!(
        config.limits.target,
        "limits.target",
        "max-target",
        "SIZE",
        "Bytes of a request's target",
        "Exceeded: 414."
    ),
    number!(
        config.limits.fields,
        "limits.fields",
        "max-fields",
        "N",
        "Field lines of a request's head",
        "Exceeded: 431."
    ),
    size!(
        config.limits.body,
        "limits.body",
        "max-body",
        "SIZE",
        "Bytes of a request's body",
        "Exceeded: 413."
    ),
    size!(
        config.limits.trailers,
        "limits.trailers",
        "max-trailers",
        "SIZE",
        "Bytes of a trailer section, and of a chunk's extensions",
        ""
    ),
    size!(
        config.limits.read_ahead,
        "limits.read_ahead",
        "read-ahead",
        "SIZE",
        "Bytes of a body that are awaited before a worker takes the request",
        "A longer body is read while the handler runs."
    ),
    size!(
        config.limits.input_total,
        "limits.input_total",
        "max-input-total",
        "SIZE",
        "Bytes of unfinished requests kept in memory for all connections",
        "Exceeded: the connections that hold most of them are closed."
    ),
    optional!(
        value::number,
        value::text,
        config.limits.waiting_workers,
        "limits.waiting_workers",
        "waiting-workers",
        "N",
        "Workers that may wait at once for slow clients",
        "For the rest of a body that a handler reads as it comes, or for the reader of a response that \
         is made while it is sent. None: half of the workers. Exceeded: 503."
    ),
    size!(
        config.limits.unread_body,
        "limits.unread_body",
        "max-unread",
        "SIZE",
        "Bytes of an unread body that are thrown away to keep a connection",
        ""
    ),
    size!(
        config.limits.pending,
        "limits.pending",
        "max-pending",
        "SIZE",
        "Bytes of an answer kept in memory for a slow reader",
        ""
    ),
    size!(
        config.limits.pending_total,
        "limits.pending_total",
        "max-pending-total",
        "SIZE",
        "Bytes of answers kept in memory for all slow readers",
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
        "Bytes of all datagrams that wait for a worker",
        ""
    ),
    optional!(
        value::number,
        value::text,
        config.limits.requests,
        "limits.requests",
        "max-requests",
        "N",
        "Requests on one connection",
        ""
    ),
    number!(
        config.limits.pipeline,
        "limits.pipeline",
        "max-pipeline",
        "N",
        "Pipelined requests served in one go while others wait",
        ""
    ),
    // Timeouts.
    time!(
        config.timeouts.head,
        "timeouts.head",
        "head-timeout",
        "TIME",
        "For the whole head of a request",
        ""
    ),
    time!(
        config.timeouts.idle,
        "timeouts.idle",
        "idle-timeout",
        "TIME",
        "Between two requests of a connection",
        ""
    ),
    time!(
        config.timeouts.body,
        "timeouts.body",
        "body-timeout",
        "TIME",
        "Between two pieces of a request's body",
        ""
    ),
    time!(
        config.timeouts.write,
        "timeouts.write",
        "write-timeout",
        "TIME",
        "How long a client may take nothing of a response",
        ""
    ),
    time!(
        config.timeouts.linger,
        "timeouts.linger",
        "linger-timeout",
        "TIME",
        "Between two pieces of what a client still sends once it has its response",
        "After that, and for a client that does not close, the connection is closed."
    ),
    time!(
        config.timeouts.linger_total,
        "timeouts.linger_total",
        "linger-total",
        "TIME",
        "For all that a client still sends once it has its response",
        ""
    ),
    time!(
        config.timeouts.defer_accept,
        "timeouts.defer_accept",
        "defer-accept",
        "TIME",
        "How long the kernel keeps a connection that says nothing yet",
        "TCP_DEFER_ACCEPT, for HTTP. 0: it is accepted at once."
    ),
    in_short_help(time!(
        config.timeouts.drain,
        "timeouts.drain",
        "drain",
        "TIME",
        "For everything in hand to end when told to stop",
        "What is still open then is cut off, and the exit code is 75."
    )),
    optional!(
        value::time,
        |t| value::time_text(*t),
        config.timeouts.age,
        "timeouts.age",
        "max-connection-age",
        "TIME",
        "Age after which a connection's next answer is its last",
        ""
    ),
    number!(
        config.timeouts.min_rate,
        "timeouts.min_rate",
        "min-rate",
        "N",
        "Bytes a second below which the reader of a response is too slow",
        "0 turns it off."
    ),
    number!(
        config.timeouts.min_rate_on_worker,
        "timeouts.min_rate_on_worker",
        "min-rate-on-worker",
        "N",
        "Bytes a second below which a client is too slow for which a worker waits",
        "0 turns it off."
    ),
    time!(
        config.timeouts.rate_grace,
        "timeouts.rate_grace",
        "rate-grace",
        "TIME",
        "How long a client may be slower than these rates",
        ""
    ),
    // Overload.
    in_short_help(time!(
        config.overload.target,
        "overload.target",
        "target",
        "TIME",
        "The wait for a worker that is aimed at",
        ""
    )),
    time!(
        config.overload.interval,
        "overload.interval",
        "interval",
        "TIME",
        "How long waits may exceed the target before work is refused",
        ""
    ),
    in_short_help(time!(
        config.overload.deadline,
        "overload.deadline",
        "deadline",
        "TIME",
        "The time a request may take, wait included",
        "Work that cannot be done by then is refused with 503."
    )),
    in_short_help(switch!(
        "false",
        config.overload.shed,
        "overload.shed",
        "no-shed",
        "",
        "Do not refuse work before the queue is full",
        ""
    )),
    switch!(
        "false",
        config.overload.fairness,
        "overload.fairness",
        "no-fairness",
        "",
        "Do not share out the queue by client address while overloaded",
        ""
    ),
    switch!(
        "false",
        config.overload.drop_gone,
        "overload.drop_gone",
        "serve-gone",
        "",
        "Do not drop requests whose clients went away while they waited",
        ""
    ),
    number!(
        config.overload.refuse_budget,
        "overload.refuse_budget",
        "refuse-budget",
        "SHARE",
        "Share of the CPU time that refusing may take, above 0 and up to 1",
        ""
    ),
    field!(
        row!(
            "overload.retry_after",
            "retry-after",
            "LOW-HIGH",
            "Range of the Retry-After of a refusal, in seconds",
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
            "Request field in which clients say how long they wait",
            "In seconds, or with a unit: 250ms. What would take longer is refused at once. It can only \
             shorten the deadline. Empty: there is none."
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
        "How often an overload is logged, at the most",
        "When it begins, as long as it lasts, and when it is over. 0 turns it off."
    ),
];
