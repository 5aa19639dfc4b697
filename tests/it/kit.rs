//! `millpond::test`: what users test their handlers with.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use millpond::http::{
    Body, CancelReason, Handler, HeaderMap, HeaderValue, Method, Next, Problem, Request, Response,
    Router, Segment, StatusCode,
};
use millpond::test::{Gate, TestRequest, TestResponse, TestServer};
use millpond::{CloseReason, Server};

/// The message of the panic that `f` ends with.
#[track_caller]
fn panic_of(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it should panic");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}

fn writer(text: &'static str) -> Body {
    Body::from_writer(move |out| {
        out.write_all(text.as_bytes())?;
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", HeaderValue::from_static("31d4"));
        out.set_trailers(trailers);
        Ok(())
    })
}

fn file(text: &str) -> Arc<std::fs::File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Arc::new(file)
}

/// Routes with a response of each kind.
fn router() -> Router {
    let hello = file("Hello, world!");
    let whole = Arc::clone(&hello);
    Router::new()
        .get("/text", |_: &mut Request| "Hello")
        .get("/reader", |_: &mut Request| Body::from_reader(&b"Hello"[..], None))
        .get("/sized", |_: &mut Request| Body::from_reader(&b"Hello"[..], Some(5)))
        .get("/writer", |_: &mut Request| writer("Hello"))
        .get("/nothing", |_: &mut Request| writer(""))
        .get("/file", move |_: &mut Request| Body::from_file(Arc::clone(&whole), 7, 5))
        .get("/segments", move |_: &mut Request| {
            let part = Segment::File { file: Arc::clone(&hello), offset: 0, length: 5 };
            Body::from_segments(vec![part, Segment::Bytes("!".into())])
        })
        .get("/status/{status}", |req: &mut Request| -> Result<Response, Problem> {
            let status = StatusCode::from_u16(req.param("status")?)?;
            Ok(Response::error(status).with_header("x-own", "1"))
        })
        .post("/echo", |req: &mut Request| req.take_body())
        .post("/short", |req: &mut Request| req.read_body(3))
        .get("/upgrade", |_: &mut Request| {
            Response::upgrade(HeaderValue::from_static("echo"), |_| {})
        })
}

/// The requests that are sent with and without a connection.
fn requests() -> Vec<(TestRequest, u16)> {
    let get = TestRequest::get;
    let mut all: Vec<_> =
        ["/text", "/reader", "/sized", "/writer", "/nothing", "/file", "/segments"]
            .iter()
            .flat_map(|path| [(get(path), 200), (TestRequest::new("HEAD", path), 200)])
            .collect();
    for status in [204, 205, 304, 404, 500] {
        all.push((get(&format!("/status/{status}")), status));
    }
    let json = |request: TestRequest| request.header("accept", "application/json");
    all.extend([
        (json(get("/status/404")), 404),
        (json(get("/status/high")), 404),
        (get("/status/100"), 500),
        (get("/none"), 404),
        (TestRequest::delete("/text"), 405),
        (TestRequest::new("BREW", "/text"), 501),
        (TestRequest::new(Method::OPTIONS, "/text"), 204),
        (TestRequest::new(Method::OPTIONS, "*"), 204),
        (TestRequest::post("/echo").body("text"), 200),
        (TestRequest::post("/echo").body(Body::from_reader(&b"in chunks"[..], None)), 200),
        (TestRequest::post("/echo").body(writer("a function")), 200),
        (TestRequest::post("/echo").body(Body::from_file(file("a file"), 2, 4)), 200),
        (TestRequest::post("/short").body("abc"), 200),
        (json(TestRequest::post("/short")).body("abcd"), 413),
        (TestRequest::post("/none").header("expect", "100-continue").body("abc"), 404),
        (TestRequest::post("/short").header("expect", "100-continue").body("abc"), 200),
        (get("/upgrade"), 426),
        (get("/upgrade").header("connection", "upgrade").header("upgrade", "other"), 426),
        (get("/upgrade").header("connection", "upgrade").header("upgrade", "echo"), 101),
        (get("http://elsewhere/text"), 200),
        (get(&format!("/{}", "x".repeat(20_000))), 414),
        (get("/text").header("content-length", "2000000000"), 413),
        (get("/text").header("host", "a").header("host", "b"), 400),
        (json(get("/text")).header("host", "a").header("host", "b"), 400),
    ]);
    all
}

/// The response without the fields that depend on the moment, or on whether a connection was kept.
fn comparable(response: &TestResponse) -> (u16, Vec<(String, String)>, String, HeaderMap) {
    let mut fields: Vec<_> = response.headers().iter().collect();
    fields.retain(|(name, _)| !["date", "connection"].contains(&name.as_str()));
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let text = response.text().to_owned();
    (response.status().as_u16(), fields.collect(), text, response.trailers().clone())
}

