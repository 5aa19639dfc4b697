//! millpond: a thread-pool server for blocking handlers that stays bounded in everything and keeps
//! answering under overload.
//!
//! ```text
//! client ─► kernel backlog ─► ACCEPTOR ─► WORK QUEUE ─► WORKER ─► protocol ─► handler ─► answer ─► closed
//!                              (1 thread     (bounded,      ▲ │                                    ▲
//!                               a listener    crossbeam)    │ └─ nothing to read yet, or idle      │
//!                               set)              │         │    between requests                  │ deadline
//!                                                 │         └─────── PARKING (epoll) ──────────────┘
//!                                                 └─ full, or the wait is too long ─► OVERLOAD: refuse (503)
//! ```
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
//!         })?
//!         .run()?;
//!     println!("{report}");
//!     Ok(())
//! }
//! ```

pub mod close;
pub mod config;
pub mod error;
pub mod handlers;
pub mod http;
pub mod net;
pub mod pool;
pub mod server;
mod sync;

pub use close::CloseReason;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use pool::{Refusal, Stats};
pub use server::{Bind, Builder, DrainReport, Handle, Server, Service};

// The code of the pages in docs/ is compiled, and run, by `cargo test`.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/handlers.md")]
    struct Handlers;
}
