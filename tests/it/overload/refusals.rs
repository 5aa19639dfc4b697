//! Too much work: which requests are refused, how, and what is logged.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use millpond::http::{Handler, Request, Response};
use millpond::{Bind, CloseReason, Config, Refusal, Server, Service};

use crate::support::daemon::run;
use crate::support::{
    PATIENCE, Start, TestServer, addr, connect, exchange, passes_in_a_process_of_its_own,
    read_head, read_last_response, read_response, read_to_end, response, until,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A handler that takes 20 ms, and at `/hold` until the test releases it.
#[derive(Clone, Default)]
struct Held {
    hold: Arc<AtomicBool>,
    entered: Arc<AtomicBool>,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Handler for Held {
    fn handle(&self, request: &mut Request) -> Response {
        self.paths.lock().unwrap().push(request.uri().path().to_owned());
        if request.uri().path() == "/hold" {
            self.entered.store(true, Ordering::SeqCst);
            while self.hold.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        } else {
            thread::sleep(Duration::from_millis(20));
        }
        Response::text("done")
    }

    fn refusal(&self) -> Option<String> {
        Some("come back later".to_owned())
    }
}

impl Held {
    /// Sends the request that holds the only worker.
    fn hold(&self, addr: SocketAddr) -> TcpStream {
        self.hold.store(true, Ordering::SeqCst);
        let mut held = connect(addr);
        held.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        until("the worker is held", || self.entered.load(Ordering::SeqCst));
        held
    }

    fn release(&self) {
        self.hold.store(false, Ordering::SeqCst);
    }
}

/// One worker, and a deadline that leaves no time to wait behind another request: with the worker
/// held, whatever comes second is refused. With it goes an echo service at a second endpoint.
fn strict(held: &Held) -> TestServer {
    loop {
        let server = strict_once(held);
        // The server learns how long its handler takes. On a busy machine that may be too long.
        if (0..5).all(|_| exchange(addr(&server), GET_CLOSE).text() == "done") {
            return server;
        }
    }
}

fn strict_once(held: &Held) -> TestServer {
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.deadline = Duration::from_millis(25);
    // A debug build refuses slowly, and would reset connections for it.
    config.overload.refuse_budget = 1.0;
    config.timeouts.head = Duration::from_secs(3600);
    Server::builder()
        .config(config)
        .bind("tcp://127.0.0.1:0")
        .bind(Bind::to("tcp://127.0.0.1:0").with(Service::echo()))
        .http(held.clone())
        .build()
        .unwrap()
        .start()
        .unwrap()
}

/// Queues requests at a server whose worker is held, until one is refused: the next will be too.
fn fill(server: &TestServer) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    until("a request is refused", || {
        let mut client = connect(addr(server));
        client.write_all(GET_CLOSE).unwrap();
        waiting.push(client);
        server.stats().refused_total() > 0
    });
    waiting
}

/// Sends a request that is refused, on a connection of its own: the connection, and the response.
fn refused(server: &TestServer, request: &[u8]) -> (TcpStream, response::Response) {
    let before = server.stats().refused_total();
    let mut client = connect(addr(server));
    client.write_all(request).unwrap();
    let response = match request.starts_with(b"HEAD") {
        true => read_head(&mut client),
        false => read_response(&mut client),
    };
    assert_eq!((response.status, response.reason.as_str()), (503, "Service Unavailable"));
    until("it is counted", || server.stats().refused_total() > before);
    (client, response)
}

fn retry_after(response: &response::Response) -> u32 {
    response.field("retry-after").unwrap().parse().unwrap()
}

#[test]
fn a_refusal_keeps_the_connection_where_safe_and_arrives_whole_where_not() {
    let held = Held::default();
    let server = strict(&held);
    let first = held.hold(addr(&server));
    let queued = fill(&server);

    let (mut kept, response) = refused(&server, GET);
    assert!(response.has_connection_option("keep-alive"), "{response:?}");
    assert_eq!(response.text(), "come back later");
    // It is refused again, on the same connection, by the other entrance.
    kept.write_all(GET).unwrap();
    assert_eq!(read_response(&mut kept).status, 503);

    let (_client, head) = refused(&server, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.field("content-length"), Some("15"));

    let long =
        [&b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"[..], &[b'x'; 60_000]];
    for unsafe_to_keep in [
        &long.concat()[..],
        &[GET, GET].concat(),
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    ] {
        let (mut client, response) = refused(&server, unsafe_to_keep);
        assert!(response.has_connection_option("close"), "{response:?}");
        assert_eq!(response.text(), "come back later");
        assert_eq!(read_to_end(&mut client), "", "closed in order, not reset");
    }
    held.release();
    drop((first, queued));
    until("the worker is free", || server.stats().queued == 0);
    // The connection that was kept is as good as ever.
    until("it is served again", || {
        kept.write_all(GET).unwrap();
        read_response(&mut kept).status == 200
    });
}

#[test]
fn a_long_head_on_a_kept_connection_is_refused_at_once() {
    let held = Held::default();
    let server = strict(&held);
    let mut client = connect(addr(&server));
    client.write_all(GET).unwrap();
    assert_eq!(read_response(&mut client).text(), "done");
    let _first = held.hold(addr(&server));
    let _queued = fill(&server);
    // It takes the server several reads, and epoll reports all of it once.
    let fields = format!("X-Long: {}\r\n", "x".repeat(1_000)).repeat(40);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    client.write_all(request.as_bytes()).unwrap();
    assert_eq!(read_response(&mut client).status, 503);
    held.release();
}

#[test]
fn a_pipelined_request_is_refused_with_a_response_after_its_client_has_ended() {
    let held = Held::default();
    let server = strict(&held);
    held.hold.store(true, Ordering::SeqCst);
    let mut client = connect(addr(&server));
    client
        .write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    until("the worker is held", || held.entered.load(Ordering::SeqCst));
    let _queued = fill(&server);
    held.release();
    assert_eq!(read_response(&mut client).text(), "done");
    assert_eq!(read_response(&mut client).status, 503);
}

#[test]
fn clients_refused_together_get_different_retry_times() {
    let held = Held::default();
    let server = strict(&held);
    let _first = held.hold(addr(&server));
    let _queued = fill(&server);
    let mut times: Vec<_> = (0..6).map(|_| retry_after(&refused(&server, GET_CLOSE).1)).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times, [1, 2, 3]);
    held.release();
}

#[test]
fn a_raw_protocol_refuses_by_closing() {
    let held = Held::default();
    let server = strict(&held);
    let _first = held.hold(addr(&server));
    let _queued = fill(&server);
    let before = server.stats().refused_total();
    let mut client = connect(server.local_addrs()[1].as_socket().unwrap());
    assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0);
    until("it is counted", || {
        let stats = server.stats();
        stats.refused_total() > before && stats.closed_for(CloseReason::Overloaded) > 0
    });
    held.release();
}

