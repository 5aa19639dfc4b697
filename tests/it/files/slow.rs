//! Slow readers of files, and files that change while they are sent.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use millpond::CloseReason;
use millpond::handlers::FilesOptions;

use super::{Site, send};
use crate::support::daemon::Daemon;
use crate::support::{connect, exchange, read_last_response, read_response, until};

/// A file of this many bytes that takes no room on the disk.
fn sparse(site: &Site, name: &str, bytes: u64) {
    fs::File::create(site.path(name)).unwrap().set_len(bytes).unwrap();
}

/// Reads so much, whatever it is.
fn sip(stream: &mut TcpStream, bytes: usize) {
    stream.read_exact(&mut vec![0; bytes]).unwrap();
}

#[test]
fn a_hundred_slow_readers_of_a_large_file_hold_no_worker() {
    let site = Site::new();
    sparse(&site, "large", 1 << 30);
    site.write("small", "quick").serve(FilesOptions::default());
    let mut slow: Vec<_> = (0..100).map(|_| site.connect()).collect();
    for stream in &mut slow {
        send(stream, "GET", "/large", &[]);
    }
    // Two workers; each of the slow ones takes a little again and again, and others are answered.
    for _ in 0..5 {
        for stream in &mut slow {
            sip(stream, 10_000);
        }
        assert_eq!(site.get("/small", &[]).text(), "quick");
    }
    until("all of them are parked", || site.server().stats().parked >= 100);
    assert_eq!(site.get("/small", &[]).text(), "quick");
    drop(slow);
    until("all of them are gone", || site.server().stats().live == 0);
}

#[test]
fn a_hundred_slow_downloads_take_neither_workers_nor_memory_from_a_daemon() {
    let site = Site::new();
    sparse(&site, "large", 1 << 30);
    site.write("small", "quick");
    let root = site.path("");
    let mut daemon = Daemon::serve(&[root.to_str().unwrap(), "-t", "2", "--no-shed"]);
    let addr = daemon.addr();
    let mut slow: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    for stream in &mut slow {
        send(stream, "GET", "/large", &[]);
    }
    for _ in 0..3 {
        for stream in &mut slow {
            sip(stream, 10_000);
        }
        let quick = b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(addr, quick).text(), "quick");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB");
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_closes_the_connection() {
    let site = Site::new();
    sparse(&site, "large", 100 << 20);
    site.serve(FilesOptions::default());
    let mut stream = site.connect();
    send(&mut stream, "GET", "/large", &[]);
    sip(&mut stream, 1000);
    fs::File::options().write(true).open(site.path("large")).unwrap().set_len(1 << 20).unwrap();
    let mut rest = Vec::new();
    // Whether it ends or is reset, it is not all that was announced.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 100 << 20, "{}", rest.len());
    let count = || site.server().stats().closed_for(CloseReason::HandlerFailed);
    until("it is counted", || count() == 1);
}

#[test]
fn a_file_that_is_replaced_keeps_its_old_version_to_the_end() {
    let site = Site::new();
    let length = 20 << 20;
    site.write("a", vec![b'o'; length]).serve(FilesOptions::default());
    let mut stream = site.connect();
    send(&mut stream, "GET", "/a", &[]);
    let mut begun = [0; 1000];
    stream.read_exact(&mut begun).unwrap();
    site.write("new", vec![b'n'; length]);
    fs::rename(site.path("new"), site.path("a")).unwrap();
    let response = read_last_response(&mut begun.chain(&mut stream));
    assert!(response.body == vec![b'o'; length], "another file was sent");
    until("the new one is served", || site.get("/a", &["Range: bytes=0-0"]).body == b"n");
}

#[test]
fn a_slow_reader_of_several_ranges_gets_them_all() {
    let site = Site::new();
    let content: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 1000) as u8).collect();
    site.write("a", &content).serve(FilesOptions::default());
    let mut stream = site.connect();
    let first = "bytes=0-3999999";
    let set = format!("Range: {first},5000000-7999999");
    let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{set}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    until("it waits for its reader", || site.server().stats().parked == 1);
    let response = read_response(&mut stream);
    assert_eq!(response.status, 206);
    let found = |part: &[u8]| memchr::memmem::find(&response.body, part).is_some();
    assert!(found(&content[..4_000_000]) && found(&content[5_000_000..8_000_000]));
}
