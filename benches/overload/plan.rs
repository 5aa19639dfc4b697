//! A load, drawn up before it is sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::arrivals::{Arrival, Phase, poisson};

/// A client of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The address it connects from; `None`: the kernel's choice.
    pub(crate) source: Option<Ipv4Addr>,
    /// Its share of the load, relative to the others'.
    pub(crate) weight: f64,
}

/// A load to put on a server.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The server.
    pub(crate) target: SocketAddr,
    /// One after the other.
    pub(crate) phases: Vec<Phase>,
    /// Who sends.
    pub(crate) clients: Vec<Client>,
    /// What counts as in time.
    pub(crate) deadline: Duration,
    /// When the client gives up and closes.
    pub(crate) patience: Duration,
    /// How long a client waits before it tries again.
    pub(crate) retry_pause: Duration,
    /// Send over a set of this many connections; `None`: a fresh connection for each request.
    pub(crate) keep_alive: Option<usize>,
    /// Send this; `None`: the usual request.
    pub(crate) request: Option<&'static [u8]>,
    /// Send at even distances, not at random.
    pub(crate) even: bool,
    /// What the draw of arrivals starts from.
    pub(crate) seed: u64,
}

/// The usual load of these benchmarks: fresh connections and a deadline of 200 ms, at which clients
/// give up. `clients` are as many loopback addresses.
pub(crate) fn usual(target: SocketAddr, clients: u8) -> Plan {
    let source = |n| target.ip().is_loopback().then_some([127, 0, 0, n]).map(Into::into);
    let client = |n| Client { source: source(n), weight: 1.0 };
    let clients = match target {
        SocketAddr::V4(_) => (2..clients.saturating_add(2)).map(client).collect(),
        SocketAddr::V6(_) => vec![Client { source: None, weight: 1.0 }],
    };
    Plan {
        target,
        phases: Vec::new(),
        clients,
        deadline: Duration::from_millis(200),
        patience: Duration::from_millis(200),
        retry_pause: Duration::from_millis(50),
        keep_alive: None,
        request: None,
        even: false,
        seed: 1,
    }
}

impl Plan {
    /// When the requests are to be sent.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        if self.even {
            return even(&self.phases);
        }
        let weights: Vec<f64> = self.clients.iter().map(|client| client.weight).collect();
        poisson(&self.phases, &weights, self.seed)
    }
}

/// Arrivals of the first client at even distances.
fn even(phases: &[Phase]) -> Vec<Arrival> {
    let mut start = 0.0;
    let mut arrivals = Vec::new();
    for phase in phases {
        let (retries, counted) = (phase.retries, phase.counted);
        for number in 0..(phase.rate * phase.time.as_secs_f64()) as u64 {
            let at = ((start + number as f64 / phase.rate) * 1e9) as u64;
            arrivals.push(Arrival { at, client: 0, retries, counted });
        }
        start += phase.time.as_secs_f64();
    }
    arrivals
}
