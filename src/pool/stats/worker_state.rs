//! [`WorkerState`]: what each worker is doing, as other threads see it.
//!
//! A worker writes its activity into words of its own whenever that changes: a few plain stores on
//! a cache line that no other thread writes. It uses the time that it has read for its own
//! purposes.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use crate::net::Addr;
use crate::pool::stats::request_text::{RequestText, text};

/// The lowest bits of the state are the activity. The next ones count the requests of a turn, so
/// that each write of the words ends with another state. The bits above are the time since the
/// epoch.
const KIND: u64 = 0b11;
const REQUEST: u64 = 1 << 2;
const REQUESTS: u64 = 0xff << 2;
const MICROS: u32 = 10;

/// The value of the lowest bits, and of the whole state, while the words are being written.
const CHANGING: u64 = 0b11;

/// What a worker is doing. One thread writes it, any thread may read it.
#[derive(Debug, Default)]
pub(crate) struct ActivityCell {
    /// When the activity began, in microseconds since the epoch, and the [`WorkerActivity`].
    state: AtomicU64,
    /// The peer's IP address, IPv4 as mapped into IPv6; all zero if it has none.
    ip: [AtomicU64; 2],
    port: AtomicU64,
    /// How long the work waited in the queue, in microseconds.
    wait: AtomicU64,
    /// The request, if an admin endpoint shows it.
    request: RequestText,
}

