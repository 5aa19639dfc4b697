//! Which handler a request reaches.

use std::io::Read;

use http::header::ALLOW;
use proptest::prelude::*;

use super::table::{NamedTarget, Table};
use super::{IntoRoute, Route, Router};
use crate::http::{Body, Handler, Method, Next, Request, Response, StateNext, StatusCode};

fn response_to(router: &impl Handler, method: &str, target: &str) -> (u16, String, String) {
    let request = http::Request::builder().method(method).uri(target).body(Body::empty());
    let mut response = router.handle(&mut Request::from(request.unwrap()));
    let allow = response.headers().get(ALLOW).map_or("", |allow| allow.to_str().unwrap());
    let (status, allow) = (response.status().as_u16(), allow.to_owned());
    let mut text = String::new();
    response.body_mut().read_to_string(&mut text).unwrap();
    (status, allow, text)
}

fn respond(text: &'static str) -> impl Handler {
    move |request: &mut Request| {
        let params: Vec<_> =
            ["id", "rest"].iter().filter_map(|name| request.param_text(name)).collect();
        Response::text(format!("{text} {}", params.join(" ")))
    }
}

fn router() -> Router {
    Router::new()
        .get("/", respond("root"))
        .get("/users/{id}", respond("user"))
        .delete("/users/{id}", respond("delete"))
        .get("/users/me", respond("me"))
        .post("/users", respond("create"))
        .get("/files/{*rest}", respond("file"))
        .get("/image-{id}.png", respond("image"))
        .any("/any", respond("any"))
        .post("/any", respond("post"))
        .route(Method::from_bytes(b"BREW").unwrap(), "/pot", respond("brew"))
}

#[test]
fn a_request_reaches_the_handler_of_its_path_and_method() {
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
        assert_eq!(
            response_to(&router, method, target),
            (200, String::new(), text.to_owned()),
            "{target}"
        );
    }
}

#[test]
fn a_request_without_a_handler_gets_the_status_that_says_why() {
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
        let (got, allowed, _) = response_to(&router, method, target);
        assert_eq!((got, allowed.as_str()), (status, allow), "{method} {target}");
    }
    let router = router.fallback(respond("lost"));
    assert_eq!(response_to(&router, "GET", "/nowhere"), (200, String::new(), "lost ".to_owned()));
}

#[test]
fn a_catch_all_matches_an_empty_rest() {
    let router = Router::new()
        .get("/static/{*rest}", respond("file"))
        .get("/users/{id}/{*rest}", respond("of"))
        .post("/any/", respond("written out"))
        .any("/any/{*rest}", respond("any"))
        .any("/late/{*rest}", respond("any"))
        .get("/late/", respond("written out"))
        .get("/both/{id}/{*rest}", respond("all"))
        .get("/both/{other}/", respond("named otherwise"))
        .get("/{id}/", respond("anything"));
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
        let (got, _, body) = response_to(&router, method, target);
        assert_eq!((got, body.as_str()), (status, text), "{method} {target}");
    }
    // The slash belongs to the route, and a literal path takes precedence.
    assert_eq!(response_to(&router, "GET", "/static").0, 404);
    assert_eq!(response_to(&router, "GET", "/any/").0, 405);
    let nested = Router::new().any("/{*rest}", Router::new().get("/", respond("inner")));
    assert_eq!(response_to(&nested, "GET", "/"), (200, String::new(), "inner ".to_owned()));
    let twice = Router::new().get("/a/{*x}", respond("one")).get("/a/{*y}", respond("two"));
    assert!(twice.check().unwrap_err().to_string().contains("/a/{*y}"));
    let twice = Router::new().get("/a/{*x}", respond("one")).get("/a/", respond("two"));
    let again = twice.get("/a/", respond("three")).check().unwrap_err();
    assert!(again.to_string().contains("GET has two handlers"));
}

#[test]
fn an_invalid_route_stops_the_start() {
    let refuse = |router: Router| router.check().unwrap_err().to_string();
    assert!(router().check().is_ok());
    assert!(refuse(router().get("/", respond("again"))).contains("GET has two handlers"));
    assert!(refuse(router().get("/users/{other}", respond("again"))).contains("/users/{other}"));
    assert!(refuse(router().get("users", respond("slash"))).contains("must begin with a slash"));
    assert!(refuse(router().get("/{a", respond("open"))).contains("/{a"));
    assert!(refuse(router().any("/any", respond("again"))).contains("two handlers"));
    let nested = Router::new().any("/{*rest}", router().get("x", respond("inner")));
    assert!(refuse(nested).contains("invalid route \"x\""));
}

