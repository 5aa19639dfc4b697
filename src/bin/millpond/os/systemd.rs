//! The service manager: sockets that it passes, and what it is told (sd_listen_fds(3),
//! sd_notify(3)).

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::failure::{Failure, code};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Sockets that were passed, by name.
#[derive(Debug, Default)]
pub(crate) struct Passed(Vec<(String, Option<OwnedFd>)>);

impl Passed {
    /// Takes what the environment says was passed to this process. It is to be called once.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let value = |name| std::env::var(name).unwrap_or_default();
        let pid = std::process::id();
        let Some(names) =
            names(&value("LISTEN_PID"), pid, &value("LISTEN_FDS"), &value("LISTEN_FDNAMES"))
        else {
            return Ok(Self::default());
        };
        let mut passed = Vec::new();
        for (fd, name) in (FIRST..).zip(names) {
            passed.push((name, Some(take(fd)?)));
        }
        Ok(Self(passed))
    }

    /// How many were passed, taken or not.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All that were not taken yet.
    pub(crate) fn take_all(&mut self) -> Vec<OwnedFd> {
        self.0.iter_mut().filter_map(|(_, fd)| fd.take()).collect()
    }

    /// Those that `NAME` or `N` of an endpoint `fd:NAME`, `fd:N` means: several may share a name,
    /// and N counts from 0.
    pub(crate) fn take(&mut self, which: &str) -> Result<Vec<OwnedFd>, Failure> {
        let index = which.parse::<usize>().ok();
        let taken: Vec<_> = self
            .0
            .iter_mut()
            .enumerate()
            .filter(|(i, (name, _))| index.map_or(name == which, |index| index == *i))
            .filter_map(|(_, (_, fd))| fd.take())
            .collect();
        if taken.is_empty() { Err(self.unknown(which)) } else { Ok(taken) }
    }

    fn unknown(&self, which: &str) -> Failure {
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        let failure = Failure::new(code::UNAVAILABLE, format!("no socket fd:{which} was passed"));
        failure.with_hint(match names.as_slice() {
            [] => "the service manager passed none: start by a .socket unit, or bind an address"
                .to_owned(),
            names => format!("passed were: {}", names.join(", ")),
        })
    }
}

/// The names of the sockets that were passed to the process `pid`: `None` if they are another's.
fn names(listen_pid: &str, pid: u32, count: &str, names: &str) -> Option<Vec<String>> {
    let count: usize = count.parse().ok()?;
    if listen_pid.parse() != Ok(pid) || count == 0 {
        return None;
    }
    // A process has no more descriptors than this anyway.
    let count = count.min(1 << 16);
    let mut given = names.split(':').map(ToOwned::to_owned);
    // sd_listen_fds_with_names(3) calls those without a name "unknown".
    let named = |name: Option<String>| {
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
    };
    Some((0..count).map(|_| named(given.next())).collect())
}

fn take(fd: RawFd) -> Result<OwnedFd, Failure> {
    // A descriptor that is not open must not become an `OwnedFd`. The question needs no /proc.
    #[expect(unsafe_code, reason = "whether a number is that of an open descriptor")]
    // SAFETY: it is borrowed for one fcntl(2), which fails on a descriptor that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_getfd(borrowed).map_err(|errno| {
        let what = format!("the passed descriptor {fd} is not open");
        Failure::io(code::UNAVAILABLE, what, errno.into())
            .with_hint("LISTEN_FDS says how many descriptors, from 3 on, are passed")
    })?;
    #[expect(unsafe_code, reason = "a descriptor is passed by its number alone")]
    // SAFETY: it is open, and by sd_listen_fds(3) it is this process's own; each is taken once.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)
        .map_err(|errno| Failure::io(code::RUNTIME, "cannot take a passed socket", errno.into()))?;
    Ok(fd)
}

/// Tells the service manager how things are, if there is one that asks.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Takes the socket's address from `NOTIFY_SOCKET`.
    pub(crate) fn from_env() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").and_then(|name| address(name.as_bytes()));
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            // A manager that does not read must not hold up the server for good.
            socket.set_write_timeout(Some(Duration::from_secs(1))).ok()?;
            Some((socket, address))
        });
        let value = |name| std::env::var(name).ok();
        let watchdog = watchdog(value("WATCHDOG_USEC"), value("WATCHDOG_PID"), std::process::id());
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// Whether anybody asks.
    pub(crate) fn is_on(&self) -> bool {
        self.socket.is_some()
    }

    /// How often the watchdog wants a sign: twice within its timeout (sd_watchdog_enabled(3)).
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|timeout| timeout / 2)
    }

    /// The server takes connections.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
    }

    /// The server reads its settings again; it is [`ready`](Self::ready) once more afterwards.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// The server ends, and takes at most this long for it.
    pub(crate) fn stopping(&self, within: Duration) {
        // The manager's own timeout must not cut the drain short.
        let extend = (within + Duration::from_secs(5)).as_micros();
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={extend}\nSTATUS=draining"));
    }

    /// One line of how things are.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// A sign of life.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// A manager that does not listen (any more) stops nothing.
    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

fn address(name: &[u8]) -> Option<SocketAddr> {
    match name {
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)).ok(),
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
        _ => None,
    }
}

/// The watchdog's timeout, if it is meant for the process `pid`.
fn watchdog(micros: Option<String>, for_pid: Option<String>, pid: u32) -> Option<Duration> {
    let micros: u64 = micros?.parse().ok().filter(|micros| *micros > 0)?;
    let ours = for_pid.is_none_or(|text| text.parse() == Ok(pid));
    ours.then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_another_process_are_left_alone() {
        assert_eq!(names("8", 7, "1", ""), None);
        assert_eq!(names("", 7, "1", ""), None);
        assert_eq!(names("7", 7, "0", ""), None);
        assert_eq!(names("7", 7, "x", ""), None);
    }

    #[test]
    fn sockets_without_a_name_are_unknown() {
        let names = |fds, text| names("7", 7, fds, text).unwrap();
        assert_eq!(names("2", "web:admin"), ["web", "admin"]);
        assert_eq!(names("3", "web"), ["web", "unknown", "unknown"]);
        assert_eq!(names("1", "web:more"), ["web"]);
        assert_eq!(names("2", ":b"), ["unknown", "b"]);
    }

    #[test]
    fn a_passed_socket_is_taken_by_name_or_number_and_once() {
        let open = || Some(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let name = ToOwned::to_owned;
        let mut passed =
            Passed(["web", "web", "admin"].into_iter().map(|n| (name(n), open())).collect());
        assert_eq!(passed.take("web").unwrap().len(), 2);
        assert_eq!(passed.take("2").unwrap().len(), 1);
        let failure = passed.take("admin").unwrap_err();
        assert_eq!(failure.message(), "no socket fd:admin was passed");
        assert_eq!(failure.hint(), Some("passed were: web, web, admin"));
        assert!(passed.take_all().is_empty());
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(watchdog(text("1000"), None, 7), Some(Duration::from_millis(1)));
        assert_eq!(watchdog(text("1000"), text("7"), 7), Some(Duration::from_millis(1)));
        assert_eq!(watchdog(text("1000"), text("8"), 7), None);
        assert_eq!(watchdog(text("0"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }

    #[test]
    fn a_notify_socket_is_a_path_or_an_abstract_name() {
        assert!(address(b"/run/systemd/notify").is_some());
        assert!(address(b"@name").is_some());
        assert!(address(b"vsock:2:1").is_none());
        assert!(address(b"").is_none());
    }
}
