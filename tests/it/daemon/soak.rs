//! Mixed load for a while: memory, descriptors and threads do not grow.
//!
//! A few seconds long; `SOAK_SECONDS=1200` makes it twenty minutes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::daemon::{Daemon, root, text};
use crate::support::{PATIENCE, until};

/// The resources of the process.
#[derive(Clone, Copy, Debug)]
struct Held {
    rss_kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn by(pid: u32) -> Self {
        let count = |dir: &str| fs::read_dir(format!("/proc/{pid}/{dir}")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let rss_kib = line.trim().trim_end_matches(" kB").parse().unwrap();
        Self { rss_kib, descriptors: count("fd"), threads: count("task") }
    }
}

/// What clients do, good and bad, one after the other.
const REQUESTS: [&[u8]; 8] = [
    b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n\
      HEAD /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=10-99\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
    b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// The client of the last request closes before its response is complete, at another point each
/// time.
fn ask(addr: SocketAddr, turn: usize) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUESTS[turn % REQUESTS.len()])?;
    let mut response = vec![0; 4096];
    if turn % REQUESTS.len() == REQUESTS.len() - 1 {
        return stream.read(&mut response[..1 + turn % 4096]);
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    response.clear();
    stream.read_to_end(&mut response)
}

#[test]
fn memory_descriptors_and_threads_do_not_grow_under_mixed_load() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let lasting = Duration::from_secs(seconds.unwrap_or(4));
    // A long one leaves the machine to others.
    let pause = if seconds.is_some() { Duration::from_millis(5) } else { Duration::ZERO };
    let large = "meal ".repeat(200_000);
    let www = root(&[("small", "flour"), ("large", &large), ("404.html", "gone")]);
    let log = www.path().join("access");
    let args = [text(www.path()), "--listing", "--error-page", "404=404.html"];
    let logs = ["--access-log", "json", "--access-log-file", text(&log), "--reach"];
    let mut daemon = Daemon::serve(&[&args[..], &logs[..], &[text(www.path())]].concat());
    let (addr, pid) = (daemon.addr(), daemon.pid());
    let (done, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut seen: Vec<Held> = Vec::new();
    thread::scope(|scope| {
        for client in 0..3 {
            let (done, turns) = (&done, &turns);
            scope.spawn(move || {
                for turn in client.. {
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that was cut off or refused is one of those that come.
                    let _ = ask(addr, turn);
                    turns.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(pause);
                }
            });
        }
        // Buffers and caches fill in the first quarter.
        let began = Instant::now();
        for part in 1..=8 {
            // One sample after each part.
            thread::sleep((lasting * part / 8).saturating_sub(began.elapsed()));
            fs::write(&log, "").unwrap();
            daemon.signal([Signal::HUP, Signal::QUIT, Signal::USR1][part as usize % 3]);
            seen.push(Held::by(pid));
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(turns.load(Ordering::SeqCst) > 100, "{turns:?} requests");
    println!("{turns:?} requests in {lasting:?}: {seen:#?}");
    let (warm, last) = (seen[1], seen[7]);
    // While a reload exchanges the access log, the old one's thread writes what it still has.
    assert!(seen.iter().all(|held| held.threads <= warm.threads + 1), "{seen:#?}");
    // Some connections were open at either moment.
    assert!(last.descriptors <= warm.descriptors + 16, "{seen:#?}");
    assert!(last.rss_kib <= warm.rss_kib + warm.rss_kib / 4 + 2048, "{seen:#?}");
    until("threads and connections end", || {
        let held = Held::by(pid);
        held.descriptors <= warm.descriptors && held.threads <= warm.threads
    });
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
}
