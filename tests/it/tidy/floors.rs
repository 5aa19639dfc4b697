//! The direction of every import: a file imports only from lower floors.

use std::collections::BTreeSet;

use super::graph::Graph;
use super::scan::{Source, sources};
use super::{LIBRARY, library};

/// The rooms of the library from the ground up. A room imports from those before it.
const FLOORS: &[&[&str]] = &[
    &["close", "error", "sync"],
    &["net"],
    &["tls"],
    &["config"],
    &["pool"],
    &["http"],
    &["handlers"],
    &["server"],
    &["test"],
];

/// The files and folders of `pool` from the ground up. A file imports from those before it, and
/// within its own folder; a file that is listed has a floor of its own beside its folder's.
const POOL_FLOORS: &[&[&str]] = &[
    &[
        "client_waits",
        "datagram/handler",
        "oldest_entry",
        "handshake_lane",
        "stats/handshakes",
        "stats/histogram",
        "stats/load_meter",
        "stats/own_counter",
        "stats/request_text",
        "wire",
    ],
    &["stats/durations", "stats/reloads", "stats/worker_state", "thread_time"],
    // Decisions, which know no socket, and who leads.
    &[
        "arrivals",
        "leader",
        "output_memory",
        "overload",
        "poller/deadlines",
        "poller/token",
        "proxy_header/parse",
        "short_backlog",
    ],
    &["stats/watch"],
    &["connections", "hash_limit", "output", "stats/counters"],
    &["datagram/socket", "source"],
    &["datagram/queued"],
    &["datagram/stats"],
    &["connection", "output_tls", "upgrades"],
    &["work"],
    &["deferred"],
    &["cancel", "poller", "queue"],
    &["datagram/lend", "queue_bench"],
    // What the threads share, and what they do with it.
    &["shared"],
    &["overload_log", "park", "reclaim", "stats", "wake"],
    &["server_view"],
    &["protocol"],
    &["proxy_header"],
    &["admit", "datagram", "guard", "handshake"],
    &["eviction", "idle_drain"],
    // The threads.
    &["monitor", "worker"],
    &["acceptor"],
    &["last_accepts"],
];

/// What the crate's root names again, and the room that it is from.
const ROOT: &[(&str, &str)] = &[
    ("CloseReason", "close"),
    ("Config", "config"),
    ("Error", "error"),
    ("ErrorKind", "error"),
    ("Refusal", "pool"),
    ("Stats", "pool"),
    ("AdminCommand", "server"),
    ("Bind", "server"),
    ("Builder", "server"),
    ("DrainReport", "server"),
    ("Handle", "server"),
    ("Server", "server"),
    ("Service", "server"),
];

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

/// Where a file of `pool` has its place: the floor, and the file or folder.
fn place<'a>(floors: &[&[&'a str]], file: &str) -> Option<(usize, &'a str)> {
    let file = file.strip_prefix("pool/")?;
    let is_within = |place: &str| {
        file.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    };
    let places = |(floor, places): (usize, &&[&'a str])| {
        let places: Vec<_> = places.iter().map(|place| (floor, *place)).collect();
        places
    };
    let all = floors.iter().enumerate().flat_map(places);
    // The file itself goes before its folder.
    all.filter(|(_, place)| is_within(place)).max_by_key(|(_, place)| place.len())
}

/// The imports within `pool` that do not lead downwards, and the files that have no floor.
fn upwards(graph: &Graph, floors: &[&[&str]]) -> Vec<String> {
    let mut faults = Vec::new();
    for (from, to) in graph.arrows() {
        let is_pool = |file: &str| file.starts_with("pool/") && file != "pool/mod.rs";
        if !is_pool(from) || !is_pool(to) {
            continue;
        }
        match (place(floors, from), place(floors, to)) {
            (Some(from), Some(to)) if from == to || from.0 > to.0 => {}
            (Some(_), Some(_)) => faults.push(format!("{from} imports from {to}")),
            (None, _) => faults.push(format!("{from} has no floor")),
            (_, None) => faults.push(format!("{to} has no floor")),
        }
    }
    faults
}

#[test]
fn a_file_of_the_pool_imports_only_from_lower_floors() {
    let graph = Graph::of(&library(LIBRARY, 110));
    let faults = upwards(&graph, POOL_FLOORS);
    assert!(faults.is_empty(), "{faults:#?}");
    // A place that no file has any more is out of date.
    let used: Vec<_> =
        sources().iter().filter_map(|source| place(POOL_FLOORS, &source.name)).collect();
    for name in POOL_FLOORS.iter().copied().flatten() {
        assert!(used.iter().any(|(_, place)| place == name), "no file is at {name}");
    }
}

#[test]
fn an_import_that_leads_upwards_is_found() {
    let sources = [
        Source::new("pool/mod.rs", "mod stats; mod worker; mod a; pub use worker::Worker;"),
        Source::new("pool/stats/mod.rs", "mod counters; use super::Worker;"),
        Source::new("pool/stats/counters.rs", "use super::totals::Totals; use super::Stats;"),
        Source::new("pool/stats/totals.rs", "use crate::pool::stats::counters::C;"),
        Source::new("pool/worker.rs", "use super::stats::Stats; use super::a::A;"),
        Source::new("pool/a.rs", ""),
    ];
    let floors: &[&[&str]] = &[&["stats/totals"], &["stats"], &["worker"]];
    assert_eq!(
        upwards(&Graph::of(&sources), floors),
        [
            "pool/stats/mod.rs imports from pool/worker.rs",
            "pool/stats/totals.rs imports from pool/stats/counters.rs",
            "pool/a.rs has no floor"
        ]
    );
}

#[test]
fn the_rooms_that_a_file_names_are_found_by_the_root_too() {
    let source = Source::new("pool/a.rs", "use crate::{Error, net::Addr}; fn f() { super::g() }");
    assert_eq!(rooms(&source), ["error", "net", "pool"].map(str::to_owned).into());
}
