//! A handler whose response is no longer wanted is notified, and ends its work.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millpond::Config;
use millpond::http::{Cancel, CancelReason, Request, Response, StatusCode};

use super::common::{GET, serve, serve_with};
use crate::support::{PATIENCE, TestServer, addr, connect, read_response, start_http_with, until};

/// A query without end.
const ENDLESS: &str = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
    SELECT n FROM numbers";

/// How a query ended.
struct Ended {
    at: Instant,
    reason: Option<CancelReason>,
}

/// A server whose handler runs an endless query until it is interrupted.
struct Queries {
    server: TestServer,
    began: Receiver<()>,
    ended: Receiver<Ended>,
}

fn serve_queries(deadline: Duration) -> Queries {
    let ((begin, began), (end, ended)) = (channel(), channel());
    let mut config = Config::default();
    config.overload.deadline = deadline;
    config.overload.shed = false;
    config.pool.workers = 2;
    let server = start_http_with(config, move |request: &mut Request| {
        run_query(request, &begin, &end);
        Response::text(format!("{:?}", request.cancelled().reason()))
    });
    Queries { server, began, ended }
}

fn run_query(request: &Request, begin: &Sender<()>, end: &Sender<Ended>) {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let interrupt = database.get_interrupt_handle();
    let cancel = request.cancelled();
    cancel.on(move || interrupt.interrupt());
    let mut statement = database.prepare(ENDLESS).unwrap();
    let mut rows = statement.query([]).unwrap();
    assert!(rows.next().unwrap().is_some());
    // The statement runs: SQLite ignores an interrupt while none does.
    begin.send(()).unwrap();
    let error = loop {
        if let Err(error) = rows.next() {
            break error;
        }
    };
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    end.send(Ended { at: Instant::now(), reason: cancel.reason() }).unwrap();
}

impl Queries {
    /// A client whose query runs.
    fn client(&self) -> TcpStream {
        let mut client = connect(addr(&self.server));
        client.write_all(GET).unwrap();
        self.began.recv_timeout(PATIENCE).unwrap();
        client
    }

    #[track_caller]
    fn ended(&self) -> Ended {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }
}

#[test]
fn a_query_ends_soon_after_its_client_has_left() {
    let queries = serve_queries(Duration::from_secs(600));
    let mut times = Vec::new();
    for _ in 0..7 {
        let client = queries.client();
        let left = Instant::now();
        drop(client);
        let ended = queries.ended();
        assert_eq!(ended.reason, Some(CancelReason::ClientGone));
        times.push(ended.at - left);
    }
    times.sort();
    println!("ended after {:?} (median), {:?} at most", times[3], times[6]);
    assert!(times[6] < Duration::from_secs(10), "{times:?}");
}

#[test]
fn a_query_ends_when_its_deadline_has_passed() {
    let queries = serve_queries(Duration::from_millis(300));
    let mut client = queries.client();
    assert_eq!(queries.ended().reason, Some(CancelReason::DeadlinePassed));
    assert_eq!(read_response(&mut client).text(), "Some(DeadlinePassed)");
}

#[test]
fn a_query_ends_before_a_drain_is_over_so_that_its_client_gets_a_response() {
    let queries = serve_queries(Duration::from_secs(600));
    let mut client = queries.client();
    let began = Instant::now();
    let report = queries.server.drain(Duration::from_secs(5));
    let ended = queries.ended();
    assert_eq!(ended.reason, Some(CancelReason::Draining));
    assert!(ended.at - began >= Duration::from_millis(4500), "{:?}", ended.at - began);
    assert_eq!(report.cut_off, 0);
    assert_eq!(read_response(&mut client).text(), "Some(Draining)");
}

#[test]
fn a_stop_ends_a_query_at_once() {
    let queries = serve_queries(Duration::from_secs(600));
    let _client = queries.client();
    queries.server.stop_now();
    assert_eq!(queries.ended().reason, Some(CancelReason::Draining));
}

/// What the handlers of one server shared with their callbacks.
#[derive(Clone, Default)]
struct Callbacks {
    ran: Arc<AtomicUsize>,
    cancels: Arc<Mutex<Vec<Cancel>>>,
}

impl Callbacks {
    fn on(&self, cancel: &Cancel) {
        let ran = Arc::clone(&self.ran);
        cancel.on(move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
    }

    /// How many callbacks still exist, if the handler is alive.
    fn kept(&self) -> usize {
        // One is here, and one is in the handler.
        Arc::strong_count(&self.ran) - 2
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::SeqCst)
    }
}

