//! The built binary as a child process: started, read, told by signals, and ended by its id.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, exchange};

/// A running daemon. It is killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    /// What it logged so far.
    pub(crate) log: Vec<String>,
}

/// A finished run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary, with none of this process's variables that it would heed.
pub(crate) fn command(args: &[&str]) -> Command {
    bare(env!("CARGO_BIN_EXE_millpond"), args)
}

/// Another program that may start the binary.
pub(crate) fn bare(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let heeded = ["MILLPOND_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "JOURNAL_", "NO_COLOR"];
        if heeded.iter().any(|prefix| name_text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// `millpond serve` with this socket passed to it under the name `passed`, as sd_listen_fds(3) has
/// it.
pub(crate) fn activated(socket: impl Into<OwnedFd>, args: &[&str]) -> Command {
    // The shell puts the socket where it belongs, and knows its own process, which the daemon
    // becomes.
    let script =
        "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=passed exec \"$@\"";
    let mut all = vec!["-c", script, "sh", env!("CARGO_BIN_EXE_millpond"), "serve"];
    all.extend(args);
    let mut command = bare("sh", &all);
    command.stdin(Stdio::from(socket.into()));
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Ran {
    ran(command(args))
}

/// Runs a prepared command to its end.
pub(crate) fn ran(mut command: Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Daemon {
    /// Starts `millpond serve` on a free port of the loopback address, with these arguments too.
    pub(crate) fn serve(args: &[&str]) -> Self {
        let mut all = vec!["serve", "--bind", "tcp://127.0.0.1:0"];
        all.extend(args);
        Self::start(command(&all))
    }

    /// Starts a prepared command.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        // It ends with the child's standard error, or with the receiver.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, log: Vec::new() }
    }

    /// Waits for a line of the log that contains this.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {text:?} ({error}) in {:#?}", self.log),
            }
        }
    }

    /// The address that it says it listens at.
    pub(crate) fn addr(&mut self) -> SocketAddr {
        let line = self.wait_for("listening on tcp://");
        line.rsplit("tcp://").next().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; its exit code.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Standard error ends with the process, so that this wait is no blind one.
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.log),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET for `path` on a connection of its own; the whole answer.
pub(crate) fn get(addr: SocketAddr, path: &str) -> String {
    get_from(addr, "a.test", path)
}

/// The same with another host.
pub(crate) fn get_from(addr: SocketAddr, host: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(addr, request.as_bytes())
}

/// A directory that every user may read, with these files in it.
pub(crate) fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// A path as text.
pub(crate) fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}
