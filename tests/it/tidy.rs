//! What text can check of the architecture's invariants (docs/architecture.md).

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "no sources in {dir}");
    found
}

/// The lines before the tests of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[track_caller]
fn nowhere(files: &[(PathBuf, String)], words: &[&str]) {
    for (path, text) in files {
        for line in code(text) {
            for word in words {
                assert!(!line.contains(word), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_sans_io_core_knows_no_socket_no_clock_and_no_thread() {
    let core = ["src/http/request", "src/http/body"].map(sources).concat();
    nowhere(&core, &["crate::net", "crate::pool", "Instant", "SystemTime", "std::thread"]);
}

#[test]
fn the_pool_knows_no_http() {
    nowhere(&sources("src/pool"), &["crate::http", "crate::service", "crate::server"]);
}

#[test]
fn only_the_server_makes_threads_and_only_the_queue_makes_channels() {
    let library: Vec<_> = ["src/pool", "src/http", "src/net", "src/service"]
        .map(sources)
        .concat()
        .into_iter()
        .filter(|(path, _)| !path.to_string_lossy().contains("test"))
        .collect();
    nowhere(&library, &["thread::spawn", "thread::Builder", "ThreadBuilder"]);
    let channels: Vec<_> =
        library.into_iter().filter(|(path, _)| !path.ends_with("pool/queue.rs")).collect();
    nowhere(&channels, &["bounded(", "unbounded("]);
}

#[test]
fn the_library_never_prints_exits_or_sleeps() {
    let library = ["src/pool", "src/http", "src/net", "src/service"].map(sources).concat();
    nowhere(&library, &["println!", "eprintln!", "process::exit", "thread::sleep"]);
}

#[test]
fn files_are_short_and_lines_fit() {
    for (path, text) in sources("src") {
        let name = path.display();
        let lines = text.lines().count();
        assert!(lines <= 650, "{name} has {lines} lines: it is two rooms");
        if let Some(line) = text
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
    let queued = ["driver", "intake", "departure", "closing", "switch"];
    let files: Vec<_> = sources("src/http")
        .into_iter()
        .filter(|(path, _)| queued.iter().any(|name| path.ends_with(format!("src/http/{name}.rs"))))
        .collect();
    assert_eq!(files.len(), queued.len());
    nowhere(&files, &[".flush()", "stream.wait("]);
}
