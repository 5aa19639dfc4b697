//! The servers that are measured, each a process of its own.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `millpond serve --echo`.
    Millpond,
    /// One thread, recvfrom and sendto.
    Plain,
    /// `socat UDP4-LISTEN:PORT PIPE`: one process that serves the first client for good. Of socat's
    /// forms it is the fastest; it may merge datagrams in its pipe, which is not held against it,
    /// as bytes are counted.
    Socat,
    /// `socat UDP4-RECVFROM:PORT,fork PIPE`: a process for each datagram, which serves any client.
    SocatFork,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Millpond, Self::Plain, Self::Socat, Self::SocatFork];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Millpond => "millpond",
            Self::Plain => "plain",
            Self::Socat => "socat",
            Self::SocatFork => "socat-fork",
        }
    }

    fn command(self, port: u16, workers: usize) -> Result<Command, String> {
        let socat = |from: String| {
            let mut command = Command::new("socat");
            command.args([from.as_str(), "PIPE"]);
            command
        };
        Ok(match self {
            Self::Millpond => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
                command.args(["serve", "--echo", "-b", &format!("udp://127.0.0.1:{port}")]);
                command.args(["-t", &workers.to_string()]);
                command
            }
            Self::Plain => {
                let program = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(program);
                command.args(["--plain", &port.to_string()]);
                command
            }
            Self::Socat => socat(format!("UDP4-LISTEN:{port},bind=127.0.0.1")),
            Self::SocatFork => socat(format!("UDP4-RECVFROM:{port},bind=127.0.0.1,fork")),
        })
    }
}

/// A running server and a client's socket connected to it. Dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) client: UdpSocket,
    /// Whether its work is done by children that end, whose CPU time counts too.
    forks: bool,
}

impl Server {
    pub(crate) fn start(kind: Kind, workers: usize) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("{}: {error}", kind.name());
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.map_err(fail)?.port();
        let mut command = kind.command(port, workers)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(fail)?;
        let client = UdpSocket::bind("127.0.0.1:0").map_err(fail)?;
        let mut server = Self { child, client, forks: kind == Kind::SocatFork };
        server.client.connect(("127.0.0.1", port)).map_err(fail)?;
        server.client.set_read_timeout(Some(Duration::from_millis(20))).map_err(fail)?;
        let end = Instant::now() + Duration::from_secs(10);
        // Until it is bound, each datagram is refused.
        while server.client.send(&[0]).is_err() || server.client.recv(&mut [0; 8]).is_err() {
            if Instant::now() > end || !matches!(server.child.try_wait(), Ok(None)) {
                return Err(format!("{} does not respond", kind.name()));
            }
        }
        while server.client.recv(&mut [0; 8]).is_ok() {}
        Ok(server)
    }

    /// User and system time in microseconds, in steps of 10 ms (proc_pid_stat(5)).
    pub(crate) fn cpu_us(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let count = if self.forks { 4 } else { 2 };
        fields.skip(11).take(count).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>()
            * 10_000
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
