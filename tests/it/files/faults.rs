//! Regressions, each as the case that showed the fault.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::handlers::{BasicAuth, FieldRule, FilesOptions};

use super::{Site, with};
use crate::support::response::Response;
use crate::support::{read_response, until};

fn seconds(date: &str) -> u64 {
    let time = httpdate::parse_http_date(date).unwrap();
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_replaced_file_of_the_same_size_time_and_inode_has_another_tag() {
    use std::os::unix::fs::MetadataExt;
    let site = Site::new();
    let build = |text: &str| {
        fs::write(site.path("page.html"), text).unwrap();
        let file = fs::File::open(site.path("page.html")).unwrap();
        // As Nix does, so that a build can be repeated.
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    };
    build("first");
    // Nothing is believed without a look at the file.
    site.serve(with(|o| o.cache.revalidate = Duration::ZERO));
    let first = site.get("/page.html", &[]);
    let tag = first.field("etag").unwrap();
    build("other");
    let second = site.get("/page.html", &[&format!("If-None-Match: {tag}")]);
    assert_eq!((second.status, second.text()), (200, "other"));
    assert_ne!(second.field("etag").unwrap(), tag);
    // The tag does not disclose the inode number.
    let inode = fs::metadata(site.path("page.html")).unwrap().ino();
    let tag = second.field("etag").unwrap();
    assert!(!tag.split(['"', '-', '.']).any(|part| part == format!("{inode:x}")), "{tag}");
    // Another server has the same tag for it, as the next one will after a restart.
    let again = Site { dir: site.dir, server: std::sync::OnceLock::new() };
    again.serve(FilesOptions::default());
    assert_eq!(again.get("/page.html", &[]).field("etag").unwrap(), tag);
}

#[test]
fn a_file_from_the_future_counts_as_modified_now_until_its_time_has_come() {
    let site = Site::new();
    site.write("a.txt", "water").write("far.txt", "water");
    let date = |name: &str, time| {
        fs::File::open(site.path(name)).unwrap().set_modified(time).unwrap();
    };
    date("far.txt", SystemTime::now() + Duration::from_secs(86_400));
    let soon = SystemTime::now() + Duration::from_secs(3);
    date("a.txt", soon);
    // What is remembered is believed for long: a date that was rendered once would stay.
    site.serve(with(|o| o.cache.revalidate = Duration::from_secs(3600)));
    let first = site.get("/a.txt", &[]);
    for response in [first, site.get("/far.txt", &[]), site.ask("HEAD", "/far.txt", &[])] {
        // RFC 9110 §8.8.2.1. The second may change between the two fields.
        let (modified, now) =
            (response.field("last-modified").unwrap(), response.field("date").unwrap());
        assert!((0..=1).contains(&(seconds(now) - seconds(modified))), "{response:?}");
    }
    let due = soon.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let modified = || seconds(site.get("/a.txt", &[]).field("last-modified").unwrap());
    until("its own time has come", || {
        SystemTime::now() > soon + Duration::from_secs(2) && modified() == due
    });
    let since = format!("If-Modified-Since: {}", httpdate::fmt_http_date(soon));
    assert_eq!(site.get("/a.txt", &[&since]).status, 304);
}

#[test]
fn a_compressed_drawing_says_that_it_is_compressed() {
    let site = Site::new();
    site.write("a.svgz", "gzip").write("B.SVGZ", "gzip").write("a.svgz.br", "twice");
    site.write("a.svg", "<svg/>").serve(FilesOptions::default());
    for target in ["/a.svgz", "/B.SVGZ"] {
        let response = site.get(target, &["Accept-Encoding: br"]);
        assert_eq!((response.status, response.text()), (200, "gzip"));
        assert_eq!(response.field("content-type"), Some("image/svg+xml"));
        assert_eq!(response.field("content-encoding"), Some("gzip"), "{target}");
    }
    let part = site.get("/a.svgz", &["Range: bytes=0-0"]);
    assert_eq!((part.status, part.field("content-encoding")), (206, Some("gzip")));
    assert_eq!(site.get("/a.svg", &[]).field("content-encoding"), None);
}

#[test]
fn all_of_an_empty_file_is_the_whole_file() {
    let site = Site::new();
    site.write("empty", "").serve(FilesOptions::default());
    for (range, status) in [("-5", 200), ("0-", 200), ("0-0", 416), ("1-", 416), ("-0", 416)] {
        let response = site.get("/empty", &[&format!("Range: bytes={range}")]);
        assert_eq!(response.status, status, "{range}");
        let expected = (status == 416).then_some("bytes */0");
        assert_eq!(response.field("content-range"), expected, "{range}");
    }
}

#[test]
fn a_listing_that_is_cut_has_the_first_names_and_says_so_in_json_too() {
    let site = Site::new();
    let names: Vec<_> = (0..60).map(|n| format!("{n:02}")).collect();
    for name in names.iter().rev() {
        site.write(name, "");
    }
    site.write("zz/x", "").write("yy/x", "");
    let options = |listing_entries| {
        with(|o| {
            o.listing = true;
            o.listing_entries = listing_entries;
        })
    };
    site.serve(options(10));
    let json = site.get("/", &["Accept: application/json"]);
    let listed: Vec<_> = json.text().split("\"name\":\"").skip(1).map(|rest| &rest[..2]).collect();
    assert_eq!(listed, ["yy", "zz", "00", "01", "02", "03", "04", "05", "06", "07"]);
    assert!(
        json.text().ends_with("{\"type\":\"truncated\",\"listed\":10,\"total\":62}\n]\n"),
        "{}",
        json.text()
    );
    let html = site.get("/", &[]);
    let rows: Vec<_> = html.text().split("href=\"./").skip(1).map(|rest| &rest[..2]).collect();
    assert_eq!(rows, listed);
    assert!(html.text().contains("Only the first 10 of 62 names are shown."), "{}", html.text());
    let whole = Site { dir: site.dir, server: std::sync::OnceLock::new() };
    whole.serve(options(62));
    assert!(!whole.get("/", &["Accept: application/json"]).text().contains("truncated"));
}

fn rule(pattern: &str, name: &str, value: &str) -> FieldRule {
    FieldRule::new(pattern, name, value)
}

#[test]
fn the_fields_of_rules_are_on_every_response() {
    let site = Site::new();
    let users = format!("\u{feff}miller:{}\n", bcrypt::hash("grain", 4).unwrap());
    site.write("a.txt", "x").write(".env", "x").write("d/x", "x").write("users", users);
    let headers = vec![
        rule("**", "X-Frame-Options", "DENY"),
        rule("/**", "Strict-Transport-Security", "max-age=1"),
        rule("*.txt", "X-Text", "1"),
        rule("**", "Cache-Control", "max-age=600"),
    ];
    let auth = BasicAuth::new("mill", site.path("users"));
    site.serve(with(|o| {
        o.headers = headers;
        o.basic_auth = Some(auth);
    }));
    // The users' file begins with a byte order mark, as editors of Windows write it.
    let right = "Authorization: Basic bWlsbGVyOmdyYWlu";
    let check = |response: &Response, status: u16, text: bool| {
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.field("x-frame-options"), Some("DENY"), "{response:?}");
        assert!(response.field("strict-transport-security").is_some(), "{response:?}");
        assert_eq!(response.field("x-text").is_some(), text, "{response:?}");
        // Cache-Control is for files, not for errors.
        assert_eq!(response.field("cache-control").is_some(), status == 200, "{response:?}");
    };
    check(&site.get("/a.txt", &[right]), 200, true);
    for (target, status, text) in [
        ("/missing.txt", 404, true),
        ("/.env", 404, false),
        ("/.a.txt", 404, true),
        ("/d/../a.txt", 404, true),
        ("/%zz", 400, false),
        ("//", 404, false),
        ("/d/", 404, false),
    ] {
        check(&site.get(target, &[right]), status, text);
    }
    check(&site.get("/a.txt", &[]), 401, true);
    check(&site.get("/%zz", &[]), 401, false);
    check(&site.get("/a.txt", &["Authorization: Basic x"]), 401, true);
    check(&site.ask("POST", "/a.txt", &["Content-Length: 0"]), 405, true);
    check(&site.ask("OPTIONS", "/a.txt", &[]), 204, true);
    check(&site.ask("OPTIONS", "*", &[]), 204, false);
    check(&site.get("/a.txt", &[right, "If-Match: \"x\""]), 412, true);
    check(&site.get("/a.txt", &[right, "Range: bytes=9-"]), 416, true);
}

