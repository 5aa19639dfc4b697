//! What the tests of `millpond::net` share.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use millpond::net::{Addr, Endpoint, Listener, Stream};
use rustix::event::{PollFd, PollFlags, poll};

/// A directory of its own for each test, short enough for `sun_path`, removed at the end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millpond-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn unix(scheme: &str, path: &Path) -> Endpoint {
    endpoint(&format!("{scheme}:{}", path.display()))
}

/// Soon enough that a hang fails the test, late enough for a busy machine.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Waits for a connection and accepts it.
pub(crate) fn accept(listener: &Listener) -> (Stream, Addr) {
    let wait = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&wait)).unwrap();
    assert_eq!(ready, 1, "no connection to {listener}");
    listener.accept().unwrap()
}

/// Says why a test does nothing here, past the capturing of what tests print.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {}", why.trim_end());
}
