//! How much time a request has, whether its response is still wanted, and how busy the server is.

use std::time::{Duration, Instant};

use super::Request;
use super::incoming::Client;
use super::pressure::Pressure;
use super::proxy_wait::proxied_at;
use super::request::Origin;
use crate::config::Overload;
use crate::pool::Cancel;
use crate::pool::server_view::ServerView;
use crate::sync::later;

impl Request {
    /// When the response should be ready. It is the earliest of:
    ///
    /// - [`overload.deadline`](crate::config::Overload::deadline) after the request's arrival. A
    ///   request arrives when its connection enters the queue; behind another request of its
    ///   connection, when the worker looks at it.
    /// - The client's own timeout after the arrival, if it sent one
    ///   ([`overload.timeout_field`](crate::config::Overload::timeout_field)).
    /// - `overload.deadline` after the time in `X-Request-Start`, at which a proxy in front of the
    ///   server received the request: `t=1512379167.574` in seconds, or in milliseconds or
    ///   microseconds, with or without `t=`. A value that is more than a second in the future or
    ///   older than a minute is ignored. A client may send this field, too. It can only shorten the
    ///   deadline of its own request, so it needs no trust.
    /// - The end of the drain, once the server is stopping.
    ///
    /// The server does not interrupt a handler at the deadline. Pass the remaining time to whatever
    /// the handler waits for: a statement timeout, a timeout of another server. A request that a
    /// test made has one second from when it was made, which is the default of `overload.deadline`.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use millpond::http::{Request, Response};
    ///
    /// fn show(req: &mut Request) -> Response {
    ///     // 20 ms are kept for the response itself.
    ///     let timeout = req.remaining().saturating_sub(Duration::from_millis(20));
    ///     Response::text(format!("SET LOCAL statement_timeout = {}\n", timeout.as_millis()))
    /// }
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let (arrived, timeout, server) = match &self.origin {
            Origin::Client(client) => (client.arrived, client.timeout, client.cell.server()),
            Origin::Standalone(standalone) => match standalone.deadline {
                Some(deadline) => return deadline,
                None => (standalone.created, None, None),
            },
        };
        let limit = server.map_or_else(|| Overload::default().deadline, ServerView::time_limit);
        let own = later(arrived, timeout.map_or(limit, |timeout| timeout.min(limit)));
        let proxied = proxied_at(self.headers()).map(|at| later(at, limit));
        let drained = server.and_then(ServerView::drain_deadline);
        [proxied, drained].into_iter().flatten().fold(own, Instant::min)
    }

    /// The time until the [`deadline`](Self::deadline); zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Notifies the handler when its response is no longer wanted:
    ///
    /// - The client has closed the connection. So that a client whose process was killed counts,
    ///   one that has only shut down its sending side counts as well, unlike in
    ///   [`is_connected`](Self::is_connected). The server looks only at requests that have been
    ///   served for more than 50 ms.
    /// - The [`deadline`](Self::deadline) has passed that the request had at the first call.
    /// - The server is stopping, and what is left of the drain's time is less than a tenth of it,
    ///   or less than a second; or it is stopped at once.
    ///
    /// Each is noticed within about 100 ms. A handler that ends sooner costs no system call for
    /// this. All calls for one request return the same cancellation.
    ///
    /// # Examples
    /// ```
    /// use millpond::http::{Request, Response, StatusCode};
    ///
    /// fn factors(req: &mut Request) -> Response {
    ///     let cancel = req.cancelled();
    ///     let mut factors = Vec::new();
    ///     for factor in 1..=1_000_000_u64 {
    ///         if cancel.is_set() {
    ///             return Response::error(StatusCode::SERVICE_UNAVAILABLE);
    ///         }
    ///         if 720_720 % factor == 0 {
    ///             factors.push(factor);
    ///         }
    ///     }
    ///     Response::text(format!("{} factors\n", factors.len()))
    /// }
    /// ```
    ///
    /// With SQLite, `Connection::get_interrupt_handle` ends the running statement:
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use millpond::http::{Request, Response, StatusCode};
    ///
    /// fn count(req: &mut Request, database: &RefCell<rusqlite::Connection>) -> Response {
    ///     let database = database.borrow();
    ///     let interrupt = database.get_interrupt_handle();
    ///     req.cancelled().on(move || interrupt.interrupt());
    ///     let sql = "SELECT count(*) FROM sqlite_schema";
    ///     match database.query_row(sql, [], |row| row.get::<_, i64>(0)) {
    ///         Ok(count) => Response::text(format!("{count}\n")),
    ///         Err(_) => Response::error(StatusCode::SERVICE_UNAVAILABLE),
    ///     }
    /// }
    /// # let mut request = Request::from(http::Request::new(millpond::http::Body::empty()));
    /// # let database = RefCell::new(rusqlite::Connection::open_in_memory().unwrap());
    /// # assert!(count(&mut request, &database).status().is_success());
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> Cancel {
        match &self.origin {
            Origin::Client(client) => client.cancelled(self.deadline()),
            Origin::Standalone(standalone) => standalone.cancel.clone(),
        }
    }

    /// How busy the server is, so that a handler can serve less before the server has to refuse
    /// requests. Reading it costs a few loads and the time. A request that a test made is under no
    /// pressure.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use millpond::http::{Request, Response};
    ///
    /// # fn page(_: &str) -> String { String::new() }
    /// # fn recommendations() -> &'static str { "" }
    /// fn front_page(req: &mut Request) -> Response {
    ///     let pressure = req.pressure();
    ///     // The recommendations take 200 ms, and the page is useful without them.
    ///     let is_busy = pressure.overloaded || pressure.load > 0.9;
    ///     if is_busy || pressure.remaining < Duration::from_millis(400) {
    ///         return Response::text(page(""));
    ///     }
    ///     Response::text(page(recommendations()))
    /// }
    /// ```
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let (load, overloaded) = match &self.origin {
            Origin::Client(client) => match client.cell.server() {
                Some(server) => (server.load(), server.is_overloaded()),
                None => (0.0, false),
            },
            Origin::Standalone(standalone) => (standalone.load, standalone.load > 1.0),
        };
        Pressure { load, overloaded, queue_wait: self.queue_wait(), remaining: self.remaining() }
    }
}

