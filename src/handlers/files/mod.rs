//! [`Files`]: serves the files below a directory.
//!
//! ```text
//! request ─► method ─► credentials ─► path below the root ─► cache ──fresh──► file ─┐
//!                                                              │                ▲   │
//!                                                     unknown, or stale         │   │
//!                                                              └─► open, stat ──┘   │
//!                                                                                   │
//!                            response ◄─ range ◄─ conditions ◄──────────────────────┘
//! ```
//!
//! `handler` has the handler itself and the order of these steps. `path`, `accept`, `range` and
//! `http::conditional` are pure functions. `file_store` finds a file in the `cache` or below the
//! `root`, and `resource` is a file with its precomputed header fields. `respond` and `listing`
//! build responses.

mod accept;
mod auth;
mod bounds;
mod cache;
mod cors;
mod file_store;
mod handler;
mod listing;
mod opener;
mod options;
mod pages;
mod path;
mod range;
mod resource;
mod respond;
mod root;
mod rules;
mod types;

pub use handler::Files;
pub use opener::FileRequest;
pub use options::{BasicAuth, Cors, FieldRule, FileCache, FilesOptions};
