//! A server under test as a child process: started, waited for, watched through /proc, and ended
//! whatever happens.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// How long a server may take until it accepts a connection.
const START: Duration = Duration::from_secs(10);
/// How long a server may take to stop when told to, before it is killed.
const STOP: Duration = Duration::from_millis(1000);
/// The unit of CPU times in /proc, in microseconds: USER_HZ is 100 wherever Linux runs today.
const TICK_US: u64 = 10_000;

/// A running server. Dropping it ends the process, so that a panic leaves none behind.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// What the kernel tells about a process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time since it started, in microseconds.
    pub(crate) cpu_us: u64,
    /// Resident memory in KiB.
    pub(crate) rss_kib: u64,
    /// Threads.
    pub(crate) threads: u64,
}

impl Process {
    /// Starts `command` and waits until `address` takes connections.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        die_with_parent(&mut command);
        let child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
        let mut process = Self { child };
        let end = Instant::now() + START;
        // There is nothing to wait on that every server offers, so this looks again and again.
        while TcpStream::connect_timeout(&address, START).is_err() {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(format!("{program} ended before it listened: {status}"));
            }
            if Instant::now() > end {
                return Err(format!("{program} does not listen on {address} after {START:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(process)
    }

    /// CPU time, memory and threads now, of the process and its children; zeros when it has died.
    pub(crate) fn usage(&self) -> Usage {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let mut usage = Usage::default();
        for pid in children.split_whitespace().chain([pid.to_string().as_str()]) {
            let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
            let (stat, status) = (read("stat"), read("status"));
            let status = status.unwrap_or_default();
            usage.cpu_us += cpu_ticks(&stat.unwrap_or_default()) * TICK_US;
            usage.rss_kib += status_field(&status, "VmRSS:");
            usage.threads += status_field(&status, "Threads:");
        }
        usage
    }

    /// Open descriptors now.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + STOP;
        while Instant::now() < end {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback interface that nobody uses at the moment.
pub(crate) fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("cannot find a free port: {error}"))
}

/// Has the kernel end the child when this program is killed, which no destructor would notice.
fn die_with_parent(command: &mut Command) {
    let hook = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec the hook makes one system call, and touches no other memory.
    #[expect(unsafe_code, reason = "pre_exec runs in the forked child")]
    unsafe {
        command.pre_exec(hook);
    }
}

/// utime + stime of /proc/PID/stat (proc_pid_stat(5), fields 14 and 15). The name in parentheses
/// may hold spaces, so counting starts behind it.
fn cpu_ticks(stat: &str) -> u64 {
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
    rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn status_field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.split_whitespace().next())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}
