//! UDP echo beside `socat` and a plain loop, and what becomes of 100,000 datagrams at twice what
//! the workers can do. See benches/README.md.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod client;
mod overload;
mod server;
#[path = "../support/table.rs"]
mod table;

use std::net::UdpSocket;
use std::time::Duration;

use clap::Parser;

use client::Outcome;
use server::{Kind, Server};
use table::{Table, median};

/// UDP echo: datagrams a second, and the CPU time of each
#[derive(Debug, Parser)]
struct Cli {
    /// Datagrams on their way at once
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    windows: Vec<usize>,
    /// Rounds, of which the medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each server is loaded in each round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Bytes of a datagram
    #[arg(long, default_value_t = 64)]
    length: usize,
    /// Worker threads of millpond
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Only these servers
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Twice the capacity instead, with so many datagrams
    #[arg(long, value_name = "N")]
    overload: Option<u64>,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Be the plain server on this port
    #[arg(long, hide = true)]
    plain: Option<u16>,
    /// Be the server whose handlers sleep so many microseconds
    #[arg(long, hide = true)]
    sleeping: Option<u64>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), String> {
    let cli = Cli::parse();
    if let Some(port) = cli.plain {
        return plain(port);
    }
    if let Some(micros) = cli.sleeping {
        return overload::serve(cli.workers, Duration::from_micros(micros));
    }
    if let Some(count) = cli.overload {
        return overload::run(count, cli.workers);
    }
    rates(&cli)
}

/// What millpond is measured against: one thread that receives, sends back, and does nothing else.
fn plain(port: u16) -> Result<(), String> {
    let socket = UdpSocket::bind(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let mut buf = [0; 65_536];
    loop {
        // An error of an earlier, unread response is reported here; it does not concern this one.
        if let Ok((len, from)) = socket.recv_from(&mut buf) {
            let _ = socket.send_to(&buf[..len], from);
        }
    }
}

fn rates(cli: &Cli) -> Result<(), String> {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| cli.only.is_empty() || cli.only.iter().any(|name| name == kind.name()))
        .collect();
    let mut table =
        Table::new(&["window", "server", "datagrams/s", "CPU µs each", "lost", "rate / plain"]);
    for &window in &cli.windows {
        let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); kinds.len()];
        for _ in 0..cli.rounds {
            for (kind, outcomes) in kinds.iter().zip(&mut outcomes) {
                let server = Server::start(*kind, cli.workers)?;
                client::load(&server, window, cli.length, Duration::from_millis(100))?;
                let time = Duration::from_secs_f64(cli.seconds);
                outcomes.push(client::load(&server, window, cli.length, time)?);
            }
        }
        let rate = |outcomes: &[Outcome]| median(outcomes.iter().map(|outcome| outcome.rate));
        let plain = kinds.iter().position(|kind| *kind == Kind::Plain).map(|i| rate(&outcomes[i]));
        for (kind, outcomes) in kinds.iter().zip(&outcomes) {
            let lost: u64 = outcomes.iter().map(|outcome| outcome.lost).sum();
            let rate = rate(outcomes);
            table.row(vec![
                window.to_string(),
                kind.name().to_owned(),
                format!("{rate:.0}"),
                format!("{:.2}", median(outcomes.iter().map(|outcome| outcome.cpu_us))),
                lost.to_string(),
                plain.map_or(String::new(), |plain| format!("{:.2}", rate / plain)),
            ]);
        }
    }
    print!("{}", table.render(cli.markdown));
    Ok(())
}
