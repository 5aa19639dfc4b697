//! Conditional requests (RFC 9110 §13).

use millpond::handlers::FilesOptions;

use super::Site;

#[test]
fn preconditions_are_evaluated_in_their_order() {
    let site = Site::new();
    site.write("a.txt", "water").serve(FilesOptions::default());
    let first = site.get("/a.txt", &[]);
    let field = |name| first.field(name).unwrap();
    let (tag, date) = (field("etag"), field("last-modified"));
    let before = "Sun, 06 Nov 1994 08:49:37 GMT";
    let after = "Fri, 31 Dec 9999 23:59:59 GMT";
    let table = [
        // §13.1.2, weak comparison.
        (304, format!("If-None-Match: {tag}")),
        (304, format!("If-None-Match: \"x\", W/{tag}")),
        (304, "If-None-Match: *".to_owned()),
        (200, "If-None-Match: \"x\"".to_owned()),
        // §13.1.3.
        (304, format!("If-Modified-Since: {date}")),
        (200, format!("If-Modified-Since: {after}")),
        (200, format!("If-Modified-Since: {before}")),
        (200, "If-Modified-Since: never".to_owned()),
        (200, format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}")),
        // §13.1.1, strong comparison.
        (200, format!("If-Match: {tag}")),
        (200, "If-Match: *".to_owned()),
        (412, format!("If-Match: W/{tag}")),
        (412, "If-Match: \"x\"".to_owned()),
        // §13.1.4.
        (200, format!("If-Unmodified-Since: {date}")),
        (412, format!("If-Unmodified-Since: {before}")),
        (200, format!("If-Match: {tag}\r\nIf-Unmodified-Since: {before}")),
        // §13.2.2: the failed precondition goes before the version that the client has.
        (412, format!("If-Match: \"x\"\r\nIf-None-Match: {tag}")),
        (304, format!("If-Match: {tag}\r\nIf-None-Match: {tag}")),
        (412, format!("If-Unmodified-Since: {before}\r\nIf-Modified-Since: {date}")),
        // §13.2.2, step 5: ranges come last.
        (304, format!("If-None-Match: {tag}\r\nRange: bytes=0-1")),
        (412, "If-Match: \"x\"\r\nRange: bytes=0-1".to_owned()),
        (206, format!("If-Match: {tag}\r\nRange: bytes=0-1")),
        (304, format!("If-None-Match: {tag}\r\nRange: bytes=99-")),
    ];
    for (status, fields) in &table {
        for method in ["GET", "HEAD"] {
            let response = site.ask(method, "/a.txt", &[fields]);
            // §14.2: a Range field of any method but GET is ignored.
            let expected = if method == "HEAD" && *status == 206 { 200 } else { *status };
            assert_eq!(response.status, expected, "{method} {fields}");
            if expected == 304 {
                // §15.4.5.
                assert_eq!(response.field("etag"), Some(tag));
                assert_eq!(response.field("content-type"), None);
                assert!(response.body.is_empty());
            }
        }
    }
    // §13.2.1: where the response would be no 2xx anyway, preconditions do not count.
    assert_eq!(site.get("/missing", &["If-Match: \"x\""]).status, 404);
    assert_eq!(site.get("/missing", &["If-None-Match: *"]).status, 404);
}

#[test]
fn if_range_gives_the_part_only_of_the_same_version() {
    let site = Site::new();
    site.write("a.txt", "water").serve(FilesOptions::default());
    let first = site.get("/a.txt", &[]);
    let field = |name| first.field(name).unwrap();
    let (tag, date) = (field("etag"), field("last-modified"));
    // §13.1.5, strong comparison; a date has to be the very one.
    for (status, value) in [
        (206, tag),
        (206, date),
        (200, &format!("W/{tag}")),
        (200, "\"x\""),
        (200, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (200, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (200, "junk"),
    ] {
        let response = site.get("/a.txt", &["Range: bytes=1-2", &format!("If-Range: {value}")]);
        assert_eq!(response.status, status, "{value}");
        assert_eq!(response.text(), if status == 206 { "at" } else { "water" });
    }
    assert_eq!(site.get("/a.txt", &[&format!("If-Range: {tag}")]).status, 200);
}
