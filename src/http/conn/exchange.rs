//! The connection while a handler has it in hand.
//!
//! A worker lays the connection into its [`Link`] for the time of an exchange and takes it out
//! again afterwards. The request and its body hold a handle to the link, so that they are ordinary
//! values that a handler may keep, move to another thread, or answer with; but once the exchange is
//! over a handle finds another exchange's number in the link, and reads nothing more. So the
//! connection has one owner at any moment: the worker.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;

use super::awaited::Awaited;
use super::buffer::Buffer;
use crate::close::CloseReason;
use crate::config::Config;
use crate::http::codec::body::BodyDecoder;
use crate::http::codec::reject::Reject;
use crate::http::codec::request::Framing;
use crate::http::codec::response::CONTINUE;
use crate::http::message::BodyError;
use crate::net::Interest;
use crate::pool::Connection;
use crate::pool::client_waits::{ClientWaits, Pace, Waited};
use crate::sync::lock;

/// Where a worker lays the connection for the time of an exchange.
#[derive(Debug)]
pub(crate) struct Link(Mutex<Exchange>);

impl Link {
    pub(crate) fn new(config: &Arc<Config>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Exchange::new(config))))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Exchange> {
        lock(&self.0)
    }
}

/// One request and its answer on a connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Which exchange it is: handles of earlier ones are stale.
    pub(crate) number: u64,
    pub(crate) connection: Option<Box<Connection>>,
    pub(crate) input: Buffer,
    /// Answers that are encoded and not yet sent.
    pub(crate) output: Vec<u8>,
    /// Whether anything was sent since this was last set to false.
    pub(crate) flushed: bool,
    pub(crate) body: BodyDecoder,
    /// What `Content-Length` said.
    pub(crate) length: Option<u64>,
    /// Whether the client waits for a `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the head of the response is encoded: nothing may come before it any more.
    pub(crate) responding: bool,
    /// What is known of the rest of a request that is waited for.
    pub(crate) awaited: Option<Box<Awaited>>,
    /// Why the body could not be read to its end.
    pub(crate) failure: Option<CloseReason>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Bytes of the body that were thrown away after the answer.
    pub(crate) discarded: u64,
    /// How fast the body comes, and the response goes, as far as the worker waits for it.
    reading: Pace,
    writing: Pace,
    /// The bound on workers that wait, once there has been a turn.
    waits: Option<Arc<ClientWaits>>,
    pub(crate) config: Arc<Config>,
}

/// What is left of a body that nobody wants: kept with a connection that waits for it.
#[derive(Debug)]
struct Unwanted {
    rest: BodyDecoder,
    discarded: u64,
}

/// How far throwing a body away has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// It has ended.
    All,
    /// More is to come.
    Some,
    /// It is longer than what is thrown away to keep a connection.
    TooMuch,
}

impl Exchange {
    fn new(config: &Arc<Config>) -> Self {
        Self {
            number: 0,
            connection: None,
            input: Buffer::new(),
            output: Vec::with_capacity(4096),
            flushed: false,
            body: BodyDecoder::new(&Framing::None, &config.limits),
            length: None,
            expects_continue: false,
            responding: false,
            awaited: None,
            failure: None,
            trailers: None,
            discarded: 0,
            reading: Pace::default(),
            writing: Pace::default(),
            waits: None,
            config: Arc::clone(config),
        }
    }

    /// Goes by other settings from the next exchange on.
    pub(crate) fn reconfigure(&mut self, config: &Arc<Config>) {
        self.config = Arc::clone(config);
    }

    /// Takes a connection up where the last worker left it.
    pub(crate) fn take_up(&mut self, mut connection: Box<Connection>, waits: &Arc<ClientWaits>) {
        if self.waits.is_none() {
            self.waits = Some(Arc::clone(waits));
        }
        connection.input_lease = None;
        self.input.load(std::mem::take(&mut connection.input));
        self.awaited = connection.awaited.take().and_then(|awaited| awaited.downcast().ok());
        let unwanted = connection.unfinished.take().and_then(|left| left.downcast().ok());
        if let Some(unwanted) = unwanted {
            Unwanted { rest: self.body, discarded: self.discarded } = *unwanted;
        } else if !self.body.is_done() {
            self.body = BodyDecoder::new(&Framing::None, &self.config.limits);
        }
        self.failure = None;
        self.connection = Some(connection);
    }

