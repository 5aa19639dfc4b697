//! Options: error pages, fields, CORS, passwords; and what is refused at the start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millpond::ErrorKind;
use millpond::handlers::{BasicAuth, Cors, FieldRule, Files, FilesOptions};

use super::{Site, with};

fn rule(pattern: &str, name: &str, value: &str) -> FieldRule {
    FieldRule::new(pattern, name, value)
}

#[test]
fn errors_have_pages_of_their_own() {
    let site = Site::new();
    site.write("errors/404.html", "<h1>lost</h1>").write("errors/405.txt", "not so");
    let pages = [(404, "/errors/404.html"), (405, "errors/405.txt")];
    let error_pages = pages.map(|(status, page)| (status, page.to_owned())).into();
    let headers = vec![rule("/**", "Cache-Control", "max-age=31536000"), rule("**", "X-Mill", "1")];
    site.serve(with(|o| {
        o.error_pages = error_pages;
        o.headers = headers;
    }));
    let response = site.get("/missing", &["If-None-Match: *", "Range: bytes=0-1"]);
    assert_eq!((response.status, response.text()), (404, "<h1>lost</h1>"));
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!((response.field("etag"), response.field("last-modified")), (None, None));
    // An error is not kept for as long as the file would be.
    assert_eq!(response.field("cache-control"), None);
    assert_eq!(response.field("x-mill"), Some("1"));
    let response = site.ask("POST", "/", &["Content-Length: 0"]);
    assert_eq!((response.status, response.text()), (405, "not so"));
    assert!(response.field("allow").is_some());
    let page = site.get("/errors/404.html", &[]);
    assert_eq!(page.status, 200);
    assert_eq!(page.field("cache-control"), Some("max-age=31536000"));
    assert!(site.ask("HEAD", "/missing", &[]).body.is_empty());
}

#[test]
fn a_single_page_application_gets_its_page_for_pages_only() {
    let site = Site::new();
    site.write("index.html", "app").write("assets/app.js", "js");
    let fallback = Some("index.html".to_owned());
    site.serve(with(|o| o.fallback = fallback));
    let html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    for target in ["/login", "/user/7", "/assets/", "/a/b/"] {
        let response = site.get(target, &[html]);
        assert_eq!((response.status, response.text()), (200, "app"), "{target}");
        assert_eq!(response.field("vary"), Some("Accept"));
        // A page loads pictures and data too: those that are missing are missing.
        assert_eq!(site.get(target, &["Accept: */*"]).status, 404, "{target}");
        assert_eq!(site.get(target, &[]).status, 404, "{target}");
    }
    assert_eq!(site.ask("HEAD", "/login", &[html]).status, 200);
    for target in ["/assets/old.js", "/favicon.ico", "/a/b.html", "/.env", "/..", "//x"] {
        assert_eq!(site.get(target, &[html]).status, 404, "{target}");
    }
    assert_eq!(site.ask("POST", "/login", &[html, "Content-Length: 0"]).status, 405);
    let login = site.get("/login", &[html]);
    let tag = login.field("etag").unwrap();
    assert_eq!(site.get("/user", &[html, &format!("If-None-Match: {tag}")]).status, 304);
}

#[test]
fn fields_are_added_by_path_and_the_last_rule_wins() {
    let site = Site::new();
    site.write("a.html", "a").write("assets/x.css", "x").write("d/e/f", "f");
    let headers = vec![
        rule("**", "X-Frame-Options", "DENY"),
        rule("/assets/**", "Cache-Control", "public, max-age=31536000, immutable"),
        rule("*.html", "cache-control", "no-cache"),
        rule("*.html", "X-Frame-Options", "SAMEORIGIN"),
    ];
    let cache_control = Some("max-age=60".to_owned());
    site.serve(with(|o| {
        o.headers = headers;
        o.cache_control = cache_control;
    }));
    for (target, cache, frame) in [
        ("/a.html", Some("no-cache"), "SAMEORIGIN"),
        ("/assets/x.css", Some("public, max-age=31536000, immutable"), "DENY"),
        ("/d/e/f", Some("max-age=60"), "DENY"),
        ("/d/e", None, "DENY"),
        ("/missing.html", None, "SAMEORIGIN"),
    ] {
        let response = site.get(target, &[]);
        assert_eq!(response.field("cache-control"), cache, "{target}");
        assert_eq!(response.field("x-frame-options"), Some(frame), "{target}");
    }
    // RFC 9110 §15.4.5: a 304 has the Cache-Control that the 200 would have had.
    let same = site.get("/a.html", &["If-None-Match: *"]);
    assert_eq!((same.status, same.field("cache-control")), (304, Some("no-cache")));
}