#[test]
fn a_response_without_a_connection_is_the_one_that_a_server_sends() {
    let server = TestServer::start(router());
    let router = router();
    for ((alone, status), (sent, _)) in requests().into_iter().zip(requests()) {
        let shown = format!("{alone:?}");
        let (alone, sent) = (alone.send(&router), server.send(sent));
        assert_eq!(alone.status(), status, "{shown}: {alone:?}");
        assert_eq!(comparable(&alone), comparable(&sent), "{shown}");
        assert!(alone.header("date").is_some() && sent.header("date").is_some(), "{shown}");
    }
}

#[test]
fn a_body_of_any_kind_is_read_whole() {
    let router = router();
    for (path, expected) in [
        ("/text", "Hello"),
        ("/reader", "Hello"),
        ("/sized", "Hello"),
        ("/writer", "Hello"),
        ("/nothing", ""),
        ("/file", "world"),
        ("/segments", "Hello!"),
    ] {
        let response = TestRequest::get(path).send(&router);
        assert_eq!(response.assert_status(200).text(), expected, "{path}");
        assert_eq!(response.bytes(), expected.as_bytes(), "{path}");
        let head = TestRequest::new(Method::HEAD, path).send(&router);
        assert_eq!(head.text(), "", "{path}");
    }
    let head = TestRequest::new(Method::HEAD, "/text").send(&router);
    assert_eq!(head.header("content-length"), Some("5"));
    let response = TestRequest::get("/writer").send(&router);
    assert_eq!(response.trailers()["checksum"], "31d4");
}

#[test]
fn any_handler_can_be_sent_a_request() {
    fn marked(req: &mut Request, next: Next<'_>) -> Response {
        req.extensions_mut().insert("marked");
        next.run(req)
    }
    let show = |req: &mut Request| req.extensions().get::<&str>().copied();
    let get = || TestRequest::get("/");
    get().send(&show).assert_status(404);
    assert_eq!(get().extension("by the test").send(&show).text(), "by the test");
    assert_eq!(get().send(&show.with(marked)).text(), "marked");
    let shared: Arc<dyn Handler> = Arc::new(show.with(marked));
    assert_eq!(get().send(&shared).text(), "marked");
    assert_eq!(get().send(&*shared).text(), "marked");
}

#[test]
fn a_test_sets_what_a_connection_would_report() {
    let show = |req: &mut Request| {
        format!("{:?} {:?} {}", req.peer_addr(), req.queue_wait(), req.is_connected())
    };
    let default = TestRequest::get("/").send(&show);
    assert_eq!(default.text(), "Some(127.0.0.1:49152) 0ns true");
    let peer = SocketAddr::from(([192, 0, 2, 1], 80));
    let request = TestRequest::get("/").peer(peer).queue_wait(Duration::from_millis(5));
    let response = request.disconnected().send(&show);
    assert_eq!(response.text(), "Some(192.0.2.1:80) 5ms false");
}

#[test]
fn a_request_has_its_fields_and_cookies() {
    let show = |req: &mut Request| format!("{:?}", req.headers());
    let request = TestRequest::put("/").header("accept", "a").header("accept", "b");
    let response = request.cookie("a", "1").cookie("b", "2").body("four").send(&show);
    for part in [
        r#""accept": "a""#,
        r#""accept": "b""#,
        r#""cookie": "a=1; b=2""#,
        r#""host": "localhost""#,
        r#""content-length": "4""#,
    ] {
        assert!(response.text().contains(part), "{part} in {}", response.text());
    }
    let own = TestRequest::patch("/").header("host", "example.org").send(&show);
    assert!(own.text().contains("example.org") && !own.text().contains("localhost"));
}

#[test]
fn a_mistake_of_the_test_is_a_panic_that_names_it() {
    let server = TestServer::start(|_: &mut Request| "Hello");
    for (message, mistake) in [
        ("invalid target \"/a b\"", (|| drop(TestRequest::get("/a b"))) as fn()),
        ("invalid method", || drop(TestRequest::new("B REW", "/"))),
        ("invalid field name", || drop(TestRequest::get("/").header("a b", "c"))),
        ("invalid a: ", || drop(TestRequest::get("/").header("a", "b\r\nc"))),
        ("invalid cookie", || drop(TestRequest::get("/").cookie("a", "\n"))),
        ("the check of the handler failed: invalid route \"x\"", || {
            let router = Router::new().get("x", |_: &mut Request| "");
            TestRequest::get("/").send(&router);
        }),
        ("the body of the request failed", || {
            let broken = Body::from_writer(|_| Err(io::Error::other("broken")));
            TestRequest::post("/").body(broken).send(&|_: &mut Request| "");
        }),
    ] {
        let panic = panic_of(mistake);
        assert!(panic.contains(message), "{panic}");
    }
    let injected = panic_of(|| {
        server.send(TestRequest::get("/").queue_wait(Duration::ZERO).extension(1));
    });
    assert!(injected.contains("TestRequest::queue_wait has no effect"), "{injected}");
}

