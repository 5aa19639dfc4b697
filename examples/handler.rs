//! A server whose handler sleeps or computes for a while: the benchmarks load it.
//!
//! `cargo run --release --example handler -- --bind 127.0.0.1:8888 --workers 4 --sleep-ms 5`
//!
//! `--burn-ms` uses CPU time instead, `--connections` sets the maximum number of open connections,
//! and `--urgent` adds an urgent endpoint. `--no-shed` turns off the refusal of requests that would
//! wait too long, for comparison.
//!
//! Parameters in the query of a request: `sleep-ms` sleeps in addition, `quick` neither sleeps nor
//! computes, `bytes` is the length of the response, `read` reads the body, and `stall-ms` makes
//! every handler wait for this time, like a database that stalls.

use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use millpond::http::{Request, Response, StatusCode};
use millpond::{Config, Error, ErrorKind, Server};
use rustix::time::{ClockId, clock_gettime};

/// The reference time of [`STALL`].
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The end of the stall, in milliseconds from [`START`]; 0 if there was none.
static STALL: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Error> {
    let mut bind = "127.0.0.1:8888".to_owned();
    let mut urgent = None;
    let (mut nap, mut burn) = (Duration::ZERO, Duration::ZERO);
    let mut config = Config::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--no-shed" {
            config.overload.shed = false;
            continue;
        }
        let Some(value) = arguments.next() else { return Err(usage(&name)) };
        let number = || value.parse::<f64>().map_err(|_| usage(&name));
        match name.as_str() {
            "--bind" => bind = value,
            "--urgent" => urgent = Some(value),
            "--workers" => config.pool.workers = number()? as usize,
            "--connections" => config.limits.connections = number()? as usize,
            "--sleep-ms" => nap = Duration::from_secs_f64(number()?.max(0.0) / 1e3),
            "--burn-ms" => burn = Duration::from_secs_f64(number()?.max(0.0) / 1e3),
            _ => return Err(usage(&name)),
        }
    }
    let handler = move |request: &mut Request| {
        let parameters = Parameters::of(request);
        parameters.stall();
        let (nap, burn) = if parameters.quick { Default::default() } else { (nap, burn) };
        if !(nap + parameters.sleep).is_zero() {
            sleep(nap + parameters.sleep);
        }
        use_cpu(burn);
        if parameters.read && io::copy(request.body_mut(), &mut io::sink()).is_err() {
            return Response::error(StatusCode::BAD_REQUEST);
        }
        match parameters.bytes {
            0 => Response::text("Hello, world!"),
            bytes => Response::text("x".repeat(bytes)),
        }
    };
    let mut server = Server::builder().config(config).bind(format!("tcp://{bind}"));
    if let Some(urgent) = urgent {
        server = server.bind(format!("tcp://{urgent}?priority=high"));
    }
    server.http(handler).build()?.run()?;
    Ok(())
}

/// The parameters of a request.
#[derive(Default)]
struct Parameters {
    sleep: Duration,
    stall: Duration,
    bytes: usize,
    read: bool,
    quick: bool,
}

impl Parameters {
    fn of(request: &Request) -> Self {
        let mut parameters = Self::default();
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = value.parse().unwrap_or(0);
            match name {
                "sleep-ms" => parameters.sleep = Duration::from_millis(number),
                "stall-ms" => parameters.stall = Duration::from_millis(number),
                "bytes" => parameters.bytes = (number as usize).min(16 << 20),
                "read" => parameters.read = true,
                "quick" => parameters.quick = true,
                _ => {}
            }
        }
        parameters
    }

    /// Begins a stall if the request has one, and waits until the last stall is over.
    fn stall(&self) {
        if !self.stall.is_zero() {
            let end = START.elapsed() + self.stall;
            STALL.store(end.as_millis() as u64, Ordering::Relaxed);
        }
        let end = Duration::from_millis(STALL.load(Ordering::Relaxed));
        if !end.is_zero() {
            sleep(end.saturating_sub(START.elapsed()));
        }
    }
}

fn usage(name: &str) -> Error {
    Error::new(ErrorKind::Config, format!("unknown option {name}, or invalid value"))
        .with_hint("see the head of examples/handler.rs")
}

/// Uses `time` of CPU, by the thread's own clock: on a busy machine, the same work takes longer.
fn use_cpu(time: Duration) {
    if time.is_zero() {
        return;
    }
    let end = thread_time() + time;
    while thread_time() < end {
        std::hint::spin_loop();
    }
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}
