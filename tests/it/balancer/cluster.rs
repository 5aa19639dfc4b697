//! [`Instance`]: a daemon whose addresses stay the same when it restarts.

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::daemon::{Daemon, command};

use super::own_ip;

/// Where an instance listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) main: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) agent: SocketAddr,
}

/// A daemon with an admin endpoint and an agent.
pub(super) struct Instance {
    pub(super) daemon: Daemon,
    pub(super) addresses: Addresses,
}

impl Instance {
    /// Starts one on three free ports.
    pub(super) fn start() -> Self {
        Self::start_at(own_ip(), [0; 3])
    }

    fn start_at(ip: Ipv4Addr, ports: [u16; 3]) -> Self {
        let [main, admin, agent] = ports.map(|port| format!("tcp://{ip}:{port}"));
        let args =
            ["serve", "-b", &main, "--admin", &admin, "--agent", &agent, "--lame-duck", "3s"];
        let mut daemon = Daemon::start(command(&args));
        let main = daemon.addr();
        let mut after = |text: &str, scheme: &str| -> SocketAddr {
            let line = daemon.wait_for(text);
            line.rsplit(scheme).next().unwrap().trim_end_matches('/').parse().unwrap()
        };
        let admin = after("admin endpoint at ", "http://");
        let agent = after("agent endpoint at ", "tcp://");
        Self { daemon, addresses: Addresses { main, admin, agent } }
    }

    /// Starts another one at the addresses of this one, which has ended.
    pub(super) fn start_again(&mut self) {
        let Addresses { main, admin, agent } = self.addresses;
        let SocketAddr::V4(v4) = main else { unreachable!() };
        *self = Self::start_at(*v4.ip(), [main, admin, agent].map(|addr| addr.port()));
    }
}
