//! [`Load`]: requests at a constant rate, whatever becomes of those before (an open loop).

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::response::read;
use crate::support::{PATIENCE, socket_at};

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When it was due, from the start of the load.
    pub(super) due: Duration,
    /// The status, or what went wrong.
    pub(super) status: Result<u16, String>,
    pub(super) body: String,
}

/// GET requests, each on a connection of its own.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    began: Instant,
    threads: Vec<JoinHandle<Vec<Seen>>>,
}

impl Load {
    /// Starts `rate` requests a second. No more than `clients` can be in progress.
    pub(super) fn start(addr: SocketAddr, rate: f64, clients: usize) -> Self {
        Self::start_from([127, 0, 0, 1], addr, rate, clients)
    }

    /// The same from this address.
    pub(super) fn start_from(source: [u8; 4], addr: SocketAddr, rate: f64, clients: usize) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let began = Instant::now();
        let client = |index: usize| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || {
                let mut seen = Vec::new();
                for number in (index..).step_by(clients) {
                    let due = Duration::from_secs_f64(number as f64 / rate);
                    thread::sleep(due.saturating_sub(began.elapsed()));
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (status, body) = match request(source, addr) {
                        Ok((status, body)) => (Ok(status), body),
                        Err(error) => (Err(error), String::new()),
                    };
                    sent.fetch_add(1, Ordering::Relaxed);
                    seen.push(Seen { due, status, body });
                }
                seen
            })
        };
        let threads = (0..clients).map(client).collect();
        Self { stop, sent, began, threads }
    }

    /// The time since its start.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How many requests have ended.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it; what became of each request, in the order in which they were due.
    pub(super) fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen: Vec<Seen> =
            self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        seen.sort_by_key(|seen| seen.due);
        seen
    }
}

fn request(source: [u8; 4], addr: SocketAddr) -> Result<(u16, String), String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = socket_at(source);
    rustix::net::connect(&socket, &addr).map_err(|errno| text(errno.into()))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(text)?;
    let response = read(&mut stream, false)?;
    Ok((response.status, String::from_utf8_lossy(&response.body).into_owned()))
}
