//! Every bound of the program, in one place.
//!
//! Plain data with defaults. [`Config::check`] asserts each value and the relations between them,
//! and is called wherever a server is built.

pub(crate) mod bounds;

use std::time::Duration;

use http::HeaderName;

use crate::error::{Error, ErrorKind};

/// Everything that can be set about a server, except where it listens and what it serves.
///
/// # Examples
/// ```
/// use millpond::Config;
///
/// let mut config = Config::default();
/// config.pool.workers = 8;
/// config.limits.connections = 1000;
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The worker threads and their queue.
    pub pool: Pool,
    /// How much of anything there may be.
    pub limits: Limits,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// When work is refused.
    pub overload: Overload,
}

/// The worker threads and their queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Worker threads, which is also how many requests are served at once. Default:
    /// [`default_workers`].
    pub workers: usize,
    /// The `backlog` of listen(2): how many connections the kernel holds before they are accepted.
    /// Default: 1024.
    pub backlog: u32,
    /// How many accepted connections and ready requests wait for a worker. Default: `None`, as many
    /// as `backlog`, but at most 4096.
    pub queue: Option<usize>,
    /// How soon another worker is woken when those that are awake are found blocked in their
    /// handlers. Default: 1 ms.
    pub tick: Duration,
    /// How much is added to the nice value of worker threads (nice(2), sched(7)): so that the
    /// threads which accept, refuse and keep deadlines get the CPU while handlers compute. Default:
    /// 5, about a third of the weight. 0: none.
    pub worker_nice: u8,
    /// Bytes that the kernel holds for each socket of datagrams before they are received
    /// (`SO_RCVBUF`, socket(7)); what does not fit it drops. Default: `None`, the kernel's own
    /// (`net.core.rmem_default`).
    pub receive_buffer: Option<usize>,
    /// Threads for upgraded connections, which is also how many of those there may be. Default: 64.
    pub upgrades: usize,
}

/// How much of anything there may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections open at once. Past it a connection that only waits, of the client that holds
    /// most, is closed for each newcomer; while all are in service, the kernel's backlog holds the
    /// newcomers. One place in 64, at least one and at most 64, is kept for urgent listeners if
    /// there are any. Default: 8192. At start it is lowered to what `RLIMIT_NOFILE` allows.
    pub connections: usize,
    /// Bytes of a request's head: request line and field lines. Default: 64 KiB. Exceeded: 431.
    pub head: usize,
    /// Bytes of a request's target. Default: 16 KiB. Exceeded: 414.
    pub target: usize,
    /// Field lines of a request's head, and of its trailer section. Default: 100. Exceeded: 431.
    pub fields: usize,
    /// Bytes of a request's body, decoded. Default: 1 GiB. Exceeded: 413.
    pub body: u64,
    /// Bytes of a chunk's extensions, and of a trailer section. Default: 16 KiB. Exceeded: 400,
    /// 431.
    pub trailers: usize,
    /// Bytes of a body that are awaited off the workers, before the handler is called: a body that
    /// is no longer, chunks included. A longer one is read by the handler as it comes, and so is
    /// one that the client holds back for a `100 Continue`. Default: 16 KiB. 0: none is awaited.
    pub read_ahead: usize,
    /// Bytes of unfinished requests (heads, and bodies that are read ahead) kept in memory, for all
    /// connections. Default: 64 MiB. When they are used up, the connections that hold most of them
    /// are closed.
    pub input_total: usize,
    /// Workers that may wait for clients at once: for the rest of a body that a handler reads as it
    /// comes, or for the reader of a response that is made while it is sent. Default: `None`, half
    /// of the workers, and at least one. Exceeded: 503, or the connection is cut.
    pub waiting_workers: Option<usize>,
    /// Bytes of a body left unread by the handler that are read and thrown away to keep the
    /// connection. Default: 64 KiB. Exceeded: the connection closes.
    pub unread_body: u64,
    /// Bytes of an answer kept in memory for a slow reader, for one connection. Default: 16 MiB.
    /// A longer rest occupies its worker, as one of `waiting_workers`, until it is no longer than
    /// that; a file takes no memory.
    pub pending: usize,
    /// Bytes of answers kept in memory for slow readers, for all connections. Default: 64 MiB. When
    /// they are used up, the slowest readers are closed.
    pub pending_total: usize,
    /// Bytes of a datagram, or of a record of a `unixpacket:` connection. Default: 65,536, more
    /// than UDP carries. Exceeded: a datagram is dropped, a connection closed.
    pub datagram: usize,
    /// Bytes of all datagrams that wait for a worker. Default: 16 MiB. Exceeded: they are dropped.
    pub datagram_total: usize,
    /// Requests on one connection. Default: `None`, any number.
    pub requests: Option<u64>,
    /// Requests served in one go for one connection that sends them without waiting (pipelining)
    /// while others wait for a worker; then it queues again behind them. Default: 1.
    pub pipeline: usize,
}

