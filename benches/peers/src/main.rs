//! Hello servers of millpond's peers, and the runner that measures them beside millpond.
//!
//! Each peer is served as its own documentation shows, with the same response and the same handler
//! work, so that what differs is the server.

mod contestant;
mod files;
mod floor;
mod hyper_server;
mod idle;
mod notes;
mod runner;
#[cfg(test)]
mod tests;
mod threaded;
mod work;

#[cfg(test)]
#[path = "../../overload/arrivals.rs"]
mod arrivals;
#[path = "../../support/process.rs"]
mod process;
#[path = "../../support/response.rs"]
mod response;
#[path = "../../support/table.rs"]
mod table;
#[path = "../../support/wrk.rs"]
mod wrk;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::work::Work;

/// Hello servers to compare millpond with, and the runner that does it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// hyper 1 on tokio's multi-thread runtime, the handler on the event loop.
    Hyper(ServeArgs),
    /// hyper 1, each request's handler through `spawn_blocking`.
    HyperBlocking(ServeArgs),
    /// axum on tokio's multi-thread runtime.
    Axum(ServeArgs),
    /// tiny_http, with threads that take from `recv`.
    #[command(name = "tiny_http")]
    TinyHttp(ServeArgs),
    /// rouille's `start_server_with_pool`.
    Rouille(ServeArgs),
    /// An epoll loop per core and a canned response: what the kernel alone costs.
    Floor(ServeArgs),
    /// Start each server in turn beside millpond, drive it with wrk, print medians side by side.
    Run(runner::RunArgs),
    /// Serve files with millpond, nginx and static-web-server in turn, and compare.
    Files(files::FilesArgs),
    /// Run a service for notes in SQLite on millpond, axum and rouille in turn, and compare.
    Notes(notes::NotesArgs),
    /// The service for notes, on one server.
    NotesServer(notes::ServerArgs),
}

/// What every hello server understands.
#[derive(Clone, Debug, Args)]
struct ServeArgs {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// The port to listen on.
    #[arg(long)]
    port: u16,
    /// The handler sleeps this long, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0.0, conflicts_with = "burn_ms")]
    sleep_ms: f64,
    /// The handler uses this much CPU time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    burn_ms: f64,
    /// Handler threads: for hyper-blocking the bound of the blocking pool (default 512, tokio's
    /// own), for tiny_http the threads that take requests (4), for rouille the pool (16), for
    /// hyper, axum and floor the event loops (one per core).
    #[arg(long)]
    threads: Option<usize>,
    /// Respond with this many bytes instead of "Hello, world!".
    #[arg(long, value_name = "BYTES")]
    response_bytes: Option<usize>,
}

impl ServeArgs {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    fn work(&self) -> Work {
        Work::new(self.sleep_ms, self.burn_ms, self.response_bytes)
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Hyper(args) => hyper_server::serve(&args, false),
        Command::HyperBlocking(args) => hyper_server::serve(&args, true),
        Command::Axum(args) => hyper_server::serve_axum(&args),
        Command::TinyHttp(args) => threaded::tiny_http(&args),
        Command::Rouille(args) => threaded::rouille(&args),
        Command::Floor(args) => floor::serve(&args),
        Command::Run(args) => runner::run(&args),
        Command::Files(args) => files::run(&args),
        Command::Notes(args) => notes::run(&args),
        Command::NotesServer(args) => notes::serve(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
