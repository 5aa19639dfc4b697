//! What each instance gets of the load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use millpond::http::Request;
use millpond::{Config, Server};

use crate::support::{Start, TestServer, addr, until};

use super::cluster::Addresses;
use super::haproxy::Haproxy;
use super::load::{Load, Seen};
use super::{own_ip, replaced};

/// The workers of an instance.
const WORKERS: usize = 8;
/// How long a handler sleeps, in milliseconds: an instance can serve 50 requests in a second. Long
/// next to the time in which a busy machine wakes a thread.
const SERVICE: u64 = 160;
/// What three instances can serve in a second once one has a quarter of its speed.
const CAPACITY: f64 = 2.25 * 8.0 * 1000.0 / 160.0;
/// How often the goodput is measured: a busy machine may take the CPU from the clients.
const ATTEMPTS: u32 = 3;

/// A server whose handlers sleep, and return its name.
struct Sleeping {
    server: TestServer,
    millis: Arc<AtomicU64>,
}

impl Sleeping {
    fn start(name: &'static str) -> Self {
        let millis = Arc::new(AtomicU64::new(SERVICE));
        let sleep = Arc::clone(&millis);
        let handler = move |_: &mut Request| {
            thread::sleep(Duration::from_millis(sleep.load(Ordering::Relaxed)));
            name
        };
        let any = format!("tcp://{}:0", own_ip());
        let mut config = Config::default();
        config.pool.workers = WORKERS;
        // Longer than a slow request and its wait: HAProxy's queue is what refuses.
        config.overload.deadline = Duration::from_secs(5);
        let builder = Server::builder().config(config).bind(&any).admin(&any).agent(&any);
        let server = builder.http(handler).build().unwrap().start().unwrap();
        Self { server, millis }
    }

    fn addresses(&self) -> Addresses {
        let parsed = |endpoint: Option<&str>| -> SocketAddr {
            endpoint.unwrap().strip_prefix("tcp://").unwrap().parse().unwrap()
        };
        Addresses {
            main: addr(&self.server),
            admin: parsed(self.server.admin_endpoint()),
            agent: parsed(self.server.agent_endpoint()),
        }
    }
}

/// The requests that were due from `from` on, for `time`, and were served: all, and those of one
/// instance.
fn served(seen: &[Seen], from: Duration, time: Duration, name: &str) -> (usize, usize) {
    let within = |seen: &&Seen| seen.due >= from && seen.due < from + time;
    let served: Vec<_> = seen.iter().filter(within).filter(|it| it.status == Ok(200)).collect();
    (served.len(), served.iter().filter(|it| it.body == name).count())
}

#[test]
fn an_instance_that_becomes_slow_loses_its_share_and_the_others_lose_nothing() {
    let instances = ["a", "b", "c"].map(Sleeping::start);
    let addresses = instances.each_ref().map(Sleeping::addresses);
    let maxconn = format!("maxconn {}", WORKERS + WORKERS / 2);
    let change = |config: String| replaced(&config, "maxconn 24", &maxconn);
    let Some(haproxy) = Haproxy::start(&addresses, change) else { return };
    // Nearly all that is left when one instance is slow, and three quarters before.
    let load = Load::start(haproxy.front, 0.97 * CAPACITY, 200);
    until("every instance has served more than the first hundred", || {
        instances.iter().all(|it| it.server.stats().served > 120)
    });
    let before = load.elapsed();
    instances[2].millis.store(4 * SERVICE, Ordering::Relaxed);
    until("HAProxy has lowered its weight", || {
        haproxy.server('c')["weight"].parse::<u32>().unwrap() <= 50
    });
    let (from, time) = (before + Duration::from_secs(3), Duration::from_secs(4));
    until("it was measured", || load.elapsed() > from + time * ATTEMPTS);
    let seen = load.stop();
    let first = Duration::from_secs(1);
    let (all, share) = served(&seen, first, before - first, "c");
    let usual = share as f64 / all as f64;
    let (all, share) = served(&seen, from, time, "c");
    let slow = share as f64 / all as f64;
    let goodputs: Vec<f64> = (0..ATTEMPTS)
        .map(|attempt| served(&seen, from + time * attempt, time, "c").0 as f64)
        .map(|served| served / time.as_secs_f64())
        .collect();
    println!("share {usual:.2}, then {slow:.2}; goodput {goodputs:.0?}/s of {CAPACITY}/s");
    assert!(usual > 0.2, "{usual}");
    assert!(slow < usual / 2.0, "{slow} after {usual}");
    let sufficient = goodputs.iter().any(|goodput| *goodput >= 0.93 * CAPACITY);
    assert!(sufficient, "{goodputs:?} of {CAPACITY}");
}
