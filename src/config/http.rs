//! [`HttpSettings`]: what HTTP reports to clients.

/// What the server adds to responses of HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Whether each response of a handler has a field `Server-Timing: queue;dur=0.125,
    /// app;dur=3.200`: the milliseconds that the request waited for a worker, and those until the
    /// handler returned. Every client can read it, and measure the handler by it. Refusals have
    /// none. Default: false.
    pub server_timing: bool,
}
