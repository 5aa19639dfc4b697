//! What idle keep-alive connections cost: memory and threads, and what those that work feel of
//! them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::contestant::Running;
use crate::response::complete;
use crate::runner::{RunArgs, measure, ratio};
use crate::table::{Table, median};
use crate::wrk;

/// Connections that work beside the idle ones.
const BUSY: usize = 64;
/// Idle connections from one source address; a loopback address has about 28,000 ports.
const PER_ADDRESS: usize = 2_500;
/// How long one exchange, or the closing of all connections, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One round of one server.
struct Sample {
    bytes: f64,
    threads_before: f64,
    threads_after: f64,
    alone: f64,
    beside: f64,
}

/// Measures `count` idle connections on each server and prints the table.
pub(crate) fn run(args: &RunArgs, names: &[&'static str], count: usize) -> Result<(), String> {
    let mut samples: Vec<Vec<Sample>> = names.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        for (who, name) in names.iter().enumerate() {
            eprintln!("round {}: {name}, {count} idle connections", round + 1);
            match measure_idle(args, name, count, round % 2 == 1) {
                Ok(sample) => samples[who].push(sample),
                Err(message) => eprintln!("{name} did not manage: {message}"),
            }
        }
    }
    println!("{count} idle keep-alive connections that made one request each; {BUSY} busy ones");
    println!("beside them; wrk -t1, {} s, medians of {} rounds\n", args.seconds, args.rounds);
    let mut table = Table::new(&[
        "server",
        "bytes/conn",
        "threads before",
        "threads with",
        "req/s alone",
        "req/s beside",
        "beside/alone",
    ]);
    for (name, samples) in names.iter().zip(&samples) {
        let middle = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        let (alone, beside) = (middle(|s| s.alone), middle(|s| s.beside));
        let mut cells = vec![(*name).to_string()];
        if samples.is_empty() {
            cells.extend(std::iter::repeat_n("-".to_string(), 6));
        } else {
            let numbers = [
                middle(|s| s.bytes),
                middle(|s| s.threads_before),
                middle(|s| s.threads_after),
                alone,
                beside,
            ];
            cells.extend(numbers.iter().map(|number| format!("{number:.0}")));
            cells.push(ratio(beside, Some(alone)));
        }
        table.row(cells);
    }
    print!("{}", table.render(args.markdown));
    Ok(())
}

/// Odd rounds measure the throughput beside the idle connections before the one without, so that
/// neither order is favoured.
fn measure_idle(
    args: &RunArgs,
    name: &str,
    count: usize,
    beside_first: bool,
) -> Result<Sample, String> {
    let running = Running::start(name, args)?;
    wrk::run(&running.url(), BUSY, 1)?;
    let throughput = || Ok::<_, String>(measure(&running, BUSY, args.seconds)?.figures.per_second);
    let mut alone = if beside_first { 0.0 } else { throughput()? };
    settle(&running, 0)?;
    let descriptors = running.process.descriptors();
    let before = running.process.usage();
    let idle = open_all(running.address, count)?;
    let after = running.process.usage();
    let beside = throughput()?;
    drop(idle);
    if beside_first {
        settle(&running, descriptors)?;
        alone = throughput()?;
    }
    Ok(Sample {
        bytes: after.rss_kib.saturating_sub(before.rss_kib) as f64 * 1024.0 / count as f64,
        threads_before: before.threads as f64,
        threads_after: after.threads as f64,
        alone,
        beside,
    })
}

/// Waits until the server has closed its side of connections that are gone: until it holds at most
/// `descriptors` of them, or, for 0, until their number stands still.
fn settle(running: &Running, descriptors: usize) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    let mut last = usize::MAX;
    while Instant::now() < end {
        let now = running.process.descriptors();
        if now <= descriptors || (descriptors == 0 && now == last) {
            return Ok(());
        }
        last = now;
        thread::sleep(Duration::from_millis(100));
    }
    Err("connections that the client has closed stay open".into())
}

fn open_all(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>, String> {
    let open_one = |index: usize| {
        let last = u8::try_from(index / PER_ADDRESS + 2).unwrap_or(u8::MAX);
        open(server, Ipv4Addr::new(127, 0, 0, last))
            .map_err(|error| format!("connection {index} of {count}: {error}"))
    };
    (0..count).map(open_one).collect()
}

/// Connects from `source`, makes one request and leaves the connection open.
fn open(server: SocketAddr, source: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrV4::new(source, 0))?;
    connect(&socket, &server)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut buffer, mut filled) = ([0_u8; 4096], 0);
    loop {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        if let Some(response) = complete(&buffer[..filled]) {
            return match (response.status, response.close) {
                (200, false) => Ok(stream),
                (status, _) => Err(std::io::Error::other(format!(
                    "status {status}, or a response that closes"
                ))),
            };
        }
    }
}
