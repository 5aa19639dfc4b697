//! Runs a machine, and reports the result.

use std::ops::Range;

use super::setup::MachineSetup;
use super::state::Machine;
use crate::pool::overload::simulation::clients::{Clients, Script, Tally};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct AttackOutcome {
    /// By client.
    pub(crate) tallies: Vec<Tally>,
    /// How many cores the workers, the acceptor and the monitor used.
    pub(crate) used: [f64; 3],
}

impl AttackOutcome {
    /// The figures of some clients together.
    pub(crate) fn of(&self, clients: Range<usize>) -> Tally {
        let mut sum = Tally::default();
        self.tallies[clients].iter().for_each(|tally| sum.add(tally));
        sum
    }
}

impl MachineSetup {
    /// Runs until `end`, in nanoseconds from the start. Only requests sent within `counted` count.
    pub(crate) fn run(self, scripts: &[Script], counted: (u64, u64), end: u64) -> AttackOutcome {
        let mut machine = Machine::new(self, Clients::new(scripts, counted));
        machine.run(end);
        machine.clients.finish(end);
        let used = |threads: Range<usize>| {
            threads.map(|thread| machine.cpu.used(thread)).sum::<f64>() / end as f64
        };
        let workers = self.workers;
        AttackOutcome {
            used: [used(0..workers), used(workers..workers + 1), used(workers + 1..workers + 2)],
            tallies: machine.clients.tallies,
        }
    }
}
