//! [`Router`]: selects a handler by method and path.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::layers::{Layered, Layers, PlainLayer, StateLayer, StateNext};
use super::table::{NamedTarget, Table};
use super::target::{IntoRoute, RouteTarget};
use crate::http::handler::Next;
use crate::http::message::{IntoResponse, Request};

/// A handler that dispatches requests to other handlers, by method and path.
///
/// `S` is the state that each worker has for itself, such as a database connection: see
/// [`with_state`](Self::with_state). A route is a [`Handler`](crate::http::Handler), or a function
/// of the state and the request.
///
/// A path is matched segment by segment, before percent-decoding. `{name}` matches one segment, or
/// a part of one, and `{*name}` the whole rest, which may be empty: `/files/{*rest}` matches
/// `/files/` too, unless another route does, but not `/files`. Literal segments take precedence
/// over names. A trailing slash is significant. The handler gets the values of names from
/// [`Request::param`](Request::param).
///
/// - HEAD goes to the handler of GET, unless the path has a handler for HEAD; the body is not sent.
/// - OPTIONS gets a 204 with the allowed methods (Allow), unless the path has a handler for
///   OPTIONS.
/// - `OPTIONS *` gets a 204 with the methods of all routes.
/// - A known path with another method gets a 405 with Allow. An unknown path gets a 404, unless
///   there is a [`fallback`](Self::fallback). A method that is not standard, and that no route has,
///   gets a 501 (RFC 9110 §9.1, §15.5.6).
/// - A path gets a 400 if the value of a name is not UTF-8 after decoding.
///
/// The server does not start with a route that is malformed or exists twice.
///
/// # Examples
/// ```
/// use millpond::http::{Handler, Request, Response, Router};
///
/// fn greet(req: &mut Request) -> Response {
///     Response::text(format!("Good day, {}", req.param_text("name").unwrap_or("stranger")))
/// }
///
/// let router = Router::new()
///     .get("/", |_req: &mut Request| Response::html("<h1>Users</h1>"))
///     .get("/greet/{name}", greet)
///     .post("/users", |_req: &mut Request| Response::error(http::StatusCode::CREATED));
///
/// let response_to = |method: &str, path: &str| {
///     let request = http::Request::builder().method(method).uri(path).body(Default::default());
///     router.handle(&mut Request::from(request.unwrap()))
/// };
/// assert_eq!(response_to("GET", "/greet/J%C3%B6rg").status(), 200);
/// assert_eq!(response_to("GET", "/groups").status(), 404);
/// assert_eq!(response_to("GET", "/users").status(), 405);
/// assert_eq!(response_to("OPTIONS", "/users").headers()["allow"], "OPTIONS, POST");
/// ```
#[must_use]
pub struct Router<S = ()> {
    pub(super) table: Table<S>,
    pub(super) layers: Layers<S>,
    /// The handler for paths that no route matches.
    pub(super) fallback: Option<Box<dyn RouteTarget<S>>>,
    /// The handler for methods that a path does not have.
    pub(super) method_not_allowed: Option<Box<dyn RouteTarget<S>>>,
}

