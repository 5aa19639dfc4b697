//! The acceptor under signals and without descriptors. Each runs in a process of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millpond::handlers::Hello;
use rustix::net;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{addr, exchange, passes_in_a_process_of_its_own, start_http, until};

const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

#[test]
fn a_storm_of_signals_at_the_acceptor_loses_no_connection() {
    passes_in_a_process_of_its_own("pool::acceptor::signal_storm");
}

#[test]
fn accepting_pauses_without_descriptors_and_resumes() {
    passes_in_a_process_of_its_own("pool::acceptor::no_descriptors");
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

#[test]
#[ignore = "run by a_storm_of_signals_at_the_acceptor_loses_no_connection"]
#[expect(unsafe_code, reason = "std has no call to install a handler or to signal a thread")]
fn signal_storm() {
    // SAFETY: a zeroed sigaction is a valid one; the handler only adds to an atomic. Without
    // SA_RESTART, every system call that the signal meets fails with EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count_signal as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    let server = start_http(4, Hello);
    let mut acceptor = None;
    until("the acceptor is named", || {
        acceptor = std::fs::read_dir("/proc/self/task").unwrap().flatten().find_map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (name.trim() == "acceptor").then(|| task.file_name().to_str()?.parse::<i32>().ok())?
        });
        acceptor.is_some()
    });
    let acceptor = acceptor.unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let addr = addr(&server);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: tgkill takes numbers only.
                unsafe {
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), acceptor, libc::SIGUSR1);
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..2500 {
                        assert_eq!(exchange(addr, GET_CLOSE).text(), "Hello, world!");
                    }
                })
            })
            .collect();
        let results: Vec<_> =
            clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
    });
    assert!(SIGNALS.load(Ordering::Relaxed) > 100, "only a few signals arrived");
    assert!(server.stats().accept_interrupted > 0, "no call was interrupted");
    assert_eq!(server.stats().served, 10_000);
}

#[test]
#[ignore = "run by accepting_pauses_without_descriptors_and_resumes"]
fn no_descriptors() {
    let server = start_http(2, Hello);
    let addr = addr(&server);
    assert_eq!(exchange(addr, GET_CLOSE).text(), "Hello, world!");
    let limit = getrlimit(Resource::Nofile);
    // Made while there are descriptors, connected when there are none.
    let clients: Vec<_> = (0..4)
        .map(|_| net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap())
        .collect();
    // Every number below five is in use already: none is left to give out.
    setrlimit(Resource::Nofile, Rlimit { current: Some(5), maximum: limit.maximum }).unwrap();
    for client in &clients {
        net::connect(client, &addr).unwrap();
    }
    until("accepting pauses", || server.stats().accept_exhausted > 0);
    let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (before, began) = (cpu(), Instant::now());
    std::thread::sleep(Duration::from_millis(300));
    let after = cpu();
    let spent =
        (after.tv_sec - before.tv_sec) as f64 * 1e9 + (after.tv_nsec - before.tv_nsec) as f64;
    let share = spent / began.elapsed().as_nanos() as f64;
    assert!(share < 0.2, "it spins without descriptors: {share:.2} of a core");
    setrlimit(Resource::Nofile, limit).unwrap();
    for _ in 0..20 {
        let response = exchange(addr, GET_CLOSE);
        assert_eq!(response.text(), "Hello, world!", "{:?}", server.stats());
    }
}
