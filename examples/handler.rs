//! A server whose handler sleeps or computes for a while: what the benchmarks load.
//!
//! `cargo run --release --example handler -- --bind 127.0.0.1:8888 --workers 4 --sleep-ms 5`

use std::time::{Duration, Instant};

use millpond::Server;
use millpond::http::{Request, Response};

fn main() -> Result<(), millpond::Error> {
    let mut bind = "127.0.0.1:8888".to_owned();
    let (mut workers, mut sleep, mut burn) = (millpond::config::default_workers(), 0.0, 0.0);
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        let number = || value.parse::<f64>().expect("a number");
        match name.as_str() {
            "--bind" => bind = value,
            "--workers" => workers = number() as usize,
            "--sleep-ms" => sleep = number(),
            "--burn-ms" => burn = number(),
            _ => panic!("--bind ADDRESS --workers N --sleep-ms MS --burn-ms MS, not {name}"),
        }
    }
    let (sleep, burn) = (millis(sleep), millis(burn));
    Server::builder()
        .bind(format!("tcp://{bind}"))
        .workers(workers)
        .http(move |_: &mut Request| {
            if !sleep.is_zero() {
                std::thread::sleep(sleep);
            }
            let began = Instant::now();
            while began.elapsed() < burn {
                std::hint::spin_loop();
            }
            Response::text("Hello, world!")
        })?
        .run()?;
    Ok(())
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis / 1000.0)
}
