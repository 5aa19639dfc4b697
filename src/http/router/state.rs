//! [`WithState`]: a router whose workers each have a state of their own.

use std::error::Error as StdError;
use std::fmt;

use super::routes::Router;
use crate::error::Error;
use crate::http::handler::Handler;
use crate::http::message::{Request, Response};
use crate::http::worker_local::WorkerLocal;

/// A router whose workers each have a state of their own: see [`Router::with_state`].
pub struct WithState<S> {
    pub(super) local: WorkerLocal<S>,
    pub(super) router: Router<S>,
}

impl<S: 'static> Router<S> {
    /// Makes the router a [`Handler`](crate::http::Handler) whose workers each have a state of
    /// their own. `make` is called once on each worker thread, with the index of the worker, before
    /// the server accepts connections: an error stops the start. The state need not be `Send`, and
    /// no lock is taken. If a route panics, the state is dropped, and the next request on that
    /// worker has it made again; if that goes on, after pauses of up to a second, in which the
    /// worker responds with a 503.
    ///
    /// If an endpoint is [urgent](crate::Bind::urgent), there is one more worker, which has a state
    /// too.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Problem, Request, Router};
    /// use rusqlite::Connection;
    ///
    /// fn count(db: &mut Connection, _: &mut Request) -> Result<String, Problem> {
    ///     let query = "SELECT count(*) FROM sqlite_schema";
    ///     let count: i64 = db.query_row(query, [], |row| row.get(0))?;
    ///     Ok(format!("{count} tables\n"))
    /// }
    ///
    /// let handler = Router::new()
    ///     .get("/tables", count)
    ///     .with_state(|_worker| Connection::open("notes.db"));
    /// ```
    pub fn with_state<E>(
        self,
        make: impl Fn(usize) -> Result<S, E> + Send + Sync + 'static,
    ) -> WithState<S>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        WithState { local: WorkerLocal::new(make), router: self }
    }
}

impl<S: 'static> Handler for WithState<S> {
    fn handle(&self, request: &mut Request) -> Response {
        self.local.serve(request, |state, request| self.router.call(state, request))
    }

    fn expect_continue(&self, request: &Request) -> Option<Response> {
        self.router.respond_to_expect(request)
    }

    fn check(&self) -> Result<(), Error> {
        self.router.check_routes()
    }

    fn prepare_worker(&self, worker: usize) -> Result<(), Error> {
        self.local.prepare(worker)?;
        self.router.prepare_routes(worker)
    }
}

impl<S> fmt::Debug for WithState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithState").field("router", &self.router).finish_non_exhaustive()
    }
}
