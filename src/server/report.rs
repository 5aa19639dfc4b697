//! [`DrainReport`]: the result of a graceful stop.

use std::fmt;
use std::time::Duration;

/// The result of a graceful stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Requests to which a handler responded, since the server started.
    pub served: u64,
    /// Requests and connections that the server refused, since it started.
    pub refused: u64,
    /// Those of `served` whose response came after the drain began.
    pub served_while_draining: u64,
    /// Connections that were still open, and datagrams without a response, when the deadline
    /// passed.
    pub cut_off: u64,
    /// The duration of the stop.
    pub elapsed: Duration,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "served {} ({} while stopping), refused {}, cut off {}, in {:.3} s",
            self.served,
            self.served_while_draining,
            self.refused,
            self.cut_off,
            self.elapsed.as_secs_f64()
        )
    }
}
