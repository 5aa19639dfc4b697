//! JSON, forms, queries, cookies and conditions over the wire: what does not fit is a 4xx that
//! says what and where, as text or as `application/problem+json`.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use millpond::http::cookie::Cookie;
use millpond::http::{
    Body, IntoResponse, Json, Problem, Request, Response, Router, StatusCode, header,
};
use serde::{Deserialize, Serialize};

use super::common::serve;
use crate::support::response::Response as Received;
use crate::support::{TestServer, addr, connect, exchange, read_last_response, read_response};

#[derive(Debug, Deserialize, Serialize)]
struct Note {
    title: String,
    #[serde(default)]
    tags: Vec<String>,
    stars: Option<u8>,
}

fn start() -> TestServer {
    let router = Router::new()
        .post("/json", |req: &mut Request| -> Result<_, Problem> {
            Ok((StatusCode::CREATED, Json(req.json::<Note>()?)))
        })
        .post("/form", |req: &mut Request| req.form::<Note>().map(Json))
        .get("/query", |req: &mut Request| req.query::<Note>().map(Json))
        .get("/notes/{id}", |req: &mut Request| -> Result<String, Problem> {
            Ok(format!("note {}\n", req.param::<u32>("id")?))
        })
        .get("/cookies", |req: &mut Request| {
            format!("{} {}\n", req.cookies().count(), req.cookie("last").unwrap_or("none"))
        });
    serve(router)
}

/// The responses to a request as a client gets it that prefers text, and one that prefers JSON.
#[track_caller]
fn both(addr: SocketAddr, line: &str, fields: &str, body: &[u8]) -> [Received; 2] {
    ["", "Accept: application/json\r\n"].map(|accept| {
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{accept}{fields}\
             Content-Length: {length}\r\n\r\n"
        );
        let mut stream = connect(addr);
        stream.write_all(head.as_bytes()).unwrap();
        // The server may respond to a long body without reading all of it.
        let _ = stream.write_all(body);
        let _ = stream.shutdown(Shutdown::Write);
        read_last_response(&mut stream)
    })
}

