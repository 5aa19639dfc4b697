//! Another program as a child process, such as a proxy in front of the server.

use std::process::{Child, Command, Stdio};

/// A running program. It is killed when dropped.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it, without input and output.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