#[test]
fn the_file_of_users_is_not_sent_in_the_place_of_another() {
    let site = Site::new();
    let users = format!("miller:{}\n", bcrypt::hash("grain", 4).unwrap());
    site.write("a.txt", "x").write("a.txt.gz", users);
    let auth = BasicAuth::new("mill", site.path("a.txt.gz"));
    site.serve(with(|o| o.basic_auth = Some(auth)));
    let right = "Authorization: Basic bWlsbGVyOmdyYWlu";
    let response = site.get("/a.txt", &[right, "Accept-Encoding: gzip"]);
    assert_eq!((response.status, response.text()), (200, "x"));
    assert_eq!(response.field("content-encoding"), None);
}

#[test]
fn a_recreated_root_is_served() {
    let site = Site::new();
    site.write("a", "old").write("dir/b", "old");
    site.serve(with(|o| {
        o.cache.revalidate = Duration::from_millis(10);
        o.listing = true;
    }));
    assert_eq!(site.get("/a", &[]).text(), "old");
    assert!(site.get("/", &[]).text().contains("dir/"));
    fs::remove_dir_all(site.path("")).unwrap();
    until("it is gone", || site.get("/a", &[]).status == 404);
    fs::create_dir(site.path("")).unwrap();
    site.write("a", "new").write("other/b", "new");
    until("the new one is served", || site.get("/a", &[]).body == b"new");
    until("it is listed too", || site.get("/", &[]).text().contains("other/"));
    // One that was moved away is still what is served: the new one takes its place at a reload.
    fs::rename(site.path(""), site.dir.path().join("moved")).unwrap();
    fs::create_dir(site.path("")).unwrap();
    assert_eq!(site.get("/a", &[]).text(), "new");
}

