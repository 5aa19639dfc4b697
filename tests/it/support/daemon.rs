//! The built binary as a child process: started, its log read, signalled, and ended by its id.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::slice::from_ref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::response::Response;
use super::{PATIENCE, exchange, until_or};

/// A running daemon. It is killed when dropped, after a check of its counters: accepted = closed +
/// live.
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

/// The binary, without those variables of this process that it would read.
pub(crate) fn command(args: &[&str]) -> Command {
    bare(env!("CARGO_BIN_EXE_millpond"), args)
}

/// Another program that may start the binary.
pub(crate) fn bare(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let read = ["MILLPOND_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "JOURNAL_", "NO_COLOR"];
        if read.iter().any(|prefix| name_text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// `millpond serve` with this socket passed to it under the name `passed`, by the protocol of
/// sd_listen_fds(3).
pub(crate) fn activated(socket: impl Into<OwnedFd>, args: &[&str]) -> Command {
    // The shell moves the socket to descriptor 3, and knows its own process, which becomes the
    // daemon.
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

    /// Starts a prepared command, and reads its log.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut daemon = Self::start_unread(command);
        let stderr = daemon.child.stderr.take().unwrap();
        let (sender, lines) = channel();
        // The thread ends with the child's standard error, or with the receiver.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        daemon.lines = lines;
        daemon
    }

    /// Starts a prepared command whose standard output and standard error the test has set: its log
    /// is not read here.
    pub(crate) fn start_unread(mut command: Command) -> Self {
        let (_, lines) = channel();
        Self { child: command.spawn().unwrap(), lines, log: Vec::new() }
    }

    /// Waits for a line of the log that contains this.
    #[track_caller]
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

    /// Whether a line that was read so far contains this.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }

    /// The next address at which it logs that it listens.
    #[track_caller]
    pub(crate) fn addr(&mut self) -> SocketAddr {
        let line = self.wait_for("listening on tcp://");
        line.rsplit("tcp://").next().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = || {
            self.log.extend(self.lines.try_iter());
            status = self.child.try_wait().unwrap();
            status.is_some()
        };
        until_or(ended, || ());
        // What it wrote last may still be in the pipe.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log.push(line);
        }
        status.unwrap_or_else(|| panic!("it does not end: {:#?}", self.log))
    }

    /// Checks that every accepted connection is live or was closed for a reason, as SIGQUIT logs
    /// the counters.
    fn check_balance(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut state = Vec::new();
            self.signal(Signal::QUIT);
            while !state.last().is_some_and(|line: &String| line.starts_with(LAST_OF_STATE)) {
                let left = deadline.saturating_duration_since(Instant::now());
                match self.lines.recv_timeout(left) {
                    Ok(line) => {
                        let Some((_, line)) = line.split_once("state: ") else { continue };
                        // What the test left unread may end with a part of an earlier state.
                        if !state.is_empty() || line.starts_with("live ") {
                            state.push(line.to_owned());
                        }
                    }
                    // It has just ended by itself.
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => panic!("no state in the log: {state:#?}"),
                }
            }
            let (accepted, live) =
                (number_after(&state, "accepted "), number_after(&state, "live "));
            let closed = state.iter().filter(|line| line.starts_with("closed "));
            let closed: u64 = closed.map(|line| number_after(from_ref(line), "closed ")).sum();
            // The counters are read one after the other, while connections come and go.
            if accepted == closed + live {
                return;
            }
            assert!(Instant::now() < deadline, "accepted is not closed + live: {state:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last line of those that SIGQUIT logs has this.
const LAST_OF_STATE: &str = "accept: interrupted ";

/// The number behind the first occurrence of `name`.
fn number_after(lines: &[String], name: &str) -> u64 {
    let rest = lines.iter().find_map(|line| line.split_once(name)).map(|(_, rest)| rest);
    let rest = rest.unwrap_or_else(|| panic!("no {name:?} in {lines:#?}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Before it listens, SIGQUIT would end it.
        let is_up = self.has_logged("listening on ") && matches!(self.child.try_wait(), Ok(None));
        if is_up && !thread::panicking() {
            self.check_balance();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET for `path` on a connection of its own.
#[track_caller]
pub(crate) fn get(addr: SocketAddr, path: &str) -> Response {
    get_from(addr, "a.test", path)
}

/// The same with another host.
#[track_caller]
pub(crate) fn get_from(addr: SocketAddr, host: &str, path: &str) -> Response {
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
