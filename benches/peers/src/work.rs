//! What the handler of every hello server does: nothing, sleep, or burn CPU, and then respond.

use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

/// The handler's work and its response.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    sleep: Duration,
    burn: Duration,
    body: Bytes,
}

impl Work {
    pub(crate) fn new(sleep_ms: f64, burn_ms: f64, response_bytes: Option<usize>) -> Self {
        let body = match response_bytes {
            Some(length) => Bytes::from(vec![b'x'; length]),
            None => Bytes::from_static(b"Hello, world!"),
        };
        let time = |ms: f64| Duration::from_secs_f64(ms.max(0.0) / 1e3);
        Self { sleep: time(sleep_ms), burn: time(burn_ms), body }
    }

    /// Does the work on this thread and returns the body of the response.
    pub(crate) fn block(&self) -> Bytes {
        if !self.sleep.is_zero() {
            std::thread::sleep(self.sleep);
        }
        burn(self.burn);
        self.body.clone()
    }

    /// The same for event loops, whose sleep holds no thread.
    pub(crate) async fn wait(&self) -> Bytes {
        if !self.sleep.is_zero() {
            tokio::time::sleep(self.sleep).await;
        }
        burn(self.burn);
        self.body.clone()
    }
}

/// Uses `time` of CPU. The thread's own clock decides, so that a busy machine makes the work longer
/// and not smaller.
fn burn(time: Duration) {
    if time.is_zero() {
        return;
    }
    let end = thread_time() + time;
    while thread_time() < end {
        std::hint::spin_loop();
    }
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}