#[test]
fn a_panic_of_the_handler_or_of_its_body_is_passed_on() {
    let handler = panic_of(|| {
        TestRequest::get("/").send(&|_: &mut Request| -> Response { panic!("in the handler") });
    });
    assert_eq!(handler, "in the handler");
    let body = panic_of(|| {
        TestRequest::get("/").send(&|_: &mut Request| Body::from_writer(|_| panic!("in the body")));
    });
    assert_eq!(body, "in the body");
}

#[test]
fn a_body_that_fails_or_has_another_length_fails_the_test() {
    let failed = |body: fn() -> Body| {
        panic_of(|| {
            TestRequest::get("/").send(&move |_: &mut Request| body());
        })
    };
    let short = failed(|| Body::from_reader(&b"abc"[..], Some(4)));
    assert!(short.contains("has 3 bytes, but its announced length is 4"), "{short}");
    let broken = failed(|| Body::from_writer(|_| Err(io::Error::other("the disk is full"))));
    assert!(broken.contains("the disk is full"), "{broken}");
    let endless = failed(|| Body::from_reader(io::repeat(0), None));
    assert!(endless.contains("more than 67108864 bytes"), "{endless}");
    let cut = failed(|| Body::from_file(file("abc"), 1, 3));
    assert!(cut.contains("the response cannot be sent"), "{cut}");
}

#[test]
fn an_unexpected_status_shows_the_body() {
    let response = TestRequest::get("/none").send(&router());
    let panic = panic_of(|| drop(response.assert_status(200).clone()));
    assert!(panic.starts_with("expected the status 200, got 404 Not Found"), "{panic}");
    assert!(panic.contains("content-type: text/plain") && panic.ends_with("\n\n404 Not Found\n"));
    let long = TestRequest::get("/").send(&|_: &mut Request| "é".repeat(3000));
    let shown = format!("{long:?}");
    assert!(shown.ends_with("é … (6000 bytes)") && shown.len() < 3000, "{shown}");
    let upgrade = TestRequest::get("/upgrade").header("connection", "upgrade");
    let upgrade = upgrade.header("upgrade", "echo").send(&router());
    assert!(upgrade.is_upgrade() && format!("{upgrade:?}").contains("leaves HTTP"));
}

#[test]
fn a_server_receives_and_sends_long_bodies_at_once() {
    let server = TestServer::start(router());
    let long: String = (0..1_000_000).map(|n| format!("{n:07}\n")).collect();
    // The server sends each piece before it reads the next.
    for body in [Body::from(long.clone()), Body::from_reader(io::Cursor::new(long.clone()), None)] {
        let response = server.send(TestRequest::post("/echo").body(body));
        assert!(response.assert_status(200).text() == long);
    }
    server.wait_until(|stats| stats.served == 2);
}

#[test]
fn a_server_has_the_endpoints_and_the_settings_of_its_builder() {
    let directory = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", directory.path().join("socket").display());
    let builder = Server::builder()
        .bind(path.as_str())
        .problems(|problem, _| Response::json(problem.to_json()))
        .http(router());
    let unix = TestServer::with(builder);
    assert_eq!(unix.handle().endpoints().len(), 1);
    assert!(panic_of(|| _ = unix.addr()).contains("listens on no TCP port"));
    let problems = Server::builder().problems(|problem, _| Response::json(problem.to_json()));
    let server = TestServer::with(problems.http(router()));
    assert_eq!(server.url("/none"), format!("http://{}/none", server.addr()));
    assert_eq!(server.get("/none").header("content-type"), Some("application/json"));
    let taken = format!("tcp://{}", server.addr());
    let panic = panic_of(|| drop(TestServer::with(Server::builder().bind(&*taken).http(router()))));
    assert!(panic.contains("the server does not start"), "{panic}");
}

fn panics(_: &mut Request) -> Response {
    panic!("a mistake in the handler")
}

