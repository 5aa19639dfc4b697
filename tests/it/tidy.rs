//! What text can check of the architecture's invariants (docs/architecture.md).

mod circles;
mod floors;
mod graph;
mod names;
mod scan;
mod shape;
mod words;

use scan::{Source, files, sources};

/// The library's sources: those below these files and folders.
#[track_caller]
fn library(places: &[&str], at_least: usize) -> Vec<Source> {
    let within = |name: &str| {
        places.iter().any(|place| {
            name.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
        })
    };
    let found: Vec<_> = sources().into_iter().filter(|source| within(&source.name)).collect();
    // A check of nothing passes whatever the sources say.
    assert!(found.len() >= at_least, "{places:?} have {} files", found.len());
    found
}

const LIBRARY: &[&str] = &[
    "lib", "close", "error", "config", "net", "pool", "http", "handlers", "server", "sync", "test",
];

#[track_caller]
fn nowhere(files: &[Source], words: &[&str]) {
    for source in files {
        for (number, line) in source.code.lines().enumerate() {
            for word in words {
                assert!(!line.contains(word), "src/{}:{}: {line}", source.name, number + 1);
            }
        }
    }
}

/// The parts of HTTP and of overload control that are given bytes and instants as arguments.
const CORE: &[&str] =
    &["http/codec", "http/router/params", "pool/overload", "pool/stats/histogram"];

#[test]
fn the_core_knows_no_socket_no_clock_and_no_thread() {
    let core = library(CORE, 15);
    for source in &core {
        for path in source.paths() {
            let path = path.join("::");
            for room in ["net", "pool::poller", "pool::connection", "pool::leader", "server"] {
                assert!(!path.starts_with(room), "src/{} imports {path}", source.name);
            }
        }
    }
    nowhere(
        &core,
        &[
            "Instant::now",
            "SystemTime",
            "elapsed()",
            "thread::",
            "sleep(",
            "rustix",
            "std::os",
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "ToSocketAddrs",
        ],
    );
    let http = library(&["http/codec/request", "http/codec/body", "http/codec/response"], 9);
    nowhere(&http, &["Instant", "Mutex", "Atomic"]);
}

#[test]
fn only_the_server_makes_threads_and_only_the_queue_makes_channels() {
    let mut files = library(LIBRARY, 110);
    files.retain(|source| source.name != "server/threads.rs");
    nowhere(&files, &["thread::spawn", "thread::Builder", "ThreadBuilder", "thread::scope"]);
    files.retain(|source| source.name != "pool/queue.rs");
    nowhere(&files, &["bounded(", "unbounded(", "mpsc"]);
}

#[test]
fn the_library_never_prints_exits_sleeps_or_handles_signals() {
    let files = library(LIBRARY, 110);
    nowhere(&files, &["println!", "print!", "dbg!", "process::exit", "abort()", "thread::sleep"]);
    nowhere(&files, &["signal_hook", "sigaction"]);
}

/// A worker waits for a client only within a streamed body: everything else is queued and parked.
#[test]
fn no_response_is_flushed_on_a_worker_outside_of_a_streamed_body() {
    let queued = [
        "http/conn/driver",
        "http/conn/read",
        "http/conn/send",
        "http/conn/close",
        "http/conn/upgrade",
    ];
    nowhere(&library(&queued, queued.len()), &[".flush()", "stream.wait("]);
}

/// A server's guard, and a daemon's, checks at the end of a test that every connection is accounted
/// for.
#[test]
fn no_test_starts_a_server_or_a_daemon_without_its_guard() {
    // `millpond connect` is not a server: it runs to its end.
    let without = [
        "support/server.rs",
        "support/daemon.rs",
        "support/program.rs",
        "net/client.rs",
        "net/connect.rs",
        "tls/client.rs",
    ];
    let mut guarded = 0;
    for (name, text) in files("tests/it", &["rs"]) {
        let source = Source::new(&name, &text);
        for start in [".start()", "start_http(", "start_http_with("] {
            guarded += source.code.matches(start).count();
        }
        if !without.iter().any(|end| name.ends_with(end)) {
            nowhere(&[source], &[".spawn()"]);
        }
    }
    assert!(guarded >= 65, "{guarded}");
}

#[test]
fn the_scanner_skips_tests_and_reads_into_groups() {
    let source = Source::new(
        "pool/a/b.rs",
        r##"
        use crate::net::{self, Addr, stream::{Stream as S, Interest}};
        #[cfg(test)]
        mod tests { use crate::http::Request; fn f() { println!("{"); } }
        use super::{super::queue, c};
        // use crate::server::Handle;
        const TEXT: &str = "crate::service {"; const BRACE: char = '{'; const RAW: &str = r#"""{"#;
        #[cfg(test)]
        use crate::http::Response;
        struct Mill<'a> { field: &'a crate::Error }
        mod inner { use super::d; use self::e; }
        fn g() { self::f::h(); thread::spawn(); }
        "##,
    );
    let paths: Vec<_> = source.paths().into_iter().map(|path| path.join("::")).collect();
    assert_eq!(
        paths,
        [
            "net",
            "net::Addr",
            "net::stream::Stream",
            "net::stream::Interest",
            "pool::queue",
            "pool::a::c",
            "Error",
            "pool::a::b::d",
            "pool::a::b::inner::e",
            "pool::a::b::f::h",
        ]
    );
    assert!(source.code.contains("thread::spawn") && !source.code.contains("println"));
    assert_eq!(source.code.lines().count(), source.text.lines().count());
}
