//! `endpoint-load-metrics`: load reports for balancers (ORCA, text format).

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use millpond::Config;
use millpond::http::{Request, Response, StatusCode};

use crate::support::{PATIENCE, TestServer, addr, connect, read_response, start_http_with};

const ASKS: &str = "endpoint-load-metrics-format: TEXT\r\n";

fn server(trusted: &[&str]) -> TestServer {
    let mut config = Config::default();
    config.pool.workers = 2;
    config.proxy.trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
    start_http_with(config, |request: &mut Request| {
        thread::sleep(Duration::from_millis(20));
        let is_failing = request.path() == "/fails";
        Response::empty(if is_failing { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK })
    })
}

/// The report of a response to this path, with these field lines.
fn report(server: &TestServer, path: &str, fields: &str) -> Option<String> {
    let mut stream = connect(addr(server));
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_response(&mut stream).field("endpoint-load-metrics").map(ToOwned::to_owned)
}

/// The number with this name in a report.
#[track_caller]
fn number(report: &str, name: &str) -> f64 {
    let pairs = report.strip_prefix("TEXT ").unwrap().split(", ");
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    values.next().unwrap_or_else(|| panic!("no {name} in {report}")).parse().unwrap()
}

#[test]
fn a_trusted_peer_that_asks_gets_the_load_of_the_last_second() {
    let server = server(&["127.0.0.1"]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        // One worker of two serves most of the time, and half of the responses are errors.
        report(&server, "/fails", "");
        let report = report(&server, "/", ASKS).unwrap();
        let names = ["cpu_utilization", "application_utilization", "rps_fractional", "eps"];
        let [cpu, application, served, errors] = names.map(|name| number(&report, name));
        assert!((0.0..=1.5).contains(&cpu) && application <= 1.01 && served <= 100.0, "{report}");
        if application > 0.05 && served > 2.0 && errors > 1.0 && errors < served {
            return;
        }
        assert!(Instant::now() < deadline, "{report}");
    }
}

#[test]
fn nobody_else_gets_a_report() {
    let trusting = server(&["127.0.0.1"]);
    assert_eq!(report(&trusting, "/", ""), None);
    assert_eq!(report(&trusting, "/", "endpoint-load-metrics-format: json\r\n"), None);
    assert_eq!(report(&server(&["192.0.2.1", "unix"]), "/", ASKS), None);
    assert_eq!(report(&server(&[]), "/", ASKS), None);
}
