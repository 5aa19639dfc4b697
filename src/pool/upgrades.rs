//! [`Upgrades`]: connections that have left the pool for threads of their own, limited in number.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What runs on such a thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Makes a thread for a job. The server provides it, as only the server makes threads.
pub(crate) type Spawn = Box<dyn Fn(Job) -> io::Result<()> + Send + Sync>;

/// The limit on upgraded connections.
pub(crate) struct Upgrades {
    limit: usize,
    live: Arc<AtomicUsize>,
    spawn: OnceLock<Spawn>,
}

impl Upgrades {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, live: Arc::default(), spawn: OnceLock::new() }
    }

    /// Sets how threads are made.
    pub(crate) fn spawn_with(&self, spawn: impl Fn(Job) -> io::Result<()> + Send + Sync + 'static) {
        // Set once, before any worker runs.
        let _ = self.spawn.set(Box::new(spawn));
    }

    /// A permit for one more connection, unless the limit is reached.
    pub(crate) fn try_acquire(&self) -> Option<UpgradePermit> {
        let before = self.live.fetch_add(1, Ordering::Relaxed);
        let permit = UpgradePermit(Arc::clone(&self.live));
        (before < self.limit).then_some(permit)
    }

    /// Runs the job on a thread of its own. The thread has the permit until the job is done.
    pub(crate) fn run(&self, permit: UpgradePermit, job: Job) {
        let Some(spawn) = self.spawn.get() else { return };
        let job_with_permit = Box::new(move || {
            let _permit = permit;
            job();
        });
        if let Err(error) = spawn(job_with_permit) {
            log::error!("cannot make a thread for an upgraded connection: {error}");
        }
    }
}

/// A permit for one upgraded connection; released by `Drop`.
#[derive(Debug)]
pub(crate) struct UpgradePermit(Arc<AtomicUsize>);

impl Drop for UpgradePermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
