//! [`MachineSetup`]: which machine is simulated.

use crate::pool::overload::simulation::features::{Costs, Features};

/// A machine to be simulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineSetup {
    pub(crate) cores: usize,
    pub(crate) workers: usize,
    pub(crate) costs: Costs,
    pub(crate) features: Features,
}

impl MachineSetup {
    pub(crate) fn new(cores: usize, workers: usize, features: Features) -> Self {
        Self { cores, workers, costs: Costs::MEASURED, features }
    }
}
