//! What the admin endpoint reports: the status, the page, the metrics.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond::http::{Request, Response as HandlerResponse};
use millpond::{Config, Server, Service};

use super::{ask, builder, get, start};
use crate::support::{Gate, TestServer, addr, connect, exchange, read_response, until};

/// The number after `"name":` in a JSON text; the name occurs once, or the first one counts.
fn number(json: &str, name: &str) -> f64 {
    let key = format!("\"{name}\":");
    let rest = json.split_once(&key).unwrap_or_else(|| panic!("no {name} in {json}")).1;
    let end = rest.find([',', '}', ']']).unwrap();
    rest[..end].parse().unwrap_or_else(|_| panic!("{name} is {}", &rest[..end]))
}

/// A server whose workers are all in a handler, and whose queue is full; with its clients.
fn stuck(gate: &Arc<Gate>) -> (TestServer, Vec<TcpStream>) {
    let mut config = Config::default();
    config.pool.workers = 2;
    config.pool.queue = Some(4);
    config.overload.shed = false;
    config.overload.deadline = Duration::from_secs(20);
    let held = Arc::clone(gate);
    let server = start(builder().config(config).http(move |request: &mut Request| {
        match request.uri().path() {
            // A slow handler: while handlers are fast, a full queue refuses nothing.
            "/slow" => std::thread::sleep(Duration::from_millis(5)),
            _ => held.wait(),
        }
        HandlerResponse::text("Hello")
    }));
    for _ in 0..3 {
        let slow = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(addr(&server), slow).status, 200);
    }
    let mut clients = Vec::new();
    let mut add = || {
        let mut client = connect(addr(&server));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        clients.push(client);
    };
    (0..2).for_each(|_| add());
    until("every worker is stuck", || gate.waited() == 2);
    (0..6).for_each(|_| add());
    until("the queue is full", || server.stats().queued == 4);
    until("the rest is refused", || server.stats().refused_total() == 2);
    (server, clients)
}

#[test]
fn it_responds_while_every_worker_is_stuck_and_the_queue_is_full() {
    let gate = Arc::new(Gate::closed());
    let (server, _clients) = stuck(&gate);
    let mut slowest = Duration::ZERO;
    for path in ["/live", "/ready", "/metrics", "/status.json", "/status?auto", "/"] {
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(get(&server, path).status, 200, "{path}");
            fastest = fastest.min(began.elapsed());
        }
        slowest = slowest.max(fastest);
    }
    println!("with every worker stuck, the slowest path took {slowest:?}");
    // The goal is 20 ms; other tests run beside this one.
    assert!(slowest < Duration::from_millis(20), "{slowest:?}");
    let status = get(&server, "/status.json");
    assert_eq!(number(status.text(), "length"), 4.0);
    assert_eq!(status.text().matches("\"state\":\"serving\"").count(), 2, "{}", status.text());
    assert!(get(&server, "/status?auto").text().contains("BusyWorkers: 2\nIdleWorkers: 0\n"));
    gate.open();
}

#[test]
fn the_sums_of_the_status_are_those_of_the_handle() {
    let server = start(builder());
    for _ in 0..10 {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(addr(&server), request).status, 200);
    }
    until("every connection is closed", || server.stats().live == 0);
    let response = get(&server, "/status.json");
    assert_eq!(response.field("content-type"), Some("application/json"));
    let json = response.text();
    let stats = server.stats();
    assert_eq!(number(json, "accepted"), stats.accepted as f64);
    let requests = json.split_once("\"requests\":").unwrap().1;
    assert_eq!(number(requests, "served"), 10.0);
    let workers = json.split_once("\"workers\":[").unwrap().1.split_once(']').unwrap().0;
    let by_worker: f64 = workers
        .split('}')
        .filter(|it| it.contains("served"))
        .map(|it| number(&format!("{it}}}"), "served"))
        .sum();
    assert_eq!(by_worker, 10.0, "{workers}");
    let text = get(&server, "/status?auto");
    for line in ["Total Accesses: 10", "BusyWorkers: 0", "IdleWorkers: 2", "Scoreboard: __"] {
        assert!(text.text().lines().any(|other| other == line), "{line} in {}", text.text());
    }
}

