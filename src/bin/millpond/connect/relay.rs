//! Standard input to the socket and the socket to standard output, both at once.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use millpond::net::Endpoint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::exchange::{linger, shut, silent, warn_if_cut};
use super::line::{Line, ROOM};
use super::{ConnectArgs, broken, print};
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
        piece: vec![0; piece],
        pending: 0..0,
        buf: vec![0; ROOM],
    };
    relay.run()
}

impl Relay<'_> {
    fn run(mut self) -> Result<(), Failure> {
        while self.input || self.output || !self.pending.is_empty() {
            let Some((readable, writable, input)) = self.wait()? else { return self.quiet() };
            if readable && !self.receive()? {
                return Ok(());
            }
            if writable {
                self.send()?;
            }
            if input {
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
    fn wait(&self) -> Result<Option<(bool, bool, bool)>, Failure> {
        let deadline = self.patience().map(|patience| Instant::now() + patience);
        let stdin = io::stdin();
        let sending = !self.pending.is_empty();
        let mut socket = PollFlags::empty();
        socket.set(PollFlags::IN, self.output);
        socket.set(PollFlags::OUT, sending);
        let mut fds = Vec::with_capacity(2);
        if !socket.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.line.as_fd(), socket));
        }
        if self.input && !sending {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        loop {
            let left = deadline.map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
            });
            match poll(&mut fds, left.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(Failure::io(code::RUNTIME, "cannot wait", errno.into()));
                }
            }
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        // An error or a hang-up shows at whichever call comes first.
        let socket = !socket.is_empty() && ready.next().unwrap_or(false);
        let input = ready.next().unwrap_or(false);
        Ok(Some((socket && self.output, socket && sending, input)))
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
        let len = match rustix::io::read(io::stdin(), &mut self.piece[..]) {
            Ok(len) => len,
            // Somebody else read it, or the terminal is another job's for now.
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Err(errno) => {
                let what = "cannot read standard input";
                return Err(Failure::io(code::RUNTIME, what, errno.into()));
            }
        };
        self.pending = 0..len;
        if len == 0 {
            self.input = false;
            if !self.args.no_shutdown || self.args.send_only {
                shut(self.line, self.endpoint)?;
            }
        }
        Ok(())
    }
}
