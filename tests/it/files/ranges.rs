//! Ranges (RFC 9110 §14).

use millpond::handlers::FilesOptions;

use super::{Site, with};
use crate::support::response::Response;

/// Ten thousand bytes whose content shows their offset.
fn content() -> Vec<u8> {
    (0..2000).flat_map(|n| format!("{n:04}\n").into_bytes()).collect()
}

/// The parts of a multipart/byteranges body (RFC 9110 §14.6): content type, range, bytes.
fn parts(response: &Response) -> Vec<(String, String, Vec<u8>)> {
    let kind = response.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let body = String::from_utf8(response.body.clone()).unwrap();
    let body = body.strip_prefix(&format!("--{boundary}\r\n")).unwrap();
    let body = body.strip_suffix(&format!("\r\n--{boundary}--\r\n")).unwrap();
    let delimiter = format!("\r\n--{boundary}\r\n");
    body.split(&delimiter)
        .map(|part| {
            let (head, content) = part.split_once("\r\n\r\n").unwrap();
            let field = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().to_owned()
            };
            (field("Content-Type: "), field("Content-Range: "), content.as_bytes().to_vec())
        })
        .collect()
}

#[test]
fn one_range_is_a_206_with_its_place() {
    let content = content();
    let site = Site::new();
    site.write("small.txt", &content).write("big.txt", content.repeat(5));
    site.serve(FilesOptions::default());
    for (file, length) in [("/small.txt", 10_000), ("/big.txt", 50_000)] {
        for (set, first, end) in [
            ("0-499", 0, 500),
            ("500-999", 500, 1000),
            ("-500", length - 500, length),
            ("9500-", 9500, length),
            ("0-0", 0, 1),
            ("9000-9999999", 9000, length),
            ("-9999999", 0, length),
            ("700-,600-699", 600, length),
        ] {
            let response = site.get(file, &[&format!("Range: bytes={set}")]);
            assert_eq!(response.status, 206, "{set}");
            let range = format!("bytes {first}-{}/{length}", end - 1);
            assert_eq!(response.field("content-range"), Some(range.as_str()), "{set}");
            assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
            assert!(response.body == content.repeat(5)[first..end], "{set}");
            // §15.3.7: the fields that a 200 would have had.
            assert!(response.field("etag").is_some() && response.field("last-modified").is_some());
        }
    }
}

#[test]
fn a_range_beyond_the_file_is_a_416_and_a_malformed_one_is_ignored() {
    let site = Site::new();
    site.write("a.txt", content()).write("empty", "").serve(FilesOptions::default());
    // §15.5.17.
    for set in ["10000-", "10000-10001", "20000-,30000-", "-0"] {
        let response = site.get("/a.txt", &[&format!("Range: bytes={set}")]);
        assert_eq!(response.status, 416, "{set}");
        assert_eq!(response.field("content-range"), Some("bytes */10000"));
    }
    let response = site.get("/empty", &["Range: bytes=0-0"]);
    assert_eq!(response.field("content-range"), Some("bytes */0"));
    // §14.2: invalid, of another unit, or asked of anything but GET.
    for range in ["bytes=5-4", "bytes=a-b", "bytes=", "bytes=--5", "lines=0-1", "bytes", "0-1"] {
        let response = site.get("/a.txt", &[&format!("Range: {range}")]);
        assert_eq!((response.status, response.body.len()), (200, 10_000), "{range}");
    }
    assert_eq!(site.ask("HEAD", "/a.txt", &["Range: bytes=0-1"]).status, 200);
}

#[test]
fn several_ranges_are_parts_in_the_order_asked_for() {
    let content = content();
    let site = Site::new();
    site.write("small.txt", &content).write("big.txt", content.repeat(5));
    site.serve(FilesOptions::default());
    for (file, length) in [("/small.txt", 10_000), ("/big.txt", 50_000)] {
        let response = site.get(file, &["Range: bytes=5000-5009,0-4,-5,99999-"]);
        assert_eq!(response.status, 206);
        // §15.3.7.2: the range is in the parts, not in the head.
        assert_eq!(response.field("content-range"), None);
        let all = content.repeat(5);
        let expected: Vec<_> = [5000..5010, 0..5, length - 5..length]
            .map(|range| {
                let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                ("text/plain; charset=utf-8".to_owned(), place, all[range].to_vec())
            })
            .into();
        assert_eq!(parts(&response), expected);
    }
}

#[test]
fn no_set_of_ranges_makes_more_of_a_file_than_there_is() {
    let site = Site::new();
    site.write("a.txt", content()).serve(FilesOptions::default());
    // §14.2: overlapping ones are joined, too many are ignored.
    let overlapping = vec!["0-"; 16].join(",");
    let response = site.get("/a.txt", &[&format!("Range: bytes={overlapping}")]);
    assert_eq!((response.status, response.body.len()), (206, 10_000));
    assert_eq!(response.field("content-range"), Some("bytes 0-9999/10000"));
    let small: Vec<_> = (0..17).map(|n| format!("{0}-{0}", n * 500)).collect();
    let response = site.get("/a.txt", &[&format!("Range: bytes={}", small.join(","))]);
    assert_eq!((response.status, response.body.len()), (200, 10_000));
    let response = site.get("/a.txt", &[&format!("Range: bytes={}", small[..16].join(","))]);
    assert_eq!((response.status, parts(&response).len()), (206, 16));
    let off = Site::new();
    off.write("a.txt", "water").serve(with(|o| o.ranges = 0));
    assert_eq!(off.get("/a.txt", &["Range: bytes=0-1"]).status, 200);
}
