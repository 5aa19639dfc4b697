//! What each worker is activity, for those who look from outside.
//!
//! A worker notes it in words of its own as it goes from one thing to the next: a few plain stores
//! on a cache line that nobody else writes. The time is the one that it has read anyway.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use crate::net::Addr;

/// The kind of activity is in the lowest bits of the state, the time since the epoch above them.
const KIND: u64 = 0b11;
const MICROS: u32 = 2;

/// The words are being written.
const CHANGING: u64 = 0b11;

/// A note of what a worker is activity. One thread writes it, any may read.
#[derive(Debug, Default)]
pub(crate) struct ActivityCell {
    /// Microseconds since the epoch at which it began, and the [`WorkerActivity`].
    state: AtomicU64,
    /// The peer's address, IPv4 as mapped into IPv6; all zero where it has none.
    ip: [AtomicU64; 2],
    port: AtomicU64,
}

/// What a worker is activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerActivity {
    /// It waits to be woken.
    Idle = 0,
    /// It waits on epoll for all, and serves what it finds.
    Leading = 1,
    /// It has a connection in hand; unless the protocol is slow, its handler runs.
    Serving = 2,
}

/// A worker, seen at one moment: see [`Handle::workers`](crate::Handle::workers).
///
/// # Examples
/// ```
/// use millpond::http::{Request, Response};
/// use millpond::pool::WorkerActivity;
/// use millpond::Server;
///
/// let handle = Server::builder()
///     .bind("tcp://127.0.0.1:0")
///     .workers(2)
///     .http(|_req: &mut Request| Response::text("Hello, world!"))?
///     .spawn()?;
/// let workers = handle.workers();
/// assert_eq!(workers.len(), 2);
/// assert!(workers.iter().all(|worker| worker.activity != WorkerActivity::Serving));
/// # handle.stop_now();
/// # Ok::<(), millpond::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerState {
    /// Which one it is; its thread is called `worker-INDEX`.
    pub index: usize,
    /// What it is activity.
    pub activity: WorkerActivity,
    /// How long it has been serving; of one that is not, how long it has not been.
    pub since: Duration,
    /// Whose connection it has in hand; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Requests that it has served.
    pub served: u64,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, activity, since, peer, served } = self;
        let seconds = since.as_secs_f64();
        write!(f, "worker-{index}: ")?;
        match (activity, peer) {
            (WorkerActivity::Idle, _) => write!(f, "idle for {seconds:.3} s")?,
            (WorkerActivity::Leading, _) => write!(f, "leading, idle for {seconds:.3} s")?,
            (WorkerActivity::Serving, Some(peer)) => {
                write!(f, "serving {peer} for {seconds:.3} s")?;
            }
            (WorkerActivity::Serving, None) => write!(f, "serving for {seconds:.3} s")?,
        }
        write!(f, ", served {served}")
    }
}

