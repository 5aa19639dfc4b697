//! Handlers that compute, on one core: what the CPU is spent on when it does not suffice.
//!
//! The server has a core of its own and the generator has another. So the capacity is one second
//! over the handler's CPU time, whatever the number of workers, and all else that the server does,
//! refusing above all, comes out of it.

use std::thread;
use std::time::Duration;

use crate::Cli;
use crate::chart::{Curves, Line};
use crate::cores::Cores;
use crate::newcomer;
use crate::outcome::Outcome;
use crate::point::{Point, measure};
use crate::scenario::Goals;
use crate::servers::{Job, Programs};
use crate::sweep::Row;
use crate::table::Table;

/// The loads, as multiples of the capacity, unless the command line chooses others.
const MULTIPLES: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];
/// The numbers of workers, unless the command line chooses others.
const WORKERS: [usize; 3] = [2, 4, 8];
/// What a handler burns unless the command line says so, in milliseconds of CPU time.
const BURN_MS: f64 = 4.0;
/// How long past the deadline clients stay unless the command line says so, to see late responses.
const STAY: u64 = 1_000;
/// For how long newcomers come once the load is over.
const AFTER: Duration = Duration::from_millis(500);
/// The address of the newcomers, which no client of the load has.
const NEWCOMER: [u8; 4] = [127, 0, 1, 1];

/// One server with one number of workers, at every load.
#[derive(Debug)]
pub(crate) struct Series {
    server: &'static str,
    workers: usize,
    capacity: f64,
    rows: Vec<Row>,
    /// For each row, how long a newcomer had to wait at the most once the load was over.
    newcomers: Vec<Duration>,
}

/// Measures each of `names` with each number of workers, and prints a table for each.
pub(crate) fn run(cli: &Cli, names: &[&'static str]) -> Result<Vec<Series>, String> {
    let cores = Cores::choose()?;
    cores.pin_generator()?;
    let mut cli = cli.clone();
    if cli.burn_ms == 0.0 {
        cli.burn_ms = BURN_MS;
    }
    cli.patience_ms = Some(cli.patience_ms.unwrap_or(cli.deadline_ms + STAY));
    let capacity = 1e3 / cli.burn_ms;
    println!(
        "handlers burn {} ms of CPU on one core: capacity {capacity:.0}/s; deadline {} ms, clients \
         stay for {} ms",
        cli.burn_ms,
        cli.deadline_ms,
        cli.patience_ms.unwrap_or_default()
    );
    let workers = if cli.workers.is_empty() { WORKERS.to_vec() } else { cli.workers.clone() };
    let mut all = Vec::new();
    for name in names {
        for &workers in &workers {
            let series = series(&cli, cores, name, workers)?;
            println!("\n{}, {} workers", series.server, series.workers);
            print!("{}", table(&series, cli.markdown));
            if *name == "millpond" {
                goals(&series).print();
            }
            all.push(series);
        }
    }
    Ok(all)
}

/// What the chart shows of handlers that compute.
pub(crate) fn curves(all: &[Series]) -> Curves {
    let several = all.iter().any(|series| series.workers != all[0].workers);
    let line = |series: &Series| {
        let name = match several {
            true => format!("{}, {} workers", series.server, series.workers),
            false => series.server.to_string(),
        };
        Line { name, rows: series.rows.clone() }
    };
    let capacity = all.first().map_or(1.0, |series| series.capacity);
    Curves { handlers: "Handlers that compute", lines: all.iter().map(line).collect(), capacity }
}

fn series(cli: &Cli, cores: Cores, server: &'static str, workers: usize) -> Result<Series, String> {
    let programs = cli.located()?;
    let job = Job { workers: Some(workers), core: Some(cores.server), ..cli.job() };
    let capacity = 1e3 / job.burn_ms;
    let mut series = Series { server, workers, capacity, rows: Vec::new(), newcomers: Vec::new() };
    for multiple in cli.multiples(&MULTIPLES) {
        eprintln!("{server} with {workers} workers at {multiple}x");
        let (point, newcomer) = one(cli, &programs, server, job, multiple)?;
        series.rows.push(Row { server, multiple, point });
        series.newcomers.push(newcomer);
    }
    Ok(series)
}

/// One load on a server of its own, and the wait of the newcomers right after it.
fn one(
    cli: &Cli,
    programs: &Programs,
    server: &str,
    job: Job,
    multiple: f64,
) -> Result<(Point, Duration), String> {
    let (mut process, address) = programs.start(server, job)?;
    let capacity = 1e3 / job.burn_ms;
    let mut plan = cli.plan(address, &[(multiple * capacity, cli.seconds(), 0)]);
    plan.phases[0].rate = capacity / 2.0;
    let load: Duration = plan.phases.iter().map(|phase| phase.time).sum();
    thread::scope(|scope| {
        let newcomer = scope.spawn(move || {
            thread::sleep(load);
            newcomer::worst(address, Some(NEWCOMER.into()), AFTER)
        });
        let point = measure(&mut process, &plan)?;
        let newcomer = newcomer.join().map_err(|_| "the newcomer panicked")?;
        Ok((point, newcomer))
    })
}

impl Series {
    /// The best goodput of the loads up to twice the capacity.
    fn best(&self) -> f64 {
        let usual = self.rows.iter().filter(|row| row.multiple <= 2.0);
        usual.map(|row| row.point.report.goodput()).fold(0.0, f64::max)
    }

    /// Goodput over the best, or nothing if no usual load was measured.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let best = self.best();
        (best > 0.0).then(|| row.point.report.goodput() / best)
    }
}

