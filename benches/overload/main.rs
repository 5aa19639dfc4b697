//! How servers take more work than they can do: an open-loop load at multiples of their capacity.
//!
//! `cargo bench --bench overload` runs millpond and its peers at all multiples and prints the
//! table. With `--scenario` it asks one further question, with `--target` it loads any server. What
//! the figures mean and how they are measured is told in benches/README.md.
#![allow(clippy::incompatible_msrv, reason = "benches are built with the newest Rust")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark's output is its purpose"
)]

mod arrivals;
mod chart;
mod cores;
mod cpu;
mod generator;
mod hostile;
mod outcome;
mod plan;
mod point;
mod rows;
mod scenario;
mod servers;
mod single;
mod sweep;
mod timer;
mod wire;

#[path = "../support/attacks.rs"]
mod attacks;
#[path = "../support/fleet.rs"]
mod fleet;
#[path = "../support/newcomer.rs"]
mod newcomer;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "the runner in benches/peers uses the rest of it")]
mod process;
#[path = "../support/response.rs"]
mod response;
#[path = "../support/table.rs"]
mod table;
#[path = "../support/wrk.rs"]
mod wrk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::arrivals::Phase;
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::servers::{Job, NAMES, Programs};

/// Open-loop load on millpond and its peers, at multiples of their capacity.
#[derive(Clone, Debug, Parser)]
#[command(name = "overload", max_term_width = 100)]
struct Cli {
    /// Load this running server instead, at `--rate`.
    #[arg(long, value_name = "ADDRESS", requires = "rate")]
    target: Option<SocketAddr>,
    /// Requests per second on `--target`.
    #[arg(long)]
    rate: Option<f64>,
    /// Ask one question instead of the whole table.
    #[arg(long, conflicts_with = "target")]
    scenario: Option<Scenario>,
    /// Only these servers, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Multiples of the capacity, separated by commas [default: 0.5,0.8,1,1.5,2,5,10; for `cpu`
    /// 1,2,5,10,20].
    #[arg(long, value_delimiter = ',')]
    multiples: Vec<f64>,
    /// Only these rows of the scenario `hostile`, separated by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    row: Vec<String>,
    /// Seconds of each load [default: 4; for `hostile` 8].
    #[arg(long, conflicts_with = "quick")]
    seconds: Option<f64>,
    /// Let each load run this long before it counts, in milliseconds: what is left out is the burst
    /// before the server knows that it is overloaded.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    settle_ms: u64,
    /// Loads of 1.5 s: a glance, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Handler threads of each server; `cpu` takes several, separated by commas [default: 4; for
    /// `cpu` 2,4,8].
    #[arg(long, value_delimiter = ',')]
    workers: Vec<usize>,
    /// The handlers sleep this long, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5.0)]
    sleep_ms: f64,
    /// The handlers use this much CPU time instead, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    burn_ms: f64,
    /// What counts as in time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    deadline_ms: u64,
    /// When clients give up and close [default: at the deadline; for `cpu` a second later].
    #[arg(long, value_name = "MS")]
    patience_ms: Option<u64>,
    /// Send over a set of this many keep-alive connections, not a fresh one for each request.
    #[arg(long, value_name = "N")]
    keep_alive: Option<usize>,
    /// How often clients try again after a 503, a reset, a refusal or a timeout.
    #[arg(long, default_value_t = 0)]
    retries: u8,
    /// How long they wait before it, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    retry_pause_ms: u64,
    /// Client addresses: 127.0.0.2 and on. 0: the system's choice.
    #[arg(long, value_name = "N", default_value_t = 16)]
    sources: u8,
    /// What the draw of arrival times starts from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw the figures as an SVG file, such as docs/overload.svg. The whole table is followed by
    /// the scenario `cpu` for it.
    #[arg(long, value_name = "PATH")]
    svg: Option<PathBuf>,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
    /// The example program `handler` [default: as cargo builds it].
    #[arg(long, value_name = "PATH")]
    handler: Option<PathBuf>,
    /// More arguments for it, separated by spaces.
    #[arg(long, value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    handler_args: String,
    /// The peers' program [default: as cargo builds it in benches/peers].
    #[arg(long, value_name = "PATH")]
    peers: Option<PathBuf>,
    /// Take the programs as they are.
    #[arg(long)]
    no_build: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match (cli.target, cli.scenario) {
        (Some(target), _) => single::run(&cli, target),
        (None, Some(scenario)) => scenario::run(&cli, scenario),
        (None, None) if cli.bench || std::env::args().len() > 1 => sweep::run(&cli),
        (None, None) => {
            // `cargo test --all-targets` starts benchmarks too, and this one takes minutes.
            println!("run it with: cargo bench --bench overload");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    /// Handler threads, where one number is asked for.
    fn workers(&self) -> usize {
        self.workers.first().copied().unwrap_or(4)
    }

    /// The chosen multiples of the capacity.
    fn multiples(&self, usual: &[f64]) -> Vec<f64> {
        if self.multiples.is_empty() { usual.to_vec() } else { self.multiples.clone() }
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 1.5 } else { 4.0 })
    }

