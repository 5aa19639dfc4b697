//! [`AwaitedBody`]: a short body that has to arrive before the handler is called.

use crate::config::Limits;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::request::{Framing, Head};

/// A short body that the connection waits for, without a worker. It is stored with the parked
/// connection, so that each byte is decoded once, and the head is not parsed again for each piece.
#[derive(Debug)]
pub(crate) struct AwaitedBody {
    /// The length of the head.
    head_len: usize,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    /// The body has this length.
    Length(usize),
    /// The body is chunked. The number is that of the bytes that the decoder has used.
    Chunks(BodyDecoder, usize),
}

impl AwaitedBody {
    /// The body that the handler needs; `None` if the handler is called without waiting for it. A
    /// client that expects a `100 Continue` sends no body before, so the server must not wait for
    /// it.
    pub(super) fn new(head: &Head, head_len: usize, limits: &Limits) -> Option<Self> {
        let expected = match head.framing {
            _ if head.expects_continue || limits.read_ahead == 0 => return None,
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length > 0 && length <= limits.read_ahead => Expected::Length(length),
                _ => return None,
            },
            Framing::Chunked => Expected::Chunks(BodyDecoder::new(&head.framing, limits), 0),
            Framing::None => return None,
        };
        Some(Self { head_len, expected })
    }

    /// Whether the handler can be called with this input: the body is complete; or it is malformed,
    /// which the handler finds when it reads; or it turned out too long to wait for.
    pub(super) fn is_ready(&mut self, input: &[u8], read_ahead: usize) -> bool {
        let body = input.get(self.head_len..).unwrap_or_default();
        match &mut self.expected {
            Expected::Length(length) => body.len() >= *length,
            Expected::Chunks(decoder, decoded) => {
                while let Some(more) = body.get(*decoded..)
                    && !decoder.is_done()
                {
                    match decoder.decode(more) {
                        Ok((0, _)) => break,
                        Ok((used, _)) => *decoded += used,
                        Err(_) => return true,
                    }
                }
                decoder.is_done() || body.len() > read_ahead
            }
        }
    }
}