/// How long anything may take. Each is counted from the start of its phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// For the whole head of a request, from its first byte (for the first request of a connection:
    /// from accept). Default: 10 s.
    pub head: Duration,
    /// Between two requests. Default: 60 s.
    pub idle: Duration,
    /// Between two pieces of a request's body, and for the whole of one that is awaited before the
    /// handler is called. Default: 30 s.
    pub body: Duration,
    /// How long the client may take nothing of a response. Default: 30 s.
    pub write: Duration,
    /// Between two pieces of what a client still sends once it has its response: the rest of a body
    /// that nobody reads, and until it closes after the server has (lingering close). Default: 5 s.
    pub linger: Duration,
    /// For all of that together. Default: 30 s.
    pub linger_total: Duration,
    /// For everything in hand to end once the server is told to stop. Default: 30 s.
    pub drain: Duration,
    /// How long the kernel keeps a new TCP connection to HTTP that says nothing, before the server
    /// accepts it all the same (`TCP_DEFER_ACCEPT`, tcp(7), in whole seconds): so that nothing is
    /// spent on requests that are not there yet. Default: 1 s. 0: it is accepted at once.
    pub defer_accept: Duration,
    /// Of a connection, after which its next answer is the last. Default: `None`, any age.
    pub age: Option<Duration>,
    /// Bytes per second below which the reader of a response is too slow, once `rate_grace` is over
    /// (give or take 64 KiB, which the kernel may hold back). Default: 240. 0 turns it off.
    pub min_rate: u32,
    /// Bytes per second below which a client is too slow for which a worker waits: one that sends a
    /// body which a handler reads as it comes, or reads a response that is made while it is sent.
    /// It counts over the time that the worker has waited for it. Default: 8192. 0 turns it off.
    pub min_rate_on_worker: u32,
    /// How long a client may be slower than `min_rate` and `min_rate_on_worker`. Default: 5 s.
    pub rate_grace: Duration,
}

/// When work is refused. See docs/overload.md.
#[derive(Clone, Debug, PartialEq)]
pub struct Overload {
    /// Whether work is refused for waiting too long. Default: true. If false, only a full queue
    /// refuses.
    pub shed: bool,
    /// The wait in the queue that is aimed at. Default: 5 ms (and at least half a service time).
    pub target: Duration,
    /// How long waits may exceed the target before the server counts as overloaded. Default: 100 ms
    /// (and at least 8 targets).
    pub interval: Duration,
    /// The time a request may take, wait and service together: work that cannot be done by then is
    /// refused. Default: 1 s.
    pub deadline: Duration,
    /// Whether the room in the queue is shared out by client address while overloaded. Default:
    /// true.
    pub fairness: bool,
    /// Whether a request is dropped, unserved, if its client has reset the connection (or closed
    /// it, on a Unix socket) by the time a worker takes it. A client that has only ended its
    /// sending side is there still. Default: true.
    pub drop_gone: bool,
    /// The share of the machine's CPU time that refusing may take, above 0 and up to 1; past it the
    /// kernel's backlog holds what comes. Default: 0.2.
    pub refuse_budget: f64,
    /// The `Retry-After` of a refusal, in whole seconds, drawn evenly from the range. Default: 1 to
    /// 3.
    pub retry_after: (u32, u32),
    /// The request field in which clients may say how long they wait for the answer, in seconds or
    /// with a unit (`250ms`): what would take longer is refused at once. It can shorten `deadline`,
    /// not lengthen it. Default: `X-Request-Timeout`. Empty: no such field.
    pub timeout_field: String,
    /// How often, at the most, the state of an overload is logged: when it begins, as long as it
    /// lasts, and when it is over. Default: 10 s. Zero: never.
    pub report: Duration,
}

