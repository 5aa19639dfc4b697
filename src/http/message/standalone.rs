//! [`Standalone`]: a request without a server.

use std::net::SocketAddr;
use std::time::Instant;

use super::pressure::Pressure;
use crate::pool::Cancel;

/// What a request reports that no server received, such as one that a test made.
pub(super) struct Standalone {
    pub(super) created: Instant,
    pub(super) peer: Option<SocketAddr>,
    pub(super) deadline: Option<Instant>,
    pub(super) pressure: Option<Pressure>,
    pub(super) cancel: Cancel,
}

impl Standalone {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            created: Instant::now(),
            peer: None,
            deadline: None,
            pressure: None,
            cancel: Cancel::new(None),
        })
    }
}
