//! [`Event`]: what happens at a certain time.

/// What happens at a certain time, apart from threads that have had their CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A client connects.
    Syn(usize),
    /// A request arrives over a connection, if that is still the client's connection of this
    /// number.
    Data(usize, u32),
    /// A thread wakes.
    Timer(usize),
}