impl ActivityCell {
    /// A connection is in hand from `now` on.
    pub(crate) fn serve(&self, peer: &Addr, epoch: Instant, now: Instant) {
        let (high, low, port) = match peer.as_socket() {
            Some(addr) => {
                let ip = match addr.ip() {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let bits = ip.to_bits();
                ((bits >> 64) as u64, bits as u64, addr.port().into())
            }
            None => (0, 0, 0),
        };
        self.state.store(CHANGING, Ordering::Relaxed);
        // A reader that sees one of the new words sees that they change, too.
        fence(Ordering::Release);
        self.ip[0].store(high, Ordering::Relaxed);
        self.ip[1].store(low, Ordering::Relaxed);
        self.port.store(port, Ordering::Relaxed);
        self.state.store(word(WorkerActivity::Serving, epoch, now), Ordering::Release);
    }

    /// Nothing is in hand from `now` on.
    pub(crate) fn rest(&self, epoch: Instant, now: Instant) {
        self.state.store(word(WorkerActivity::Idle, epoch, now), Ordering::Relaxed);
    }

    /// It waits on epoll, or no longer does: since when it rests stays the same.
    pub(crate) fn lead(&self, leads: bool) {
        let doing = if leads { WorkerActivity::Leading } else { WorkerActivity::Idle };
        let state = self.state.load(Ordering::Relaxed) & !KIND;
        self.state.store(state | doing as u64, Ordering::Relaxed);
    }

    /// What is going on at `now`. While words change it looks again, which they do for nanoseconds;
    /// past a few looks the peer is left out.
    pub(crate) fn read(
        &self,
        epoch: Instant,
        now: Instant,
    ) -> (WorkerActivity, Duration, Option<SocketAddr>) {
        let mut state = CHANGING;
        let mut peer = None;
        for _ in 0..100 {
            state = self.state.load(Ordering::Acquire);
            let ip = self.ip.each_ref().map(|word| word.load(Ordering::Relaxed));
            let port = self.port.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if state != CHANGING && self.state.load(Ordering::Relaxed) == state {
                peer = address(ip, port);
                break;
            }
            std::hint::spin_loop();
        }
        let activity = match state & KIND {
            0 => WorkerActivity::Idle,
            1 => WorkerActivity::Leading,
            _ => WorkerActivity::Serving,
        };
        let began = match state {
            CHANGING => now,
            state => epoch + Duration::from_micros(state >> MICROS),
        };
        let peer = peer.filter(|_| activity == WorkerActivity::Serving);
        (activity, now.saturating_duration_since(began), peer)
    }
}

fn word(activity: WorkerActivity, epoch: Instant, now: Instant) -> u64 {
    let micros = now.saturating_duration_since(epoch).as_micros() as u64;
    micros << MICROS | activity as u64
}

fn address(ip: [u64; 2], port: u64) -> Option<SocketAddr> {
    let bits = u128::from(ip[0]) << 64 | u128::from(ip[1]);
    (bits != 0).then(|| {
        let ip = Ipv6Addr::from_bits(bits).to_canonical();
        SocketAddr::new(ip, port as u16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read() {
        let activity = ActivityCell::default();
        let epoch = Instant::now();
        let at = |millis| epoch + Duration::from_millis(millis);
        assert_eq!(
            activity.read(epoch, at(5)),
            (WorkerActivity::Idle, Duration::from_millis(5), None)
        );
        for text in ["192.0.2.7:80", "[2001:db8::7]:65535"] {
            let peer: SocketAddr = text.parse().unwrap();
            activity.serve(&Addr::Ip(peer), epoch, at(10));
            let expected = (WorkerActivity::Serving, Duration::from_millis(20), Some(peer));
            assert_eq!(activity.read(epoch, at(30)), expected);
        }
        activity.rest(epoch, at(40));
        activity.lead(true);
        assert_eq!(
            activity.read(epoch, at(41)),
            (WorkerActivity::Leading, Duration::from_millis(1), None)
        );
        activity.lead(false);
        activity.serve(&Addr::Unnamed, epoch, at(50));
        assert_eq!(activity.read(epoch, at(50)), (WorkerActivity::Serving, Duration::ZERO, None));
    }

    #[test]
    fn a_reader_never_mixes_two_peers() {
        let activity = ActivityCell::default();
        let epoch = Instant::now();
        let done = std::sync::atomic::AtomicBool::new(false);
        let peers = ["[2001:db8:1:1:1:1:1:1]:1", "[2001:db8:2:2:2:2:2:2]:2"];
        let peers: [SocketAddr; 2] = peers.map(|text| text.parse().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..200_000 {
                    let now = epoch + Duration::from_micros(turn);
                    activity.serve(&Addr::Ip(peers[turn as usize % 2]), epoch, now);
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let (_, _, peer) = activity.read(epoch, epoch);
                assert!(peer.is_none_or(|peer| peers.contains(&peer)), "{peer:?}");
            }
        });
    }
}
