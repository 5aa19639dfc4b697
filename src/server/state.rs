//! [`ServerState`]: the stages of a server's life.

use std::fmt;

/// The stage of a server's life, in the order in which they follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ServerState {
    /// The endpoints are bound, and the threads do not run yet.
    Starting,
    /// The server accepts and serves.
    Running,
    /// A stop was announced: the server accepts and serves, and each response closes its
    /// connection. See [`Handle::lame_duck`](crate::Handle::lame_duck).
    LameDuck,
    /// The server finishes what it has accepted, and accepts no more.
    Draining,
    /// The threads have ended, or end as soon as their handlers return.
    Stopped,
}

impl ServerState {
    /// The name: `lame-duck`, for example.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::LameDuck => "lame-duck",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
