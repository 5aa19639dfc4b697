//! The head of a request: from bytes to [`Head`], or to a
//! [`Reject`](crate::http::codec::reject::Reject).
//!
//! Two readers agree on every head. The *scanner* ([`scan`]) reads byte by byte, can pause and
//! resume anywhere, and finds which rule is broken: it reads heads that arrive in pieces, and
//! malformed ones. The *builder* ([`HeadParser`]) reads in one pass a head that has arrived whole,
//! as nearly all do.

mod fields;
mod framing;
mod head;
mod name_cache;
mod parser;
mod request_line;
mod request_start;
pub(super) mod scan;
#[cfg(test)]
mod tests;
mod timeout_field;

pub(crate) use head::{Framing, Head};
pub(crate) use parser::{HeadParser, read_section};
pub(crate) use request_start::request_age;