/// Checks that both clients get this status and this text.
#[track_caller]
fn is_problem(received: &[Received; 2], status: u16, detail: &str) {
    let [text, json] = received;
    assert_eq!((text.status, json.status), (status, status), "{text:?}");
    assert_eq!(text.field("content-type"), Some("text/plain; charset=utf-8"));
    let start = format!("{status} {}: {detail}", text.reason);
    assert!(text.text().starts_with(&start), "{text:?}");
    assert_eq!(json.field("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().unwrap().starts_with(detail), "{problem}");
    assert!(text.body.len() < 1000 && json.body.len() < 1000, "{json:?}");
}

const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn json_is_decoded_and_what_does_not_fit_is_a_4xx_that_names_the_place() {
    let server = start();
    let post = |fields: &str, body: &[u8]| both(addr(&server), "POST /json", fields, body);
    let [note, _] = post(JSON, br#"{"title": "Rye", "tags": ["bread"]}"#);
    assert_eq!((note.status, note.field("content-type")), (201, Some("application/json")));
    assert_eq!(note.text(), r#"{"title":"Rye","tags":["bread"],"stars":null}"#);
    is_problem(&post(JSON, b"{\"title\": \"Rye\",\n]"), 400, "invalid JSON at line 2 column 1: ");
    is_problem(&post(JSON, b""), 400, "invalid JSON at line 1 column 0: ");
    is_problem(&post(JSON, b"{\"title\": \"\xff\"}"), 400, "invalid JSON at line 1 column 12: ");
    let detail = "JSON field \"stars\" at line 1 column 29: invalid value: integer `256`";
    is_problem(&post(JSON, br#"{"title": "Rye", "stars": 256}"#), 422, detail);
    let detail = "JSON at line 1 column 2: missing field `title`";
    is_problem(&post(JSON, b"{}"), 422, detail);
    is_problem(&post("", b"{}"), 415, "no content type: expected application/json");
    let detail = "unsupported content type \"application/x-www-form-urlencoded\": expected";
    is_problem(&post(FORM, b"{}"), 415, detail);
}

#[test]
fn json_bombs_are_rejected() {
    let server = start();
    let post = |body: &[u8]| both(addr(&server), "POST /json", JSON, body);
    let deep = format!("{{\"title\": {}", "[".repeat(100_000));
    is_problem(&post(deep.as_bytes()), 422, "JSON field \"title\" at line 1 column 10: ");
    let deep = format!("{{\"other\": {}", "[".repeat(100_000));
    is_problem(&post(deep.as_bytes()), 400, "invalid JSON at line 1 column 100010: ");
    let long = format!("{{\"title\": \"{}\"}}", "x".repeat(2 << 20));
    is_problem(&post(long.as_bytes()), 413, "the body is longer than the handler accepts");
    let name = format!("{{\"title\": \"\", \"stars\": \"{}\"}}", "x".repeat(1 << 19));
    is_problem(&post(name.as_bytes()), 422, "JSON field \"stars\" at line 1 column ");
}

#[test]
fn forms_and_queries_are_decoded_and_what_does_not_fit_names_the_field() {
    let server = start();
    let post = |fields: &str, body: &[u8]| both(addr(&server), "POST /form", fields, body);
    let [note, _] = post(FORM, b"title=Rye+bread&tags=a&tags=%e2%82%ac&stars=");
    assert_eq!((note.status, note.field("content-type")), (200, Some("application/json")));
    assert_eq!(note.text(), r#"{"title":"Rye bread","tags":["a","€"],"stars":null}"#);
    is_problem(&post(FORM, b"title=a&stars=5x"), 422, "form field \"stars\": invalid digit");
    is_problem(&post(FORM, b"tags=a"), 422, "form: missing field `title`");
    is_problem(&post(FORM, b"title=%ff"), 400, "form field \"title\": not UTF-8");
    is_problem(&post(JSON, b"title=a"), 415, "unsupported content type \"application/json\"");
    let many = vec!["title=a"; 10_000].join("&");
    is_problem(&post(FORM, many.as_bytes()), 413, "the form has more than 1000 fields");
    let long = format!("title={}", "a".repeat(2 << 20));
    is_problem(&post(FORM, long.as_bytes()), 413, "the body is longer");

    let get = |query: &str| both(addr(&server), &format!("GET /query?{query}"), "", b"");
    let [note, _] = get("title=Rye&tags=a&tags=b&stars=5");
    assert_eq!(note.text(), r#"{"title":"Rye","tags":["a","b"],"stars":5}"#);
    is_problem(&get("title=a&stars=-1"), 400, "query field \"stars\": invalid digit");
    is_problem(&get("title=a&title=b"), 400, "query field \"title\": expected one value");
    is_problem(&get("title=%e2%82"), 400, "query field \"title\": not UTF-8");
    is_problem(&get(&["a"; 2000].join("&")), 400, "the query has more than 1000 fields");
    // Rejected with the request line, before the client's format is known.
    assert_eq!(get(&["a"; 10_000].join("&"))[0].status, 414);
}

#[test]
fn a_parameter_that_is_not_utf_8_or_not_a_number_is_a_4xx() {
    let server = start();
    let get = |path: &str| both(addr(&server), &format!("GET {path}"), "", b"");
    assert_eq!(get("/notes/7")[0].text(), "note 7\n");
    is_problem(&get("/notes/x"), 404, "parameter \"id\": invalid digit found in string");
    assert_eq!(get("/notes/%ff").map(|received| received.status), [400, 400]);
}

#[test]
fn sixty_kib_of_cookies_are_read_and_malformed_ones_are_skipped() {
    let server = start();
    let get = |cookies: &str| {
        both(addr(&server), "GET /cookies", &format!("Cookie: {cookies}\r\n"), b"")[0].clone()
    };
    let mut many = "a=b; junk; =c; ".repeat(4000);
    many.push_str("last=4711");
    assert!(many.len() > 60_000);
    assert_eq!(get(&many).text(), "4001 4711\n");
    assert_eq!(get(&";".repeat(60_000)).text(), "0 none\n");
    assert_eq!(get(&"x".repeat(60_000)).text(), "0 none\n");
    assert_eq!(get(&"a=b; ".repeat(14_000)).status, 431);
}

#[test]
fn each_cookie_is_set_in_a_field_of_its_own() {
    let server = serve(|_: &mut Request| {
        let session = Cookie::build(("session", "4711")).path("/").http_only(true);
        Response::no_content().with_cookie(session).with_cookie(("a", "b")).without_cookie("old")
    });
    let received =
        exchange(addr(&server), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(received.status, 204);
    let set: Vec<_> = received
        .fields
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        .collect();
    assert_eq!(set[..2], ["session=4711; HttpOnly; Path=/", "a=b"]);
    assert!(set.len() == 3 && set[2].starts_with("old=; Max-Age=0; Expires="), "{set:?}");
}

#[test]
fn a_field_that_would_split_the_response_makes_it_a_500() {
    let server = serve(|req: &mut Request| {
        let name = req.query::<Vec<(String, String)>>().unwrap().remove(0).1;
        Response::text("ok\n")
            .with_header("x-name", name)
            .with_header(header::CONTENT_TYPE, "text/csv")
            .with_status(StatusCode::CREATED)
    });
    let get = |name: &str| both(addr(&server), &format!("GET /?name={name}"), "", b"");
    let [fine, _] = get("Ada");
    assert_eq!((fine.status, fine.field("x-name"), fine.text()), (201, Some("Ada"), "ok\n"));
    let [split, json] = get("a%0d%0aset-cookie:%20b=c");
    assert_eq!((split.status, split.text()), (500, "500 Internal Server Error\n"));
    assert_eq!(split.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(split.field("set-cookie").is_none() && split.field("x-name").is_none());
    assert_eq!(json.field("content-type"), Some("application/problem+json"));
}

#[test]
fn a_file_is_sent_whole_and_not_again_to_a_client_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.html");
    std::fs::write(&path, "<p>rye").unwrap();
    let server = serve(move |req: &mut Request| -> Result<Response, Problem> {
        Ok(Response::file(&path)?.conditional(req))
    });
    let mut stream = connect(addr(&server));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let whole = read_response(&mut stream);
    assert_eq!((whole.status, whole.text()), (200, "<p>rye"));
    assert_eq!(whole.field("content-type"), Some("text/html; charset=utf-8"));
    let tag = whole.field("etag").unwrap();
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n");
    stream.write_all(again.as_bytes()).unwrap();
    let not_modified = read_response(&mut stream);
    assert_eq!(not_modified.status, 304);
    assert!(not_modified.field("last-modified").is_some());
    let other = "GET / HTTP/1.1\r\nHost: a\r\nIf-Match: \"other\"\r\nConnection: close\r\n\r\n";
    stream.write_all(other.as_bytes()).unwrap();
    assert_eq!(read_last_response(&mut stream).status, 412);
}

#[test]
fn a_middleware_reads_and_replaces_a_body_of_any_kind() {
    let handler = |req: &mut Request| match req.uri().path() {
        "/written" => Response::new(Body::from_writer(|out| write!(out, "written"))),
        "/endless" => Response::new(Body::from_writer(|out| {
            loop {
                out.write_all(&[b'x'; 1000])?;
            }
        })),
        _ => "text".into_response(),
    };
    let server = serve(move |req: &mut Request| -> Result<Response, Problem> {
        let mut response = handler(req);
        let body = response.body_mut().read_bytes(100)?;
        *response.body_mut() = body.to_ascii_uppercase().into();
        Ok(response)
    });
    let get = |path: &str| both(addr(&server), &format!("GET {path}"), "", b"")[0].clone();
    assert_eq!(get("/written").text(), "WRITTEN");
    assert_eq!(get("/written").field("content-length"), Some("7"));
    assert_eq!(get("/").text(), "TEXT");
    assert_eq!(get("/endless").status, 413);
}
