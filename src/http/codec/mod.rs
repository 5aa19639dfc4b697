//! The HTTP/1.1 codec: bytes to requests, and responses to bytes.
//!
//! Nothing here knows a socket, a clock or a thread: input and time are arguments.

pub(super) mod body;
mod byte_class;
pub(super) mod date;
pub(super) mod forwarded;
#[cfg(feature = "multipart")]
pub(super) mod multipart;
#[cfg(test)]
mod proof;
pub(super) mod reject;
pub(super) mod request;
pub(super) mod response;

#[cfg(feature = "admin")]
pub(crate) use date::DateCache;
#[cfg(feature = "admin")]
pub(crate) use request::{Framing, Head, HeadParser};
#[cfg(feature = "admin")]
pub(crate) use response::{HeadLine, Transfer, encode_head};
pub(crate) use response::{encode_chunk, encode_field, encode_last_chunk};
