//! The bytes of a response: its head, and the framing of its body.

mod encode;
mod framing;
#[cfg(test)]
mod tests;
mod trailers;

pub(crate) use encode::{
    CONTINUE, HeadLine, encode_chunk, encode_field, encode_head, encode_last_chunk,
};
pub(crate) use framing::{Payload, Transfer, declared_length, transfer};
pub(crate) use trailers::is_forbidden_trailer;
