//! The numbers of [`Stats`]: each is compared with what a client saw.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use millpond::http::{Request, Response, StatusCode};
use millpond::pool::WorkerActivity;
use millpond::{Config, Refusal, Stats};

use crate::support::{
    Gate, TestServer, addr, connect, read_response, start_http, start_http_with, until,
};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

fn classes(stats: &Stats) -> Vec<u64> {
    stats.responses().map(|(_, count)| count).collect()
}

#[test]
fn responses_count_by_the_class_of_their_status_whoever_makes_them() {
    let server = start_http(1, |request: &mut Request| match request.uri().path() {
        "/moved" => Response::error(StatusCode::FOUND),
        "/panic" => panic!("as the test wants"),
        _ => Response::text("hello"),
    });
    assert_eq!(classes(&server.stats()), [0; 5]);
    let mut client = connect(addr(&server));
    client.write_all((get("/") + &get("/") + &get("/moved")).as_bytes()).unwrap();
    let statuses: Vec<_> = (0..3).map(|_| read_response(&mut client).status).collect();
    assert_eq!(statuses, [200, 200, 302]);
    // An error of the protocol, whose response the server makes.
    client.write_all(b"not a request\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).status, 400);
    let mut client = connect(addr(&server));
    client.write_all(get("/panic").as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).status, 500);
    assert_eq!(classes(&server.stats()), [0, 2, 1, 1, 1]);
    let names: Vec<_> = server.stats().responses().map(|(name, _)| name).collect();
    assert_eq!(names, ["1xx", "2xx", "3xx", "4xx", "5xx"]);
}

/// One worker that waits at the gate for each request to `/held`.
fn held(config: Config) -> (TestServer, Arc<Gate>) {
    let gate = Arc::new(Gate::closed());
    let at = Arc::clone(&gate);
    let server = start_http_with(config, move |request: &mut Request| {
        if request.uri().path() == "/held" {
            at.wait();
        }
        "done"
    });
    (server, gate)
}

fn one_worker() -> Config {
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.shed = false;
    config.overload.deadline = Duration::from_secs(600);
    config
}

/// A client whose request the worker serves until the gate is opened.
fn hold(server: &TestServer) -> TcpStream {
    let mut client = connect(addr(server));
    client.write_all(get("/held").as_bytes()).unwrap();
    until("the worker serves", || server.workers()[0].activity == WorkerActivity::Serving);
    client
}

#[test]
fn a_refusal_counts_as_a_response_of_the_fifth_class() {
    let mut config = one_worker();
    config.overload.shed = true;
    config.overload.deadline = Duration::from_millis(400);
    // A debug build refuses slowly, and would reset connections for it.
    config.overload.refuse_budget = 1.0;
    let (server, gate) = held(config);
    let mut first = hold(&server);
    let mut second = connect(addr(&server));
    second.write_all(get("/").as_bytes()).unwrap();
    assert_eq!(read_response(&mut second).status, 503);
    until("it is counted", || server.stats().refused_for(Refusal::Deadline) == 1);
    assert_eq!(classes(&server.stats()), [0, 0, 0, 0, 1]);
    gate.open();
    read_response(&mut first);
    assert_eq!(classes(&server.stats()), [0, 1, 0, 0, 1]);
}

#[test]
fn the_age_of_the_oldest_entry_grows_while_it_waits_and_is_then_zero() {
    let (server, gate) = held(one_worker());
    assert_eq!(server.stats().queue_oldest, Duration::ZERO);
    let mut first = hold(&server);
    let mut second = connect(addr(&server));
    second.write_all(get("/").as_bytes()).unwrap();
    until("it is queued", || server.stats().queued == 1);
    // The entry before it may have been at the start, and is not counted.
    let started = server.stats().started.elapsed().unwrap();
    let age = server.stats().queue_oldest;
    assert!(age < started, "{age:?}");
    until("it grows", || server.stats().queue_oldest > age + Duration::from_millis(20));
    gate.open();
    read_response(&mut first);
    read_response(&mut second);
    assert_eq!(server.stats().queue_oldest, Duration::ZERO);
}

#[test]
fn each_request_has_its_service_time_and_each_queued_one_its_wait() {
    let (server, gate) = held(one_worker());
    let mut first = hold(&server);
    let mut second = connect(addr(&server));
    second.write_all(get("/").as_bytes()).unwrap();
    until("it is queued", || server.stats().queued == 1);
    until("it waits", || server.stats().queue_oldest > Duration::from_millis(30));
    gate.open();
    read_response(&mut first);
    read_response(&mut second);
    // Two requests that are served in one turn count twice.
    second.write_all((get("/") + &get("/")).as_bytes()).unwrap();
    read_response(&mut second);
    read_response(&mut second);
    until("all are counted", || server.stats().served == 4);
    let Stats { wait, service, .. } = server.stats();
    assert_eq!(service.count(), 4);
    assert!(service.sum() >= Duration::from_millis(30), "{service:?}");
    assert!(service.sum() < server.stats().started.elapsed().unwrap(), "{service:?}");
    assert!(wait.count() >= 1 && wait.sum() >= Duration::from_millis(30), "{wait:?}");
    let longer =
        wait.buckets().filter(|(bound, _)| bound.is_none_or(|bound| bound.as_millis() > 25));
    assert!(longer.map(|(_, count)| count).sum::<u64>() >= 1, "{wait:?}");
}

#[test]
fn reloads_count_by_their_result() {
    let server = start_http(1, |_: &mut Request| "hello");
    assert_eq!(server.stats().reloads.last_success, None);
    server.note_reload(true);
    let first = server.stats().reloads;
    assert_eq!((first.succeeded, first.failed, first.last_failed), (1, 0, false));
    assert!(first.last_success.unwrap() <= SystemTime::now());
    server.note_reload(false);
    let second = server.stats().reloads;
    assert_eq!((second.succeeded, second.failed, second.last_failed), (1, 1, true));
    assert_eq!(second.last_success, first.last_success);
}
