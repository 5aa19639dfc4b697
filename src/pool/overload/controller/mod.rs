//! The decision to keep work or to refuse it: pure, given the time, the queue's length and the
//! wait.
//!
//! Two decisions are taken about each piece of work: [`Controller::admit`], before it enters the
//! queue, by the wait that the queue's length predicts; and [`Controller::check_wait`], once a
//! worker has taken it, by the wait that it had. While the load is within the capacity, only a
//! wait of a whole interval refuses. Past the capacity the wait that is allowed shrinks to what
//! keeps the workers busy at the measured load, but to no less than the target: the higher the
//! load, the shorter the queue that always has work.
//!
//! The load is measured once an interval; and sooner, when as much was refused as an interval has
//! room for. What a flood has put into the queue by then would delay all later work, so it is
//! refused too, as long as fresh work arrives to take its place.
//!
//! Invariant: no socket, no thread, no lock, and no clock. Instants come in as arguments.
//!
//! ```text
//! state      the Controller: settings, counters, and what the last interval has taught
//!   estimates   the waits and the capacity that follow from them
//!     learn        the end of an interval: load, wait limit, flood
//!       decide       admit, check_wait, may_serve …
//!       handshakes   the same for TLS handshakes
//!       count        what the other threads report
//! ```

mod count;
mod decide;
mod estimates;
mod handshakes;
mod learn;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use decide::Verdict;
pub(crate) use handshakes::HandshakesAhead;
pub(crate) use state::Controller;
