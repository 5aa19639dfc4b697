//! Standard input to the socket and the socket to standard output, both at once.

use std::io::{self, IsTerminal};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use millpond::net::{Endpoint, Transport};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::exchange::{linger, shut, silent, warn_if_cut};
use super::message::{CrlfWhen, LineEnds};
use super::reader::{has_gone, poll_until, watch};
use super::{ConnectArgs, broken, print};
use crate::connect::socket::{Line, ROOM};
use crate::failure::{Failure, code};

/// How long datagrams are waited for after the end of standard input, unless `--idle` says.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long more input is waited for when the other side has ended: it may read on.
const LAST_INPUT: Duration = Duration::from_millis(500);

struct Relay<'a> {
    args: &'a ConnectArgs,
    endpoint: &'a Endpoint,
    line: &'a mut Line,
    /// Whether standard input may give more.
    input: bool,
    /// Whether the socket may give more.
    output: bool,
    /// Room to read one piece of standard input.
    room: Vec<u8>,
    /// Set where line ends are sent as CRLF.
    line_ends: Option<LineEnds>,
    /// What was read: one piece, of which `pending` is not sent yet. No more is read meanwhile.
    piece: Vec<u8>,
    pending: Range<usize>,
    buf: Vec<u8>,
}

pub(super) fn run(args: &ConnectArgs, endpoint: &Endpoint, line: &mut Line) -> Result<(), Failure> {
    // poll(2) does the waiting.
    line.set_timeout(Duration::ZERO);
    let piece = line.piece();
    let relay = Relay {
        args,
        endpoint,
        line,
        input: !args.recv_only,
        output: !args.send_only,
        room: vec![0; piece],
        line_ends: sends_crlf(args, endpoint).then(LineEnds::default),
        piece: Vec::new(),
        pending: 0..0,
        buf: vec![0; ROOM],
    };
    relay.run()
}

/// Whether line ends of standard input become CRLF. A terminal gives LF alone for the return key.
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

/// What can be done without waiting.
struct Ready {
    receive: bool,
    send: bool,
    read: bool,
    /// The reader of standard output has closed it.
    unread: bool,
}

impl Relay<'_> {
    fn run(mut self) -> Result<(), Failure> {
        while self.input || self.output || !self.pending.is_empty() {
            let Some(ready) = self.wait()? else { return self.quiet() };
            if ready.unread || (ready.receive && !self.receive()?) {
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
            linger(self.line);
        }
        Ok(())
    }

    /// How long nothing may happen.
    fn patience(&self) -> Option<Duration> {
        match self.args.idle {
            Some(idle) => Some(idle),
            None if !self.output && self.input && !self.args.send_only => Some(LAST_INPUT),
            None if !self.line.has_end() && !self.input && !self.args.recv_only => {
                Some(LAST_ANSWERS)
            }
            None => None,
        }
    }

    /// Waits for what can be done: receive, send, read input. `None`: nothing happened in time.
    fn wait(&self) -> Result<Option<Ready>, Failure> {
        let deadline = self.patience().map(|patience| Instant::now() + patience);
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let sending = !self.pending.is_empty();
        let mut socket = PollFlags::empty();
        socket.set(PollFlags::IN, self.output);
        socket.set(PollFlags::OUT, sending);
        let mut fds = Vec::with_capacity(3);
        if !socket.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.line.as_fd(), socket));
        }
        let reading = self.input && !sending;
        if reading {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        // What has been printed to the end may be read by nobody.
        if self.output {
            fds.push(watch(&stdout));
        }
        let waited = poll_until(&mut fds, deadline);
        if !waited.map_err(|error| Failure::io(code::RUNTIME, "cannot wait", error))? {
            return Ok(None);
        }
        let mut fds = fds.iter();
        let mut ready =
            |asked: bool| asked && fds.next().is_some_and(|fd| !fd.revents().is_empty());
        // An error or a hang-up shows at whichever call comes first.
        let socket = ready(!socket.is_empty());
        Ok(Some(Ready {
            receive: socket && self.output,
            send: socket && sending,
            read: ready(reading),
            unread: self.output && fds.next().is_some_and(has_gone),
        }))
    }

    /// The end for want of anything happening.
    fn quiet(&self) -> Result<(), Failure> {
        match self.args.idle {
            Some(idle) if self.line.has_end() => Err(silent(self.endpoint, idle)),
            _ => Ok(()),
        }
    }

    /// `false`: nobody reads standard output any more.
    fn receive(&mut self) -> Result<bool, Failure> {
        let received = match self.line.recv(&mut self.buf) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(broken("cannot receive from", self.endpoint, error)),
        };
        warn_if_cut(received);
        if received.len == 0 && self.line.has_end() {
            self.output = false;
            return Ok(true);
        }
        print(self.line.payload(&self.buf[..received.len]))
    }

    fn send(&mut self) -> Result<(), Failure> {
        match self.line.send(&self.piece[self.pending.clone()]) {
            Ok(sent) => self.pending.start += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(broken("cannot send to", self.endpoint, error)),
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Failure> {
        let len = match rustix::io::read(io::stdin(), &mut self.room[..]) {
            Ok(len) => len,
            // Somebody else read it, or the terminal is another job's for now.
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Err(errno) => {
                let what = "cannot read standard input";
                return Err(Failure::io(code::RUNTIME, what, errno.into()));
            }
        };
        self.piece.clear();
        match &mut self.line_ends {
            Some(ends) => ends.translate(&self.room[..len], &mut self.piece),
            None => self.piece.extend_from_slice(&self.room[..len]),
        }
        self.pending = 0..self.piece.len();
        if len == 0 {
            self.input = false;
            if !self.args.no_shutdown || self.args.send_only {
                shut(self.line, self.endpoint)?;
            }
        }
        Ok(())
    }
}
