//! millpond: a thread-pool server for blocking handlers. Everything in it has a limit, and under
//! overload it responds in time.
//!
//! ```text
//! client ─► kernel backlog ─► ACCEPTOR ─► WORK QUEUE ─► WORKER ─► protocol ─► handler ─► response
//!                             1 thread     bounded        │ ▲                              │
//!                                             │           ▼ │ input, or room to send       ▼
//!                                             │         PARKING (epoll): idle and       closed
//!                                             │         slow connections, each with
//!                  the queue is full, or      ▼         a deadline
//!                  the wait is too long     OVERLOAD: refuse (503)
//! ```
//!
//! Handlers are ordinary functions that may block. A fixed number of worker threads calls them.
//! When requests come faster than the workers can serve them, the server serves as many as it can
//! in time and refuses the rest at once.
//!
//! A whole server:
//!
//! ```no_run
//! use millpond::Server;
//! use millpond::http::{Request, Response};
//!
//! fn main() -> Result<(), millpond::Error> {
//!     let report = Server::builder()
//!         .bind("tcp://[::]:8888")
//!         .workers(8)
//!         .http(|req: &mut Request| {
//!             // Blocking is fine here: databases, files, computation.
//!             Response::text(format!("You asked for {}\n", req.uri().path()))
//!         }).build()?
//!         .run()?;
//!     println!("{report}");
//!     Ok(())
//! }
//! ```
//!
//! [`spawn`](Server::spawn) instead of [`run`](Server::run) returns a [`Handle`], which reports
//! [statistics](Stats), replaces the configuration, and stops the server gracefully.
//!
//! The [`guide`] has the pages of `docs/`: handlers, overload, files and more.
//!
//! The modules, in the order in which a request travels:
//!
//! | Module | Content |
//! |---|---|
//! | [`server`] | [`Builder`], [`Server`], [`Handle`]: bind, start the threads, stop them |
//! | [`net`] | sockets, and [endpoints](net::Endpoint) as text: where a server listens |
//! | [`pool`] | acceptor, work queue, workers, parked connections, [refusals](Refusal) |
//! | [`http`] | HTTP/1.1: [handlers](http::Handler), [router](http::Router), messages |
//! | [`handlers`] | ready-made handlers: a greeting, an echo, files |
//! | `metrics` | the numbers of a server for Prometheus (feature `metrics`) |
//! | [`close`] | why a connection [ended](CloseReason) |
//! | [`config`] | every setting, its default, its unit and its bounds |
//! | [`error`] | [`Error`]: what failed, and a hint |
//! | [`test`](mod@test) | tests of handlers: without sockets, or on a server that a test starts |
//!
//! The crates `http` and `bytes`, whose types the interface uses, are [`http::types`] and
//! [`bytes`]. A program that uses them by these names needs no version of its own.

#![cfg_attr(docsrs, feature(doc_cfg))]

// Only rustdoc shows the guides, and tests their examples.
#[cfg(any(doc, doctest))]
pub mod guide;

pub mod close;
pub mod config;
pub mod error;
pub mod handlers;
pub mod http;
pub mod net;
pub mod pool;
pub mod server;
mod sync;
pub mod test;
#[cfg(feature = "tls")]
mod tls;

/// The crate `bytes`. [`http::Body`] is made of its `Bytes`, memory that several responses share.
pub use ::bytes;
pub use close::CloseReason;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use pool::{Refusal, Stats};
#[cfg(feature = "admin")]
pub use server::AdminCommand;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use server::metrics;
pub use server::{Bind, BindOptions, Builder, DrainReport, Handle, Server, ServerState, Service};
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use tls::{
    CertificateFiles, CertificateInfo, ClientAuth, Tls, TlsInfo, TlsReplacement, TlsSettings,
    TlsVersion,
};

// `cargo test` compiles and runs the examples of this page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