/// What one look at an [`ActivityCell`] found.
#[derive(Debug, PartialEq)]
pub(crate) struct SeenActivity {
    pub(crate) activity: WorkerActivity,
    pub(crate) since: Duration,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) wait: Duration,
    pub(crate) request: Option<String>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerActivity {
    /// It sleeps until it is woken.
    Idle = 0,
    /// It waits on epoll for all connections, and serves the first that becomes ready.
    Leading = 1,
    /// It serves a connection or a datagram; most of that time its handler runs.
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
///     .http(|_req: &mut Request| Response::text("Hello, world!")).build()?
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
    /// The index of the worker. The name of its thread is `worker-INDEX`.
    pub index: usize,
    /// What it is doing.
    pub activity: WorkerActivity,
    /// How long it has been serving, or, if it is not, for how long it has not.
    pub since: Duration,
    /// The peer that it serves; `None` for a Unix socket, or if it serves none.
    pub peer: Option<SocketAddr>,
    /// How many requests it has served.
    pub served: u64,
    /// How long the request that it serves had waited in the queue.
    pub wait: Duration,
    /// Method and path of the request that it serves, without the query, and at most 64 bytes of
    /// the path. `None` if the server has no admin endpoint.
    pub request: Option<String>,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, activity, since, peer, served, .. } = self;
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
    /// The worker serves `peer` from `now` on, after it `waited` in the queue.
    pub(crate) fn serve(&self, peer: &Addr, epoch: Instant, now: Instant, waited: Duration) {
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
        // A seqlock: a reader that sees one of the new words also sees CHANGING before it, by this
        // fence and by the one in `read`, and then reads again.
        fence(Ordering::Release);
        self.ip[0].store(high, Ordering::Relaxed);
        self.ip[1].store(low, Ordering::Relaxed);
        self.port.store(port, Ordering::Relaxed);
        self.wait.store(waited.as_micros() as u64, Ordering::Relaxed);
        self.request.clear();
        self.state.store(word(WorkerActivity::Serving, epoch, now), Ordering::Release);
    }

    /// The worker, which serves a peer, has read the start of this request.
    pub(crate) fn request(&self, method: &[u8], path: &[u8]) {
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(CHANGING, Ordering::Relaxed);
        // As in `serve`.
        fence(Ordering::Release);
        self.request.set(method, path);
        // The same state again would hide the change from a reader that has begun before.
        let requests = state.wrapping_add(REQUEST) & REQUESTS;
        self.state.store(state & !REQUESTS | requests, Ordering::Release);
    }

    /// The worker serves no peer from `now` on.
    pub(crate) fn rest(&self, epoch: Instant, now: Instant) {
        self.state.store(word(WorkerActivity::Idle, epoch, now), Ordering::Relaxed);
    }

    /// The worker waits on epoll as the leader, or no longer does. The time since when it is idle
    /// stays the same.
    pub(crate) fn lead(&self, leads: bool) {
        let activity = if leads { WorkerActivity::Leading } else { WorkerActivity::Idle };
        let state = self.state.load(Ordering::Relaxed) & !KIND;
        self.state.store(state | activity as u64, Ordering::Relaxed);
    }

    /// The activity, and how long it has lasted at `now`. While the words are being written, which
    /// takes nanoseconds, this reads again; after 100 attempts it leaves out the peer and the
    /// request.
    pub(crate) fn read(&self, epoch: Instant, now: Instant) -> SeenActivity {
        let mut state = CHANGING;
        let (mut peer, mut request, mut wait) = (None, None, Duration::ZERO);
        for _ in 0..100 {
            state = self.state.load(Ordering::Acquire);
            let ip = self.ip.each_ref().map(|word| word.load(Ordering::Relaxed));
            let port = self.port.load(Ordering::Relaxed);
            let waited = self.wait.load(Ordering::Relaxed);
            let words = self.request.read();
            fence(Ordering::Acquire);
            if state != CHANGING && self.state.load(Ordering::Relaxed) == state {
                if state & KIND == WorkerActivity::Serving as u64 {
                    peer = address(ip, port);
                    request = text(words);
                    wait = Duration::from_micros(waited);
                }
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
        let since = now.saturating_duration_since(began);
        SeenActivity { activity, since, peer, wait, request }
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

    /// Activity, time and peer.
    fn seen(
        cell: &ActivityCell,
        epoch: Instant,
        now: Instant,
    ) -> (WorkerActivity, Duration, Option<SocketAddr>) {
        let seen = cell.read(epoch, now);
        (seen.activity, seen.since, seen.peer)
    }

    #[test]
    fn what_a_worker_writes_is_read() {
        let activity = ActivityCell::default();
        let epoch = Instant::now();
        let at = |millis| epoch + Duration::from_millis(millis);
        let read = |millis| seen(&activity, epoch, at(millis));
        assert_eq!(read(5), (WorkerActivity::Idle, Duration::from_millis(5), None));
        let waited = Duration::from_millis(3);
        for text in ["192.0.2.7:80", "[2001:db8::7]:65535"] {
            let peer: SocketAddr = text.parse().unwrap();
            activity.serve(&Addr::Ip(peer), epoch, at(10), waited);
            let expected = (WorkerActivity::Serving, Duration::from_millis(20), Some(peer));
            assert_eq!(read(30), expected);
            assert_eq!(activity.read(epoch, at(30)).request, None);
            activity.request(b"GET", b"/a");
            let found = activity.read(epoch, at(30));
            assert_eq!((found.wait, found.peer), (waited, Some(peer)));
            assert_eq!(found.request.as_deref(), Some("GET /a"));
        }
        activity.rest(epoch, at(40));
        activity.lead(true);
        assert_eq!(read(41), (WorkerActivity::Leading, Duration::from_millis(1), None));
        assert_eq!(activity.read(epoch, at(41)).request, None);
        activity.lead(false);
        activity.serve(&Addr::Unnamed, epoch, at(50), waited);
        assert_eq!(read(50), (WorkerActivity::Serving, Duration::ZERO, None));
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
                    let index = turn as usize % 2;
                    activity.serve(&Addr::Ip(peers[index]), epoch, now, Duration::ZERO);
                    activity.request(b"GET", [&b"/one"[..], b"/other/one"][index]);
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let seen = activity.read(epoch, epoch);
                assert!(seen.peer.is_none_or(|peer| peers.contains(&peer)), "{seen:?}");
                if let (Some(peer), Some(request)) = (seen.peer, seen.request) {
                    let expected = if peer == peers[0] { "GET /one" } else { "GET /other/one" };
                    assert_eq!(request, expected);
                }
            }
        });
    }
}