#[test]
fn a_server_whose_handler_panicked_fails_the_test() {
    let server = TestServer::start(panics);
    server.get("/").assert_status(500);
    let handle = server.handle().clone();
    let message = panic_of(|| drop(server));
    assert!(message.contains("handlers panicked 1 times"), "{message}");
    assert!(handle.report().is_some(), "it has stopped");
}

#[test]
fn a_server_may_allow_panics() {
    let server = TestServer::start(panics).allow_panics();
    server.get("/").assert_status(500);
}

#[test]
fn a_server_of_a_test_that_has_panicked_stops_and_panics_no_more() {
    let (sender, receiver) = channel();
    let message = panic_of(|| {
        let server = TestServer::start(panics);
        sender.send(server.handle().clone()).unwrap();
        // A second panic would abort the process.
        server.get("/").assert_status(200);
    });
    assert!(message.contains("expected the status 200"), "{message}");
    assert!(receiver.recv().unwrap().report().is_some(), "it has stopped");
}

#[test]
fn a_server_drains_when_it_is_dropped() {
    let gate = Arc::new(Gate::closed());
    let server = TestServer::start({
        let gate = Arc::clone(&gate);
        move |_: &mut Request| {
            gate.wait();
            "late"
        }
    });
    let handle = server.handle().clone();
    let mut stream = crate::support::connect(server.addr());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    gate.wait_for(1);
    let dropped = std::thread::spawn(move || drop(server));
    gate.open();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\r\n\r\nlate"), "{text}");
    dropped.join().unwrap();
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.live, stats.served), (1, 0, 1));
}

#[test]
fn a_server_that_the_test_has_stopped_is_still_checked() {
    let server = TestServer::start(router());
    server.get("/text").assert_status(200);
    server.stop_now();
    assert_eq!(server.stats().accepted, 1);
    assert_eq!(server.stats().closed_for(CloseReason::HandlerPanicked), 0);
}

#[test]
fn a_gate_holds_handlers_until_it_is_opened_and_again_when_it_is_closed() {
    let gate = Arc::new(Gate::closed());
    let server = TestServer::start({
        let gate = Arc::clone(&gate);
        move |_: &mut Request| {
            gate.wait();
            "served"
        }
    });
    for round in 1..=2 {
        let served = 2 * (round - 1);
        server.wait_until(|stats| stats.served == served);
        gate.close();
        std::thread::scope(|scope| {
            let clients = [(); 2].map(|()| scope.spawn(|| server.get("/")));
            gate.wait_for(2 * round as usize);
            assert_eq!(server.stats().served, served);
            gate.open();
            for client in clients {
                client.join().unwrap().assert_status(200);
            }
        });
    }
}

#[test]
fn a_test_sets_the_time_the_load_and_the_cancellation_of_a_request() {
    let show = |req: &mut Request| {
        let (pressure, cancel) = (req.pressure(), req.cancelled());
        let seconds = pressure.remaining.as_secs_f64().ceil();
        format!("{} {} {seconds} {:?}", pressure.load, pressure.overloaded, cancel.reason())
    };
    assert_eq!(TestRequest::get("/").send(&show).text(), "0 false 1 None");
    let request = TestRequest::get("/").pressure(1.5).deadline(Duration::from_secs(9));
    assert_eq!(request.disconnected().send(&show).text(), "1.5 true 9 Some(ClientGone)");
}

#[test]
fn a_callback_runs_while_the_handler_does_and_not_after_its_response() {
    let (sender, called) = channel();
    let (request, cancel) = TestRequest::get("/").with_cancel();
    let during = cancel.clone();
    let handler = move |req: &mut Request| {
        let sender = sender.clone();
        req.cancelled().on(move || sender.send(()).unwrap());
        if req.uri().path() == "/" {
            during.set(CancelReason::ClientGone);
        }
    };
    request.send(&handler).assert_status(200);
    assert!(called.try_recv().is_ok());
    let (request, cancel) = TestRequest::get("/late").with_cancel();
    request.send(&handler).assert_status(200);
    cancel.set(CancelReason::ClientGone);
    assert!(called.try_recv().is_err());
}

#[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
struct Note {
    title: String,
    stars: u8,
}

#[test]
fn a_test_sends_json_or_a_form_and_reads_json() {
    let note = || Note { title: "rye & oats".to_owned(), stars: 3 };
    let echo = |req: &mut Request| req.json::<Note>().map(millpond::http::Json);
    assert_eq!(TestRequest::post("/").json(&note()).send(&echo).json::<Note>(), note());
    let echo = |req: &mut Request| req.form::<Note>().map(millpond::http::Json);
    assert_eq!(TestRequest::post("/").form(&note()).send(&echo).json::<Note>(), note());
    TestRequest::post("/").json(&note()).send(&echo).assert_status(415);
}
