//! Notifications to the service manager: readiness, status, watchdog (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Sends notifications to the service manager, if the environment names its socket.
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
            // A manager that does not read must not block the server for good.
            socket.set_write_timeout(Some(Duration::from_secs(1))).ok()?;
            Some((socket, address))
        });
        let value = |name| std::env::var(name).ok();
        let watchdog = watchdog(value("WATCHDOG_USEC"), value("WATCHDOG_PID"), std::process::id());
        Self { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// Whether there is a service manager to notify.
    pub(crate) fn is_enabled(&self) -> bool {
        self.socket.is_some()
    }

    /// The interval between notifications to the watchdog: half of its timeout
    /// (sd_watchdog_enabled(3)).
    pub(crate) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|timeout| timeout / 2)
    }

    /// The server accepts connections.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
    }

    /// The server reloads its settings; [`ready`](Self::ready) follows.
    pub(crate) fn reloading(&self) {
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        let micros = now.as_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// The server stops, and needs at most `within` for it. `status` is how far it has come.
    pub(crate) fn stopping(&self, within: Duration, status: &str) {
        // The manager's own timeout must not end the process during the drain.
        let extend = (within + Duration::from_secs(5)).as_micros();
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={extend}\nSTATUS={status}"));
    }

    /// The state of the server in one line.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// The server is alive: the watchdog starts its timeout again.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Sends a message. The server goes on without a manager that does not receive.
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

/// The timeout of the watchdog, if it watches the process `pid`.
fn watchdog(micros: Option<String>, for_pid: Option<String>, pid: u32) -> Option<Duration> {
    let micros: u64 = micros?.parse().ok().filter(|micros| *micros > 0)?;
    let ours = for_pid.is_none_or(|text| text.parse() == Ok(pid));
    ours.then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_of_another_process_is_ignored() {
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
