//! What the tests share: a client that speaks raw bytes, conditions with deadlines, child
//! processes.

pub(crate) mod daemon;
pub(crate) mod response;
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millpond::Handle;
pub(crate) use server::{Start, TestServer};

/// Longer than anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The first address of a server.
pub(crate) fn addr(handle: &Handle) -> SocketAddr {
    handle.local_addrs()[0].as_socket().unwrap()
}

/// Connects, with time-outs that turn a hang into a failure.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A socket that is bound to this IPv4 address and not yet connected.
pub(crate) fn socket_at(source: [u8; 4]) -> OwnedFd {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (inet, stream) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM);
    let socket = rustix::net::socket_with(inet, stream, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    socket
}

/// As [`connect`], from this IPv4 address.
pub(crate) fn connect_from(source: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = socket_at(source);
    rustix::net::connect(&socket, &addr).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends the bytes, and reads until the server closes.
pub(crate) fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(addr);
    stream.write_all(request).unwrap();
    read_all(&mut stream)
}

pub(crate) fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads one answer with a `Content-Length`: its head and its body.
pub(crate) fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Tells a thread to end, also when the test fails.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for a condition, with a deadline.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_or(condition, || panic!("in vain: {what}"));
}

/// Waits for a condition, and fails as it is told to when the deadline has passed.
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

/// Runs an ignored test of this binary in a process of its own, where it may lower limits and aim
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

/// A running `millpond` process, ended with the test.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) log: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Daemon {
    /// Starts `millpond serve` with these arguments, and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .arg("serve")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self { child, log, _dir: dir };
        until("the daemon listens", || daemon.text().contains("listening on"));
        daemon
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The address of the first TCP endpoint, as its log line says.
    pub(crate) fn addr(&self) -> SocketAddr {
        let text = self.text();
        let start = text.find("listening on tcp://").unwrap() + "listening on tcp://".len();
        text[start..].split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end: the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        until("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
