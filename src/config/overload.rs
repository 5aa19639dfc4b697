//! [`Overload`]: when requests are refused.

use std::time::Duration;

/// When requests are refused. See docs/overload.md.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Overload {
    /// Whether requests are refused because they would wait too long. Default: true. If false, only
    /// a full queue refuses.
    pub shed: bool,
    /// The wait in the queue that overload control aims at. Default: 5 ms (and at least half of a
    /// service time).
    pub target: Duration,
    /// How long waits may exceed `target` before the server counts as overloaded. Default: 100 ms
    /// (and at least 8 targets).
    pub interval: Duration,
    /// The time that a request may take, wait and service together. A request that would take
    /// longer is refused. Default: 1 s.
    pub deadline: Duration,
    /// Whether each client address is limited to its share of the queue under overload. Default:
    /// true.
    pub fairness: bool,
    /// Whether a request is dropped, unserved, if its client has reset the connection (or closed
    /// it, on a Unix socket) before a worker takes it. A client that has only closed its sending
    /// side still gets its response. Default: true.
    pub drop_gone: bool,
    /// The share of the machine's CPU time that refusals may take, above 0 and up to 1. Beyond it,
    /// new connections wait in the backlog of the kernel. Refusing TLS handshakes may take a
    /// quarter of this share in addition. Default: 0.2.
    pub refuse_budget: f64,
    /// The `Retry-After` field of a refusal, in whole seconds, drawn evenly from the range.
    /// Default: 1 to 3.
    pub retry_after: (u32, u32),
    /// The request field in which clients send their own timeout, in seconds or with a unit
    /// (`250ms`). A request that would take longer is refused at once. The field can shorten
    /// `deadline`, not lengthen it. Default: `X-Request-Timeout`. Empty: no such field.
    pub timeout_field: String,
    /// The shortest time between two log lines of an overload, which is logged when it begins,
    /// while it lasts, and when it ends. Default: 10 s. Zero: never.
    pub report: Duration,
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
