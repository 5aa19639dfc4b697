//! What the HTTP core costs a request: parse its head, encode the head of a response.
//!
//! `RUSTFLAGS="--cfg millpond_bench" cargo bench --bench http`

#[cfg(millpond_bench)]
criterion::criterion_main!(http_core::benches);

/// The core is private: without the cfg there is nothing to measure.
#[cfg(not(millpond_bench))]
#[expect(clippy::print_stderr, reason = "a benchmark reports to its caller")]
fn main() {
    eprintln!("skipped: set RUSTFLAGS=\"--cfg millpond_bench\" to measure the HTTP core");
}

#[cfg(millpond_bench)]
mod http_core {
    use std::hint::black_box;

    use criterion::{Criterion, Throughput, criterion_group};
    use millpond::http::bench_api::{Core, WorkQueue};

    /// What wrk sends.
    const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n";

    /// What a browser sends for a page: ten fields.
    const BROWSER: &[u8] = b"GET /articles/2024/mills-of-the-valley?page=2 HTTP/1.1\r\n\
        Host: www.example.com\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n\
        Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\n\
        Referer: http://www.example.com/articles/2024/\r\n\
        Connection: keep-alive\r\n\
        Cookie: session=3f5c0b1d9e2a47c68d; theme=dark\r\n\
        Upgrade-Insecure-Requests: 1\r\n\
        Sec-Fetch-Mode: navigate\r\n\r\n";

    fn heads(criterion: &mut Criterion) {
        let mut core = Core::default();
        for (name, input) in [("short", SHORT), ("browser", BROWSER)] {
            assert_eq!(core.parse(input), Some(input.len()));
            let mut group = criterion.benchmark_group(name);
            group.throughput(Throughput::Bytes(input.len() as u64));
            group.bench_function("parse", |b| b.iter(|| core.parse(black_box(input))));
            group.bench_function("parse and encode", |b| {
                b.iter(|| (core.parse(black_box(input)), core.encode()));
            });
            group.finish();
        }
        criterion.bench_function("encode", |b| b.iter(|| core.encode()));
    }

    /// Work that one thread pushes into the queue and takes again, with the decision at each end.
    fn queue(criterion: &mut Criterion) {
        let mut queue = WorkQueue::new(1024);
        criterion.bench_function("queue", |b| b.iter(|| queue.pass()));
    }

    criterion_group!(benches, heads, queue);
}
