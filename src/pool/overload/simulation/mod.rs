//! Simulated servers: the real [`Queue`](crate::pool::queue::Queue) and
//! [`Controller`](crate::pool::overload::controller::Controller), with simulated arrivals, workers
//! and time.
//!
//! A simulation runs as fast as it can and gives the same figures every time. So the goals of
//! overload control are checked exactly, at loads and numbers of workers that no test could put on
//! a machine. The arrivals are those of `benches/overload`. There are two simulations:
//!
//! - In [`tests`], handlers of a [`server`] sleep. Refusing costs nothing, nor does waking a
//!   worker. The same goals must fail with the [`controls`].
//! - In [`computing`] and [`hostile`], the workers, the acceptor and the monitor of a [`machine`]
//!   share a [`cpu`], and all that they do costs what was measured. The same goals must fail
//!   without the [`features`] that millpond has today.

#[path = "../../../../benches/overload/arrivals.rs"]
mod arrivals;
mod clients;
mod common;
mod computing;
mod controls;
mod cpu;
mod event;
mod features;
mod hostile;
mod machine;
mod policy;
mod server;
mod tests;