/// The default number of workers: eight per core.
///
/// Handlers block, so that a worker a core would leave the cores idle; docs/measurements.md has the
/// measurements behind the number.
///
/// # Examples
/// ```
/// assert!(millpond::config::default_workers() >= 8);
/// ```
#[must_use]
pub fn default_workers() -> usize {
    8 * num_cpus::get().max(1)
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            workers: default_workers(),
            backlog: 1024,
            queue: None,
            tick: Duration::from_millis(1),
            worker_nice: 5,
            receive_buffer: None,
            upgrades: 64,
        }
    }
}

impl Pool {
    /// The capacity of the work queue: `queue`, or else the backlog within 4096.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.queue.unwrap_or((self.backlog as usize).clamp(1, 4096))
    }
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

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            linger_total: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            defer_accept: Duration::from_secs(1),
            age: None,
            min_rate: 240,
            min_rate_on_worker: 8 * 1024,
            rate_grace: Duration::from_secs(5),
        }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            shed: true,
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            deadline: Duration::from_secs(1),
            fairness: true,
            drop_gone: true,
            refuse_budget: 0.2,
            retry_after: (1, 3),
            timeout_field: "X-Request-Timeout".to_owned(),
            report: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks each value, and the relations between them.
    ///
    /// # Errors
    /// An [`ErrorKind::Config`] that names the first setting which is out of range or contradicts
    /// another.
    pub fn check(&self) -> Result<(), Error> {
        let Self { pool, limits, timeouts, overload } = self;
        bounds::check(self)?;
        at_least("workers", pool.workers, 1, "one worker serves one request at a time")?;
        at_least("backlog", pool.backlog as usize, 1, "the kernel needs room for one connection")?;
        at_least("queue", pool.queue_capacity(), 1, "the queue is how work reaches the workers")?;
        at_least("limits.connections", limits.connections, 1, "nobody could connect")?;
        at_least("limits.head", limits.head, 128, "no request line would fit")?;
        at_least("limits.fields", limits.fields, 1, "every HTTP/1.1 request has a Host field")?;
        at_least("limits.pipeline", limits.pipeline, 1, "no request would be served")?;
        below("limits.target", limits.target, "limits.head", limits.head)?;
        let each = limits.head + limits.read_ahead;
        at_least("limits.input_total", limits.input_total, each, "one request has to fit")?;
        if let Some(most) = limits.waiting_workers {
            at_least("limits.waiting_workers", most, 1, "no body could be read as it comes")?;
            if most > pool.workers {
                return Err(exceeds(
                    ("limits.waiting_workers", &most.to_string()),
                    ("workers", &pool.workers.to_string()),
                ));
            }
        }
        if limits.pending > limits.pending_total {
            return Err(exceeds(
                ("limits.pending", &limits.pending.to_string()),
                ("limits.pending_total", &limits.pending_total.to_string()),
            ));
        }
        at_least("limits.datagram", limits.datagram, 1, "only empty ones would be taken")?;
        if limits.datagram > limits.datagram_total {
            return Err(exceeds(
                ("limits.datagram", &limits.datagram.to_string()),
                ("limits.datagram_total", &limits.datagram_total.to_string()),
            ));
        }
        if limits.requests == Some(0) {
            return Err(invalid("limits.requests is 0", "use 1 to close after each answer"));
        }
        for (name, value) in [
            ("timeouts.head", timeouts.head),
            ("timeouts.idle", timeouts.idle),
            ("timeouts.body", timeouts.body),
            ("timeouts.write", timeouts.write),
            ("pool.tick", pool.tick),
            ("overload.target", overload.target),
            ("overload.interval", overload.interval),
            ("overload.deadline", overload.deadline),
        ] {
            if value.is_zero() {
                return Err(invalid(format!("{name} is 0"), "give it a time, such as 10s"));
            }
        }
        if overload.target > overload.interval {
            return Err(exceeds(
                ("overload.target", &format!("{:?}", overload.target)),
                ("overload.interval", &format!("{:?}", overload.interval)),
            ));
        }
        if overload.target > overload.deadline {
            return Err(exceeds(
                ("overload.target", &format!("{:?}", overload.target)),
                ("overload.deadline", &format!("{:?}", overload.deadline)),
            ));
        }
        if !(overload.refuse_budget > 0.0 && overload.refuse_budget <= 1.0) {
            return Err(invalid(
                format!("overload.refuse_budget is {}", overload.refuse_budget),
                "it is a share of the CPU time, above 0 and up to 1: a refusal costs something",
            ));
        }
        let field = &overload.timeout_field;
        if !field.is_empty() && HeaderName::from_bytes(field.as_bytes()).is_err() {
            return Err(invalid(
                format!("overload.timeout_field is {field:?}, which is not a field name"),
                "letters, digits and hyphens, such as X-Request-Timeout; empty turns it off",
            ));
        }
        let (low, high) = overload.retry_after;
        if low > high {
            return Err(invalid(
                format!("overload.retry_after runs from {low} to {high}"),
                "give the lower number first",
            ));
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>, hint: &str) -> Error {
    Error::new(ErrorKind::Config, message).with_hint(hint)
}

fn at_least(name: &str, value: usize, least: usize, why: &str) -> Result<(), Error> {
    if value < least {
        return Err(invalid(format!("{name} is {value}"), &format!("at least {least}: {why}")));
    }
    Ok(())
}

fn below(name: &str, value: usize, other: &str, limit: usize) -> Result<(), Error> {
    if value >= limit {
        return Err(exceeds((name, &value.to_string()), (other, &limit.to_string())));
    }
    Ok(())
}

fn exceeds((name, value): (&str, &str), (other, limit): (&str, &str)) -> Error {
    invalid(
        format!("{name} ({value}) does not fit within {other} ({limit})"),
        &format!("lower {name} or raise {other}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().check().unwrap();
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        type Change = fn(&mut Config);
        let table: [(Change, &str); 10] = [
            (|c| c.pool.workers = 0, "workers is 0"),
            (|c| c.pool.backlog = 0, "backlog is 0"),
            (|c| c.pool.queue = Some(0), "queue is 0"),
            (|c| c.limits.connections = 0, "limits.connections is 0"),
            (|c| c.limits.target = 65_536, "limits.target (65536) does not fit within limits.head"),
            (|c| c.limits.pending = 1 << 30, "does not fit within limits.pending_total"),
            (|c| c.timeouts.head = Duration::ZERO, "timeouts.head is 0"),
            (|c| c.overload.target = Duration::from_secs(2), "overload.target (2s) does not fit"),
            (|c| c.overload.refuse_budget = 0.0, "overload.refuse_budget is 0"),
            (|c| c.overload.timeout_field = "a b".into(), "overload.timeout_field is \"a b\""),
        ];
        for (change, expected) in table {
            let mut config = Config::default();
            change(&mut config);
            let error = config.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn the_queue_is_as_long_as_the_backlog_unless_set() {
        let mut pool = Pool::default();
        assert_eq!(pool.queue_capacity(), 1024);
        pool.backlog = 100_000;
        assert_eq!(pool.queue_capacity(), 4096);
        pool.queue = Some(7);
        assert_eq!(pool.queue_capacity(), 7);
    }
}
