//! Whole files: methods, fields, content codings, and the cache.

use std::fs;
use std::time::Duration;

use millpond::handlers::FilesOptions;

use super::{Site, with};
use crate::support::{read_response, until};

#[test]
fn a_file_is_served_with_its_fields() {
    let site = Site::new();
    site.write("page.html", "<p>water</p>").write("big.bin", vec![7; 100_000]);
    site.write("empty.txt", "").serve(FilesOptions::default());
    let response = site.get("/page.html", &[]);
    assert_eq!((response.status, response.text()), (200, "<p>water</p>"));
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.field("accept-ranges"), Some("bytes"));
    assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    assert!(response.field("last-modified").unwrap().ends_with(" GMT"));
    assert!(response.field("etag").unwrap().starts_with('"'), "a strong tag");
    // RFC 9110 §12.5.5: Vary only where a choice is made.
    assert_eq!(response.field("vary"), None);
    assert_eq!(site.get("/big.bin", &[]).body, vec![7; 100_000]);
    let empty = site.get("/empty.txt", &[]);
    assert_eq!((empty.status, empty.field("content-length")), (200, Some("0")));
}

#[test]
fn get_head_and_options_are_served_and_other_methods_refused() {
    let site = Site::new();
    site.write("a.txt", "abc").write("big", vec![1; 70_000]).serve(FilesOptions::default());
    // RFC 9110 §9.3.2: the fields of GET, and no body.
    for (target, length) in [("/a.txt", "3"), ("/big", "70000")] {
        let (get, head) = (site.get(target, &[]), site.ask("HEAD", target, &[]));
        assert_eq!(head.status, 200);
        for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
            assert_eq!(head.field(name), get.field(name), "{name}");
        }
        assert_eq!(head.field("content-length"), Some(length));
    }
    // RFC 9110 §9.3.7, §10.2.1.
    for target in ["/a.txt", "*", "/missing"] {
        let response = site.ask("OPTIONS", target, &[]);
        assert_eq!(response.status, 204, "{target}");
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
    // RFC 9110 §15.5.6.
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let response = site.ask(method, "/a.txt", &["Content-Length: 0"]);
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
}

#[test]
fn a_precompressed_file_is_sent_to_clients_that_accept_it() {
    let site = Site::new();
    site.write("a.css", "plain plain plain")
        .write("a.css.br", "brotli")
        .write("a.css.gz", "gzip...");
    site.write("a.css.zst", "zstd....").write("old.css", "newer").write("old.css.gz", "old");
    site.age("old.css.gz", Duration::from_secs(7200));
    site.write("only.txt", "only").serve(FilesOptions::default());
    // RFC 9110 §12.5.3.
    for (accept, body, coding) in [
        ("gzip, deflate, br, zstd", "brotli", Some("br")),
        ("gzip", "gzip...", Some("gzip")),
        ("zstd, gzip;q=0.9", "zstd....", Some("zstd")),
        ("br;q=0, gzip;q=0.5, zstd;q=0.4", "gzip...", Some("gzip")),
        ("*", "brotli", Some("br")),
        ("identity", "plain plain plain", None),
        ("br;q=0.5, identity", "plain plain plain", None),
        ("deflate", "plain plain plain", None),
        ("*;q=0", "plain plain plain", None),
    ] {
        let response = site.get("/a.css", &[&format!("Accept-Encoding: {accept}")]);
        assert_eq!((response.status, response.text()), (200, body), "{accept}");
        assert_eq!(response.field("content-encoding"), coding, "{accept}");
        assert_eq!(response.field("content-type"), Some("text/css; charset=utf-8"));
        assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{accept}");
    }
    let plain = site.get("/a.css", &[]);
    assert_eq!(plain.text(), "plain plain plain");
    assert_eq!(plain.field("vary"), Some("Accept-Encoding"));
    // RFC 9110 §8.8.3.3: each coding has a tag of its own; 206 and 304 have Vary as well.
    let gzip = site.get("/a.css", &["Accept-Encoding: gzip"]);
    assert_ne!(gzip.field("etag"), plain.field("etag"));
    let same = format!("If-None-Match: {}", gzip.field("etag").unwrap());
    let response = site.get("/a.css", &["Accept-Encoding: gzip", &same]);
    assert_eq!((response.status, response.field("vary")), (304, Some("Accept-Encoding")));
    assert_eq!(site.get("/a.css", &[&same]).status, 200, "the plain one is another");
    let part = site.get("/a.css", &["Accept-Encoding: gzip", "Range: bytes=0-1"]);
    assert_eq!((part.status, part.text()), (206, "gz"));
    assert_eq!(part.field("content-encoding"), Some("gzip"));
    assert_eq!(part.field("vary"), Some("Accept-Encoding"));
    // A compressed file that is older than the plain one is out of date.
    let old = site.get("/old.css", &["Accept-Encoding: gzip"]);
    assert_eq!((old.text(), old.field("vary")), ("newer", None));
    // Asked for by its own name it is a file like any other.
    let itself = site.get("/a.css.gz", &["Accept-Encoding: gzip"]);
    assert_eq!(itself.field("content-encoding"), None);
    assert_eq!(itself.field("content-type"), Some("application/gzip"));
}

