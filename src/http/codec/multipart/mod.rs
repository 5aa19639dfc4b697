//! Bodies of the type `multipart/form-data` (RFC 7578, RFC 2046 §5.1): bytes to parts.
//!
//! ```text
//! Preamble ─► Boundary ─► Head ─► Data ─► Boundary ─► … ─► Boundary ─► Closed ─► Epilogue
//!                          ▲                 │   `--boundary CRLF`         `--boundary--`
//!                          └─────────────────┘
//! ```

mod boundary;
mod fault;
mod limits;
mod parameters;
mod parser;
mod part_head;
#[cfg(test)]
mod tests;

pub(crate) use boundary::Boundary;
pub(crate) use fault::{MultipartFault, MultipartRule};
pub use limits::MultipartLimits;
pub(crate) use parser::{MultipartEvent, MultipartParser};
pub(crate) use part_head::PartHead;