    /// Gives the connection back with everything that belongs to it.
    pub(crate) fn put_down(&mut self) -> Option<Box<Connection>> {
        let mut connection = self.connection.take()?;
        connection.input = self.input.unload();
        if let Some(awaited) = self.awaited.take() {
            connection.awaited = Some(awaited);
        }
        if !self.body.is_done() {
            let none = BodyDecoder::new(&Framing::None, &self.config.limits);
            let rest = std::mem::replace(&mut self.body, none);
            connection.unfinished = Some(Box::new(Unwanted { rest, discarded: self.discarded }));
        }
        Some(connection)
    }

    /// Whether a head has begun to come. An empty line alone is none.
    pub(crate) fn is_within_head(&self) -> bool {
        self.body.is_done() && !matches!(self.input.filled(), b"" | b"\r" | b"\r\n")
    }

    /// Begins an exchange whose head was read: what comes next is its body.
    pub(crate) fn begin(&mut self, framing: &Framing, expects_continue: bool) {
        self.number += 1;
        self.body = BodyDecoder::new(framing, &self.config.limits);
        self.length = match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(*length),
            Framing::Chunked => None,
        };
        self.expects_continue = expects_continue && !self.body.is_done();
        self.responding = false;
        self.failure = None;
        self.trailers = None;
        self.discarded = 0;
        self.reading = Pace::default();
        self.writing = Pace::default();
    }

    /// Ends the exchange: handles are stale from now on. Gives how long the client was waited for.
    pub(crate) fn end(&mut self) -> Duration {
        self.number += 1;
        std::mem::take(&mut self.reading).waited + std::mem::take(&mut self.writing).waited
    }

    /// How much of the body is still to be read, if that is known.
    pub(crate) fn unread_length(&self) -> Option<u64> {
        match self.length {
            _ if self.body.is_done() => Some(0),
            Some(_) => Some(self.body.next_data_len()),
            None => None,
        }
    }

    /// Reads a piece of the body, waiting for the client if need be. 0 is the end.
    pub(crate) fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.body.is_done() {
            return Ok(0);
        }
        if self.failure.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.send_continue()?;
        loop {
            if let Some(count) = self.take_body(buf)? {
                return Ok(count);
            }
            self.fill()?;
        }
    }

    /// Takes what was read ahead. `None`: more has to be read.
    fn take_body(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let direct = usize::try_from(self.body.next_data_len()).unwrap_or(usize::MAX);
            let input = self.input.filled();
            let count = direct.min(input.len()).min(buf.len());
            if count > 0 {
                buf[..count].copy_from_slice(&input[..count]);
                self.body.advance(count as u64);
                self.input.consume(count);
                self.reading.bytes += count as u64;
                return Ok(Some(count));
            }
            if direct > 0 {
                return Ok(None);
            }
            let used = match take_framing(&mut self.body, self.input.filled()) {
                Ok(used) => used,
                Err(reject) => return Err(self.fail_decoding(reject)),
            };
            self.input.consume(used);
            if self.body.is_done() {
                self.trailers = self.body.take_trailers();
                return Ok(Some(0));
            }
            if used == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads ahead, waiting for the client within the body's timeout and rate.
    fn fill(&mut self) -> io::Result<()> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let timeouts = &self.config.timeouts;
        let limit = self.config.limits.head;
        loop {
            match self.input.fill(&connection.stream, limit) {
                Ok((0, _)) => return Err(self.fail(CloseReason::ClientGone)),
                Ok((_, all)) => {
                    connection.note_read(all);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Some(waits) = &self.waits else { return Err(error) };
                    let what = (&connection.stream, Interest::Read);
                    match waits.wait(what, timeouts.body, timeouts, &mut self.reading)? {
                        Waited::Ready => {}
                        Waited::TooSlow => return Err(self.fail(CloseReason::BodyTimeout)),
                        Waited::NoRoom => return Err(self.fail(CloseReason::Overloaded)),
                    }
                }
                Err(_) => return Err(self.fail(CloseReason::ClientGone)),
            }
        }
        Ok(())
    }

    /// Tells a client that waits for it to send the body; one that has begun needs no telling
    /// (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush); `BrokenPipe` if the response has begun. A thread of the
    /// handler's may still read then, and the client is never to be told to send.
    fn send_continue(&mut self) -> io::Result<()> {
        if self.expects_continue && self.responding {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if std::mem::take(&mut self.expects_continue) && self.input.is_empty() {
            self.output.extend_from_slice(CONTINUE);
            self.flush()?;
        }
        Ok(())
    }

    /// Throws away what has come of the body, `drain` bytes of it in all.
    ///
    /// # Errors
    /// A [`Reject`] if it is malformed.
    pub(crate) fn discard(&mut self) -> Result<Discarded, Reject> {
        while !self.body.is_done() {
            if self.discarded > self.config.limits.unread_body {
                return Ok(Discarded::TooMuch);
            }
            let (used, _) = self.body.decode(self.input.filled())?;
            if used == 0 {
                return Ok(Discarded::Some);
            }
            self.input.consume(used);
            self.discarded += used as u64;
        }
        Ok(Discarded::All)
    }

    /// Sends the encoded output, waiting for the client within the write timeout: for bodies that
    /// are made while they are sent. Everything else is queued for a slow reader.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(connection) = self.connection.as_ref() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        self.flushed |= !self.output.is_empty();
        let timeouts = &self.config.timeouts;
        let mut sent = 0;
        while sent < self.output.len() {
            match connection.stream.try_write(&self.output[sent..]) {
                Ok(count) => {
                    sent += count;
                    self.writing.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Some(waits) = &self.waits else { return Err(error) };
                    let what = (&connection.stream, Interest::Write);
                    match waits.wait(what, timeouts.write, timeouts, &mut self.writing)? {
                        Waited::Ready => {}
                        Waited::TooSlow => return Err(self.fail(CloseReason::WriteTimeout)),
                        Waited::NoRoom => return Err(self.fail(CloseReason::Overloaded)),
                    }
                }
                Err(_) => return Err(self.fail(CloseReason::ClientGone)),
            }
        }
        self.output.clear();
        Ok(())
    }

    /// Sends what the socket takes of the encoded output, without waiting, and gives the rest.
    pub(crate) fn take_unsent(&mut self) -> io::Result<Vec<u8>> {
        let Some(connection) = self.connection.as_ref() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let sent = match connection.stream.try_write(&self.output) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Err(self.fail(CloseReason::ClientGone)),
        };
        let rest = self.output[sent..].to_vec();
        self.output.clear();
        Ok(rest)
    }

    /// Tells a client that waits for it to send a body that the response is made of.
    pub(crate) fn invite(&mut self) {
        // If that fails, so will what follows.
        let _ = self.send_continue();
    }

    /// Whether what is left of the body is little enough to be read and thrown away, so that the
    /// connection can be kept. A client that still waits for its `100 Continue` may or may not send
    /// it: then it is not.
    pub(crate) fn can_discard(&self) -> bool {
        let known = self.discarded.saturating_add(self.body.next_data_len());
        self.body.is_done()
            || (!self.expects_continue
                && self.failure.is_none()
                && known <= self.config.limits.unread_body)
    }

    fn fail_decoding(&mut self, reject: Reject) -> io::Error {
        let reason = reject.close_reason();
        if let Some(connection) = &self.connection {
            log::debug!("{}: {}: {}", connection.peer, reject.status(), reject.explain());
        }
        self.failure = Some(reason);
        let kind = match reason {
            CloseReason::TooLarge => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, reject)
    }

    /// Notes why the exchange cannot go on.
    fn fail(&mut self, reason: CloseReason) -> io::Error {
        self.failure = Some(reason);
        BodyError::Cut(reason).into()
    }
}

/// Takes the framing before the next bytes that are body: how many.
fn take_framing(body: &mut BodyDecoder, input: &[u8]) -> Result<usize, Reject> {
    let mut used = 0;
    while used < input.len() && body.next_data_len() == 0 && !body.is_done() {
        let (count, _) = body.decode(&input[used..=used])?;
        used += count;
        if count == 0 {
            break;
        }
    }
    Ok(used)
}