#[test]
fn a_body_without_a_handler_is_refused_beforehand() {
    let router = Router::new()
        .post("/", respond("root"))
        .with(|request: &mut Request, next: Next<'_>| next.run(request));
    let refusal = |target: &str| {
        let request = http::Request::builder().method("POST").uri(target).body(Body::empty());
        router.expect_continue(&Request::from(request.unwrap())).map(|response| response.status())
    };
    assert_eq!(refusal("/"), None);
    assert_eq!(refusal("/nowhere"), Some(StatusCode::NOT_FOUND));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_catch_all_matches_any_rest(rest in "[a-z/.%0-9]{0,20}") {
        let router = Router::new().get("/files/{*rest}", |request: &mut Request| {
            Response::text(request.param_text("rest").unwrap_or("none").to_owned())
        });
        let (status, _, text) = response_to(&router, "GET", &format!("/files/{rest}"));
        if rest.contains('%') {
            prop_assert!(status == 200 || status == 400, "{}", status);
        } else {
            prop_assert_eq!((status, text), (200, rest));
        }
    }
}

#[test]
fn a_nested_handler_sees_the_path_behind_its_prefix() {
    let inner = |request: &mut Request| format!("{} of {}", request.path(), request.uri().path());
    let router = Router::new()
        .nest("/static", inner)
        .nest("/users/{id}/files", |request: &mut Request| {
            format!("{} {}", request.param_text("id").unwrap(), request.path())
        })
        .nest("/api", Router::new().nest("/v1", inner).get("/ping", respond("pong")))
        .get("/static/explicit", respond("explicit"));
    for (target, text) in [
        ("/static", "/ of /static"),
        ("/static/", "/ of /static/"),
        ("/static/a/b%20c", "/a/b%20c of /static/a/b%20c"),
        ("/static/explicit", "explicit "),
        ("/users/7/files/a", "7 /a"),
        ("/users/7/files", "7 /"),
        ("/api/v1/x", "/x of /api/v1/x"),
        ("/api/v1", "/ of /api/v1"),
        ("/api/ping", "pong "),
    ] {
        assert_eq!(response_to(&router, "GET", target), (200, String::new(), text.to_owned()));
    }
    assert_eq!(response_to(&router, "GET", "/staticx").0, 404);
    let root = Router::new().get("/a", respond("a")).nest("/", inner);
    assert_eq!(response_to(&root, "GET", "/").2, "/ of /");
    assert_eq!(response_to(&root, "GET", "/b").2, "/b of /b");
    assert_eq!(response_to(&root, "GET", "/a").2, "a ");
    let twice = Router::new().nest("/a", respond("one")).nest("/a", respond("two"));
    assert!(twice.check().is_err());
}

#[test]
fn merged_routes_keep_their_middlewares() {
    fn guard(_: &mut Request, _: Next<'_>) -> StatusCode {
        StatusCode::UNAUTHORIZED
    }
    let guarded =
        Router::new().post("/notes", respond("add")).get("/own", respond("own")).with(guard);
    let router = Router::new().get("/notes", respond("list")).merge(guarded);
    assert_eq!(response_to(&router, "GET", "/notes").2, "list ");
    assert_eq!(response_to(&router, "POST", "/notes").0, 401);
    assert_eq!(response_to(&router, "GET", "/own").0, 401);
    assert_eq!(response_to(&router, "OPTIONS", "/notes").1, "GET, HEAD, OPTIONS, POST");
    let prefixed = Router::new().merge_at("/v1", Router::new().get("/a", respond("a")));
    assert_eq!(response_to(&prefixed, "GET", "/v1/a").2, "a ");
    let prefixed = Router::new().merge_at("/v1/", Router::new().get("/a", respond("a")));
    assert_eq!(response_to(&prefixed, "GET", "/v1/a").2, "a ");
    let wrong = Router::new().merge(Router::new().get("a", respond("a")));
    assert!(wrong.check().unwrap_err().to_string().contains("\"a\""));
}

#[test]
fn routes_and_middlewares_share_the_state() {
    fn count(counter: &mut u32, request: &mut Request, next: StateNext<'_, u32>) -> Response {
        *counter += 1;
        next.run(counter, request)
    }
    let router = Router::new()
        .get("/", |counter: &mut u32, _: &mut Request| format!("{counter}"))
        .get("/plain", respond("plain"))
        .with_stateful(count)
        .with(|request, next| next.run(request))
        .with_state(|worker| Ok::<_, std::io::Error>(worker as u32 * 10));
    router.prepare_worker(4).unwrap();
    assert_eq!(response_to(&router, "GET", "/").2, "41");
    assert_eq!(response_to(&router, "GET", "/plain").2, "plain ");
    assert_eq!(response_to(&router, "GET", "/").2, "43");
}

#[test]
fn a_path_without_the_method_may_have_a_handler() {
    let router = Router::new()
        .post("/a", respond("a"))
        .method_not_allowed(|_: &mut Request| (StatusCode::METHOD_NOT_ALLOWED, "not so"));
    assert_eq!(
        response_to(&router, "GET", "/a"),
        (405, "OPTIONS, POST".to_owned(), "not so".to_owned())
    );
}

#[test]
fn named_routes_are_counted() {
    let name = |request: &mut Request| request.route_name().unwrap_or("none");
    let router = Router::new().get("/a", name).named("first").get("/b", name);
    assert_eq!(response_to(&router, "GET", "/a").2, "first");
    assert_eq!(response_to(&router, "GET", "/b").2, "none");
    let many = (0..65).fold(Router::new(), |router: Router, number| {
        router.get(&format!("/{number}"), name).named("one of many")
    });
    assert!(many.check().unwrap_err().to_string().contains("64 routes"));
    let router: Router = Router::new().named("no route");
    assert!(router.check().is_err());
}

/// Paths with and without names, with escaped braces, and with a catch-all.
const PATHS: &str = r"(/(a|b|ab|\{x\}|a\{x\}|\{\{a\}\}|[ab]{31})){1,3}/?|(/[ab]){0,2}/\{\*r\}";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_shortcut_for_literal_paths_finds_what_the_matcher_finds(
        paths in prop::collection::vec(PATHS, 1..8),
        nested in prop::collection::vec(any::<bool>(), 8),
        target in "(/(a|b|ab|\\{a\\})){1,3}/?",
    ) {
        let mut table = Table::<()>::new();
        for (path, nested) in paths.iter().zip(nested) {
            // Some of them conflict. Those are not part of the table.
            let Route(target) = respond("it").into_route();
            table.add_any(path, nested, NamedTarget { target, name: None });
        }
        if let Some(literal) = table.find_literal(&target) {
            let found = table.find(&target).unwrap();
            prop_assert_eq!(&literal.path, &found.routes.path);
            prop_assert!(found.is_literal() && !literal.nested);
        }
    }
}
