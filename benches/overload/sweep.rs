//! The main table: every server at every multiple of its capacity, and millpond's goals.

use std::thread;
use std::time::{Duration, Instant};

use crate::Cli;
use crate::chart::{self, Curves, Line};
use crate::cpu;
use crate::outcome::Outcome;
use crate::point::{Point, measure};
use crate::scenario::Goals;
use crate::table::Table;

/// The loads, unless the command line chooses others.
const MULTIPLES: [f64; 7] = [0.5, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0];

/// One server at one multiple.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) server: &'static str,
    pub(crate) multiple: f64,
    pub(crate) point: Point,
}

/// Measures all servers at all multiples: next to each other in time, since machines drift.
pub(crate) fn run(cli: &Cli) -> Result<(), String> {
    let names = cli.servers()?;
    let programs = cli.programs(&names)?;
    let capacity = cli.capacity();
    let bare = (cli.burn_ms == 0.0).then(|| bare(cli.workers(), cli.sleep_ms));
    let mut rows: Vec<Row> = Vec::new();
    for multiple in cli.multiples(&MULTIPLES) {
        for server in &names {
            eprintln!("{server} at {multiple}x");
            let (mut process, address) = programs.start(server, cli.job())?;
            let plan = cli.plan(address, &[(multiple * capacity, cli.seconds(), 0)]);
            let point = measure(&mut process, &plan)?;
            rows.push(Row { server, multiple, point });
        }
    }
    println!(
        "{} workers, handlers sleep {} ms and burn {} ms: capacity {capacity:.0}/s; deadline {} ms\n",
        cli.workers(),
        cli.sleep_ms,
        cli.burn_ms,
        cli.deadline_ms
    );
    if let Some(bare) = bare {
        println!("as many bare threads that only sleep come to {bare:.0}/s\n");
    }
    print!("{}", table(&rows, &names, capacity, cli.markdown));
    if let Some(path) = &cli.svg {
        let mut all = vec![curves(&rows, &names, capacity)];
        if cli.burn_ms == 0.0 {
            let one = Cli { workers: vec![cli.workers()], multiples: Vec::new(), ..cli.clone() };
            println!();
            all.push(cpu::curves(&cpu::run(&one, &names)?));
        }
        chart::draw(path, &all)?;
        println!("\ndrawn: {}", path.display());
    }
    if names.contains(&"millpond") && cli.burn_ms == 0.0 {
        goals(&rows, capacity).print();
    }
    Ok(())
}

/// What the chart shows of handlers that sleep.
fn curves(rows: &[Row], names: &[&'static str], capacity: f64) -> Curves {
    let of = |name: &&'static str| rows.iter().filter(|row| row.server == *name).cloned().collect();
    let lines = names.iter().map(|name| Line { name: name.to_string(), rows: of(name) }).collect();
    Curves { handlers: "Handlers that sleep", lines, capacity }
}

/// How often a second threads that do nothing else can sleep: what no server here can surpass,
/// since a sleep takes a little longer than it is meant to.
fn bare(threads: usize, sleep_ms: f64) -> f64 {
    const TIME: Duration = Duration::from_secs(2);
    let end = Instant::now() + TIME;
    let sleep = || {
        let mut sleeps = 0_u32;
        while Instant::now() < end {
            thread::sleep(Duration::from_secs_f64(sleep_ms / 1e3));
            sleeps += 1;
        }
        sleeps
    };
    let sleeps: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(sleep)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    f64::from(sleeps) / TIME.as_secs_f64()
}

fn table(rows: &[Row], names: &[&'static str], capacity: f64, markdown: bool) -> String {
    let mut table = Table::new(&[
        "server",
        "offered",
        "goodput/s",
        "of capacity",
        "p50 ms",
        "p99 ms",
        "late",
        "503",
        "503 p99 ms",
        "reset",
        "refused",
        "timeout",
        "other",
        "RSS MiB",
        "void?",
    ]);
    for name in names {
        for row in rows.iter().filter(|row| row.server == *name) {
            table.row(cells(row, capacity));
        }
    }
    table.render(markdown)
}

fn cells(row: &Row, capacity: f64) -> Vec<String> {
    let report = &row.point.report;
    let count = |outcome| report.count(outcome).to_string();
    let latency = |outcome, quantile| match report.latency_ms(outcome, quantile) {
        Some(latency) => format!("{latency:.1}"),
        None => "-".into(),
    };
    let died = (!row.point.alive).then(|| "server died".to_string());
    vec![
        row.server.into(),
        format!("{}x", row.multiple),
        format!("{:.0}", report.goodput()),
        format!("{:.3}", report.goodput() / capacity),
        latency(Outcome::InTime, 0.5),
        latency(Outcome::InTime, 0.99),
        count(Outcome::Late),
        count(Outcome::Unavailable),
        latency(Outcome::Unavailable, 0.99),
        count(Outcome::Reset),
        count(Outcome::Refused),
        count(Outcome::Timeout),
        count(Outcome::Other),
        format!("{:.1}", row.point.rss_kib as f64 / 1024.0),
        died.or(report.void()).unwrap_or_default(),
    ]
}

/// What millpond has to reach, as far as these rows tell.
fn goals(rows: &[Row], capacity: f64) -> Goals {
    let mut goals = Goals::new("millpond");
    let mine = |row: &&Row| row.server == "millpond";
    for row in rows.iter().filter(mine) {
        let (report, multiple) = (&row.point.report, row.multiple);
        let void = report.void();
        let least = match multiple {
            1.0..=2.0 => Some(0.97),
            5.0 => Some(0.95),
            10.0 => Some(0.93),
            _ => None,
        };
        if let Some(least) = least {
            let share = report.goodput() / capacity;
            goals.at_least(format!("goodput/capacity at {multiple}x"), share, least, &void);
        }
        if multiple <= 0.8 {
            let refused = report.count(Outcome::Unavailable) as f64;
            goals.at_most(format!("false refusals at {multiple}x"), refused, 0.0, &void);
        }
        if multiple == 10.0 {
            let in_time = |quantile| report.latency_ms(Outcome::InTime, quantile);
            let in_time = |quantile| in_time(quantile).unwrap_or(f64::INFINITY);
            goals.at_most("p50 in time at 10x, ms", in_time(0.5), 15.0, &void);
            goals.at_most("p99 in time at 10x, ms", in_time(0.99), 40.0, &void);
        }
        if let Some(p99) = report.latency_ms(Outcome::Unavailable, 0.99) {
            goals.at_most(format!("503 p99 at {multiple}x, ms"), p99, 10.0, &void);
        }
    }
    let rss = |multiple: f64| {
        let row = rows.iter().filter(mine).find(|row| row.multiple == multiple);
        row.map(|row| row.point.rss_kib as f64 / 1024.0)
    };
    if let (Some(light), Some(heavy)) = (rss(0.5), rss(10.0)) {
        goals.at_most("RSS at 10x above that at 0.5x, MiB", heavy - light, 32.0, &None);
    }
    goals
}
