//! A flood through a proxy, beside nine clients behind the same proxy.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use millpond::Config;

use super::attacks;
use super::beside::{Asked, Attacked};
use super::fleet::{Fleet, Seen};
use super::newcomer;
use crate::support::addr;
use crate::support::response::read;

const TIME: Duration = Duration::from_millis(2_000);
/// When what the others get begins to count: an overload has to be noticed first.
const LEAD: Duration = Duration::from_millis(500);
const OTHERS: u8 = 9;
/// Nine clients with this pace ask for 0.45 times what the workers can do.
const EVERY: Duration = Duration::from_millis(100);
/// So long that refusing is cheap beside it, on a busy machine too.
const HANDLER: Duration = Duration::from_millis(20);
/// The share of the others' requests that have to be served.
const SERVED: f64 = 0.98;
/// A busy machine may take the CPU from the server. So an attack that seems to succeed is repeated:
/// only one that always succeeds is one.
const ATTEMPTS: u32 = 4;

fn get(client: Ipv4Addr) -> Vec<u8> {
    let forged = "X-Forwarded-For: 198.51.100.1";
    format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}, {client}\r\n\r\n").into_bytes()
}

/// Five times what four workers can do, all of one client.
fn flood() -> Fleet {
    let mut fleet = attacks::paced(160, Duration::from_millis(160), 1);
    fleet.sources = vec![Ipv4Addr::LOCALHOST];
    let request = get(Ipv4Addr::new(203, 0, 113, 66));
    (fleet.script.opening, fleet.script.next) = (request.clone(), request);
    fleet
}

/// Nine clients that send a request every 100 ms over kept connections of the proxy: the share that
/// is served, and how many there were.
fn others(target: SocketAddr) -> (f64, usize) {
    let start = Instant::now();
    let (asked, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 1..=OTHERS {
            let (asked, served) = (&asked, &served);
            scope.spawn(move || {
                let open = || {
                    let patience = Duration::from_secs(5);
                    newcomer::open(target, Some(Ipv4Addr::LOCALHOST), patience).unwrap()
                };
                let (mut stream, request) = (open(), get(Ipv4Addr::new(192, 0, 2, client)));
                let mut next = start + EVERY / u32::from(OTHERS) * u32::from(client);
                while next < start + LEAD + TIME {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    let sent = stream.write_all(&request).is_ok();
                    let status = read(&mut stream, false).ok().filter(|_| sent).map(|it| it.status);
                    if status.is_none() {
                        stream = open();
                    }
                    if next >= start + LEAD {
                        asked.fetch_add(1, SeqCst);
                        let in_time = next.elapsed() <= Duration::from_secs(1);
                        served.fetch_add(usize::from(status == Some(200) && in_time), SeqCst);
                    }
                    next += EVERY;
                }
            });
        }
    });
    let asked = asked.into_inner();
    (served.into_inner() as f64 / asked as f64, asked)
}

fn attack(attacked: &Attacked) -> (f64, usize, Seen) {
    let target = addr(&attacked.server);
    let (fleet, time) = (flood(), LEAD + TIME);
    thread::scope(|scope| {
        let flood = scope.spawn(|| fleet.run(target, time).unwrap());
        let (share, asked) = others(target);
        (share, asked, flood.join().unwrap())
    })
}

/// A server that trusts these peers.
fn attacked(trusted: &[&str]) -> Attacked {
    let asked = Asked { sleep: HANDLER, ..Asked::default() };
    Attacked::new(asked, |config: &mut Config| {
        config.proxy.trusted = trusted.iter().map(|peer| peer.parse().unwrap()).collect();
    })
}

#[test]
fn a_flooding_client_behind_a_proxy_does_not_take_the_shares_of_nine_others() {
    let attacked = attacked(&["127.0.0.1"]);
    let mut reports = Vec::new();
    for _ in 0..ATTEMPTS {
        let (share, asked, seen) = attack(&attacked);
        let report = format!("{share:.3} of {asked} served; the flood {seen:?}");
        println!("{report}");
        assert!(asked > 100, "{report}");
        if share >= SERVED && seen.refused > seen.served {
            assert_eq!(seen.closed, 0, "the connections of the proxy are kept: {report}");
            return;
        }
        reports.push(report);
    }
    panic!("{}", reports.join("\n"));
}

/// The control: if the proxy is not trusted, it is the flooding client.
#[test]
fn a_flooding_client_takes_the_shares_of_others_if_its_proxy_is_not_trusted() {
    let (share, asked, seen) = attack(&attacked(&[]));
    assert!(share < 0.9, "{share:.3} of {asked} served; the flood {seen:?}");
}