fn table(series: &Series, markdown: bool) -> String {
    let mut table = Table::new(&[
        "offered",
        "goodput/s",
        "of best",
        "late %",
        "200 p50 ms",
        "p99 ms",
        "503",
        "503 p99 ms",
        "reset",
        "refused",
        "timeout",
        "other",
        "CPU",
        "newcomer ms",
        "void?",
    ]);
    for (row, newcomer) in series.rows.iter().zip(&series.newcomers) {
        let report = &row.point.report;
        let ms = |latency: Option<f64>| latency.map_or("-".into(), |ms| format!("{ms:.1}"));
        let count = |outcome| report.count(outcome).to_string();
        let died = (!row.point.alive).then(|| "server died".to_string());
        table.row(vec![
            format!("{}x", row.multiple),
            format!("{:.1}", report.goodput()),
            series.ratio(row).map_or("-".into(), |ratio| format!("{ratio:.3}")),
            format!("{:.2}", report.late_share() * 100.0),
            ms(report.in_time_ms(0.5)),
            ms(report.in_time_ms(0.99)),
            count(Outcome::Unavailable),
            ms(report.latency_ms(Outcome::Unavailable, 0.99)),
            count(Outcome::Reset),
            count(Outcome::Refused),
            count(Outcome::Timeout),
            count(Outcome::Other),
            format!("{:.2}", row.point.cpu),
            format!("{:.1}", newcomer.as_secs_f64() * 1e3),
            died.or(report.void()).unwrap_or_default(),
        ]);
    }
    table.render(markdown)
}

/// What millpond has to reach.
fn goals(series: &Series) -> Goals {
    let mut goals = Goals::new(&format!("goals with {} workers", series.workers));
    for (row, newcomer) in series.rows.iter().zip(&series.newcomers) {
        let (report, multiple) = (&row.point.report, row.multiple);
        let void = report.void();
        let least = [(2.0, 0.97), (5.0, 0.95), (10.0, 0.90), (20.0, 0.80)];
        let least = least.iter().find(|(load, _)| *load == multiple).map(|(_, least)| *least);
        if let (Some(least), Some(ratio)) = (least, series.ratio(row)) {
            goals.at_least(format!("goodput/best at {multiple}x"), ratio, least, &void);
        }
        goals.at_most(format!("late share at {multiple}x"), report.late_share(), 0.01, &void);
        if multiple >= 5.0 {
            let most = if series.workers <= 2 { 60.0 } else { 120.0 };
            let p99 = report.in_time_ms(0.99).unwrap_or(f64::INFINITY);
            goals.at_most(format!("200 p99 at {multiple}x, ms"), p99, most, &void);
        }
        if let Some(p99) = report.latency_ms(Outcome::Unavailable, 0.99) {
            goals.at_most(format!("503 p99 at {multiple}x, ms"), p99, 30.0, &void);
        }
        let newcomer = newcomer.as_secs_f64() * 1e3;
        goals.at_most(format!("newcomer after {multiple}x, ms"), newcomer, 100.0, &void);
    }
    goals
}
