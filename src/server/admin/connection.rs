//! [`AdminConnection`]: one exchange with the admin endpoint, without blocking.
//!
//! ```text
//! Reading ─► Sending ─► Lingering ─► closed
//! ```
//!
//! A connection has 2 s in all, from accept(2) on, and serves one request. What it keeps of the
//! request is at most [`HEAD_MAX`] and [`BODY_MAX`] bytes.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::config::Limits;
use crate::http::StatusCode;
use crate::http::codec::{Framing, Head, HeadParser};
use crate::net::Stream;

/// The time that a connection has in all.
const LIFETIME: Duration = Duration::from_secs(2);
/// Bytes of a request's head.
const HEAD_MAX: usize = 1024;
/// Bytes of a request's body, which is read and ignored.
const BODY_MAX: usize = 1024;
/// Bytes that are discarded after a response, so that a client can read it.
const DISCARD_MAX: usize = 64 * 1024;

/// The parser of the thread, with the limits of the admin endpoint.
pub(super) fn parser() -> HeadParser {
    let limits = Limits { head: HEAD_MAX, target: HEAD_MAX / 2, fields: 32, ..Limits::default() };
    HeadParser::new(&limits)
}

/// A request that was read, or the status that it gets at once.
pub(super) type Parsed = Result<Head, StatusCode>;

/// Where an exchange stops for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// It waits for [`events`](AdminConnection::events).
    Waiting,
    /// It is over: the connection is to be closed.
    Done,
}

/// A connection to the admin endpoint.
#[derive(Debug)]
pub(super) struct AdminConnection {
    stream: Stream,
    deadline: Instant,
    /// The position of the parser in `input`.
    scanned: usize,
    input: Vec<u8>,
    /// The response, once there is one, and how much of it was sent.
    output: Option<(Vec<u8>, usize)>,
    /// Bytes discarded after the response was sent; `None` before.
    discarded: Option<usize>,
}

impl AdminConnection {
    pub(super) fn new(stream: Stream, now: Instant) -> Self {
        Self {
            stream,
            deadline: now + LIFETIME,
            scanned: 0,
            input: Vec::new(),
            output: None,
            discarded: None,
        }
    }

    /// Sets what is sent, without a request: the connection reads none.
    pub(super) fn send_only(&mut self, output: Vec<u8>) {
        self.output = Some((output, 0));
    }

    /// When it is closed, whatever it does.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the client has sent nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.input.is_empty() && self.output.is_none()
    }

    /// What it waits for.
    pub(super) fn events(&self) -> PollFlags {
        match (&self.output, self.discarded) {
            (Some(_), None) => PollFlags::OUT,
            _ => PollFlags::IN,
        }
    }

    /// Goes on as far as that is possible without waiting. `respond` makes the bytes of the
    /// response.
    pub(super) fn proceed(
        &mut self,
        parser: &mut HeadParser,
        respond: &mut dyn FnMut(Parsed) -> Vec<u8>,
    ) -> Pause {
        let Err(pause) = self.exchange(parser, respond);
        pause
    }

    fn exchange(
        &mut self,
        parser: &mut HeadParser,
        respond: &mut dyn FnMut(Parsed) -> Vec<u8>,
    ) -> Result<Infallible, Pause> {
        if self.output.is_none() {
            let parsed = self.read(parser)?;
            self.output = Some((respond(parsed), 0));
        }
        self.send()?;
        self.discard()
    }

    /// Reads until the request is complete.
    fn read(&mut self, parser: &mut HeadParser) -> Result<Parsed, Pause> {
        loop {
            if let Some(parsed) = self.parse(parser) {
                return Ok(parsed);
            }
            let mut buffer = [0; HEAD_MAX + BODY_MAX];
            let room = buffer.len() - self.input.len();
            let length = received(self.stream.try_read(&mut buffer[..room]))?;
            self.input.extend_from_slice(&buffer[..length]);
        }
    }

    /// The request, if it is complete. An incomplete one has fewer bytes than the buffer: the
    /// parser refuses a longer head, and this a longer body.
    fn parse(&mut self, parser: &mut HeadParser) -> Option<Parsed> {
        let mut scanned = self.scanned;
        let (used, head) = match parser.parse(&self.input, &mut scanned) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.scanned = scanned;
                return None;
            }
            Err(reject) => return Some(Err(reject.status())),
        };
        let body = match head.framing {
            Framing::None => 0,
            Framing::Length(length) if length <= BODY_MAX as u64 => length as usize,
            Framing::Length(_) => return Some(Err(StatusCode::PAYLOAD_TOO_LARGE)),
            Framing::Chunked => return Some(Err(StatusCode::LENGTH_REQUIRED)),
        };
        // A client that waits for `100 Continue` sends its body later, and nothing needs it.
        let is_whole = self.input.len() - used >= body || head.expects_continue;
        is_whole.then_some(Ok(head))
    }

    fn send(&mut self) -> Result<(), Pause> {
        let Some((output, sent)) = &mut self.output else { return Err(Pause::Waiting) };
        while *sent < output.len() {
            *sent += self.stream.try_write(&output[*sent..]).map_err(|error| pause(&error))?;
        }
        if self.discarded.is_none() {
            self.discarded = Some(0);
            self.stream.shutdown_write().map_err(|_| Pause::Done)?;
        }
        Ok(())
    }

    /// Discards what the client still sends, until it closes. If the server closed first with
    /// input unread, the kernel would reset the connection, and the client might lose the response.
    fn discard(&mut self) -> Result<Infallible, Pause> {
        let mut buffer = [0; 4096];
        loop {
            let length = received(self.stream.try_read(&mut buffer))?;
            let discarded = self.discarded.get_or_insert(0);
            *discarded += length;
            if *discarded > DISCARD_MAX {
                return Err(Pause::Done);
            }
        }
    }
}

impl AsFd for AdminConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The length of what was read. The end of the stream ends the exchange.
fn received(read: io::Result<usize>) -> Result<usize, Pause> {
    match read {
        Ok(0) => Err(Pause::Done),
        Ok(length) => Ok(length),
        Err(error) => Err(pause(&error)),
    }
}

fn pause(error: &io::Error) -> Pause {
    if error.kind() == io::ErrorKind::WouldBlock { Pause::Waiting } else { Pause::Done }
}
