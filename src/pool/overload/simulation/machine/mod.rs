//! A simulated machine: the real queue, controller and refusal budget. Workers, acceptor, monitor,
//! backlog and epoll are programs for threads that share a CPU.
//!
//! Each thread runs for some CPU time or sleeps, and then does its next
//! [step](threads::ThreadStep), which takes no time. The programs follow `worker.rs`, `acceptor.rs`
//! and `monitor.rs` of the pool, in which handlers count as slow.

mod acceptor;
mod monitor;
mod run;
mod setup;
mod state;
mod threads;
mod worker;

pub(super) use run::AttackOutcome;
pub(super) use setup::MachineSetup;
