//! Tests of what the benchmarks share; the overload benchmark itself has no test harness.

use std::time::Duration;

use crate::arrivals::{Phase, poisson};
use crate::response::{Response, complete};
use crate::table::{Table, median};
use crate::wrk;

#[test]
fn a_response_ends_with_its_body() {
    let bytes = b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\nConnection: close\r\n\r\nno";
    for cut in 0..bytes.len() {
        assert_eq!(complete(&bytes[..cut]), None);
    }
    let whole = Response { status: 503, length: bytes.len(), close: true };
    assert_eq!(complete(bytes), Some(whole));
}

#[test]
fn the_median_is_the_middle() {
    assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    assert!(median([]).abs() < 1e-9);
}

#[test]
fn columns_line_up() {
    let mut table = Table::new(&["server", "µs"]);
    table.row(vec!["a".into(), "100".into()]);
    assert_eq!(table.render(false), "server   µs\na       100\n");
    assert_eq!(table.render(true), "| server |  µs |\n| ------ | --: |\n| a      | 100 |\n");
}

#[test]
fn a_report_is_read() {
    let report = "Running 5s test @ http://127.0.0.1:1/\n  1 threads and 16 connections\n  \
            Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   1.1ms  3ms  9ms  90%\n  \
            Latency Distribution\n     50%  250.00us\n     75%  300.00us\n     90%    1.00ms\n     \
            99%    1.15ms\n  1000 requests in 5.01s, 2.41MB read\n  \
            Socket errors: connect 0, read 1, write 0, timeout 2\n  \
            Non-2xx or 3xx responses: 7\nRequests/sec:  199.60\nTransfer/sec:  0.48MB\n";
    let figures = wrk::parse(report).unwrap();
    assert_eq!(figures.requests, 1000);
    assert_eq!(figures.errors, 10);
    assert!((figures.p50_us - 250.0).abs() < 1e-9 && (figures.p99_us - 1150.0).abs() < 1e-9);
    assert!((figures.per_second - 199.6).abs() < 1e-9);
}

#[test]
fn arrivals_are_as_many_as_claimed_and_in_order() {
    let phase = |rate, seconds| {
        let time = Duration::from_secs(seconds);
        Phase { rate, time, retries: 0, counted: true }
    };
    let arrivals = poisson(&[phase(1000.0, 2), phase(100.0, 1)], &[9.0, 1.0], 7);
    assert_eq!(arrivals.len(), 2100);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    assert_eq!(arrivals.iter().filter(|arrival| arrival.at < 2_000_000_000).count(), 2000);
    let light = arrivals.iter().filter(|arrival| arrival.client == 1).count();
    assert!((150..270).contains(&light), "{light} of 2100 at a weight of one tenth");
    // Exponential gaps: their mean and their standard deviation are the same.
    let gaps: Vec<f64> = arrivals[..2000].windows(2).map(|w| (w[1].at - w[0].at) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((0.9..1.1).contains(&(variance.sqrt() / mean)));
}
