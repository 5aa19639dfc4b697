//! [`Pressure`]: how busy the server is.

use std::time::Duration;

/// How busy the server is, from the view of one request; see
/// [`Request::pressure`](super::Request::pressure).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pressure {
    /// The work offered over the last intervals, as a multiple of what could have been done, as in
    /// [`Stats::load`](crate::Stats::load). Zero while the server has not measured it.
    pub load: f64,
    /// Whether clients offer more work than the workers can do, so that some is refused.
    pub overloaded: bool,
    /// How long this request waited in the queue.
    pub queue_wait: Duration,
    /// The time until the deadline of this request.
    pub remaining: Duration,
}
