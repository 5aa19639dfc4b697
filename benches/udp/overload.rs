//! Twice what the workers can do: is memory flat, and is every datagram accounted for?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use millpond::net::Addr;
use millpond::{Server, Service};

/// How long a handler sleeps, in microseconds.
const SLEEP: u64 = 200;

/// The server: it says where it is, serves until standard input ends, and says what became of the
/// datagrams.
pub(crate) fn serve(workers: usize, sleep: Duration) -> Result<(), String> {
    let service = Service::datagrams(move |datagram: &[u8], _: &Addr| {
        std::thread::sleep(sleep);
        Some(datagram.to_vec())
    });
    let fail = |error: millpond::Error| format!("{error:#}");
    let server = Server::builder().workers(workers).bind("udp://127.0.0.1:0");
    let handle = server.service(service.clone()).build().map_err(fail)?.spawn().map_err(fail)?;
    println!("{}", handle.local_addrs()[0]);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    handle.drain(Duration::from_secs(10));
    let stats = handle.stats().datagrams;
    println!("{} {} {}", stats.answered, stats.dropped(), stats.kernel_drops);
    println!("{stats:?}");
    Ok(())
}

pub(crate) fn run(count: u64, workers: usize) -> Result<(), String> {
    let fail = |error: std::io::Error| error.to_string();
    let mut child = Command::new(std::env::current_exe().map_err(fail)?)
        .args(["--sleeping", &SLEEP.to_string(), "--workers", &workers.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut line = || lines.next().ok_or("the server has ended")?.map_err(fail);
    let to: SocketAddr = line()?.parse().map_err(|_| "no address")?;
    let client = UdpSocket::bind("127.0.0.1:0").map_err(fail)?;
    client.connect(to).map_err(fail)?;
    let (capacity, warm) = capacity(&client, workers)?;
    let memory = || resident_kib(child.id());
    let mut seen = vec![memory()];
    let (start, gap) = (Instant::now(), Duration::from_secs_f64(0.5 / capacity));
    let mut responses = 0_u64;
    client.set_nonblocking(true).map_err(fail)?;
    for index in 0..count {
        let due = start + gap.mul_f64(index as f64);
        // Late ones go out at once, in bursts: the rate is kept.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        client.send(&index.to_be_bytes()).map_err(fail)?;
        while client.recv(&mut [0; 64]).is_ok() {
            responses += 1;
        }
        if index % (count / 10).max(1) == 0 {
            seen.push(memory());
        }
    }
    let elapsed = start.elapsed();
    seen.push(memory());
    drop(child.stdin.take());
    let totals = line()?;
    let totals: Vec<u64> = totals.split(' ').filter_map(|word| word.parse().ok()).collect();
    let (sent, accounted) = (count + warm, totals.iter().sum::<u64>());
    let details = line()?;
    child.wait().map_err(fail)?;
    let offered = count as f64 / elapsed.as_secs_f64();
    println!("capacity {capacity:.0}/s, offered {offered:.0}/s ({:.2}x)", offered / capacity);
    println!(
        "sent {sent} = responses {} + dropped {} + kernel {}: {}",
        totals[0],
        totals[1],
        totals[2],
        if sent == accounted { "exact" } else { "WRONG" }
    );
    println!("{responses} responses came to the client in {elapsed:.1?}");
    println!("memory in KiB, from the start to the end: {seen:?}");
    println!("{details}");
    let _ = std::io::stdout().flush();
    if sent == accounted {
        Ok(())
    } else {
        Err(format!("{} are missing", sent.abs_diff(accounted)))
    }
}

/// Datagrams a second that all workers together can do, and how many were sent to find out.
fn capacity(client: &UdpSocket, workers: usize) -> Result<(f64, u64), String> {
    let fail = |error: std::io::Error| error.to_string();
    client.set_read_timeout(Some(Duration::from_secs(5))).map_err(fail)?;
    let window = 4 * workers as u64;
    (0..window).try_for_each(|_| client.send(&[0]).map(drop)).map_err(fail)?;
    let (start, mut responses) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(1) {
        client.recv(&mut [0; 64]).map_err(fail)?;
        responses += 1;
        client.send(&[0]).map_err(fail)?;
    }
    let elapsed = start.elapsed();
    for _ in 0..window {
        client.recv(&mut [0; 64]).map_err(fail)?;
    }
    Ok((responses as f64 / elapsed.as_secs_f64(), responses + window))
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
