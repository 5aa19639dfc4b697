//! The agent's endpoint of a server in this process.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{Builder, Config, ErrorKind, Handle, Server};

use crate::support::{Gate, Start, addr, connect, exchange, read_to_end, until};

fn builder() -> Builder {
    Server::builder().bind("tcp://127.0.0.1:0").workers(2).agent("tcp://127.0.0.1:0")
}

fn agent(handle: &Handle) -> SocketAddr {
    handle.agent_endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap()
}

/// What the agent says on a connection of its own.
fn line(handle: &Handle) -> String {
    read_to_end(&mut connect(agent(handle)))
}

#[test]
fn each_connection_gets_one_line_whatever_it_sends() {
    let server = builder().http(|_: &mut Request| "Hello").build().unwrap().start().unwrap();
    assert_eq!(server.admin_endpoint(), None);
    for sent in ["", "ask\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = connect(agent(&server));
        stream.write_all(sent.as_bytes()).unwrap();
        assert_eq!(read_to_end(&mut stream), "up ready 100%\n", "{sent:?}");
    }
    // What agents send goes into no counter of the server.
    assert_eq!(server.stats().accepted, 0);
}

#[test]
fn the_weight_is_the_capacity_over_the_reference() {
    let builder = builder().agent_reference(1000.0);
    // Two workers that sleep for 20 ms can serve less than 100 requests in a second.
    let handler = |_: &mut Request| {
        thread::sleep(Duration::from_millis(20));
        "slept"
    };
    let server = builder.http(handler).build().unwrap().start().unwrap();
    assert_eq!(line(&server), "up ready 100%\n");
    let mut client = connect(addr(&server));
    for _ in 0..100 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        crate::support::read_response(&mut client);
    }
    until("a weight of 10 % or less", || {
        let line = line(&server);
        let weight = line.strip_prefix("up ready ").and_then(|rest| rest.strip_suffix("%\n"));
        weight.is_some_and(|weight| weight.parse::<u32>().is_ok_and(|weight| weight <= 10))
    });
}

#[test]
fn a_stop_is_a_drain_from_its_announcement_until_the_server_has_stopped() {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let handler = move |_: &mut Request| {
        held.wait();
        "held"
    };
    let server = builder().http(handler).build().unwrap().start().unwrap();
    assert_eq!(line(&server), "up ready 100%\n");
    thread::scope(|scope| {
        let server = &server;
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        let client = scope.spawn(|| exchange(addr(server), request));
        until("the handler is called", || gate.waited() == 1);
        server.lame_duck();
        assert_eq!(line(server), "up drain\n");
        let drain = scope.spawn(|| server.drain(Duration::from_secs(30)));
        until("it drains", || server.stats().draining);
        assert_eq!(line(server), "up drain\n");
        gate.open();
        assert_eq!(client.join().unwrap().status, 200);
        drain.join().unwrap();
    });
}

#[test]
fn a_server_whose_workers_are_not_ready_is_down() {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let builder = builder().http_with(move |_worker| {
        held.wait();
        Ok::<_, millpond::Error>(|_: &mut Request| Response::text("ready"))
    });
    let server = builder.build().unwrap();
    let handle = server.handle();
    thread::scope(|scope| {
        let starting = scope.spawn(|| server.start().unwrap());
        until("both workers wait", || gate.waited() == 2);
        assert_eq!(line(&handle), "down #starting\n");
        gate.open();
        let server = starting.join().unwrap();
        assert_eq!(line(&server), "up ready 100%\n");
    });
}

#[test]
fn a_server_that_makes_no_progress_is_down_until_it_does() {
    let gate = Arc::new(Gate::closed());
    let held = Arc::clone(&gate);
    let handler = move |_: &mut Request| {
        held.wait();
        "held"
    };
    let mut config = Config::default();
    // Nothing is refused, so that the queue stands still.
    config.overload.shed = false;
    config.overload.deadline = Duration::from_millis(100);
    let server = builder().config(config).workers(1).http(handler).build().unwrap();
    let server = server.start().unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..3).map(|_| scope.spawn(|| exchange(addr(&server), request).status)).collect();
        until("it is down", || {
            let line = line(&server);
            thread::sleep(Duration::from_millis(50));
            line == "down #workers stuck\n"
        });
        gate.open();
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
        until("it is up", || line(&server).starts_with("up ready "));
    });
}

#[test]
fn many_clients_that_do_not_close_keep_no_other_out() {
    let builder = builder().admin("tcp://127.0.0.1:0").http(|_: &mut Request| "Hello");
    let server = builder.build().unwrap().start().unwrap();
    let silent: Vec<_> = (0..20).map(|_| connect(agent(&server))).collect();
    assert_eq!(line(&server), "up ready 100%\n");
    let admin = server.admin_endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap();
    let request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(exchange(admin, request).text(), "ready\n");
    drop(silent);
}

#[test]
fn the_endpoint_and_the_reference_are_checked() {
    let build = |builder: Builder| builder.http(|_: &mut Request| "Hello").build();
    for (builder, expected) in [
        (builder().agent("tcp://0.0.0.0:0"), "is not a loopback address"),
        (builder().agent("udp://127.0.0.1:0"), "invalid agent endpoint"),
        (builder().agent("tcp://127.0.0.1:http"), "invalid port"),
        (builder().agent_reference(0.5), "invalid agent reference 0.5: expected 1 or more"),
        (builder().agent_reference(f64::NAN), "invalid agent reference NaN: expected 1 or more"),
    ] {
        let error = build(builder).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Endpoint), "{error:?}");
    }
    let public = builder().agent("tcp://0.0.0.0:0").agent_public(true);
    assert!(build(public).is_ok());
}
