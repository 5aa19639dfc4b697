//! What an instance knows of the clients behind HAProxy.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use millpond::http::Request;
use millpond::{Config, Server};

use crate::support::{Start, TestServer, addr, connect_from, read_response, until};

use super::cluster::Addresses;
use super::haproxy::Haproxy;
use super::load::{Load, Seen};
use super::{own_ip, replaced};

/// HAProxy's connections come from here, and no client's.
const PROXY: &str = "127.0.0.1";
/// How often the shares are measured: a busy machine may take the CPU from the clients.
const ATTEMPTS: u32 = 3;

/// A server that trusts HAProxy. `query`: what its endpoint ends with.
fn start(query: &str, workers: usize, service: Duration) -> (TestServer, Addresses) {
    let mut config = Config::default();
    config.pool.workers = workers;
    config.proxy.trusted = vec![PROXY.parse().unwrap()];
    let handler = move |request: &mut Request| {
        thread::sleep(service);
        let client = request.client_addr().map(|client| client.ip().to_string());
        let peer = request.peer_addr().map(|peer| peer.ip().to_string());
        format!("{} by {}", client.unwrap_or_default(), peer.unwrap_or_default())
    };
    let any = format!("tcp://{}:0", own_ip());
    let bind = format!("{any}{query}");
    let builder = Server::builder().config(config).bind(bind).admin(&any).agent(&any);
    let server = builder.http(handler).build().unwrap().start().unwrap();
    let parsed = |endpoint: Option<&str>| -> SocketAddr {
        endpoint.unwrap().strip_prefix("tcp://").unwrap().parse().unwrap()
    };
    let addresses = Addresses {
        main: addr(&server),
        admin: parsed(server.admin_endpoint()),
        agent: parsed(server.agent_endpoint()),
    };
    (server, addresses)
}

/// The body of the response to a request from this address, with these field lines.
fn seen_from(source: [u8; 4], front: SocketAddr, fields: &str) -> String {
    let mut stream = connect_from(source, front);
    let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_response(&mut stream).text().to_owned()
}

#[test]
fn the_address_of_a_client_arrives_in_x_forwarded_for() {
    let (_server, addresses) = start("", 2, Duration::ZERO);
    let Some(haproxy) = Haproxy::start(&[addresses], |config| config) else { return };
    for source in [[127, 0, 1, 7], [127, 0, 1, 8]] {
        let [a, b, c, d] = source;
        let expected = format!("{a}.{b}.{c}.{d} by {PROXY}");
        assert_eq!(seen_from(source, haproxy.front, ""), expected);
        // What the client itself sends is to the left of what HAProxy adds.
        let spoofed = "X-Forwarded-For: 192.0.2.1\r\n";
        assert_eq!(seen_from(source, haproxy.front, spoofed), expected);
    }
}

#[test]
fn the_address_of_a_client_arrives_in_a_proxy_header() {
    for option in ["send-proxy", "send-proxy-v2"] {
        let (_server, addresses) = start("?proxy=require", 2, Duration::ZERO);
        let with_option =
            |config: String| replaced(&config, "maxconn 24", &format!("maxconn 24 {option}"));
        let Some(haproxy) = Haproxy::start(&[addresses], with_option) else { return };
        for source in [[127, 0, 1, 7], [127, 0, 1, 8]] {
            let [a, b, c, d] = source;
            let expected = format!("{a}.{b}.{c}.{d} by {PROXY}");
            assert_eq!(seen_from(source, haproxy.front, ""), expected, "{option}");
            // A field of the client names nobody, as its peer is not trusted.
            let spoofed = "X-Forwarded-For: 192.0.2.1\r\n";
            assert_eq!(seen_from(source, haproxy.front, spoofed), expected, "{option}");
        }
    }
}

#[test]
fn a_client_that_floods_behind_haproxy_takes_nothing_from_nine_others() {
    // 50 requests a second.
    let (server, addresses) = start("", 4, Duration::from_millis(80));
    // All that comes reaches the instance, whose queue is fair; HAProxy's is not.
    let change = |config: String| replaced(&config, "maxconn 24", "maxconn 500");
    let Some(haproxy) = Haproxy::start(&[addresses], change) else { return };
    let flood = Load::start_from([127, 0, 2, 1], haproxy.front, 200.0, 100);
    until("the instance refuses", || server.stats().refused_total() > 50);
    // Each asks for half of a tenth of the capacity.
    let other = |last: u8| {
        // So that they do not come all at once.
        thread::sleep(Duration::from_millis(400 / 9));
        Load::start_from([127, 0, 2, last], haproxy.front, 2.5, 10)
    };
    let others: Vec<Load> = (2..=10).map(other).collect();
    let (first, time) = (Duration::from_secs(1), Duration::from_secs(6));
    until("it was measured", || others[0].elapsed() > first + time * ATTEMPTS);
    let flooding = flood.stop();
    let others: Vec<Seen> = others.into_iter().flat_map(Load::stop).collect();
    let share = |attempt: u32| {
        let (from, to) = (first + time * attempt, first + time * (attempt + 1));
        let due = others.iter().filter(|seen| seen.due >= from && seen.due < to);
        let (all, served) = due.fold((0, 0), |(all, served), seen| {
            (all + 1, served + u32::from(seen.status == Ok(200)))
        });
        assert!(all > 100, "{all}");
        f64::from(served) / f64::from(all)
    };
    let shares: Vec<f64> = (0..ATTEMPTS).map(share).collect();
    let refused = flooding.iter().filter(|seen| seen.status != Ok(200)).count();
    println!("others {shares:.3?}; {refused} of {} of the flood refused", flooding.len());
    assert!(shares.iter().any(|share| *share >= 0.98), "{shares:?}");
    assert!(refused * 2 > flooding.len(), "{refused} of {}", flooding.len());
}
