//! What the threads count, and what each worker is doing.

pub(crate) mod counters;
pub(crate) mod durations;
pub(crate) mod handshakes;
pub(crate) mod histogram;
pub(crate) mod load_meter;
pub(crate) mod own_counter;
pub(crate) mod reloads;
mod request_text;
pub(crate) mod snapshot;
pub(crate) mod watch;
pub(crate) mod worker_state;
