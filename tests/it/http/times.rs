//! Times and ids that travel with a request: Server-Timing, traceparent, X-Request-Id,
//! X-Request-Start.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::Config;
use millpond::http::{Request, Response, TraceParent};

use super::common::serve_with;
use crate::support::{addr, exchange};

const SERVICE: Duration = Duration::from_millis(20);

fn slow(_: &mut Request) -> Response {
    thread::sleep(SERVICE);
    Response::text("")
}

#[test]
fn server_timing_has_the_wait_and_the_service_if_it_is_on() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut config = Config::default();
    let off = serve_with(config.clone(), slow);
    assert_eq!(exchange(addr(&off), GET).field("server-timing"), None);

    config.http.server_timing = true;
    let on = serve_with(config, slow);
    let response = exchange(addr(&on), GET);
    let (queue, app) = response.field("server-timing").unwrap().split_once(", ").unwrap();
    let millis = |metric: &str, name: &str| -> f64 {
        let text = metric.strip_prefix(name).unwrap().strip_prefix(";dur=").unwrap();
        assert_eq!(text.split_once('.').unwrap().1.len(), 3, "{text}");
        text.parse().unwrap()
    };
    assert!(millis(queue, "queue") >= 0.0);
    assert!(millis(app, "app") >= SERVICE.as_secs_f64() * 1e3, "{app}");
}

#[test]
fn server_timing_is_switched_while_the_server_runs() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let server = serve_with(Config::default(), slow);
    for on in [true, false] {
        let mut config = Config::default();
        config.http.server_timing = on;
        server.reconfigure(config).unwrap();
        assert_eq!(exchange(addr(&server), GET).field("server-timing").is_some(), on);
    }
}

#[test]
fn a_handler_gets_the_trace_and_the_id_of_a_request_and_no_claimed_wait() {
    let server = serve_with(Config::default(), |request: &mut Request| {
        let trace = request.trace_parent().map(|parent: TraceParent| parent.to_string());
        let waited_long = request.queue_wait() > Duration::from_secs(20);
        Response::text(format!("{trace:?} {:?} {waited_long}", request.request_id()))
    });
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let get = |fields: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        exchange(addr(&server), request.as_bytes()).text().to_owned()
    };
    let fields = format!("traceparent: {parent}\r\nX-Request-Id: quern-7\r\n");
    let expected = format!("Some({parent:?}) Some(\"quern-7\") false");
    assert_eq!(get(&fields), expected);
    // A field that comes twice has no meaning.
    assert_eq!(get(&fields.repeat(2)), "None None false");
    // An untrusted client cannot claim that it has waited.
    assert_eq!(get(&format!("X-Request-Start: t={}\r\n", now - 30)), "None None false");
}
