//! What text can check of the architecture's invariants (docs/architecture.md).

mod scan;

use std::collections::BTreeSet;

use scan::{Source, sources};

/// The rooms of the library from the ground up. A room imports from those before it.
const FLOORS: &[&[&str]] = &[
    &["close", "error", "sync"],
    &["net"],
    &["config"],
    &["pool"],
    &["http"],
    &["handlers"],
    &["server"],
];

/// What the crate's root names again, and the room that it is from.
const ROOT: &[(&str, &str)] = &[
    ("CloseReason", "close"),
    ("Config", "config"),
    ("Error", "error"),
    ("ErrorKind", "error"),
    ("Refusal", "pool"),
    ("Stats", "pool"),
    ("Bind", "server"),
    ("Builder", "server"),
    ("DrainReport", "server"),
    ("Handle", "server"),
    ("Server", "server"),
    ("Service", "server"),
];

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

const LIBRARY: &[&str] =
    &["lib", "close", "error", "config", "net", "pool", "http", "handlers", "server", "sync"];

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

/// The rooms that a file names, its own among them.
fn rooms(source: &Source) -> BTreeSet<String> {
    let first = |path: Vec<String>| path.into_iter().next();
    let room = |name: String| {
        let named = ROOT.iter().find(|(root, _)| *root == name);
        named.map_or(name, |(_, room)| (*room).to_owned())
    };
    source.paths().into_iter().filter_map(first).map(room).collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

#[test]
fn a_room_imports_only_from_lower_floors() {
    let mut arrows = BTreeSet::new();
    for source in library(&LIBRARY[1..], 100) {
        let room = source.name.split(['/', '.']).next().unwrap();
        let own = floor(room).unwrap_or_else(|| panic!("{room} has no floor"));
        for other in rooms(&source).into_iter().filter(|other| other != room) {
            let lower = floor(&other).is_some_and(|other| other < own);
            assert!(lower, "src/{} imports from {other}", source.name);
            arrows.insert((room.to_owned(), other));
        }
    }
    for (room, other) in [("pool", "net"), ("http", "pool"), ("handlers", "http")] {
        assert!(arrows.contains(&(room.to_owned(), other.to_owned())), "{room} to {other}");
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

#[test]
fn files_are_short_and_lines_fit() {
    let files = sources();
    assert!(files.len() >= 140, "{}", files.len());
    for source in files {
        let name = source.name;
        let lines = source.text.lines().count();
        assert!(lines <= 650, "{name} has {lines} lines: it is two rooms");
        if let Some(line) = source
            .text
            .lines()
            .find(|line| line.chars().count() > 104 && !line.contains('│') && !line.contains('►'))
        {
            panic!("{name}: {line}");
        }
    }
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

#[test]
fn the_checks_see_past_tests_and_into_groups() {
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
    assert!(rooms(&source).contains("error"));
    assert!(source.code.contains("thread::spawn") && !source.code.contains("println"));
    assert_eq!(source.code.lines().count(), source.text.lines().count());
}