#[test]
fn every_refusal_is_counted_by_its_reason() {
    let held = Held::default();
    let server = strict(&held);
    let _first = held.hold(addr(&server));
    let mut queued = fill(&server);
    for _ in 0..5 {
        refused(&server, GET_CLOSE);
    }
    held.release();
    let unavailable = queued.iter_mut().map(read_last_response).filter(|it| it.status == 503);
    let unavailable = unavailable.count();
    let stats = server.stats();
    assert_eq!(stats.refused_total(), 5 + unavailable as u64);
    assert_eq!(stats.refused_for(Refusal::Deadline), stats.refused_total());
    for (reason, count) in stats.refused() {
        assert_eq!(stats.refused_for(reason), count);
    }
}

#[test]
fn urgent_work_is_served_though_every_worker_is_held_and_the_queue_is_full() {
    let held = Held::default();
    let mut config = Config::default();
    (config.pool.workers, config.pool.queue) = (1, Some(2));
    config.overload.shed = false;
    let server = Server::builder()
        .config(config)
        .bind("tcp://127.0.0.1:0")
        .bind("tcp://127.0.0.1:0?priority=high")
        .http(held.clone())
        .build()
        .unwrap()
        .start()
        .unwrap();
    let urgent = server.local_addrs()[1].as_socket().unwrap();
    exchange(addr(&server), GET_CLOSE);
    let _first = held.hold(addr(&server));
    let mut usual: Vec<_> = Vec::new();
    until("the queue is full", || {
        let mut client = connect(addr(&server));
        client.write_all(b"GET /usual HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        usual.push(client);
        server.stats().refused_for(Refusal::QueueFull) > 0
    });
    for close in ["close", "keep-alive"] {
        let mut operator = connect(urgent);
        // On a kept connection the second request comes in through the poller.
        for _ in 0..if close == "close" { 1 } else { 3 } {
            let request = format!("GET /urgent HTTP/1.1\r\nHost: a\r\nConnection: {close}\r\n\r\n");
            operator.write_all(request.as_bytes()).unwrap();
            assert_eq!(read_response(&mut operator).text(), "done");
        }
    }
    held.release();
}

#[test]
fn a_request_whose_timeout_is_too_short_is_refused_at_once() {
    let server = |field: &str| {
        let mut config = Config::default();
        config.pool.workers = 2;
        config.overload.timeout_field = field.to_owned();
        let server = Server::builder().config(config).bind("tcp://127.0.0.1:0");
        let server = server.http(Held::default()).build().unwrap().start().unwrap();
        exchange(addr(&server), GET_CLOSE);
        server
    };
    let ask = |client: &mut TcpStream, line: &str| {
        client
            .write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n").as_bytes())
            .unwrap();
        read_response(client)
    };
    let usual = server("X-Request-Timeout");
    let mut client = connect(addr(&usual));
    // From time to time one is admitted, to measure how long requests take now.
    until("it is refused", || {
        let response = ask(&mut client, "x-request-timeout: 2ms");
        let refused = response.status == 503;
        if refused {
            assert!(response.field("retry-after").is_some(), "{response:?}");
            assert_eq!(response.text(), "come back later");
        }
        refused
    });
    let refused = usual.stats().refused_for(Refusal::Deadline);
    assert!(refused >= 1);
    for line in ["X-Request-Timeout: 30", "X-Request-Timeout: soon", "X-Other: 2ms"] {
        assert_eq!(ask(&mut client, line).status, 200, "{line}");
    }
    let other = server("Patience");
    until("the name can be chosen", || {
        let mut client = connect(addr(&other));
        ask(&mut client, "patience: 0.002").status == 503
    });
    let none = server("");
    let mut client = connect(addr(&none));
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "X-Request-Timeout: 0").status, 200);
    }
}

