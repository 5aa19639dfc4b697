//! A server whose handler sleeps or computes for a while: what the benchmarks load.
//!
//! `cargo run --release --example handler -- --bind 127.0.0.1:8888 --workers 4 --sleep-ms 5`
//!
//! `--burn-ms` uses CPU time instead, `--connections` raises the bound on open connections, and
//! `--no-shed` turns the refusing of work that would wait too long off, to see what it is good for.

use std::time::Duration;

use millpond::http::{Request, Response};
use millpond::{Config, Error, ErrorKind, Server};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Error> {
    let mut bind = "127.0.0.1:8888".to_owned();
    let (mut sleep, mut burn) = (Duration::ZERO, Duration::ZERO);
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
            "--workers" => config.pool.workers = number()? as usize,
            "--connections" => config.limits.connections = number()? as usize,
            "--sleep-ms" => sleep = Duration::from_secs_f64(number()?.max(0.0) / 1e3),
            "--burn-ms" => burn = Duration::from_secs_f64(number()?.max(0.0) / 1e3),
            _ => return Err(usage(&name)),
        }
    }
    let handler = move |_: &mut Request| {
        if !sleep.is_zero() {
            std::thread::sleep(sleep);
        }
        use_cpu(burn);
        Response::text("Hello, world!")
    };
    Server::builder().config(config).bind(format!("tcp://{bind}")).http(handler)?.run()?;
    Ok(())
}

fn usage(name: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{name} is unknown, or has no value that it can take"))
        .with_hint("see the head of examples/handler.rs")
}

/// Uses `time` of CPU. The thread's own clock decides: on a busy machine the work takes longer and
/// does not shrink.
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
