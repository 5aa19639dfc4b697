//! [`Files`]: serves the files below a directory.
//!
//! ```text
//! request ─► method ─► credentials ─► path below the root ─► cache ──fresh──► file ─► conditions ─► range ─► answer
//!                                                              │                ▲
//!                                                     unknown, or a second old  │
//!                                                              └─► open, stat ──┘
//! ```

mod accept;
mod auth;
mod bounds;
mod cache;
mod conditional;
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
