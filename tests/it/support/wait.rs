//! Conditions with deadlines, and tests that need a process of their own.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Ends a thread's loop, also when the test fails.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for a condition, with a deadline.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_or(condition, || panic!("still not true after {PATIENCE:?}: {what}"));
}

/// Waits for a condition, and calls `fail` when the deadline has passed.
#[track_caller]
pub(crate) fn until_or(mut condition: impl FnMut() -> bool, fail: impl FnOnce()) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() >= deadline {
            return fail();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Calls it again as long as a signal interrupts it. A call with a timeout is never restarted
/// (signal(7)), not even after a signal that is ignored, as SIGCHLD is: the thread that has it may
/// block it, while it starts a program.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Runs an ignored test of this binary in a process of its own, where it may lower limits and send
/// signals, and checks that it passes.
#[track_caller]
pub(crate) fn passes_in_a_process_of_its_own(test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