#[test]
fn the_status_and_the_page_show_what_each_worker_serves() {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let server = start(builder().http(move |_: &mut Request| {
        held.wait();
        HandlerResponse::text("Hello")
    }));
    let mut client = connect(addr(&server));
    client.write_all(b"PUT /a%3Cb/'&?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("it is served", || gate.waited() == 1);
    let peer = client.local_addr().unwrap().to_string();
    let status = get(&server, "/status.json");
    for part in ["\"method\":\"PUT\",\"path\":\"/a%3Cb/'&\"", &peer, "\"state\":\"serving\""] {
        assert!(status.text().contains(part), "{part} in {}", status.text());
    }
    assert!(!status.text().contains("secret"), "no query: {}", status.text());
    let page = get(&server, "/");
    assert!(page.text().contains("PUT /a%3Cb/'&amp;"), "{}", page.text());
    assert!(page.text().contains(&peer) && !page.text().contains("secret"));
    gate.open();
    assert_eq!(read_response(&mut client).status, 200);
    // A worker rests only after its response is sent.
    until("no worker shows a request", || {
        server.workers().iter().all(|worker| worker.request.is_none())
    });
}

#[test]
fn the_page_runs_only_its_own_script_and_needs_nothing_else() {
    let server = start(builder());
    let page = get(&server, "/");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.field("content-security-policy").unwrap();
    let nonce = policy.split_once("script-src 'nonce-").unwrap().1.split('\'').next().unwrap();
    assert_eq!(nonce.len(), 32);
    for part in ["default-src 'none'", "frame-ancestors 'none'", "connect-src 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    let text = page.text();
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "style and script");
    assert_eq!((text.matches("<script").count(), text.matches("<style").count()), (1, 1));
    assert!(!text.contains("src=") && !text.contains("{{"), "{text}");
    for part in ["kernel backlog", "queue", "workers", "parked", "http-equiv=\"refresh\""] {
        assert!(text.contains(part), "{part}");
    }
    let other = get(&server, "/");
    assert!(
        !other.field("content-security-policy").unwrap().contains(nonce),
        "a new one each time"
    );
}

#[test]
fn refusals_are_sampled_and_the_busiest_clients_are_named() {
    let gate = Arc::new(Gate::closed());
    let (server, mut clients) = stuck(&gate);
    let status = get(&server, "/status.json");
    assert!(status.text().contains("\"refusals\":[{\"t\":"), "{}", status.text());
    let sample = "\"reason\":\"queue_full\",\"client\":\"127.0.0.1:";
    assert!(status.text().contains(sample), "{}", status.text());
    assert!(status.text().contains("\"line\":\"GET /\""), "{}", status.text());
    until("the clients are counted", || {
        // Each look is followed by requests that the next sample counts.
        let mut client = connect(addr(&server));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        clients.push(client);
        let status = get(&server, "/status.json");
        status.text().contains("\"clients\":[{\"client\":\"127.0.0.1\",\"share\":1.0000}]")
    });
    assert!(get(&server, "/").text().contains("queue full"));
    gate.open();
}

#[test]
fn senders_of_datagrams_are_named_as_other_clients_are() {
    let binds = Server::builder().bind("udp://127.0.0.1:0").admin("tcp://127.0.0.1:0");
    let server = start(binds.service(Service::echo()));
    let client = UdpSocket::bind("127.0.0.9:0").unwrap();
    client.connect(addr(&server)).unwrap();
    until("the sender is named", || {
        client.send(b"Hello").unwrap();
        let status = get(&server, "/status.json");
        status.text().contains("\"clients\":[{\"client\":\"127.0.0.9\",\"share\":1.0000}]")
    });
}

#[test]
fn a_request_whose_client_no_longer_waits_is_among_the_refusals() {
    let server = start(builder());
    let late =
        b"GET /late HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(addr(&server), late).status, 503);
    let status = get(&server, "/status.json");
    for part in ["\"reason\":\"deadline\"", "\"line\":\"GET /late\""] {
        assert!(status.text().contains(part), "{}", status.text());
    }
}

#[test]
fn the_clients_behind_a_trusted_proxy_are_named() {
    let mut config = Config::default();
    config.proxy.trusted = vec!["127.0.0.1".parse().unwrap()];
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let server = start(builder().config(config).http(move |_: &mut Request| {
        held.wait();
        HandlerResponse::text("Hello")
    }));
    let mut client = connect(addr(&server));
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n";
    until("the client is counted", || {
        client.write_all(request).unwrap();
        assert_eq!(read_response(&mut client).status, 200);
        let status = get(&server, "/status.json");
        status.text().contains("\"clients\":[{\"client\":\"192.0.2.9\",\"share\":1.0000}]")
    });
    gate.close();
    client.write_all(request).unwrap();
    until("it is served", || gate.waited() == 1);
    let status = get(&server, "/status.json");
    assert!(status.text().contains("\"client\":\"192.0.2.9:0\""), "{}", status.text());
    gate.open();
    assert_eq!(read_response(&mut client).status, 200);
}

#[test]
fn the_metrics_are_those_of_the_handle_in_the_format_that_the_client_prefers() {
    let server = start(builder());
    let text = get(&server, "/metrics");
    assert!(text.field("content-type").is_some_and(|it| it.starts_with("text/plain")));
    assert!(text.text().contains("millpond_connections_accepted_total 0\n"), "{}", text.text());
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let open = ask(&server, "GET", "/metrics", accept);
    assert!(open.field("content-type").is_some_and(|it| it.contains("openmetrics")));
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
}

#[test]
fn samples_are_taken_while_the_status_is_looked_at() {
    let server = start(builder());
    assert!(get(&server, "/status.json").text().contains("\"history\":[]"));
    until("there is a sample", || get(&server, "/status.json").text().contains("\"wait_p99\":"));
}
