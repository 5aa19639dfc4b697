//! The body of a request: which of the bytes that arrive belong to it.

mod chunk_line;
mod decoder;
#[cfg(test)]
mod tests;

pub(crate) use decoder::{BodyDecoder, check_length};
