//! Server and generator on cores of their own, so that what the server needs is all that it gets.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of the server, and that of the generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) generator: usize,
}

impl Cores {
    /// The first two cores that this process may use.
    pub(crate) fn choose() -> Result<Self, String> {
        let allowed = sched_getaffinity(None).map_err(|error| format!("affinity: {error}"))?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        match (cores.next(), cores.next()) {
            (Some(server), Some(generator)) => Ok(Self { server, generator }),
            _ => Err("this scenario needs two cores: one for the server, one for the load".into()),
        }
    }

    /// Puts this thread, and the threads that it starts from now on, on the generator's core.
    pub(crate) fn pin_generator(self) -> Result<(), String> {
        sched_setaffinity(None, &only(self.generator))
            .map_err(|error| format!("cannot stay on core {}: {error}", self.generator))
    }
}

/// Has the child use this core alone. It is set before exec, so that the server counts one core.
pub(crate) fn pin(command: &mut Command, core: usize) {
    let set = only(core);
    let hook = move || Ok(sched_setaffinity(None, &set)?);
    // SAFETY: between fork and exec the hook makes one system call, and touches no other memory.
    #[expect(unsafe_code, reason = "pre_exec runs in the forked child")]
    unsafe {
        command.pre_exec(hook);
    }
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}
