//! What a scrape reports, and what it costs.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use millpond::http::Request;
use millpond::metrics::{self, PROMETHEUS, ServerCollector};
use millpond::{CloseReason, Config, Handle, Server};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::parser::{Exposition, parse, value};
use crate::support::{
    Gate, Start, addr, connect, read_response, start_http, start_http_with, until,
};

fn scrape(handle: &Handle) -> Exposition {
    let (content_type, text) = metrics::encode(handle, None);
    parse(content_type, &text)
}

#[test]
fn a_scrape_reports_what_clients_did() {
    let server = start_http(2, |_: &mut Request| "hello");
    let mut kept = connect(addr(&server));
    for _ in 0..3 {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_response(&mut kept);
    }
    let mut other = connect(addr(&server));
    other.write_all(b"nonsense\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut other).status, 400);
    drop(other);
    until("it is closed", || server.stats().closed_for(CloseReason::BadRequest) == 1);
    until("the other is parked", || server.stats().parked == 1);
    let found = scrape(&server);
    type Expected = (&'static str, &'static [(&'static str, &'static str)], f64);
    let expected: &[Expected] = &[
        ("millpond_connections", &[("state", "parked")], 1.0),
        ("millpond_connections", &[("state", "active")], 0.0),
        ("millpond_connections_accepted_total", &[], 2.0),
        ("millpond_connections_closed_total", &[("reason", "bad_request")], 1.0),
        ("millpond_requests_served_total", &[], 3.0),
        ("millpond_responses_total", &[("class", "2xx")], 3.0),
        ("millpond_responses_total", &[("class", "4xx")], 1.0),
        ("millpond_responses_total", &[("class", "5xx")], 0.0),
        ("millpond_service_seconds_count", &[], 3.0),
        ("millpond_workers", &[], 2.0),
        ("millpond_ready", &[], 1.0),
        ("millpond_draining", &[], 0.0),
        ("millpond_reloads_total", &[("result", "failed")], 0.0),
    ];
    for (name, labels, expected) in expected {
        assert_eq!(value(&found, name, labels), *expected, "{name} {labels:?}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let started = value(&found, "millpond_start_time_seconds", &[]);
    assert!((now.as_secs_f64() - started).abs() < 600.0, "{started}");
    assert!(!found.contains_key("millpond_reload_last_success_timestamp_seconds"));
    server.note_reload(true);
    assert!(scrape(&server).contains_key("millpond_reload_last_success_timestamp_seconds"));
    server.drain(Duration::from_secs(10));
    assert_eq!(value(&scrape(&server), "millpond_draining", &[]), 1.0);
}

#[test]
fn a_queue_that_waits_is_seen_in_a_scrape() {
    let gate = Gate::closed();
    let gate: &'static Gate = Box::leak(Box::new(gate));
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.shed = false;
    config.overload.deadline = Duration::from_secs(600);
    let server = start_http_with(config, move |_: &mut Request| {
        gate.wait();
        "hello"
    });
    let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(addr(&server))).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    until("two wait", || server.stats().queued == 2);
    let found = scrape(&server);
    assert_eq!(value(&found, "millpond_queue_length", &[]), 2.0);
    assert_eq!(value(&found, "millpond_workers_busy", &[]), 1.0);
    until("they wait for a while", || {
        value(&scrape(&server), "millpond_queue_oldest_seconds", &[]) > 0.03
    });
    gate.open();
    clients.iter_mut().for_each(|client| drop(read_response(client)));
    let found = scrape(&server);
    assert_eq!(value(&found, "millpond_queue_oldest_seconds", &[]), 0.0);
    assert!(value(&found, "millpond_queue_wait_seconds_sum", &[]) > 0.03);
}

#[test]
fn the_kernels_queue_of_each_listener_is_reported() {
    let path = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", path.path().join("socket").display());
    let mut config = Config::default();
    config.pool.backlog = 7;
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0").bind(unix.as_str());
    let server = builder.http(|_: &mut Request| "hello").build().unwrap();
    let handle = server.handle();
    // The server does not run yet, so that the kernel keeps what comes.
    let _waiting = [connect(addr(&handle)), connect(addr(&handle))];
    let queues = handle.accept_queues();
    if queues.is_empty() {
        println!("skipped: this system does not report accept queues");
        return;
    }
    let found: Vec<_> = queues.iter().map(|queue| (&*queue.endpoint, queue.limit)).collect();
    assert_eq!(found, [(&*handle.endpoints()[0], 7), (&*unix, 7)]);
    let listener = [("listener", handle.endpoints()[0].as_str())];
    let limit = value(&scrape(&handle), "millpond_accept_queue_limit", &listener);
    assert_eq!(limit, 7.0);
    let server = server.start().unwrap();
    until("all are accepted", || server.stats().accepted == 2);
    assert_eq!(value(&scrape(&server), "millpond_accept_queue_length", &listener), 0.0);
}

#[test]
fn a_lame_duck_is_not_ready_before_it_drains() {
    let server = start_http(1, |_: &mut Request| "hello");
    let stage = || {
        let found = scrape(&server);
        let [ready, draining] = ["millpond_ready", "millpond_draining"];
        (value(&found, ready, &[]), value(&found, draining, &[]))
    };
    assert_eq!(stage(), (1.0, 0.0));
    server.lame_duck();
    assert_eq!(stage(), (0.0, 0.0));
    server.drain(Duration::from_secs(10));
    assert_eq!(stage(), (0.0, 1.0));
}

#[test]
fn a_registry_of_a_program_has_the_metrics_of_the_server_too() {
    let server = start_http(1, |_: &mut Request| "hello");
    let mut registry = Registry::with_prefix("shop");
    registry.register_collector(Box::new(ServerCollector::new(&server).without_process()));
    let mut out = String::new();
    text::encode(&mut out, &registry).unwrap();
    let found = parse(metrics::OPENMETRICS, &out);
    assert_eq!(value(&found, "shop_millpond_requests_served_total", &[]), 0.0);
    assert!(!found.keys().any(|name| name.contains("process_")), "{found:?}");
}

/// The CPU time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The mean CPU time of a scrape with this many idle connections.
fn cost(connections: usize) -> Duration {
    let mut config = Config::default();
    config.limits.connections = connections + 100;
    config.timeouts.head = Duration::from_secs(600);
    let server = start_http_with(config, |_: &mut Request| "hello");
    let clients: Vec<_> = (0..connections).map(|_| connect(addr(&server))).collect();
    // With TCP_DEFER_ACCEPT the kernel keeps silent connections for a second.
    until("all are accepted", || server.stats().accepted >= connections as u64);
    let (content_type, first) = metrics::encode(&server, None);
    assert_eq!(content_type, PROMETHEUS);
    const SCRAPES: u32 = 100;
    let before = thread_time();
    for _ in 0..SCRAPES {
        let (_, text) = metrics::encode(&server, None);
        assert!(text.len() >= first.len() / 2);
    }
    let each = (thread_time() - before) / SCRAPES;
    println!("a scrape with {connections} connections takes {each:?} of CPU time");
    drop(clients);
    each
}

#[test]
fn a_scrape_costs_little() {
    // A debug build, on a machine that is busy with other tests.
    assert!(cost(10) < Duration::from_millis(20));
}

/// What the measurements in docs/observability.md are from: run it in a release build.
#[test]
#[ignore = "it needs 16,000 descriptors"]
fn a_scrape_costs_at_most_two_milliseconds_at_8000_connections() {
    let descriptors = getrlimit(Resource::Nofile).current;
    if descriptors.is_some_and(|most| most < 17_000) {
        println!("skipped: RLIMIT_NOFILE is {descriptors:?}");
        return;
    }
    let (few, many) = (cost(10), cost(8000));
    assert!(many < Duration::from_millis(2), "{few:?} {many:?}");
}
