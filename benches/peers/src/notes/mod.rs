//! The scenario `notes`: a service over SQLite, with the same queries on every server.
//!
//! Of ten requests one adds a note (JSON, behind a session), and the others read one note or a list
//! in turn. Each measurement has a new server process and a new database.

mod on_axum;
mod on_millpond;
mod on_rouille;
mod store;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::process::{Process, free_port};
use crate::runner::{Sample, measure_load, ratio, time};
use crate::table::{Table, median};
use crate::wrk::{self, Load, pinned};

/// A server with its way to the database, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contestant {
    /// millpond, with a connection for each worker.
    Millpond,
    /// millpond, whose workers share one connection behind a lock.
    MillpondLocked,
    /// axum, with one connection behind a lock, by `spawn_blocking`.
    Axum,
    /// rouille, with a connection for each thread.
    Rouille,
}

/// Settings of a server.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    #[arg(value_enum)]
    name: Contestant,
    /// The port of the loopback interface to listen on.
    #[arg(long)]
    port: u16,
    /// The database, which is made if there is none.
    #[arg(long, value_name = "PATH")]
    db: PathBuf,
    /// Workers of millpond and rouille.
    #[arg(long, default_value_t = 8)]
    workers: usize,
}

/// Settings of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct NotesArgs {
    /// Only these servers, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contestant>,
    /// How often everything is measured; the table has the medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64)]
    conns: usize,
    /// Workers of millpond and rouille.
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// Lists are searches, which look at nine of ten notes.
    #[arg(long)]
    search: bool,
    /// The cores of the server, as taskset(1) takes them.
    #[arg(long, value_name = "LIST")]
    server_cpus: Option<String>,
    /// The cores of wrk.
    #[arg(long, value_name = "LIST")]
    client_cpus: Option<String>,
    /// Print tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

impl ServerArgs {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// Serves until the process is ended.
pub(crate) fn serve(args: &ServerArgs) -> Result<(), String> {
    try_serve(args).map_err(|error| error.to_string())
}

fn try_serve(args: &ServerArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    if !args.db.exists() {
        store::create(&args.db)?;
    }
    match args.name {
        Contestant::Millpond => on_millpond::serve(args),
        Contestant::MillpondLocked => on_millpond::serve_locked(args),
        Contestant::Axum => on_axum::serve(args),
        Contestant::Rouille => on_rouille::serve(args),
    }
}

/// Measures and prints.
pub(crate) fn run(args: &NotesArgs) -> Result<(), String> {
    let takes_part = |who: &Contestant| args.only.is_empty() || args.only.contains(who);
    let all = Contestant::value_variants().iter().copied();
    let contestants: Vec<_> = all.filter(takes_part).collect();
    let mut samples = vec![Vec::new(); contestants.len()];
    for round in 0..args.rounds {
        for (contestant, samples) in contestants.iter().zip(&mut samples) {
            eprintln!("round {}: {}", round + 1, contestant.name());
            samples.push(sample(*contestant, args)?);
        }
    }
    let (conns, seconds, rounds, workers) = (args.conns, args.seconds, args.rounds, args.workers);
    println!(
        "wrk -t1, {conns} connections, {seconds} s, medians of {rounds} rounds; {workers} workers\n"
    );
    print!("{}", table(&contestants, &samples).render(args.markdown));
    Ok(())
}

/// One measurement, with a new server and a new database.
fn sample(contestant: Contestant, args: &NotesArgs) -> Result<Sample, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
    let (db, script) = (dir.path().join("notes.db"), dir.path().join("mix.lua"));
    std::fs::write(&script, mix(args.search))
        .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    let port = free_port()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let process = start(contestant, port, &db, args, address)?;
    let (url, cpus) = (format!("http://{address}/notes"), args.client_cpus.clone());
    let warm_up = Load { url, connections: args.conns, seconds: 1, script: Some(script), cpus };
    wrk::drive(&warm_up)?;
    measure_load(&process, Load { seconds: args.seconds, ..warm_up })
}

/// This program again, as the server.
fn start(
    contestant: Contestant,
    port: u16,
    db: &Path,
    args: &NotesArgs,
    address: SocketAddr,
) -> Result<Process, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find itself: {error}"))?;
    let mut command = pinned(program, args.server_cpus.as_deref());
    command.args(["notes-server", &contestant.name(), "--port", &port.to_string()]);
    command.arg("--db").arg(db).args(["--workers", &args.workers.to_string()]);
    Process::start(command, address)
}

/// The script for wrk: a hundred requests, sent in turn. The requests are made beforehand, so that
/// wrk has less to do.
fn mix(search: bool) -> String {
    let (session, count) = (store::SESSION, store::COUNT);
    let list = if search { "/notes?q=99&limit=10" } else { "/notes?limit=10" };
    format!(
        r#"local requests, turn = {{}}, 0
function init()
  local fields = {{ ["Content-Type"] = "application/json", Cookie = "session={session}" }}
  for i = 1, 100 do
    if i % 10 == 0 then
      requests[i] = wrk.format("POST", "/notes", fields, '{{"title":"Rye","text":"25 kg"}}')
    elseif i % 2 == 0 then
      requests[i] = wrk.format("GET", "{list}")
    else
      requests[i] = wrk.format("GET", "/notes/" .. (i * 7919 % {count} + 1))
    end
  end
end
function request()
  turn = turn % 100 + 1
  return requests[turn]
end
"#
    )
}

impl Contestant {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn table(contestants: &[Contestant], samples: &[Vec<Sample>]) -> Table {
    let of = |who: Contestant, value: fn(&Sample) -> f64| {
        let at = contestants.iter().position(|other| *other == who)?;
        Some(median(samples[at].iter().map(value)))
    };
    let mut table = Table::new(&[
        "server",
        "served/s",
        "p50",
        "p99",
        "CPU µs/req",
        "errors",
        "p50/axum",
        "CPU/axum",
        "CPU/rouille",
        "served/s / locked",
    ]);
    for (contestant, samples) in contestants.iter().zip(samples) {
        let middle = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        let per_second = middle(Sample::served_per_second);
        let p50 = middle(|sample| sample.figures.p50_us);
        let cpu = middle(Sample::cpu_per_request);
        table.row(vec![
            contestant.name(),
            format!("{per_second:.0}"),
            time(p50),
            time(middle(|sample| sample.figures.p99_us)),
            format!("{cpu:.1}"),
            samples.iter().map(|sample| sample.figures.errors).sum::<u64>().to_string(),
            ratio(p50, of(Contestant::Axum, |sample| sample.figures.p50_us)),
            ratio(cpu, of(Contestant::Axum, Sample::cpu_per_request)),
            ratio(cpu, of(Contestant::Rouille, Sample::cpu_per_request)),
            ratio(per_second, of(Contestant::MillpondLocked, Sample::served_per_second)),
        ]);
    }
    table
}
