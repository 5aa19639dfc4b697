//! [`Pool`]: the worker threads and their queue.

use std::time::Duration;

/// The worker threads and their queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pool {
    /// Worker threads, which is also the number of requests served at once. Default:
    /// [`default_workers`].
    pub workers: usize,
    /// The `backlog` of listen(2): connections that the kernel queues before they are accepted.
    /// Default: 1024.
    pub backlog: u32,
    /// Accepted connections and ready requests that may wait for a worker. Default: `None`, as many
    /// as `backlog`, but at most 4096.
    pub queue: Option<usize>,
    /// Time after which another worker is woken if all workers that are awake are blocked in their
    /// handlers. Default: 1 ms.
    pub tick: Duration,
    /// The number added to the nice value of worker threads (nice(2), sched(7)). The threads that
    /// accept, refuse and keep deadlines then get the CPU while handlers compute. Default: 5, about
    /// a third of the weight. 0: the value is not changed.
    pub worker_nice: u8,
    /// Bytes of datagrams that the kernel queues for each socket before they are received
    /// (`SO_RCVBUF`, socket(7)). The kernel drops further datagrams. Default: `None`, the default
    /// of the kernel (`net.core.rmem_default`).
    pub receive_buffer: Option<usize>,
    /// Upgraded connections at once, each of which has a thread. Default: 64.
    pub upgrades: usize,
    /// TLS handshakes at once. Each takes a worker and a core for a fraction of a millisecond, so
    /// that more would only keep requests waiting. Default: `None`, as many as cores.
    pub handshakes: Option<usize>,
}

/// The default number of workers: eight per core.
///
/// Handlers block, so that one worker per core would leave cores idle. docs/measurements.md has the
/// measurements behind the number.
///
/// # Examples
/// ```
/// assert!(millpond::config::default_workers() >= 8);
/// ```
#[must_use]
pub fn default_workers() -> usize {
    8 * num_cpus::get().max(1)
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            workers: default_workers(),
            backlog: 1024,
            queue: None,
            tick: Duration::from_millis(1),
            worker_nice: 5,
            receive_buffer: None,
            upgrades: 64,
            handshakes: None,
        }
    }
}

impl Pool {
    /// The capacity of the work queue: `queue`, or else `backlog`, but at most 4096.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.queue.unwrap_or((self.backlog as usize).clamp(1, 4096))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_as_long_as_the_backlog_unless_set() {
        let mut pool = Pool::default();
        assert_eq!(pool.queue_capacity(), 1024);
        pool.backlog = 100_000;
        assert_eq!(pool.queue_capacity(), 4096);
        pool.queue = Some(7);
        assert_eq!(pool.queue_capacity(), 7);
    }
}
