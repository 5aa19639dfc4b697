//! Testing handlers: without sockets, and on a server that a test starts.
//!
//! A [`TestRequest`] calls any [`Handler`](crate::http::Handler) on the calling thread. Its head is
//! parsed, and the response is encoded, by the code that serves connections, so that the
//! [`TestResponse`] is what a client would get:
//!
//! ```
//! use millpond::http::{Problem, Request, Router};
//! use millpond::test::TestRequest;
//!
//! fn double(req: &mut Request) -> Result<String, Problem> {
//!     let number: i64 = req.param("number")?;
//!     Ok(format!("{}\n", number * 2))
//! }
//!
//! let router = Router::new().get("/double/{number}", double);
//! let response = TestRequest::get("/double/21").send(&router);
//! assert_eq!(response.assert_status(200).text(), "42\n");
//! let request = TestRequest::get("/double/x").header("accept", "application/json");
//! let response = request.send(&router);
//! response.assert_status(404);
//! assert_eq!(response.header("content-type"), Some("application/problem+json"));
//! ```
//!
//! A [`TestServer`] serves on a free port of the loopback interface. It drains when it is dropped,
//! and checks then that every connection is accounted for and that no handler panicked:
//!
//! ```
//! use millpond::http::Request;
//! use millpond::test::TestServer;
//!
//! let server = TestServer::start(|_: &mut Request| "Hello");
//! assert_eq!(server.get("/").assert_status(200).text(), "Hello");
//! assert_eq!(server.stats().accepted, 1);
//! ```
//!
//! A [`Gate`] holds handlers while a test looks at the server, as when its queue is full.
//!
//! An expectation that is not met panics, which fails the test.

mod client;
mod gate;
mod reader;
mod request;
mod response;
mod server;

pub use gate::Gate;
pub use request::{TestCancel, TestRequest};
pub use response::TestResponse;
pub use server::TestServer;