#[test]
fn a_changed_file_is_seen_within_the_time_that_was_set() {
    for file_bytes in [0, 16 << 10] {
        let site = Site::new();
        site.write("a", "old").write("gone", "x");
        let revalidate = Duration::from_millis(20);
        site.serve(with(|o| {
            o.cache.revalidate = revalidate;
            o.cache.file_bytes = file_bytes;
        }));
        assert_eq!(site.get("/a", &[]).text(), "old");
        assert_eq!(site.get("/later", &[]).status, 404);
        assert_eq!(site.get("/gone", &[]).status, 200);
        // Replaced by rename, as careful writers do; made; and removed.
        site.write("new", "new content");
        fs::rename(site.path("new"), site.path("a")).unwrap();
        site.write("later", "now");
        fs::remove_file(site.path("gone")).unwrap();
        until("the new one is served", || site.get("/a", &[]).body == b"new content");
        until("the made one is served", || site.get("/later", &[]).status == 200);
        until("the removed one is gone", || site.get("/gone", &[]).status == 404);
    }
}

#[test]
fn a_file_written_just_now_has_a_weak_tag_and_is_read_again() {
    let site = Site::new();
    site.write("a", "one").age("a", Duration::ZERO);
    site.serve(with(|o| o.cache.revalidate = Duration::ZERO));
    let first = site.get("/a", &[]);
    // RFC 9110 §8.8.1: it may change again within the same tick of the clock.
    assert!(first.field("etag").unwrap().starts_with("W/"), "{first:?}");
    fs::write(site.path("a"), "two").unwrap();
    assert_eq!(site.get("/a", &[]).text(), "two");
    // A weak tag is good for revalidation and for nothing else.
    site.age("a", Duration::ZERO);
    until("the tag is the same for two requests", || {
        let response = site.get("/a", &[]);
        let tag = response.field("etag").unwrap();
        site.get("/a", &[&format!("If-None-Match: {tag}")]).status == 304
    });
}

#[test]
fn the_cache_can_be_small_or_off() {
    for (entries, descriptors, bytes) in [(0, 0, 0), (1, 0, 0), (3, 1, 10), (64, 4, 100_000)] {
        let site = Site::new();
        for n in 0..20 {
            site.write(&format!("small-{n}"), format!("{n}"));
            site.write(&format!("big-{n}"), vec![n; 20_000]);
        }
        site.serve(with(|o| {
            o.cache.entries = entries;
            o.cache.descriptors = descriptors;
            o.cache.bytes = bytes;
        }));
        for _ in 0..2 {
            for n in 0..20 {
                assert_eq!(site.get(&format!("/small-{n}"), &[]).text(), n.to_string());
                assert_eq!(site.get(&format!("/big-{n}"), &[]).body, vec![n; 20_000]);
            }
        }
    }
}

#[test]
fn pipelined_requests_for_files_of_all_sizes_get_responses_in_order() {
    let sizes = [0, 1, 1000, 16 << 10, (16 << 10) + 1, 200_000];
    let site = Site::new();
    for size in sizes {
        site.write(&format!("{size}"), vec![b'a' + (size % 26) as u8; size]);
    }
    site.serve(FilesOptions::default());
    let mut stream = site.connect();
    let mut requests = String::new();
    for round in 0..5 {
        for size in sizes {
            let last = round == 4 && size == 200_000;
            let connection = if last { "Connection: close\r\n" } else { "" };
            requests += &format!("GET /{size} HTTP/1.1\r\nHost: a\r\n{connection}\r\n");
        }
    }
    std::io::Write::write_all(&mut stream, requests.as_bytes()).unwrap();
    for _ in 0..5 {
        for size in sizes {
            let response = read_response(&mut stream);
            assert_eq!(response.body, vec![b'a' + (size % 26) as u8; size]);
        }
    }
}
