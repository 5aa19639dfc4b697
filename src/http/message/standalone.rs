//! [`Standalone`]: a request without a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::pool::Cancel;

/// The values that a request without a server reports, such as one that a test made.
#[derive(Debug)]
pub(crate) struct Standalone {
    pub(crate) created: Instant,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) queue_wait: Duration,
    pub(crate) is_connected: bool,
    /// The deadline that a test has set.
    pub(crate) deadline: Option<Instant>,
    pub(crate) load: f64,
    pub(crate) cancel: Cancel,
}

impl Standalone {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            created: Instant::now(),
            peer: None,
            queue_wait: Duration::ZERO,
            is_connected: false,
            deadline: None,
            load: 0.0,
            cancel: Cancel::new(None),
        })
    }
}