#[test]
fn a_listing_is_rendered_once_within_the_time_to_revalidate() {
    let site = Site::new();
    site.write("a", "").write("b", "");
    site.serve(with(|o| {
        o.listing = true;
        o.cache.revalidate = Duration::from_secs(3600);
    }));
    let first = site.get("/", &[]);
    let json = site.get("/", &["Accept: application/json"]);
    fs::remove_file(site.path("b")).unwrap();
    assert_eq!(site.get("/", &[]).body, first.body);
    assert_eq!(site.get("/", &["Accept: application/json"]).body, json.body);
    assert_ne!(json.body, first.body);
}

#[test]
fn the_fallback_is_served_for_names_with_a_dot_if_that_is_set() {
    let site = Site::new();
    site.write("index.html", "app");
    let fallback = Some("index.html".to_owned());
    site.serve(with(|o| {
        o.fallback = fallback;
        o.fallback_dots = true;
    }));
    let response = site.get("/user/jane.doe", &["Accept: text/html"]);
    assert_eq!((response.status, response.text()), (200, "app"));
    for (target, accept) in [("/old.js", "*/*"), ("/.env", "text/html"), ("/a/../b", "text/html")] {
        assert_eq!(site.get(target, &[&format!("Accept: {accept}")]).status, 404, "{target}");
    }
}

#[test]
fn guesses_at_passwords_delay_no_user_whose_password_is_known() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let site = Site::new();
    let hash = |cost| bcrypt::hash("grain", cost).unwrap();
    site.write("a", "x").write("users", format!("miller:{}\nother:{}\n", hash(4), hash(8)));
    let auth = BasicAuth::new("mill", site.path("users"));
    site.serve(with(|o| o.basic_auth = Some(auth)));
    // miller:grain
    let right = "Authorization: Basic bWlsbGVyOmdyYWlu";
    assert_eq!(site.get("/a", &[right]).status, 200);
    let (stop, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // miller:chaff
                    let response = site.get("/a", &["Authorization: Basic bWlsbGVyOmNoYWZm"]);
                    match response.status {
                        401 => {}
                        503 => {
                            assert_eq!(response.field("retry-after"), Some("1"));
                            refused.store(true, Ordering::Relaxed);
                        }
                        other => panic!("{other}"),
                    }
                }
            });
        }
        // Two workers, and one permit: a second guess in the meantime is refused at once.
        until("a guess is refused", || {
            assert_eq!(site.get("/a", &[right]).text(), "x");
            refused.load(Ordering::Relaxed)
        });
        for _ in 0..20 {
            assert_eq!(site.get("/a", &[right]).text(), "x");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn slow_readers_of_long_listings_hold_no_worker() {
    let site = Site::new();
    for n in 0..400 {
        site.write(&format!("{n:0>200}"), "");
    }
    site.write("sub/a", "quick");
    site.serve(with(|o| {
        o.listing = true;
        o.listing_entries = 1 << 20;
    }));
    let length = site.get("/", &[]).body.len();
    assert!(length > 200_000, "{length}");
    // More than their sockets take, so that each of them waits for its reader.
    let mut slow: Vec<_> = (0..20).map(|_| site.connect()).collect();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(30);
    for stream in &mut slow {
        std::io::Write::write_all(stream, &request).unwrap();
    }
    until("all of them are parked", || site.server().stats().parked >= 20);
    assert_eq!(site.get("/sub/a", &[]).text(), "quick");
    // Every byte of what was asked for comes.
    let last = slow.pop().unwrap();
    drop(slow);
    let mut last = last;
    for _ in 0..30 {
        assert_eq!(read_response(&mut last).body.len(), length);
    }
}