#[test]
fn ten_thousand_quick_handlers_set_nothing_and_leave_nothing() {
    let callbacks = Callbacks::default();
    let set = Arc::new(AtomicUsize::new(0));
    let server = serve({
        let (callbacks, set) = (callbacks.clone(), Arc::clone(&set));
        move |request: &mut Request| {
            let cancel = request.cancelled();
            callbacks.on(&cancel);
            set.fetch_add(usize::from(cancel.is_set()), Ordering::SeqCst);
            Response::text("quick")
        }
    });
    let mut client = connect(addr(&server));
    for _ in 0..100 {
        client.write_all(&GET.repeat(100)).unwrap();
        for _ in 0..100 {
            assert_eq!(read_response(&mut client).text(), "quick");
        }
    }
    until("the last exchange has ended", || callbacks.kept() == 0);
    assert_eq!((callbacks.ran(), set.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn after_its_request_a_callback_never_runs() {
    let callbacks = Callbacks::default();
    let server = serve({
        let callbacks = callbacks.clone();
        move |request: &mut Request| {
            let cancel = request.cancelled();
            callbacks.on(&cancel);
            callbacks.cancels.lock().unwrap().push(cancel);
            assert_ne!(request.uri().path(), "/panic");
            Response::text("done")
        }
    });
    let mut client = connect(addr(&server));
    client.write_all(GET).unwrap();
    assert_eq!(read_response(&mut client).text(), "done");
    client.write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).status, 500);
    drop(client);
    until("the callbacks are gone", || callbacks.kept() == 0);
    server.stop_now();
    for cancel in callbacks.cancels.lock().unwrap().iter() {
        assert!(!cancel.is_set());
        callbacks.on(cancel);
    }
    assert_eq!(callbacks.ran(), 0);
}

#[test]
fn all_calls_for_one_request_return_the_same_cancellation() {
    let server = serve(|request: &mut Request| {
        let (one, other) = (request.cancelled(), request.cancelled());
        until("it is set", || one.is_set());
        Response::text(format!("{:?}", other.reason()))
    });
    let mut client = connect(addr(&server));
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 200ms\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client).text(), "Some(DeadlinePassed)");
}

#[test]
fn a_client_that_has_closed_its_sending_side_counts_as_gone_here() {
    let mut config = Config::default();
    config.overload.deadline = Duration::from_secs(600);
    let server = serve_with(config, |request: &mut Request| {
        let cancel = request.cancelled();
        until("it is set", || cancel.is_set());
        Response::text(format!("{:?}, {}", cancel.reason(), request.is_connected()))
    });
    let mut client = connect(addr(&server));
    client.write_all(GET).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_response(&mut client).text(), "Some(ClientGone), true");
}

#[test]
fn a_client_that_leaves_while_its_body_is_read_cancels_its_request() {
    let (sender, seen) = channel();
    let server = serve(move |request: &mut Request| {
        let cancel = request.cancelled();
        let mut body = Vec::new();
        let read = request.body_mut().read_to_end(&mut body);
        sender.send((read.is_err(), cancel.reason())).unwrap();
        Response::error(StatusCode::BAD_REQUEST)
    });
    let mut client = connect(addr(&server));
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc").unwrap();
    until("the handler reads", || server.stats().busy == 1 && server.stats().parked == 0);
    drop(client);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), (true, Some(CancelReason::ClientGone)));
}

#[test]
fn a_callback_that_panics_is_counted_and_the_server_goes_on() {
    let mut config = Config::default();
    config.overload.deadline = Duration::from_millis(100);
    // Handlers that take as long as that would be refused.
    config.overload.shed = false;
    let server = serve_with(config, |request: &mut Request| {
        let cancel = request.cancelled();
        cancel.on(|| panic!("on purpose"));
        let (sender, ran) = channel();
        cancel.on(move || sender.send(std::thread::current().name().map(str::to_owned)).unwrap());
        Response::text(ran.recv_timeout(PATIENCE).unwrap().unwrap_or_default())
    });
    for panics in 1..=2 {
        let mut client = connect(addr(&server));
        client.write_all(GET).unwrap();
        assert_eq!(read_response(&mut client).text(), "canceller");
        assert_eq!(server.stats().panics, panics);
    }
}