impl<S: 'static> Router<S> {
    /// A router without routes: every request gets a 404.
    pub fn new() -> Self {
        Self { table: Table::new(), layers: Vec::new(), fallback: None, method_not_allowed: None }
    }

    /// Adds a route for GET, and HEAD, at `path`.
    pub fn get<K>(self, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.route(Method::GET, path, route)
    }

    /// Adds a route for POST at `path`.
    pub fn post<K>(self, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.route(Method::POST, path, route)
    }

    /// Adds a route for PUT at `path`.
    pub fn put<K>(self, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.route(Method::PUT, path, route)
    }

    /// Adds a route for PATCH at `path`.
    pub fn patch<K>(self, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.route(Method::PATCH, path, route)
    }

    /// Adds a route for DELETE at `path`.
    pub fn delete<K>(self, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.route(Method::DELETE, path, route)
    }

    /// Adds a route for any method, standard or not, at `path`.
    pub fn route<K>(mut self, method: Method, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.table.add(method, path, unnamed(route));
        self
    }

    /// Adds a route for the methods that have no other route at `path`.
    pub fn any<K>(mut self, path: &str, route: impl IntoRoute<S, K>) -> Self {
        self.table.add_any(path, false, unnamed(route));
        self
    }

    /// Passes every request for `prefix`, and for what is below it, to a handler that sees the path
    /// behind the prefix in [`Request::path`]: a directory of files, another router. The prefix
    /// itself is the path `/`. [`Request::uri`](http::Request::uri) keeps the whole path, so that
    /// redirects keep the prefix.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Handler, Request, Router};
    ///
    /// let inner = Router::new().get("/b", |req: &mut Request| req.path().to_owned());
    /// let router = Router::new().nest("/a", inner);
    ///
    /// let request = http::Request::builder().uri("/a/b").body(Default::default()).unwrap();
    /// let mut response = router.handle(&mut Request::from(request));
    /// assert_eq!(response.body_mut().read_text(10).unwrap(), "/b");
    /// ```
    pub fn nest<K>(mut self, prefix: &str, handler: impl IntoRoute<S, K>) -> Self {
        self.table.add_any(prefix, true, unnamed(handler));
        self
    }

    /// Adds the routes of another router that uses the same state. They stay inside of the
    /// middlewares of `other`, and get those of this router too. Its fallback is used if this
    /// router has none.
    pub fn merge(self, other: Self) -> Self {
        self.merge_at("", other)
    }

    /// As [`merge`](Self::merge), with each path of `other` behind this prefix. A slash at the end
    /// of the prefix does not count.
    pub fn merge_at(mut self, prefix: &str, other: Self) -> Self {
        let Self { table, layers, fallback, method_not_allowed } = other;
        let prefix = prefix.trim_end_matches('/');
        let layers = Arc::new(layers);
        let layered = |named: NamedTarget<S>| match layers.is_empty() {
            true => named,
            false => {
                let layers = Arc::clone(&layers);
                let target = Box::new(Layered { layers, inner: named.target });
                NamedTarget { target, name: named.name }
            }
        };
        if let Some((path, reason)) = table.invalid {
            self.table.reject(&path, reason);
        }
        for routes in table.paths {
            let path = format!("{prefix}{}", routes.path);
            for (method, target) in routes.methods {
                self.table.add(method, &path, layered(target));
            }
            if let Some(target) = routes.any {
                self.table.add_any(&path, routes.nested, layered(target));
            }
        }
        let layered = |target| layered(NamedTarget { target, name: None }).target;
        self.fallback = self.fallback.or(fallback.map(layered));
        self.method_not_allowed = self.method_not_allowed.or(method_not_allowed.map(layered));
        self
    }

    /// Names the route that was added last. Handlers and middlewares find the name in
    /// [`Request::route_name`], for metrics and log lines. At most 64 routes may have one.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Next, Request, Router};
    ///
    /// let router: Router = Router::new()
    ///     .get("/users/{id}", |_: &mut Request| "a user")
    ///     .named("user")
    ///     .with(|req, next| {
    ///         let response = next.run(req);
    ///         log::info!("{}", req.route_name().unwrap_or("unnamed"));
    ///         response
    ///     });
    /// ```
    pub fn named(mut self, name: &'static str) -> Self {
        self.table.name_last(name);
        self
    }

    /// Sets the handler for paths that no route matches. Without one they get a 404.
    pub fn fallback<K>(mut self, handler: impl IntoRoute<S, K>) -> Self {
        self.fallback = Some(handler.into_route().0);
        self
    }

    /// Sets the handler for methods that a path does not have. Allow is added to its response,
    /// whose status it has to set. Without one they get a 405.
    pub fn method_not_allowed<K>(mut self, handler: impl IntoRoute<S, K>) -> Self {
        self.method_not_allowed = Some(handler.into_route().0);
        self
    }

    /// Wraps the whole router in a middleware: every route, and the responses of the router itself.
    /// The middleware added last runs first. See [`Next`].
    pub fn with<M, R>(mut self, middleware: M) -> Self
    where
        M: Fn(&mut Request, Next<'_>) -> R + Send + Sync + 'static,
        R: IntoResponse + 'static,
    {
        self.layers.push(Box::new(PlainLayer(middleware)));
        self
    }

    /// As [`with`](Self::with), with a middleware that uses the state.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response, Router, StateNext};
    ///
    /// fn count(counter: &mut u64, req: &mut Request, next: StateNext<'_, u64>) -> Response {
    ///     *counter += 1;
    ///     next.run(counter, req)
    /// }
    ///
    /// let router = Router::new()
    ///     .get("/", |counter: &mut u64, _: &mut Request| format!("request {counter}\n"))
    ///     .with_stateful(count);
    /// ```
    pub fn with_stateful<M, R>(mut self, middleware: M) -> Self
    where
        M: Fn(&mut S, &mut Request, StateNext<'_, S>) -> R + Send + Sync + 'static,
        R: IntoResponse + 'static,
    {
        self.layers.push(Box::new(StateLayer(middleware)));
        self
    }
}

fn unnamed<S, K>(route: impl IntoRoute<S, K>) -> NamedTarget<S> {
    NamedTarget { target: route.into_route().0, name: None }
}

impl<S: 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.table.paths.iter().map(|routes| (&routes.path, &routes.allow.value));
        f.debug_map().entries(routes).finish()
    }
}
