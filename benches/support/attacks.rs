//! Clients that hold a server up, each as a fleet. Whoever uses them has a handler that does what
//! the query of a request says: `sleep-ms`, `bytes` of the response, `read` the body, `stall-ms`
//! for all.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::fleet::{Fleet, Script};

/// The address of a single attacker.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// `n` loopback addresses that are nobody else's, at most 250.
fn addresses(n: u8) -> Vec<Ipv4Addr> {
    (1..=n).map(|last| Ipv4Addr::new(127, 0, 2, last)).collect()
}

fn fleet(connections: usize, script: Script) -> Fleet {
    Fleet {
        script,
        connections,
        sources: vec![ATTACKER],
        opened_per_second: 1_000.0,
        reopened_per_second: 1_000.0,
        delay: Duration::ZERO,
    }
}

fn get(query: &str) -> Vec<u8> {
    format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// Connections that send a request on each response, at once.
pub(crate) fn closed_loop(connections: usize) -> Fleet {
    let script =
        Script { opening: GET.into(), next: GET.into(), reopen: true, ..Script::default() };
    fleet(connections, script)
}

/// Connections that send a request this often, if the last one has been responded to.
pub(crate) fn paced(connections: usize, every: Duration, addresses_n: u8) -> Fleet {
    let mut fleet = closed_loop(connections);
    fleet.script.pace = every;
    fleet.sources = addresses(addresses_n);
    fleet
}

/// A closed loop whose requests have chunked bodies that end just before the next request.
pub(crate) fn open_bodies(connections: usize) -> Fleet {
    let opening = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx";
    let next = format!("\r\n0\r\n\r\n{opening}").into_bytes();
    fleet(connections, Script { opening: opening.into(), next, reopen: true, ..Script::default() })
}

/// Connections with this many requests on the way each, all the time.
pub(crate) fn pipelining(connections: usize, depth: usize) -> Fleet {
    let opening = GET.repeat(depth).into();
    fleet(connections, Script { opening, next: GET.into(), reopen: true, ..Script::default() })
}

/// Connections that send this many requests for responses of `bytes` at once and take only `reads`
/// bytes a second.
pub(crate) fn unread(connections: usize, depth: usize, bytes: usize, reads: usize) -> Fleet {
    let opening = get(&format!("bytes={bytes}&sleep-ms=1")).repeat(depth);
    let script =
        Script { opening, reads: Some(reads), narrow: true, reopen: true, ..Script::default() };
    fleet(connections, script)
}

/// Connections whose requests take this long each.
pub(crate) fn slow_requests(connections: usize, time: Duration) -> Fleet {
    let opening = get(&format!("sleep-ms={}", time.as_millis()));
    let next = opening.clone();
    fleet(connections, Script { opening, next, reopen: true, ..Script::default() })
}

/// Connections that send a chunked body at 256 bytes a second, and end it when the time is over.
pub(crate) fn slow_uploads(connections: usize) -> Fleet {
    let opening = b"POST /?read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = format!("40\r\n{}\r\n", "x".repeat(64)).into_bytes();
    let script = Script {
        next: [&opening[..], &chunk].concat(),
        opening: [&opening[..], &chunk].concat(),
        drip: Some((chunk, Duration::from_millis(250))),
        ending: b"0\r\n\r\n".to_vec(),
        reopen: true,
        ..Script::default()
    };
    fleet(connections, script)
}

/// One request that stalls every handler for `time`, and then this many others, which nobody
/// follows up, from 16 addresses.
pub(crate) fn stall(time: Duration, waiting: usize) -> Vec<Fleet> {
    let opening = get(&format!("stall-ms={}", time.as_millis()));
    let first = fleet(1, Script { opening, ..Script::default() });
    let mut others = fleet(waiting, Script { opening: GET.into(), ..Script::default() });
    others.sources = addresses(16);
    others.opened_per_second = 4_000.0;
    others.delay = Duration::from_millis(50);
    vec![first, others]
}

/// What each connection of a crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// One request, and nothing any more.
    Idle,
    /// Nothing.
    Silent,
    /// A byte of a head every two seconds.
    Head,
    /// A byte of a body every two seconds.
    Body,
    /// A response of 256 KiB read at 1 KB a second.
    Reader,
}

/// Very many connections, from one address or from several.
pub(crate) fn crowd(kind: Crowd, connections: usize, addresses_n: u8) -> Fleet {
    let drip = |byte: &str| Some((byte.into(), Duration::from_secs(2)));
    let script = match kind {
        Crowd::Idle => Script { opening: GET.into(), ..Script::default() },
        Crowd::Silent => Script::default(),
        Crowd::Head => Script {
            opening: b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".to_vec(),
            drip: drip("x"),
            ..Script::default()
        },
        Crowd::Body => Script {
            opening: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".to_vec(),
            drip: drip("x"),
            ..Script::default()
        },
        Crowd::Reader => Script {
            opening: get("bytes=262144"),
            reads: Some(1_000),
            narrow: true,
            ..Script::default()
        },
    };
    let mut fleet = fleet(connections, Script { reopen: true, ..script });
    fleet.sources = addresses(addresses_n);
    (fleet.opened_per_second, fleet.reopened_per_second) = (3_000.0, 200.0);
    fleet
}
