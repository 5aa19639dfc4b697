//! Many connections that follow one script: the clients that a server should not trust.
//!
//! One thread and one epoll hold a whole fleet. It looks at every connection each few milliseconds
//! for what is due, which is exact enough for clients that mean harm.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::TcpMaxSeg};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with, sockopt,
};

use super::response::complete;

/// How often a fleet looks for what is due.
const TICK: Duration = Duration::from_millis(5);
/// For how long a fleet may save up connections that it did not open.
const BURST: Duration = Duration::from_millis(100);
/// How long a fleet waits for the responses to what it sent at the end.
const LAST: Duration = Duration::from_millis(200);
/// The segment size and the receive buffer of a client that makes the kernel hold little for it.
const NARROW: (u32, usize) = (536, 4096);

/// What each connection of a fleet does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Sent as soon as the connection is there.
    pub(crate) opening: Vec<u8>,
    /// Sent after each response. Empty: nothing.
    pub(crate) next: Vec<u8>,
    /// The least time from one sending of `next` to the following one.
    pub(crate) pace: Duration,
    /// Sent again and again, with this time between two of them.
    pub(crate) drip: Option<(Vec<u8>, Duration)>,
    /// Sent when the time is over. Empty: nothing.
    pub(crate) ending: Vec<u8>,
    /// Bytes taken per second. `None`: all, at once.
    pub(crate) reads: Option<usize>,
    /// Small segments and a small receive buffer: what is not read stays with the server.
    pub(crate) narrow: bool,
    /// Whether a connection that the server closed is followed by another one.
    pub(crate) reopen: bool,
}

/// A number of connections that follow a script.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) script: Script,
    pub(crate) connections: usize,
    /// The addresses that they come from, in turn.
    pub(crate) sources: Vec<Ipv4Addr>,
    /// Connections opened per second at the most, until all are there.
    pub(crate) opened_per_second: f64,
    /// Connections opened per second, at the most, in place of those that the server closed.
    pub(crate) reopened_per_second: f64,
    /// How long after the others it begins.
    pub(crate) delay: Duration,
}

/// What a fleet saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Connections opened.
    pub(crate) opened: u64,
    /// Connections that the server closed or reset.
    pub(crate) closed: u64,
    /// Responses with 200.
    pub(crate) served: u64,
    /// Responses with 503.
    pub(crate) refused: u64,
    /// Responses with another status.
    pub(crate) other: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.served += other.served;
        self.refused += other.refused;
        self.other += other.other;
    }
}

/// One connection.
#[derive(Debug, Default)]
struct Client {
    socket: Option<OwnedFd>,
    /// What is to be sent still.
    output: Vec<u8>,
    /// The beginning of a response.
    input: Vec<u8>,
    /// When the next piece drips.
    drip_at: Option<Instant>,
    /// When `next` is to be sent.
    next_at: Option<Instant>,
    asked_at: Option<Instant>,
}

struct Run<'a> {
    fleet: &'a Fleet,
    target: SocketAddr,
    poll: OwnedFd,
    clients: Vec<Client>,
    /// Places without a connection, which are to have one.
    vacant: Vec<usize>,
    /// How many may be opened now, as of `allowed_at`.
    allowed: f64,
    allowed_at: Instant,
    /// When each may have taken its share of what it reads.
    read_at: Instant,
    seen: Seen,
    buffer: Vec<u8>,
}

impl Fleet {
    /// Follows the script for `time`, and ends all connections with a reset.
    pub(crate) fn run(&self, target: SocketAddr, time: Duration) -> Result<Seen, Errno> {
        thread::sleep(self.delay);
        let start = Instant::now();
        let mut run = Run {
            fleet: self,
            target,
            poll: epoll::create(CreateFlags::CLOEXEC)?,
            clients: (0..self.connections).map(|_| Client::default()).collect(),
            vacant: (0..self.connections).rev().collect(),
            allowed: 0.0,
            allowed_at: start,
            read_at: start,
            seen: Seen::default(),
            buffer: vec![0; 64 * 1024],
        };
        let end = start + time.saturating_sub(self.delay);
        run.until(end)?;
        if !self.script.ending.is_empty() {
            for index in 0..run.clients.len() {
                run.say(index, &self.script.ending);
            }
            run.vacant.clear();
            run.until(end + LAST)?;
        }
        Ok(run.seen)
    }
}