impl Client {
    fn cancelled(&self, deadline: Instant) -> Cancel {
        let times = (later(self.arrived, self.waited), deadline);
        self.cell.cancelled(self.number, times).unwrap_or_else(|| {
            // The request was kept beyond its exchange.
            let cancel = Cancel::new(None);
            cancel.end();
            cancel
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::http::Body;

    fn request() -> Request {
        Request::from(http::Request::new(Body::empty()))
    }

    #[test]
    fn a_request_that_a_test_made_has_a_second_and_no_pressure() {
        let before = Instant::now();
        let request = request();
        let second = Duration::from_secs(1);
        assert!(request.deadline() >= before + second);
        assert!(request.deadline() <= Instant::now() + second);
        let pressure = request.pressure();
        assert!(pressure.load == 0.0 && !pressure.overloaded && pressure.queue_wait.is_zero());
        assert!(pressure.remaining <= second);
        assert!(!request.cancelled().is_set());
    }

    #[test]
    fn the_time_at_a_proxy_shortens_the_deadline_and_never_extends_it() {
        let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let at_proxy = |at: Duration| {
            let mut request = request();
            let own = request.deadline();
            let value = format!("t={:.6}", at.as_secs_f64()).try_into().unwrap();
            request.headers_mut().insert("X-Request-Start", value);
            (own, request.deadline())
        };
        let (own, deadline) = at_proxy(unix_now - Duration::from_millis(400));
        assert!(deadline <= own - Duration::from_millis(399), "{:?}", own - deadline);
        for ahead in [Duration::from_millis(900), Duration::from_secs(20)] {
            let (own, deadline) = at_proxy(unix_now + ahead);
            assert_eq!(own, deadline, "{ahead:?} ahead");
        }
        let (own, deadline) = at_proxy(unix_now - Duration::from_secs(100));
        assert_eq!(own, deadline, "implausibly old");
    }
}
