//! Where requests lead.

use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::http::{Body, Next};

fn ask(router: &impl Handler, method: &str, target: &str) -> (u16, String, String) {
    let request = http::Request::builder().method(method).uri(target).body(Body::empty());
    let mut answer = router.handle(&mut Request::from(request.unwrap()));
    let allow = answer.headers().get(ALLOW).map_or("", |allow| allow.to_str().unwrap());
    let (status, allow) = (answer.status().as_u16(), allow.to_owned());
    let mut text = String::new();
    answer.body_mut().read_to_string(&mut text).unwrap();
    (status, allow, text)
}

fn say(text: &'static str) -> impl Handler {
    move |request: &mut Request| {
        let params: Vec<_> = ["id", "rest"].iter().filter_map(|name| request.param(name)).collect();
        Response::text(format!("{text} {}", params.join(" ")))
    }
}

fn router() -> Router {
    Router::new()
        .get("/", say("root"))
        .get("/users/{id}", say("user"))
        .delete("/users/{id}", say("delete"))
        .get("/users/me", say("me"))
        .post("/users", say("create"))
        .get("/files/{*rest}", say("file"))
        .get("/image-{id}.png", say("image"))
        .any("/any", say("any"))
        .post("/any", say("post"))
        .route(Method::from_bytes(b"BREW").unwrap(), "/pot", say("brew"))
}

#[test]
fn a_request_leads_to_the_handler_of_its_path_and_method() {
    let router = router();
    for (method, target, text) in [
        ("GET", "/", "root "),
        ("GET", "/?a=b", "root "),
        ("GET", "http://a", "root "),
        ("GET", "/users/7", "user 7"),
        ("HEAD", "/users/7", "user 7"),
        ("DELETE", "/users/7", "delete 7"),
        ("GET", "/users/me", "me "),
        ("GET", "/users/J%C3%B6rg%2F1", "user Jörg/1"),
        ("GET", "/users/100%", "user 100%"),
        ("GET", "/users/%zz", "user %zz"),
        ("POST", "/users", "create "),
        ("GET", "/files/a/b%20c", "file a/b c"),
        ("GET", "/image-3.png", "image 3"),
        ("PUT", "/any", "any "),
        ("ODD", "/any", "any "),
        ("POST", "/any", "post "),
        ("BREW", "/pot", "brew "),
    ] {
        assert_eq!(ask(&router, method, target), (200, String::new(), text.to_owned()), "{target}");
    }
}

#[test]
fn what_leads_nowhere_is_told_why() {
    let router = router();
    for (method, target, status, allow) in [
        ("GET", "/nowhere", 404, ""),
        ("GET", "/users/", 404, ""),
        ("GET", "/users/7/", 404, ""),
        ("GET", "/Users/7", 404, ""),
        ("POST", "/users/7", 405, "DELETE, GET, HEAD, OPTIONS"),
        ("get", "/users/7", 501, ""),
        ("ODD", "/nowhere", 501, ""),
        ("BREW", "/", 405, "GET, HEAD, OPTIONS"),
        ("HEAD", "/users", 405, "OPTIONS, POST"),
        ("OPTIONS", "/users", 204, "OPTIONS, POST"),
        ("OPTIONS", "*", 204, "BREW, DELETE, GET, HEAD, OPTIONS, POST"),
        ("CONNECT", "a:80", 404, ""),
        ("GET", "/users/%ff", 400, ""),
    ] {
        let (answered, allowed, _) = ask(&router, method, target);
        assert_eq!((answered, allowed.as_str()), (status, allow), "{method} {target}");
    }
    let router = router.fallback(say("lost"));
    assert_eq!(ask(&router, "GET", "/nowhere"), (200, String::new(), "lost ".to_owned()));
}

#[test]
fn a_catch_all_stands_for_nothing_too() {
    let router = Router::new()
        .get("/static/{*rest}", say("file"))
        .get("/users/{id}/{*rest}", say("of"))
        .post("/any/", say("written out"))
        .any("/any/{*rest}", say("any"))
        .any("/late/{*rest}", say("any"))
        .get("/late/", say("written out"))
        .get("/both/{id}/{*rest}", say("all"))
        .get("/both/{other}/", say("named otherwise"))
        .get("/{id}/", say("anything"));
    for (method, target, status, text) in [
        ("GET", "/static/", 200, "file "),
        ("GET", "/static/a", 200, "file a"),
        ("GET", "/users/7/", 200, "of 7 "),
        ("GET", "/users/7/8/9", 200, "of 7 8/9"),
        ("GET", "/late/", 200, "written out "),
        ("PUT", "/late/a", 200, "any a"),
        ("GET", "/both/7/", 200, "named otherwise "),
        ("GET", "/both/7/8", 200, "all 7 8"),
        ("GET", "/other/", 200, "anything other"),
    ] {
        let (answered, _, said) = ask(&router, method, target);
        assert_eq!((answered, said.as_str()), (status, text), "{method} {target}");
    }
    // The slash belongs to the route, and what is written out has the path for itself.
    assert_eq!(ask(&router, "GET", "/static").0, 404);
    assert_eq!(ask(&router, "GET", "/any/").0, 405);
    let nested = Router::new().any("/{*rest}", Router::new().get("/", say("inner")));
    assert_eq!(ask(&nested, "GET", "/"), (200, String::new(), "inner ".to_owned()));
    let twice = Router::new().get("/a/{*x}", say("one")).get("/a/{*y}", say("two"));
    assert!(twice.check().unwrap_err().to_string().contains("/a/{*y}"));
    let twice = Router::new().get("/a/{*x}", say("one")).get("/a/", say("two"));
    let again = twice.get("/a/", say("three")).check().unwrap_err();
    assert!(again.to_string().contains("GET has two handlers"));
}

#[test]
fn a_route_that_cannot_be_stops_the_start() {
    let refuse = |router: Router| router.check().unwrap_err().to_string();
    assert!(router().check().is_ok());
    assert!(refuse(router().get("/", say("again"))).contains("GET has two handlers"));
    assert!(refuse(router().get("/users/{other}", say("again"))).contains("/users/{other}"));
    assert!(refuse(router().get("users", say("slash"))).contains("begins with a slash"));
    assert!(refuse(router().get("/{a", say("open"))).contains("/{a"));
    assert!(refuse(router().any("/any", say("again"))).contains("two handlers"));
    let nested = Router::new().any("/{*rest}", router().get("x", say("inner")));
    assert!(refuse(nested).contains("the route x"));
}

#[test]
fn a_body_for_nothing_is_refused_beforehand() {
    let router = Router::new()
        .post("/", say("root"))
        .with(|request: &mut Request, next: Next<'_>| next.run(request));
    let asked = |target: &str| {
        let request = http::Request::builder().method("POST").uri(target).body(Body::empty());
        router.expect_continue(&Request::from(request.unwrap())).map(|answer| answer.status())
    };
    assert_eq!(asked("/"), None);
    assert_eq!(asked("/nowhere"), Some(StatusCode::NOT_FOUND));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_catch_all_has_the_rest_whatever_it_is(rest in "[a-z/.%0-9]{0,20}") {
        let router = Router::new().get("/files/{*rest}", |request: &mut Request| {
            Response::text(request.param("rest").unwrap_or("none").to_owned())
        });
        let (status, _, text) = ask(&router, "GET", &format!("/files/{rest}"));
        if rest.contains('%') {
            prop_assert!(status == 200 || status == 400, "{}", status);
        } else {
            prop_assert_eq!((status, text), (200, rest));
        }
    }
}
