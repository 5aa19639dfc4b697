//! The attacks of the scenario `hostile`, in full size.

use std::time::Duration;

use crate::attacks::{self, Crowd};
use crate::fleet::Fleet;

/// Connections of a crowd: more than the server may have open by default.
const CROWD: usize = 9_000;
/// How long it takes a crowd to open its connections.
const GATHERING: Duration = Duration::from_secs(3);
/// The addresses of a crowd that is spread.
const SPREAD: u8 = 250;
/// How long the workers are stuck.
const STALL: Duration = Duration::from_millis(1_300);

/// When an attack happens, and when the others' requests count. All times are from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) attack: Duration,
    pub(crate) count_from: Duration,
    pub(crate) count: Duration,
}

impl Times {
    /// What the others get while the attack lasts.
    fn during(time: Duration) -> Self {
        Self { attack: time, count_from: Duration::ZERO, count: time }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) workers: usize,
    /// What each handler sleeps, in milliseconds.
    pub(crate) sleep_ms: f64,
    /// Who attacks.
    pub(crate) fleets: fn() -> Vec<Fleet>,
    pub(crate) kind: Kind,
}

/// What is special about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Usual,
    /// The workers are stuck; the others count once they are free again.
    Stuck,
    /// The others count once the attack is over, and say how long they wait: 500 ms.
    Field,
    /// Very many connections; a probe is looked at by itself.
    Crowd {
        /// The share of the probe's requests that has to be served, in percent.
        least: u8,
    },
}

impl Attack {
    /// The times of this row, if an attack lasts this long.
    pub(crate) fn times(&self, time: Duration) -> Times {
        match self.kind {
            Kind::Usual => Times::during(time),
            Kind::Crowd { .. } => Times::during(GATHERING + time),
            Kind::Stuck => Times {
                attack: STALL + time,
                count_from: STALL + Duration::from_millis(50),
                count: time,
            },
            // A mean that was poisoned stays so for a while.
            Kind::Field => {
                let after = Duration::from_millis(500);
                Times { attack: time * 2, count_from: time * 2 + after, count: time }
            }
        }
    }
}

/// A closure that makes a crowd cannot be written in a table of constants without being spelt out.
macro_rules! crowd {
    ($name:literal, $kind:ident) => {
        Attack {
            name: $name,
            workers: 4,
            sleep_ms: 0.0,
            fleets: || vec![attacks::crowd(Crowd::$kind, CROWD, 1)],
            kind: Kind::Crowd { least: 100 },
        }
    };
    ($name:literal, $kind:ident, spread) => {
        Attack {
            fleets: || vec![attacks::crowd(Crowd::$kind, CROWD, SPREAD)],
            kind: Kind::Crowd { least: 99 },
            ..crowd!($name, $kind)
        }
    };
}

const fn usual(
    name: &'static str,
    workers: usize,
    sleep_ms: f64,
    fleets: fn() -> Vec<Fleet>,
) -> Attack {
    Attack { name, workers, sleep_ms, fleets, kind: Kind::Usual }
}

/// All rows, in the order of the table.
pub(crate) const ALL: [Attack; 25] = [
    usual("nobody", 4, 5.0, Vec::new),
    usual("closed-loop", 4, 5.0, || vec![attacks::closed_loop(200)]),
    usual("kept-50ms", 4, 50.0, || vec![attacks::paced(60, Duration::from_millis(50), 1)]),
    usual("kept-50ms-60", 16, 50.0, || vec![attacks::paced(60, Duration::from_millis(50), 60)]),
    Attack { kind: Kind::Stuck, ..usual("stuck", 4, 0.0, || attacks::stall(STALL, 1_000)) },
    usual("open-bodies", 4, 5.0, || vec![attacks::open_bodies(300)]),
    usual("unread", 4, 0.0, || vec![attacks::unread(4, 1_500, 2_000, 2_600)]),
    usual("unread-nothing", 4, 0.0, || vec![attacks::unread(4, 1_500, 2_000, 0)]),
    usual("pipelining", 4, 5.0, || vec![attacks::pipelining(10, 32)]),
    usual("pipelining-40", 4, 5.0, || vec![attacks::pipelining(40, 32)]),
    usual("slow-requests", 4, 5.0, || vec![attacks::slow_requests(8, Duration::from_secs(2))]),
    usual("slow-uploads", 4, 5.0, || vec![attacks::slow_uploads(4)]),
    usual("slow-uploads-40", 4, 5.0, || vec![attacks::slow_uploads(40)]),
    Attack {
        kind: Kind::Field,
        ..usual("timeout-field", 8, 0.0, || vec![attacks::slow_uploads(5)])
    },
    usual("pending-total", 4, 0.0, || vec![attacks::unread(200, 1, 2_000_000, 0)]),
    crowd!("idle", Idle),
    crowd!("silent", Silent),
    crowd!("head", Head),
    crowd!("body", Body),
    crowd!("reader", Reader),
    crowd!("idle-250", Idle, spread),
    crowd!("silent-250", Silent, spread),
    crowd!("head-250", Head, spread),
    crowd!("body-250", Body, spread),
    crowd!("reader-250", Reader, spread),
];