/// Keeps what is logged.
struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if record.target().starts_with("millpond::") && line.contains("overloaded: ") {
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

#[test]
fn an_overload_is_logged_when_it_begins_and_when_it_is_over() {
    // The logger is the process's: other tests' servers would write to it as well.
    passes_in_a_process_of_its_own("overload::refusals::begin_and_end_of_an_overload_are_logged");
}

#[test]
#[ignore = "sets the logger of the process"]
fn begin_and_end_of_an_overload_are_logged() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let mut config = Config::default();
    config.pool.workers = 1;
    config.overload.report = Duration::from_millis(100);
    let handler = |_: &mut Request| {
        thread::sleep(Duration::from_millis(5));
        Response::text("done")
    };
    let server = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    let server = server.http(handler).build().unwrap().start().unwrap();
    let addr = addr(&server);
    let lines = || LOG.0.lock().unwrap().clone();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..60 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    exchange(addr, GET_CLOSE);
                }
            });
        }
        until("it is logged", || lines().iter().any(|line| line.starts_with("overloaded: ")));
        assert!(server.stats().load > 0.0);
        stop.store(true, Ordering::SeqCst);
    });
    until("its end is logged", || {
        lines().last().is_some_and(|line| line.starts_with("no longer overloaded: "))
    });
    assert!(!server.stats().overloaded);
    let first = lines()[0].clone();
    for part in [" queued, wait p50 ", ", capacity ", "served ", ", refused "] {
        assert!(first.contains(part), "{first}");
    }
    server.drain(PATIENCE);
}

#[test]
fn overload_control_is_set_by_flags() {
    let flags = "--target 7ms --queue 9 --deadline 3s --no-shed --no-fairness --timeout-field X-A \
                 --overload-report 1m -b tcp://127.0.0.1:0?priority=high";
    let args: Vec<_> = ["serve", "--print-config"].into_iter().chain(flags.split(' ')).collect();
    let text = run(&args).stdout;
    for line in [
        "target = \"7ms\"",
        "queue = 9",
        "deadline = \"3s\"",
        "shed = false",
        "fairness = false",
        "timeout_field = \"X-A\"",
        "report = \"60s\"",
        "bind = [\"tcp://127.0.0.1:0?priority=high\"]",
    ] {
        assert!(text.lines().any(|other| other.starts_with(line)), "{line} is not in {text}");
    }
}
