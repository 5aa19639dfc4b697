//! Errors in the client's format, wherever they come from.

use std::io::Write;
use std::time::Duration;

use millpond::http::{Body, Handler, Problem, Request, Response, Router, StatusCode};
use millpond::{Config, Server};

use crate::support::{Start, TestServer, addr, connect, exchange, read_last_response, start_http};

fn request(path: &str, accept: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
        .into()
}

fn router() -> impl Handler {
    Router::new()
        .get("/conflict", |_: &mut Request| {
            Problem::new(StatusCode::CONFLICT).with_detail("a \"rival\"")
        })
        .get("/io", |_: &mut Request| std::fs::read("/nonexistent/secret"))
        .get("/param/{id}", |req: &mut Request| req.param::<u8>("id").map(|id| id.to_string()))
        .get("/panic", |_: &mut Request| -> () { panic!("a bug") })
        .get("/changed", |_: &mut Request| (StatusCode::GONE, Problem::not_found()))
        .get("/own", |_: &mut Request| Response::html("<p>gone</p>").with_status(StatusCode::GONE))
        .post("/post", |_: &mut Request| ())
}

#[test]
fn errors_have_the_format_that_the_client_prefers() {
    let server = start_http(2, router());
    let addr = addr(&server);
    for (path, status, text, json) in [
        (
            "/conflict",
            409,
            "409 Conflict: a \"rival\"\n",
            r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"a \"rival\""}"#,
        ),
        (
            "/io",
            500,
            "500 Internal Server Error\n",
            r#"{"type":"about:blank","title":"Internal Server Error","status":500}"#,
        ),
        (
            "/param/300",
            404,
            "404 Not Found: parameter \"id\": number too large to fit in target type\n",
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"parameter \
             \\\"id\\\": number too large to fit in target type\"}",
        ),
        (
            "/param/%ff",
            400,
            "400 Bad Request\n",
            r#"{"type":"about:blank","title":"Bad Request","status":400}"#,
        ),
        (
            "/panic",
            500,
            "500 Internal Server Error\n",
            r#"{"type":"about:blank","title":"Internal Server Error","status":500}"#,
        ),
        ("/changed", 410, "410 Gone\n", r#"{"type":"about:blank","title":"Gone","status":410}"#),
        (
            "/post",
            405,
            "405 Method Not Allowed\n",
            r#"{"type":"about:blank","title":"Method Not Allowed","status":405}"#,
        ),
        (
            "/nowhere",
            404,
            "404 Not Found\n",
            r#"{"type":"about:blank","title":"Not Found","status":404}"#,
        ),
    ] {
        let response = exchange(addr, &request(path, "*/*"));
        assert_eq!((response.status, response.text()), (status, text), "{path}");
        assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
        let response = exchange(addr, &request(path, "application/json"));
        assert_eq!((response.status, response.text().trim_end()), (status, json), "{path}");
        assert_eq!(response.field("content-type"), Some("application/problem+json"));
    }
    let own = exchange(addr, &request("/own", "application/json"));
    assert_eq!((own.status, own.text()), (410, "<p>gone</p>"));
}

#[test]
fn a_program_may_write_problems_itself() {
    let write = |problem: &Problem, _| {
        if problem.status() == StatusCode::CONFLICT {
            panic!("a bug in the function");
        }
        Response::json(format!("{{\"code\":{}}}", problem.status().as_u16()))
            .with_header(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"))
    };
    let builder = Server::builder().bind("tcp://127.0.0.1:0").workers(2);
    let server = builder.problems(write).http(router()).build().unwrap().start().unwrap();
    let addr = addr(&server);
    let response = exchange(addr, &request("/nowhere", "*/*"));
    assert_eq!((response.status, response.text()), (404, r#"{"code":404}"#));
    assert_eq!(response.field("content-type"), Some("application/json"));
    assert_eq!(response.field("cache-control"), Some("no-store"));
    let malformed = exchange(addr, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!((malformed.status, malformed.text()), (400, r#"{"code":400}"#));
    let panicked = exchange(addr, &request("/conflict", "*/*"));
    assert_eq!((panicked.status, panicked.text()), (409, "409 Conflict: a \"rival\"\n"));
    let not_allowed = exchange(addr, &request("/post", "*/*"));
    assert_eq!(not_allowed.field("allow"), Some("OPTIONS, POST"), "the other fields stay");
}

/// A server that refuses every request that has a timeout of its own.
fn refusing(builder: millpond::Builder) -> TestServer {
    let mut config = Config::default();
    config.pool.workers = 1;
    let builder = builder.config(config).bind("tcp://127.0.0.1:0");
    let slow = |_: &mut Request| std::thread::sleep(Duration::from_millis(20));
    let server = builder.http(slow).build().unwrap().start().unwrap();
    // The service time is known from now on.
    assert_eq!(exchange(addr(&server), &request("/", "*/*")).status, 200);
    server
}

#[test]
fn refusals_under_overload_have_the_format_too() {
    let impatient = |server: &TestServer, accept: &str| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nX-Request-Timeout: 1ms\r\n\
             Connection: close\r\n\r\n"
        );
        let response = exchange(addr(server), request.as_bytes());
        assert_eq!(response.status, 503);
        assert!(response.field("retry-after").is_some());
        let content_type = response.field("content-type").unwrap().to_owned();
        (content_type, response.text().to_owned())
    };
    let server = refusing(Server::builder());
    let (content_type, text) = impatient(&server, "*/*");
    assert_eq!(content_type, "text/plain; charset=utf-8");
    assert_eq!(text, "503 Service Unavailable: try again later\n");
    let (content_type, text) = impatient(&server, "application/json, text/plain, */*");
    assert_eq!(content_type, "application/problem+json");
    assert!(text.contains(r#""status":503,"detail":"try again later"}"#), "{text}");
    let server = refusing(Server::builder().problems(|problem, format| {
        Response::json(format!("[{},\"{format:?}\"]", problem.status().as_u16()))
            .with_header("access-control-allow-origin", "*")
            .with_header("retry-after", "never")
    }));
    assert_eq!(impatient(&server, "*/*"), ("application/json".into(), r#"[503,"Text"]"#.into()));
    let impatience =
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 1ms\r\nConnection: close\r\n\r\n";
    let response = exchange(addr(&server), impatience);
    assert_eq!(response.field("access-control-allow-origin"), Some("*"));
    assert_ne!(response.field("retry-after"), Some("never"), "the server sets it");
    let server = refusing(
        Server::builder().problems(|_, _| Response::new(Body::from_reader(std::io::empty(), None))),
    );
    assert_eq!(impatient(&server, "*/*").1, "503 Service Unavailable: try again later\n");
}

#[test]
fn the_format_of_a_malformed_request_comes_from_its_accept_line() {
    let server = start_http(1, |_: &mut Request| ());
    for (fields, expected) in [
        ("Accept: application/json\r\n", "application/problem+json"),
        ("x: y\r\naccept:application/problem+json\r\n", "application/problem+json"),
        ("Accept: text/html\r\n", "text/plain; charset=utf-8"),
        ("\r\nAccept: application/json", "text/plain; charset=utf-8"),
        ("", "text/plain; charset=utf-8"),
    ] {
        let mut stream = connect(addr(&server));
        write!(stream, "GET / HTTP/1.1\r\n{fields}\r\n").unwrap();
        let response = read_last_response(&mut stream);
        assert_eq!(response.status, 400);
        assert_eq!(response.field("content-type"), Some(expected), "{fields:?}");
    }
}
