//! Directories: index, redirect, listing.

use std::os::unix::fs::symlink;

use millpond::handlers::{Files, FilesOptions};
use millpond::http::{Request, Router};

use super::{Site, with};
use crate::support::daemon::get;
use crate::support::{addr, start_http};

#[test]
fn a_directory_is_served_by_its_index() {
    let site = Site::new();
    site.write("index.html", "home").write("a/index.htm", "second").write("b/x", "x");
    site.write("c/index.html/x", "a directory of that name").write("c/index.htm", "file");
    let index = ["index.html", "index.htm"].map(str::to_owned).into();
    site.serve(with(|o| o.index = index));
    assert_eq!(site.get("/", &[]).text(), "home");
    assert_eq!(site.get("http://test", &[]).text(), "home");
    let response = site.get("/a/", &[]);
    assert_eq!(response.text(), "second");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(site.get("/c/", &[]).text(), "file");
    assert_eq!(site.get("/b/", &[]).status, 404);
    assert_eq!(site.get("/index.html/", &[]).status, 404);
    assert_eq!(site.get("/b/x/", &[]).status, 404);
}

#[test]
fn nested_files_see_the_path_behind_the_prefix_and_redirect_with_it() {
    let site = Site::new();
    site.write("index.html", "home").write("a/b.txt", "b").write("a/index.html", "a");
    let files = Files::open(site.path(""), FilesOptions::default()).unwrap();
    let router = Router::new()
        .nest("/static", files)
        .get("/static/own", |_: &mut Request| "own")
        .fallback(|_: &mut Request| "fallback");
    let server = start_http(1, router);
    let get = |target: &str| get(addr(&server), target);
    assert_eq!(get("/static/").text(), "home");
    assert_eq!(get("/static/a/b.txt").text(), "b");
    assert_eq!(get("/static/a/").text(), "a");
    assert_eq!(get("/static/own").text(), "own");
    assert_eq!(get("/static/none").status, 404);
    assert_eq!(get("/other").text(), "fallback");
    for (target, location) in
        [("/static", "/static/"), ("/static?x=1", "/static/?x=1"), ("/static/a", "/static/a/")]
    {
        let response = get(target);
        assert_eq!((response.status, response.field("location")), (301, Some(location)));
    }
}

#[test]
fn a_directory_without_its_slash_is_redirected_within_the_site() {
    let site = Site::new();
    site.write("a/b/index.html", "b").write("odd \\%\r\né/index.html", "odd");
    site.write("evil.example/x", "").serve(FilesOptions::default());
    // RFC 9110 §15.4.2, §10.2.2. The location has one slash at its start, whatever was asked for.
    for (target, location) in [
        ("/a", "/a/"),
        ("/a/b", "/a/b/"),
        ("/a/b?x=1&y=//z", "/a/b/?x=1&y=//z"),
        ("/%61", "/a/"),
        ("/odd%20%5C%25%0D%0A%C3%A9", "/odd%20%5C%25%0D%0A%C3%A9/"),
        ("/evil.example", "/evil.example/"),
        ("http://other.example/a", "/a/"),
    ] {
        let response = site.get(target, &[]);
        assert_eq!(response.status, 301, "{target}");
        assert_eq!(response.field("location"), Some(location), "{target}");
    }
    for target in [
        "//a",
        "//evil.example",
        "///evil.example",
        "/%2fevil.example",
        "/%5cevil.example",
        "/a//",
        "//evil.example/%2e%2e",
        "/./a",
        "/a/b%2f",
    ] {
        let response = site.get(target, &[]);
        assert_eq!((response.status, response.field("location")), (404, None), "{target}");
    }
    for target in ["/\\evil.example", "/a\\"] {
        let response = site.get(target, &[]);
        assert_eq!((response.status, response.field("location")), (400, None), "{target}");
    }
}

#[test]
fn a_listing_is_for_people_and_for_programs() {
    let site = Site::new();
    site.write("files/b.txt", vec![0; 1536]).write("files/a <&>\".txt", "x").write("files/Z/x", "");
    site.write("files/.env", "secret").write("files/.htpasswd", "secret");
    site.write("files/with/index.html", "has an index").write("empty/x", "");
    std::fs::remove_file(site.path("empty/x")).unwrap();
    symlink("../../outside", site.path("files/out")).unwrap();
    symlink("b.txt", site.path("files/to-b")).unwrap();
    symlink("nothing", site.path("files/dangling")).unwrap();
    site.serve(with(|o| o.listing = true));
    let page = site.get("/files/", &["Accept: text/html,*/*;q=0.8"]);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("vary"), Some("Accept"));
    assert!(page.field("content-security-policy").is_some());
    let text = page.text();
    let links: Vec<_> =
        text.split("href=\"").skip(1).map(|l| l.split('"').next().unwrap()).collect();
    let expected = ["../", "./with/", "./Z/", "./a%20%3C%26%3E%22.txt", "./b.txt", "./to-b"];
    assert_eq!(links, expected);
    assert!(text.contains("a &lt;&amp;&gt;&quot;.txt") && text.contains("1.5 KiB"), "{text}");
    for secret in [".env", ".htpasswd", "out", "dangling"] {
        assert!(!text.contains(&format!(">{secret}<")), "{secret}");
    }
    let json = site.get("/files/", &["Accept: application/json"]);
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert!(
        json.text().contains("{\"name\":\"a <&>\\\".txt\",\"href\":\"./a%20%3C%26%3E%22.txt\"")
    );
    assert!(site.get("/", &[]).text().contains("href=\"./files/\""));
    assert!(!site.get("/", &[]).text().contains("href=\"../\""));
    assert!(site.get("/empty/", &[]).text().contains("This directory is empty."));
    assert_eq!(site.get("/files/with/", &[]).text(), "has an index");
    assert!(site.ask("HEAD", "/files/", &[]).body.is_empty());
    assert_eq!(site.get("/files", &[]).status, 301);
}

#[test]
fn a_long_listing_ends_with_a_note() {
    let site = Site::new();
    for n in 0..30 {
        site.write(&format!("{n}"), "");
    }
    site.serve(with(|o| {
        o.listing = true;
        o.listing_entries = 10;
    }));
    let text = site.get("/", &[]).body;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches("<tr><td>").count(), 10);
    assert!(text.contains("Only the first 10 of 30 names"), "{text}");
}
