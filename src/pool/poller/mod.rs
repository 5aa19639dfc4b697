//! Parking: connections wait in an epoll(7) instance, without a worker, until they are ready or
//! their deadline passes.

pub(crate) mod candidate;
mod deadlines;
mod epoll;
mod slots;
pub(crate) mod token;

pub(crate) use epoll::{BATCH, Parked, Poller, Ready};
