//! [`SeqpacketProtocol`]: the protocol of `unixpacket:` connections, which keep the boundaries of
//! records.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::pool::datagram::handler::DatagramHandler;
use crate::pool::output::Sent;
use crate::pool::{Connection, Outcome, Phase, Protocol, ProtocolWorker, Segment, TurnContext};
use crate::sync::LogThrottle;

/// Records served in one turn before other connections have theirs.
const RECORDS_PER_TURN: usize = 64;

/// Calls a handler for each record, and sends its response as one record.
///
/// A client that does not read its responses occupies no worker, and the memory of one response
/// only: the next record is read once that response was sent.
pub(crate) struct SeqpacketProtocol {
    handler: Arc<dyn DatagramHandler>,
    throttle: Arc<LogThrottle>,
}

impl SeqpacketProtocol {
    pub(crate) fn new(handler: Arc<dyn DatagramHandler>) -> Self {
        Self { handler, throttle: Arc::default() }
    }
}

impl Protocol for SeqpacketProtocol {
    fn worker(&self) -> Box<dyn ProtocolWorker> {
        let (handler, throttle) = (Arc::clone(&self.handler), Arc::clone(&self.throttle));
        Box::new(SeqpacketWorker { handler, throttle, record: Vec::new() })
    }
}

struct SeqpacketWorker {
    handler: Arc<dyn DatagramHandler>,
    throttle: Arc<LogThrottle>,
    /// The buffer for one record.
    record: Vec<u8>,
}

impl ProtocolWorker for SeqpacketWorker {
    fn serve(&mut self, mut connection: Box<Connection>, turn: &mut TurnContext<'_>) -> Outcome {
        self.record.resize(turn.config().limits.datagram, 0);
        for _ in 0..RECORDS_PER_TURN {
            match connection.output.send(&mut connection.wire, u64::MAX) {
                Ok(Sent::All) => {}
                Ok(_) => return Outcome::Park(connection, Phase::Write),
                Err(error) => return self.close_unsent(connection, turn, &error),
            }
            let received = match connection.wire.try_recv_record(&mut self.record) {
                Ok(received) if received.len == 0 => {
                    return Outcome::Close(connection, CloseReason::ClientClosed);
                }
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Outcome::Park(connection, Phase::Idle);
                }
                Err(_) => return Outcome::Close(connection, CloseReason::ClientGone),
            };
            if received.is_truncated() {
                self.throttle.warn(turn.now, || {
                    let (full, most) = (received.full, received.len);
                    format!(
                        "closed a connection: its record of {full} bytes is longer than \
                         limits.datagram ({most})"
                    )
                });
                return Outcome::Close(connection, CloseReason::TooLarge);
            }
            turn.count_request();
            let record = &self.record[..received.len];
            if let Some(response) = self.handler.handle(record, &connection.peer) {
                connection.output.push(Segment::Bytes(Bytes::copy_from_slice(&response)));
            }
        }
        Outcome::Requeue(connection)
    }
}

impl SeqpacketWorker {
    /// Closes a connection to which a response could not be sent.
    fn close_unsent(
        &self,
        connection: Box<Connection>,
        turn: &TurnContext<'_>,
        error: &io::Error,
    ) -> Outcome {
        let too_long = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::MSGSIZE);
        if !too_long {
            return Outcome::Close(connection, CloseReason::ClientGone);
        }
        self.throttle.warn(turn.now, || {
            "closed a connection: its response is longer than a record can be \
             (net.core.wmem_default)"
                .to_owned()
        });
        Outcome::Close(connection, CloseReason::HandlerFailed)
    }
}