#[test]
fn other_origins_may_read_what_they_are_allowed_to() {
    let site = Site::new();
    site.write("a", "x").serve(with(|o| o.cors = Some(Cors::default())));
    let response = site.get("/a", &["Origin: https://a.example"]);
    assert_eq!(response.field("access-control-allow-origin"), Some("*"));
    assert!(response.field("access-control-expose-headers").unwrap().contains("ETag"));
    assert_eq!(response.field("vary"), None);
    assert!(site.get("/none", &[]).field("access-control-allow-origin").is_some());
    let preflight = [
        "Origin: https://a.example",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: range",
    ];
    let response = site.ask("OPTIONS", "/a", &preflight);
    assert_eq!(response.status, 204);
    assert_eq!(response.field("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert!(response.field("access-control-allow-headers").unwrap().contains("Range"));
    assert_eq!(response.field("access-control-max-age"), Some("3600"));

    let site = Site::new();
    let origins = vec!["https://a.example".to_owned(), "https://b.example".to_owned()];
    let mut cors = Cors::default();
    (cors.origins, cors.max_age) = (origins, Duration::from_secs(5));
    site.write("a", "x").serve(with(|o| o.cors = Some(cors)));
    for (origin, allowed) in
        [("https://b.example", true), ("https://c.example", false), ("null", false)]
    {
        let origin = format!("Origin: {origin}");
        let response = site.get("/a", &[&origin]);
        let expected = allowed.then_some(&origin["Origin: ".len()..]);
        assert_eq!(response.field("access-control-allow-origin"), expected);
        assert_eq!(response.field("vary"), Some("Origin"));
        let response = site.ask("OPTIONS", "/a", &[&origin, "Access-Control-Request-Method: GET"]);
        assert_eq!(response.field("access-control-max-age").is_some(), allowed);
    }
    assert_eq!(site.get("/a", &[]).field("vary"), Some("Origin"));
}

#[test]
fn nothing_is_disclosed_without_the_password() {
    let site = Site::new();
    site.write("a", "x").write("users", format!("miller:{}\n", bcrypt::hash("grain", 4).unwrap()));
    let auth = BasicAuth::new("the \"mill\"", site.path("users"));
    site.serve(with(|o| {
        o.basic_auth = Some(auth);
        o.cors = Some(Cors::default());
        o.listing = true;
    }));
    // RFC 7617 §2, RFC 9110 §11.6.1. "miller:grain", and others.
    let right = "Authorization: Basic bWlsbGVyOmdyYWlu";
    for target in ["/a", "/", "/missing", "/%zz", "/users"] {
        for field in ["X: y", "Authorization: Basic bWlsbGVyOmNoYWZm", "Authorization: Bearer x"] {
            let response = site.get(target, &[field]);
            assert_eq!(response.status, 401, "{target} {field}");
            let challenge = "Basic realm=\"the \\\"mill\\\"\", charset=\"UTF-8\"";
            assert_eq!(response.field("www-authenticate"), Some(challenge));
        }
    }
    for _ in 0..3 {
        assert_eq!(site.get("/a", &[right]).text(), "x");
    }
    assert_eq!(site.get("/missing", &[right]).status, 404);
    // The file of users itself is in the root here, under an ordinary name.
    assert_eq!(site.get("/users", &[right]).status, 404);
    let preflight = ["Origin: https://a.example", "Access-Control-Request-Method: GET"];
    assert_eq!(site.ask("OPTIONS", "/a", &preflight).status, 204, "without credentials");
}

#[test]
fn options_that_cannot_work_are_refused_before_anything_is_bound() {
    let site = Site::new();
    site.write("a.html", "x").write("users", "miller:plain\n");
    fs::create_dir(site.path("dir")).unwrap();
    let error_of = |change: fn(&mut FilesOptions, &Path)| {
        let mut options = FilesOptions::default();
        change(&mut options, &site.path(""));
        Files::open(site.path(""), options).unwrap_err()
    };
    fn cors(origins: &[&str]) -> Option<Cors> {
        let mut cors = Cors::default();
        cors.origins = origins.iter().map(ToString::to_string).collect();
        Some(cors)
    }
    let errors = [
        error_of(|o, _| o.error_pages = [(404, "none.html".to_owned())].into()),
        error_of(|o, _| o.error_pages = [(404, "dir".to_owned())].into()),
        error_of(|o, _| o.error_pages = [(404, "../a".to_owned())].into()),
        error_of(|o, _| o.error_pages = [(200, "a.html".to_owned())].into()),
        error_of(|o, _| o.fallback = Some("none.html".to_owned())),
        error_of(|o, _| o.index = vec!["a/b".to_owned()]),
        error_of(|o, _| o.index = vec![String::new()]),
        error_of(|o, _| o.headers = vec![rule("**", "X Y", "z")]),
        error_of(|o, _| o.headers = vec![rule("**", "Content-Length", "1")]),
        error_of(|o, _| o.cache_control = Some("a\nb".to_owned())),
        error_of(|o, _| o.types = [("a".to_owned(), "b".to_owned())].into()),
        error_of(|o, _| o.default_type = String::new()),
        error_of(|o, _| o.charset = Some("a b".to_owned())),
        error_of(|o, _| o.cache.file_bytes = 1 << 20),
        error_of(|o, _| o.cors = cors(&[])),
        error_of(|o, _| o.cors = cors(&["a.example/"])),
        error_of(|o, dir| {
            o.basic_auth = Some(BasicAuth::new("x", dir.join("none")));
        }),
        error_of(|o, dir| {
            o.basic_auth = Some(BasicAuth::new("x", dir.join("users")));
        }),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
    }
    for root in ["none", "a.html"] {
        let error = Files::open(site.path(root), FilesOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(root) && error.hint().is_some(), "{error}");
    }
}
