//! The runner: every server in turn under the same load, several rounds, medians side by side.
//!
//! The rounds are interleaved (A B C A B C), since a machine's speed drifts by the hour: ratios
//! within one run can be trusted, figures of different runs cannot be compared.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::contestant::{Running, chosen};
use crate::idle;
use crate::process::{Process, Usage};
use crate::table::{Table, median};
use crate::wrk::{self, Figures, Load};

/// Settings of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// The daemon to measure.
    #[arg(long, value_name = "PATH", default_value = "target/release/millpond")]
    pub(crate) millpond: PathBuf,
    /// The example program that stands in for the daemon where the handler works.
    #[arg(long, value_name = "PATH", default_value = "target/release/examples/handler")]
    pub(crate) handler: PathBuf,
    /// More arguments for millpond, separated by spaces.
    #[arg(long, value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    pub(crate) millpond_args: String,
    /// Only these servers, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// How often everything is measured; the table has the medians.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Numbers of keep-alive connections, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256")]
    pub(crate) conns: Vec<usize>,
    /// The handlers sleep this long, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0.0, conflicts_with = "burn_ms")]
    pub(crate) sleep_ms: f64,
    /// The handlers use this much CPU time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub(crate) burn_ms: f64,
    /// Handler threads where the handler works, for the servers that have a pool.
    #[arg(long, default_value_t = 8)]
    pub(crate) workers: usize,
    /// Measure what this many idle keep-alive connections cost, instead.
    #[arg(long, value_name = "N")]
    pub(crate) idle: Option<usize>,
    /// Print tables as Markdown.
    #[arg(long)]
    pub(crate) markdown: bool,
}

impl RunArgs {
    pub(crate) fn handler_works(&self) -> bool {
        self.sleep_ms > 0.0 || self.burn_ms > 0.0
    }
}

/// One measurement: what wrk saw, and what the server used meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) figures: Figures,
    cpu_us: u64,
    usage: Usage,
}

impl Sample {
    /// Responses with 2xx or 3xx a second: a refusal is no service.
    pub(crate) fn served_per_second(&self) -> f64 {
        let requests = self.figures.requests.max(1) as f64;
        let served = self.figures.requests.saturating_sub(self.figures.errors) as f64;
        self.figures.per_second * served / requests
    }

    /// The server's own CPU time, in microseconds.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.cpu_us as f64 / self.figures.requests.max(1) as f64
    }
}

/// The medians of all rounds of one server at one number of connections.
struct Medians {
    name: &'static str,
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    rss_mib: f64,
    threads: f64,
    errors: u64,
}

/// Measures and prints.
pub(crate) fn run(args: &RunArgs) -> Result<(), String> {
    let names = chosen(&args.only)?;
    if let Some(connections) = args.idle {
        return idle::run(args, &names, connections);
    }
    let mut samples = vec![vec![Vec::new(); names.len()]; args.conns.len()];
    for round in 0..args.rounds {
        for (at, &connections) in args.conns.iter().enumerate() {
            for (who, name) in names.iter().enumerate() {
                eprintln!("round {}: {name}, {connections} connections", round + 1);
                let running = Running::start(name, args)?;
                wrk::run(&running.url(), connections, 1)?;
                samples[at][who].push(measure(&running, connections, args.seconds)?);
            }
        }
    }
    print_heading(args);
    for (at, connections) in args.conns.iter().enumerate() {
        let medians = names.iter().zip(&samples[at]).map(|(name, s)| Medians::of(name, s));
        print_table(*connections, &medians.collect::<Vec<_>>(), args.markdown);
    }
    Ok(())
}

/// Loads a running server with wrk.
pub(crate) fn measure(
    running: &Running,
    connections: usize,
    seconds: u64,
) -> Result<Sample, String> {
    let url = running.url();
    measure_load(&running.process, Load { url, connections, seconds, ..Load::default() })
}

/// Loads a server with wrk. CPU time is the server's alone; memory and threads are looked at in the
/// middle of the load.
pub(crate) fn measure_load(process: &Process, load: Load) -> Result<Sample, String> {
    let before = process.usage();
    let middle = Duration::from_secs(load.seconds) / 2;
    let load = thread::spawn(move || wrk::drive(&load));
    thread::sleep(middle);
    let usage = process.usage();
    let figures = load.join().map_err(|_| "the thread that runs wrk panicked")??;
    let cpu_us = process.usage().cpu_us.saturating_sub(before.cpu_us);
    Ok(Sample { figures, cpu_us, usage })
}

impl Medians {
    fn of(name: &'static str, samples: &[Sample]) -> Self {
        let middle = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        Self {
            name,
            per_second: middle(|s| s.figures.per_second),
            p50: middle(|s| s.figures.p50_us),
            p99: middle(|s| s.figures.p99_us),
            cpu: middle(Sample::cpu_per_request),
            rss_mib: middle(|s| s.usage.rss_kib as f64 / 1024.0),
            threads: middle(|s| s.usage.threads as f64),
            errors: samples.iter().map(|s| s.figures.errors).sum(),
        }
    }
}

fn print_heading(args: &RunArgs) {
    println!("wrk -t1, {} s, medians of {} rounds", args.seconds, args.rounds);
    if args.handler_works() {
        let (sleep, burn, workers) = (args.sleep_ms, args.burn_ms, args.workers);
        let most = workers as f64 * 1e3 / sleep.max(burn);
        println!(
            "handler: sleeps {sleep} ms, burns {burn} ms; {workers} workers, {most:.0}/s at most"
        );
    }
}

fn print_table(connections: usize, all: &[Medians], markdown: bool) {
    let of = |name: &str| all.iter().find(|medians| medians.name == name);
    let (hyper, tiny_http) = (of("hyper"), of("tiny_http"));
    println!("\n{connections} connections\n");
    let mut table = Table::new(&[
        "server",
        "req/s",
        "p50",
        "p99",
        "CPU µs/req",
        "RSS MiB",
        "threads",
        "errors",
        "CPU/hyper",
        "CPU/tiny_http",
        "p99/hyper",
    ]);
    for medians in all {
        table.row(vec![
            medians.name.into(),
            format!("{:.0}", medians.per_second),
            time(medians.p50),
            time(medians.p99),
            format!("{:.1}", medians.cpu),
            format!("{:.1}", medians.rss_mib),
            format!("{:.0}", medians.threads),
            medians.errors.to_string(),
            ratio(medians.cpu, hyper.map(|h| h.cpu)),
            ratio(medians.cpu, tiny_http.map(|t| t.cpu)),
            ratio(medians.p99, hyper.map(|h| h.p99)),
        ]);
    }
    print!("{}", table.render(markdown));
}

/// A time given in microseconds, in the unit that reads best.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        t if t < 1e3 => format!("{t:.0} µs"),
        t if t < 1e6 => format!("{:.2} ms", t / 1e3),
        t => format!("{:.2} s", t / 1e6),
    }
}

/// `a` as a multiple of `b`, or a dash where there is nothing to compare with.
pub(crate) fn ratio(a: f64, b: Option<f64>) -> String {
    match b {
        Some(b) if b > 0.0 => format!("{:.2}x", a / b),
        _ => "-".into(),
    }
}
