//! Sending responses. What the client does not read at once is queued with the connection, and sent
//! without a worker when the socket has room again.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Instant;

use bytes::Bytes;

use super::exchange::Exchange;
use crate::close::CloseReason;
use crate::http::message::BodyKind;
use crate::net::Interest;
use crate::pool::client_waits::{Pace, Waited};
use crate::pool::output::{Leased, Sent};
use crate::pool::{Connection, Outcome, Phase, Segment, TurnContext};

/// The longest body in memory that is copied behind its head, so that one write sends both.
pub(super) const COPIED_BODY_MAX: usize = 16 * 1024;

/// How many bytes of a large response are sent before the worker checks whether other connections
/// wait. It is small, so that a hundred clients that request large files at the same time all get
/// their head within milliseconds, and none is refused because of the others.
const FIRST_BYTES: u64 = 256 << 10;

impl Exchange {
    /// Ends a response after which the connection is kept. It is sent at once, unless the next
    /// request has arrived already: then both responses are sent with one write.
    pub(super) fn finish_response(&mut self, turn: &TurnContext<'_>) -> ControlFlow<Outcome> {
        let Some(connection) = self.connection.as_mut() else { return Break(Outcome::Gone) };
        let pipelined = !self.input.is_empty() && self.body.is_done();
        if pipelined && connection.output.is_empty() && self.output.len() < COPIED_BODY_MAX {
            return Continue(());
        }
        self.send_responses(turn)
    }

    /// Sends the responses that are encoded or queued. `Break`: the client does not read them at
    /// once, and the connection leaves the worker; or they cannot be sent.
    pub(super) fn send_responses(&mut self, turn: &TurnContext<'_>) -> ControlFlow<Outcome> {
        let Some(connection) = self.connection.as_mut() else { return Break(Outcome::Gone) };
        if connection.output.is_empty() {
            if self.output.is_empty() && connection.wire.unsent() == 0 {
                return Continue(());
            }
            // A short response that ends the connection shares its packet with the end of the
            // stream.
            let last = connection.closing.is_some() && self.output.len() <= COPIED_BODY_MAX;
            let written = match last {
                true => connection.wire.try_write_last(&self.output),
                false => connection.wire.try_write(&self.output),
            };
            let sent = match written {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return Break(self.close_at_once()),
            };
            let rest = &self.output[sent..];
            if rest.is_empty() && connection.wire.unsent() == 0 {
                self.output.clear();
                return Continue(());
            }
            if !rest.is_empty() {
                connection.output.push(Segment::Bytes(Bytes::copy_from_slice(rest)));
            }
            self.output.clear();
        }
        match connection.send_queued(turn, FIRST_BYTES) {
            SendProgress::Done => Continue(()),
            SendProgress::Blocked => Break(self.park(turn, Phase::Write)),
            SendProgress::Yield => Break(self.yield_worker(turn)),
            SendProgress::Failed(reason) => {
                self.failure = Some(reason);
                Break(self.close_at_once())
            }
        }
    }

    /// Sends the encoded output, and waits for the client within the write timeout: for bodies that
    /// are made while they are sent. Any other output is queued for a slow reader.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        loop {
            let Some(connection) = self.connection.as_mut() else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            if sent == self.output.len() && connection.wire.unsent() == 0 {
                self.output.clear();
                return Ok(());
            }
            self.flushed = true;
            // With nothing left to write, it sends what is left below.
            match connection.wire.try_write(&self.output[sent..]) {
                Ok(count) => {
                    sent += count;
                    self.writing.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_client(Interest::Write, error)?;
                }
                Err(_) => return Err(self.fail(CloseReason::ClientGone)),
            }
        }
    }

    /// Sends what the socket accepts of the encoded output, without waiting. Returns the rest.
    pub(crate) fn take_unsent(&mut self) -> io::Result<Vec<u8>> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let sent = match connection.wire.try_write(&self.output) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Err(self.fail(CloseReason::ClientGone)),
        };
        let rest = self.output[sent..].to_vec();
        self.output.clear();
        Ok(rest)
    }

    /// Appends a body whose bytes are known to the encoded output, or queues it behind that.
    pub(super) fn push_body(&mut self, body: BodyKind) {
        match body {
            BodyKind::Bytes(bytes) if bytes.len() <= COPIED_BODY_MAX => {
                self.output.extend_from_slice(&bytes);
            }
            BodyKind::Bytes(bytes) => self.queue([Segment::Bytes(bytes)]),
            BodyKind::Segments(segments) => self.queue(segments),
            BodyKind::Empty
            | BodyKind::Incoming(_)
            | BodyKind::Reader { .. }
            | BodyKind::Writer(_)
            | BodyKind::Problem(_) => {}
        }
    }

    /// Moves the encoded output to the queue of the connection, with these segments behind it.
    fn queue(&mut self, segments: impl IntoIterator<Item = Segment>) {
        let encoded = Bytes::copy_from_slice(&self.output);
        self.output.clear();
        let Some(connection) = self.connection.as_mut() else { return };
        connection.output.push(Segment::Bytes(encoded));
        for segment in segments {
            connection.output.push(segment);
        }
    }
}

/// How far a connection's queued output has been sent.
pub(super) enum SendProgress {
    /// The kernel has accepted all of it.
    Done,
    /// The socket has no room. The rest is sent when the client has read some of it.
    Blocked,
    /// More could be sent, but other connections wait for the worker.
    Yield,
    /// It cannot be sent.
    Failed(CloseReason),
}

impl Connection {
    /// Sends queued output. After each `piece` of bytes, the worker checks whether other
    /// connections wait.
    pub(super) fn send_queued(&mut self, turn: &TurnContext<'_>, piece: u64) -> SendProgress {
        let timeouts = &turn.config().timeouts;
        let mut pace = Pace::default();
        loop {
            let began = Instant::now();
            let before = self.output.left();
            let sent = self.output.send(&mut self.wire, piece);
            turn.add_sending(began.elapsed());
            pace.bytes += before - self.output.left();
            match sent {
                Ok(Sent::All) => return SendProgress::Done,
                Ok(Sent::Turn) if !turn.others_wait() => continue,
                Ok(Sent::Turn | Sent::Blocked) => {}
                Err(error) => return SendProgress::Failed(send_failure(&error)),
            }
            let has_room = matches!(sent, Ok(Sent::Turn));
            match turn.lease_output(self) {
                Leased::Yes if has_room => return SendProgress::Yield,
                Leased::Yes => return SendProgress::Blocked,
                // The memory does not suffice to queue the rest, but the client reads it.
                _ if has_room => {}
                // The client is slow, and the memory is used by clients that are no slower.
                Leased::Full(_) => return SendProgress::Failed(CloseReason::WriteTimeout),
                // The response is too long to be queued: the worker itself waits for the client.
                Leased::TooMuch => {
                    let what = (self.wire.stream(), Interest::Write);
                    let before = pace.waited;
                    let waits = turn.client_waits();
                    let waited = waits.wait(what, timeouts.write, timeouts, &mut pace);
                    turn.add_client_wait(pace.waited - before);
                    let reason = match waited {
                        Ok(Waited::Ready) => continue,
                        Ok(Waited::TooSlow) => CloseReason::WriteTimeout,
                        Ok(Waited::NoRoom) => CloseReason::Overloaded,
                        Err(_) => CloseReason::SocketError,
                    };
                    return SendProgress::Failed(reason);
                }
            }
        }
    }
}

/// Why sending failed. `UnexpectedEof` comes from a file that is shorter than the response says.
fn send_failure(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CloseReason::HandlerFailed,
        _ => CloseReason::ClientGone,
    }
}
