//! Reading the header from the socket.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::config::Config;
use crate::net::Addr;
use crate::pool::connection::Connection;
use crate::pool::protocol::TurnContext;
use crate::pool::proxy_header::parse::{ParsedHeader, parse};
use crate::pool::shared::Shared;
use crate::sync::LogThrottle;

/// Room for a header with a few extensions. A longer one takes several reads.
const PEEKED: usize = 512;

/// How often each kind of faulty connection is logged.
const LOG_PERIOD: Duration = Duration::from_secs(60);

static UNTRUSTED: LogThrottle = LogThrottle::every(LOG_PERIOD);
static NO_HEADER: LogThrottle = LogThrottle::every(LOG_PERIOD);

impl Shared {
    /// Reads the PROXY header of a connection that awaits one, without waiting, and returns the
    /// connection once its header is complete. `None`: it was parked until more comes, or closed.
    ///
    /// Any thread that is about to enqueue or serve a connection calls this first. A part of a
    /// header stays in the connection's input.
    pub(crate) fn read_proxy_header(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        now: Instant,
    ) -> Option<Box<Connection>> {
        while connection.awaits_proxy_header {
            let config = self.config.load();
            match self.try_proxy_header(&mut connection, &config, now) {
                Ok(true) => connection.awaits_proxy_header = false,
                // The phase is that of a new connection: neither a byte now and then nor the end of
                // the header stretches its timeout.
                Ok(false) => {
                    let phase = connection.phase;
                    connection = self.park(connection, phase, now)?;
                }
                Err(reason) => {
                    log_fault(reason, &connection.peer, now);
                    self.close(connection, reason);
                    return None;
                }
            }
        }
        Some(connection)
    }

    /// `true`: the header is complete. `false`: more of it is to come, and an event will report it.
    fn try_proxy_header(
        self: &Arc<Self>,
        connection: &mut Connection,
        config: &Arc<Config>,
        now: Instant,
    ) -> Result<bool, CloseReason> {
        if !config.proxy.trusts(&connection.peer) {
            return Err(CloseReason::UntrustedProxy);
        }
        while connection.unread {
            let Some(header) = read_part(connection)? else { continue };
            match header.client {
                Some(client) => {
                    self.set_client(connection, Addr::Ip(client).canonical(), config);
                }
                None => connection.hides_client = true,
            }
            connection.input = Vec::new();
            connection.input_lease = None;
            // Input may follow the header which no further event will report.
            connection.unread = true;
            return Ok(true);
        }
        match TurnContext::new(self, config, now).lease_input(connection) {
            true => Ok(false),
            false => Err(CloseReason::Overloaded),
        }
    }

    /// The connection is one of this client, as the header says, and counts for it from now on.
    /// If the client is a trusted proxy, too, its requests may name other clients.
    fn set_client(&self, connection: &mut Connection, client: Addr, config: &Config) {
        connection.from_proxy = config.proxy.trusts(&client);
        connection.client = Some(Box::new(client));
        self.count_for_client(connection);
        if !connection.from_proxy {
            connection.move_place();
        }
    }
}

/// Reads what has come of the header, and no byte after it: what follows may belong to a protocol
/// that reads from the socket itself, such as TLS. The length of a header of version 1 is not known
/// before its end has come. So the bytes are looked at first (`MSG_PEEK`), and then those that
/// belong to the header are taken: two system calls for most headers.
///
/// Returns the header once it is complete.
fn read_part(connection: &mut Connection) -> Result<Option<ParsedHeader>, CloseReason> {
    let mut peeked = [0; PEEKED];
    let count = match connection.wire.stream().try_peek(&mut peeked) {
        Ok(0) if connection.input.is_empty() => return Err(CloseReason::ClientClosed),
        Ok(0) => return Err(CloseReason::ClientGone),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            connection.unread = false;
            return Ok(None);
        }
        Err(_) => return Err(CloseReason::ClientGone),
    };
    let before = connection.input.len();
    connection.input.extend_from_slice(&peeked[..count]);
    let header = parse(&connection.input).map_err(|_| CloseReason::NoProxyHeader)?;
    let length = header.map_or(connection.input.len(), |header| header.length);
    // A header that began earlier was incomplete until now, so that it ends in what came now.
    let wanted = length - before;
    match connection.wire.stream().try_read(&mut peeked[..wanted]) {
        Ok(read) if read == wanted => {}
        _ => return Err(CloseReason::SocketError),
    }
    connection.note_read(count < PEEKED);
    Ok(header)
}

fn log_fault(reason: CloseReason, peer: &Addr, now: Instant) {
    match reason {
        CloseReason::UntrustedProxy => UNTRUSTED.warn(now, || {
            format!("{peer}: closed: the endpoint requires a PROXY header, and this peer is not in proxy.trusted")
        }),
        CloseReason::NoProxyHeader => NO_HEADER.warn(now, || {
            format!("{peer}: closed: the connection did not begin with a PROXY header")
        }),
        _ => {}
    }
}
