//! [`Awaited`]: what of a request has to come before its handler is called.

use crate::config::Limits;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::request::{Framing, Head};

/// A short body that is waited for, off the workers. It goes with the parked connection, so that
/// input which comes in pieces is looked at once and its head is not parsed again for each of them.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// How long the head is.
    head: usize,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// The body has this length.
    Length(usize),
    /// The body comes in chunks, of which so many bytes are decoded.
    Chunks(BodyDecoder, usize),
}

impl Awaited {
    /// What the handler of this head is not called without; `None` if the body is not waited for.
    /// It is not for a client that waits for a `100 Continue`, which would wait for ever.
    pub(super) fn new(head: &Head, length: usize, limits: &Limits) -> Option<Self> {
        let rest = match head.framing {
            _ if head.expects_continue || limits.read_ahead == 0 => return None,
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length > 0 && length <= limits.read_ahead => Rest::Length(length),
                _ => return None,
            },
            Framing::Chunked => Rest::Chunks(BodyDecoder::new(&head.framing, limits), 0),
            Framing::None => return None,
        };
        Some(Self { head: length, rest })
    }

    /// Whether the handler can be called, now that this much of the input has come: with the whole
    /// body, with one that is malformed, which the handler finds out, or with one that is too long
    /// to be waited for.
    pub(super) fn has_come(&mut self, input: &[u8], read_ahead: usize) -> bool {
        let body = input.get(self.head..).unwrap_or_default();
        match &mut self.rest {
            Rest::Length(length) => body.len() >= *length,
            Rest::Chunks(decoder, seen) => {
                while let Some(more) = body.get(*seen..)
                    && !decoder.is_done()
                {
                    match decoder.decode(more) {
                        Ok((0, _)) => break,
                        Ok((used, _)) => *seen += used,
                        Err(_) => return true,
                    }
                }
                decoder.is_done() || body.len() > read_ahead
            }
        }
    }
}