impl Run<'_> {
    fn until(&mut self, end: Instant) -> Result<(), Errno> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.as_nanos() as i64 };
        let mut looked = Instant::now() - TICK;
        while Instant::now() < end {
            self.open_due();
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                self.look(looked);
            }
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&tick)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            for event in &events {
                self.handle(event.data.u64() as usize, event.flags);
            }
        }
        Ok(())
    }

    /// Opens as many of the vacant connections as the rate allows by now.
    fn open_due(&mut self) {
        let gathers = self.seen.opened < self.fleet.connections as u64;
        let Fleet { opened_per_second, reopened_per_second, .. } = *self.fleet;
        let rate = if gathers { opened_per_second } else { reopened_per_second };
        let now = Instant::now();
        let more = (now - self.allowed_at).as_secs_f64() * rate;
        // What was not used for a while is lost, so that no burst follows.
        self.allowed = (self.allowed + more).min((rate * BURST.as_secs_f64()).max(1.0));
        self.allowed_at = now;
        while self.allowed >= 1.0
            && let Some(index) = self.vacant.pop()
        {
            self.allowed -= 1.0;
            self.seen.opened += 1;
            if self.open(index).is_err() {
                self.vacant.insert(0, index);
                return;
            }
        }
    }

    fn open(&mut self, index: usize) -> Result<(), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if self.fleet.script.narrow {
            let _ = setsockopt(&socket, TcpMaxSeg, &NARROW.0);
            sockopt::set_socket_recv_buffer_size(&socket, NARROW.1)?;
        }
        // Thousands of ports that wait out TIME_WAIT would be missing in the next run.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        let sources = &self.fleet.sources;
        bind(&socket, &SocketAddrV4::new(sources[index % sources.len()], 0))?;
        match connect(&socket, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.poll, &socket, EventData::new_u64(index as u64), flags)?;
        let script = &self.fleet.script;
        let drip_at = script.drip.as_ref().map(|(_, every)| Instant::now() + *every);
        self.clients[index] = Client {
            socket: Some(socket),
            drip_at,
            asked_at: Some(Instant::now()),
            ..Client::default()
        };
        self.say(index, &script.opening);
        Ok(())
    }

    /// Sends what is due, and reads what each may have read by now.
    fn look(&mut self, now: Instant) {
        let share = self.fleet.script.reads.map(|rate| {
            let bytes = (now - self.read_at).as_secs_f64() * rate as f64;
            if bytes < 64.0 { 0 } else { bytes as usize }
        });
        if share.is_some_and(|bytes| bytes > 0) {
            self.read_at = now;
        }
        let fleet = self.fleet;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if client.next_at.is_some_and(|at| at <= now) {
                client.next_at = None;
                client.asked_at = Some(now);
                self.say(index, &fleet.script.next);
            }
            let client = &mut self.clients[index];
            if let Some((piece, every)) = &fleet.script.drip
                && client.drip_at.is_some_and(|at| at <= now)
            {
                client.drip_at = Some(now + *every);
                self.say(index, piece);
            }
            if let Some(bytes) = share.filter(|&bytes| bytes > 0) {
                self.take(index, bytes);
            }
        }
    }

    fn handle(&mut self, index: usize, flags: EventFlags) {
        self.flush(index);
        if self.fleet.script.reads.is_none() {
            self.read_all(index);
        } else if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.closed(index);
        }
    }

    fn say(&mut self, index: usize, bytes: &[u8]) {
        if self.clients[index].socket.is_some() {
            self.clients[index].output.extend_from_slice(bytes);
            self.flush(index);
        }
    }

    fn flush(&mut self, index: usize) {
        let Client { socket: Some(socket), output, .. } = &mut self.clients[index] else { return };
        while !output.is_empty() {
            match send(&*socket, output, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(output.drain(..sent)),
                Err(Errno::AGAIN | Errno::NOTCONN | Errno::INTR) => return,
                Err(_) => return self.closed(index),
            }
        }
    }

    /// Reads this many bytes, whatever they are.
    fn take(&mut self, index: usize, bytes: usize) {
        let Some(socket) = &self.clients[index].socket else { return };
        let length = bytes.min(self.buffer.len());
        if !matches!(
            recv(socket, &mut self.buffer[..length], RecvFlags::empty()),
            Ok((1.., _)) | Err(Errno::AGAIN | Errno::INTR)
        ) {
            self.closed(index);
        }
    }

    fn read_all(&mut self, index: usize) {
        loop {
            let Some(socket) = &self.clients[index].socket else { return };
            match recv(socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((read @ 1.., _)) => {
                    self.clients[index].input.extend_from_slice(&self.buffer[..read]);
                    self.responses(index);
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                Ok(_) | Err(_) => return self.closed(index),
            }
        }
    }

    /// Counts the responses that are there, and has the next request sent for each.
    fn responses(&mut self, index: usize) {
        let fleet = self.fleet;
        while let Some(response) = complete(&self.clients[index].input) {
            self.clients[index].input.drain(..response.length);
            match response.status {
                200 => self.seen.served += 1,
                503 => self.seen.refused += 1,
                _ => self.seen.other += 1,
            }
            if response.close || fleet.script.next.is_empty() {
                continue;
            }
            let now = Instant::now();
            let client = &mut self.clients[index];
            let due = client.asked_at.map_or(now, |asked| asked + fleet.script.pace);
            if due <= now {
                client.asked_at = Some(now);
                self.say(index, &fleet.script.next);
            } else {
                client.next_at = Some(due);
            }
        }
    }

    fn closed(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.socket.take().is_none() {
            return;
        }
        self.seen.closed += 1;
        if self.fleet.script.reopen {
            self.vacant.push(index);
        }
    }
}
