//! The relay: standard input to the socket and the socket to standard output, both at once.

use std::io::{self, IsTerminal};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use millpond::net::{Endpoint, Transport};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::args::{ConnectArgs, CrlfWhen};
use super::exchange::{idle_failure, linger, shutdown, warn_if_cut};
use super::message::LineEnds;
use super::output::socket_failure;
use super::reader::{is_closed, poll_until, watch};
use super::socket::{ClientSocket, MAX_RECORD};
use crate::failure::{Failure, code};
use crate::os::stdout::{Reader, print};

/// How long the client waits for datagrams after the end of standard input, without `--idle`.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

/// How long the client waits for more input after the other side has stopped sending: it may still
/// receive.
const LAST_INPUT: Duration = Duration::from_millis(500);

struct Relay<'a> {
    args: &'a ConnectArgs,
    endpoint: &'a str,
    socket: &'a mut ClientSocket,
    /// Whether standard input has not ended.
    input: bool,
    /// Whether the other side has not stopped sending.
    output: bool,
    /// The buffer into which a piece of standard input is read.
    input_buf: Vec<u8>,
    /// Set if line ends are sent as CRLF.
    line_ends: Option<LineEnds>,
    /// The piece that was read, of which `pending` is not sent yet. The next one is read after it.
    piece: Vec<u8>,
    pending: Range<usize>,
    buf: Vec<u8>,
}

/// `text`: the endpoint as messages name it.
pub(super) fn run(
    args: &ConnectArgs,
    endpoint: &Endpoint,
    text: &str,
    socket: &mut ClientSocket,
) -> Result<(), Failure> {
    // poll(2) waits instead of the socket.
    socket.set_timeout(Duration::ZERO);
    let piece = socket.max_send();
    let relay = Relay {
        args,
        endpoint: text,
        socket,
        input: !args.recv_only,
        output: !args.send_only,
        input_buf: vec![0; piece],
        line_ends: sends_crlf(args, endpoint).then(LineEnds::default),
        piece: Vec::new(),
        pending: 0..0,
        buf: vec![0; MAX_RECORD],
    };
    relay.run()
}

/// Whether line ends of standard input are sent as CRLF. A terminal reads LF for the return key.
fn sends_crlf(args: &ConnectArgs, endpoint: &Endpoint) -> bool {
    match args.crlf {
        CrlfWhen::Always => true,
        CrlfWhen::Never => false,
        CrlfWhen::Auto => {
            matches!(endpoint, Endpoint::Inet { transport: Transport::Tcp, .. })
                && io::stdin().is_terminal()
        }
    }
}

/// The calls that do not block.
struct Ready {
    receive: bool,
    send: bool,
    read: bool,
    /// Whether the reader of standard output has closed it.
    stdout_closed: bool,
}

impl Relay<'_> {
    fn run(mut self) -> Result<(), Failure> {
        while self.input || self.output || self.is_sending() {
            let Some(ready) = self.wait()? else { return self.timed_out() };
            if ready.stdout_closed || (ready.receive && self.receive()? == Reader::Closed) {
                return Ok(());
            }
            if ready.send {
                self.send()?;
            }
            if ready.read {
                self.read()?;
            }
        }
        if self.args.send_only {
            linger(self.socket);
        }
        Ok(())
    }

    /// Whether bytes wait to be sent.
    fn is_sending(&self) -> bool {
        !self.pending.is_empty() || self.socket.has_output()
    }

    /// The time after which the relay ends if nothing happens.
    fn timeout(&self) -> Option<Duration> {
        match self.args.idle {
            Some(idle) => Some(idle),
            None if !self.output && self.input && !self.args.send_only => Some(LAST_INPUT),
            None if !self.socket.has_end() && !self.input && !self.args.recv_only => {
                Some(LAST_RESPONSES)
            }
            None => None,
        }
    }

    /// Waits until a call does not block: receive, send, read. `None`: the timeout passed.
    fn wait(&self) -> Result<Option<Ready>, Failure> {
        if self.output && self.socket.has_input() {
            let (send, read, stdout_closed) = (false, false, false);
            return Ok(Some(Ready { receive: true, send, read, stdout_closed }));
        }
        let deadline = self.timeout().map(|timeout| Instant::now() + timeout);
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let sending = self.is_sending();
        let mut socket = PollFlags::empty();
        socket.set(PollFlags::IN, self.output);
        socket.set(PollFlags::OUT, sending);
        let mut fds = Vec::with_capacity(3);
        if !socket.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.socket.as_fd(), socket));
        }
        let reading = self.input && !sending;
        if reading {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        // A client that only waits for the other side would not learn of it by writing.
        if self.output {
            fds.push(watch(&stdout));
        }
        let waited = poll_until(&mut fds, deadline);
        if !waited.map_err(|error| Failure::io(code::RUNTIME, "cannot poll the socket", error))? {
            return Ok(None);
        }
        let mut fds = fds.iter();
        let mut ready =
            |watched: bool| watched && fds.next().is_some_and(|fd| !fd.revents().is_empty());
        // The next call, whichever it is, returns an error or a hang-up.
        let socket = ready(!socket.is_empty());
        Ok(Some(Ready {
            receive: socket && self.output,
            send: socket && sending,
            read: ready(reading),
            stdout_closed: self.output && fds.next().is_some_and(is_closed),
        }))
    }

    /// The result if nothing happened within the timeout.
    fn timed_out(&self) -> Result<(), Failure> {
        match self.args.idle {
            Some(idle) if self.socket.has_end() => Err(idle_failure(self.endpoint, idle)),
            _ => Ok(()),
        }
    }

    fn receive(&mut self) -> Result<Reader, Failure> {
        let received = match self.socket.recv(&mut self.buf) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Reader::Open),
            Err(error) => return Err(socket_failure("cannot receive from", self.endpoint, error)),
        };
        warn_if_cut(received);
        if received.len == 0 && self.socket.has_end() {
            self.output = false;
            return Ok(Reader::Open);
        }
        print(self.socket.payload(&self.buf[..received.len]))
    }

    fn send(&mut self) -> Result<(), Failure> {
        let sent = match self.pending.is_empty() {
            true => self.socket.flush().map(|()| 0),
            false => self.socket.send(&self.piece[self.pending.clone()]),
        };
        match sent {
            Ok(sent) => self.pending.start += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(socket_failure("cannot send to", self.endpoint, error)),
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Failure> {
        let len = match rustix::io::read(io::stdin(), &mut self.input_buf[..]) {
            Ok(len) => len,
            // Another process read it, or the terminal belongs to another job at present.
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Err(errno) => {
                let what = "cannot read standard input";
                return Err(Failure::io(code::RUNTIME, what, errno.into()));
            }
        };
        self.piece.clear();
        match &mut self.line_ends {
            Some(ends) => ends.translate(&self.input_buf[..len], &mut self.piece),
            None => self.piece.extend_from_slice(&self.input_buf[..len]),
        }
        self.pending = 0..self.piece.len();
        if len == 0 {
            self.input = false;
            if !self.args.no_shutdown || self.args.send_only {
                shutdown(self.socket, self.endpoint)?;
            }
        }
        Ok(())
    }
}