    /// Requests per second that the handlers can do at most: those that sleep, one a worker at a
    /// time; those that burn, one a core at a time.
    fn capacity(&self) -> f64 {
        if self.burn_ms > 0.0 {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            return self.workers().min(cores) as f64 * 1e3 / self.burn_ms;
        }
        self.workers() as f64 * 1e3 / self.sleep_ms
    }

    fn job(&self) -> Job {
        let sleep_ms = if self.burn_ms > 0.0 { 0.0 } else { self.sleep_ms };
        Job {
            workers: Some(self.workers()),
            sleep_ms,
            burn_ms: self.burn_ms,
            core: None,
            urgent: None,
        }
    }

    /// The chosen servers; all without `--only`.
    fn servers(&self) -> Result<Vec<&'static str>, String> {
        if let Some(unknown) = self.only.iter().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(format!("no server is named {unknown}; there are {}", NAMES.join(", ")));
        }
        let chosen = |name: &&str| self.only.is_empty() || self.only.iter().any(|o| o == name);
        Ok(NAMES.into_iter().filter(chosen).collect())
    }

    /// Where the programs are.
    fn located(&self) -> Result<Programs, String> {
        Programs::new(self.handler.clone(), &self.handler_args, self.peers.clone())
    }

    /// Where the programs are, freshly built.
    fn programs(&self, names: &[&str]) -> Result<Programs, String> {
        let programs = self.located()?;
        if !self.no_build {
            programs.build(names)?;
        }
        Ok(programs)
    }

    /// A load of phases (rate, seconds, retries), behind half a second at half the capacity that
    /// does not count: no server is measured while it fills its caches.
    fn plan(&self, target: SocketAddr, phases: &[(f64, f64, u8)]) -> Plan {
        let mut plan = plan::usual(target, self.sources);
        let time = Duration::from_millis(500);
        plan.phases.push(Phase { rate: self.capacity() / 2.0, time, retries: 0, counted: false });
        if let Some(&(rate, _, retries)) = phases.first().filter(|_| self.settle_ms > 0) {
            let time = Duration::from_millis(self.settle_ms);
            plan.phases.push(Phase { rate, time, retries, counted: false });
        }
        plan.phases.extend(phases.iter().map(|&(rate, seconds, retries)| {
            let time = Duration::from_secs_f64(seconds);
            Phase { rate, time, retries, counted: true }
        }));
        self.fit(&mut plan);
        plan
    }

    /// What the command line says about every load.
    fn fit(&self, plan: &mut Plan) {
        plan.deadline = Duration::from_millis(self.deadline_ms);
        plan.patience = Duration::from_millis(self.patience_ms.unwrap_or(self.deadline_ms));
        plan.retry_pause = Duration::from_millis(self.retry_pause_ms);
        plan.keep_alive = self.keep_alive;
        plan.seed = self.seed;
    }
}
