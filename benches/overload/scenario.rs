//! Loads that ask one question each, and their goals.

use std::time::Duration;

use clap::ValueEnum;

use crate::Cli;
use crate::chart;
use crate::cpu;
use crate::hostile;
use crate::outcome::{Outcome, Tally, WINDOW};
use crate::point::measure;
use crate::servers::Job;
use crate::table::median;
use crate::wrk;

/// A question.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// 3 s at 10x, then 0.8x whose clients try again: how soon is it itself again?
    Spike,
    /// One client at 9x beside nine at 0.05x: are the nine served?
    Fairness,
    /// Handlers that burn 1 ms of CPU: what is left at 5x?
    Burn,
    /// Handlers that burn 4 ms, the server on one core, up to 20x: what is left?
    Cpu,
    /// Clients that hold the server up, one attack after the other: are ten others served?
    Hostile,
    /// 0.5x, then 10x: does memory grow?
    Flat,
    /// wrk with 2,000 keep-alive connections and the hello handler: as fast as with 64?
    Closed2000,
}

/// Measured figures beside their goals.
#[derive(Clone, Debug)]
pub(crate) struct Goals {
    server: String,
    lines: Vec<String>,
}

impl Goals {
    pub(crate) fn new(server: &str) -> Self {
        Self { server: server.into(), lines: Vec::new() }
    }

    pub(crate) fn at_least(
        &mut self,
        what: impl Into<String>,
        value: f64,
        goal: f64,
        void: &Option<String>,
    ) {
        self.line(&what.into(), value, &format!(">= {goal}"), value >= goal, void);
    }

    pub(crate) fn at_most(
        &mut self,
        what: impl Into<String>,
        value: f64,
        goal: f64,
        void: &Option<String>,
    ) {
        self.line(&what.into(), value, &format!("<= {goal}"), value <= goal, void);
    }

    fn line(&mut self, what: &str, value: f64, goal: &str, met: bool, void: &Option<String>) {
        let verdict = match (void, met) {
            (Some(reason), _) => format!("void: {reason}"),
            (None, true) => "reached".into(),
            (None, false) => "MISSED".into(),
        };
        self.lines.push(format!("  {what:<42} {value:>9.3}  goal {goal:<8} {verdict}"));
    }

    pub(crate) fn print(&self) {
        println!("\n{}", self.server);
        self.lines.iter().for_each(|line| println!("{line}"));
    }
}

/// Runs `scenario` on the chosen servers; without `--only` on millpond.
pub(crate) fn run(cli: &Cli, scenario: Scenario) -> Result<(), String> {
    let names = if cli.only.is_empty() { vec!["millpond"] } else { cli.servers()? };
    cli.programs(&names)?;
    if matches!(scenario, Scenario::Closed2000) {
        cli.programs(&[BESIDE])?;
    }
    if matches!(scenario, Scenario::Cpu) {
        let all = cpu::run(cli, &names)?;
        return match &cli.svg {
            Some(path) => chart::draw(path, &[cpu::curves(&all)]),
            None => Ok(()),
        };
    }
    if matches!(scenario, Scenario::Hostile) {
        return hostile::run(cli);
    }
    for name in names {
        let goals = match scenario {
            Scenario::Spike => spike(cli, name),
            Scenario::Fairness => fairness(cli, name),
            Scenario::Burn => burn(cli, name),
            Scenario::Cpu | Scenario::Hostile => continue,
            Scenario::Flat => flat(cli, name),
            Scenario::Closed2000 => closed(cli, name),
        };
        goals?.print();
    }
    Ok(())
}

fn spike(cli: &Cli, name: &str) -> Result<Goals, String> {
    let (mut process, address) = cli.located()?.start(name, cli.job())?;
    let capacity = cli.capacity();
    let mut plan = cli.plan(address, &[(10.0 * capacity, 3.0, 0), (0.8 * capacity, 4.0, 3)]);
    plan.phases[0].time = Duration::from_millis(500);
    let report = measure(&mut process, &plan)?.report;
    let per_second = (1.0 / WINDOW.as_secs_f64()) as usize;
    let after = per_second / 2 + 3 * per_second;
    println!("\n{name}: success by the time of arrival, in windows of {WINDOW:?}");
    let shares: Vec<String> =
        report.windows.iter().map(|tally| format!("{:.0}", tally.success() * 100.0)).collect();
    let part = |range: &[String]| range.join(" ");
    println!("  warm-up   % {}", part(&shares[..per_second / 2]));
    println!("  flood     % {}", part(&shares[per_second / 2..after]));
    println!("  after it  % {}", part(&shares[after..]));
    let from = after + per_second / 2;
    let mut later = Tally::default();
    report.windows[from..].iter().for_each(|tally| later.add(*tally));
    let mut goals = Goals::new(name);
    let void = report.void();
    goals.at_least("in time from 0.5 s after the flood on", later.success(), 0.99, &void);
    let at_once = later.at_once as f64 / later.requests.max(1) as f64;
    goals.lines.push(format!("  {:<42} {at_once:>9.3}", "of these at the first attempt"));
    Ok(goals)
}

fn fairness(cli: &Cli, name: &str) -> Result<Goals, String> {
    let (mut process, address) = cli.located()?.start(name, cli.job())?;
    let mut plan = cli.plan(address, &[(9.45 * cli.capacity(), cli.seconds(), 0)]);
    plan.clients.truncate(10);
    for (index, client) in plan.clients.iter_mut().enumerate() {
        client.weight = if index == 0 { 9.0 } else { 0.05 };
    }
    let report = measure(&mut process, &plan)?.report;
    let (mut light, heavy) = (Tally::default(), report.clients[0]);
    report.clients[1..].iter().for_each(|tally| light.add(*tally));
    let mut goals = Goals::new(name);
    goals.at_least("the nine light clients in time", light.success(), 0.98, &report.void());
    for (what, value) in [
        ("the heavy client in time", heavy.success()),
        ("goodput/capacity", report.goodput() / cli.capacity()),
    ] {
        goals.lines.push(format!("  {what:<42} {value:>9.3}"));
    }
    Ok(goals)
}

fn burn(cli: &Cli, name: &str) -> Result<Goals, String> {
    let job = Job { sleep_ms: 0.0, burn_ms: cli.burn_ms.max(1.0), ..cli.job() };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let nominal = cores as f64 * 1e3 / job.burn_ms;
    let mut goals = Goals::new(name);
    let (mut peak, mut goodput, mut void) = (0.0_f64, 0.0, None);
    for multiple in [0.5, 0.8, 1.0, 1.5, 5.0] {
        let (mut process, address) = cli.located()?.start(name, job)?;
        let plan = cli.plan(address, &[(multiple * nominal, cli.seconds(), 0)]);
        let before = process.usage().cpu_us;
        let report = measure(&mut process, &plan)?.report;
        let cpu = (process.usage().cpu_us - before) as f64 / 1e6;
        goodput = report.goodput();
        peak = peak.max(goodput);
        void = report.void();
        let (not_in_time, sent) =
            (report.attempts() - report.count(Outcome::InTime), report.attempts());
        goals.lines.push(format!(
            "  {multiple}x of {nominal:.0}/s: {goodput:.0}/s in time; {not_in_time} of {sent} not; \
             {cpu:.1} s of CPU for the server"
        ));
    }
    goals.at_least("goodput at 5x over its peak", goodput / peak.max(1.0), 0.85, &void);
    Ok(goals)
}

fn flat(cli: &Cli, name: &str) -> Result<Goals, String> {
    let (mut process, address) = cli.located()?.start(name, cli.job())?;
    let mut memory = Vec::new();
    for multiple in [0.5, 10.0] {
        let plan = cli.plan(address, &[(multiple * cli.capacity(), cli.seconds(), 0)]);
        memory.push(measure(&mut process, &plan)?.rss_kib as f64 / 1024.0);
    }
    let mut goals = Goals::new(name);
    goals.at_most("RSS at 10x above that at 0.5x, MiB", memory[1] - memory[0], 32.0, &None);
    Ok(goals)
}

/// The server beside which a closed loop is measured: how much of the loss at 2,000 connections is
/// wrk's and the machine's own.
const BESIDE: &str = "hyper";

fn closed(cli: &Cli, name: &str) -> Result<Goals, String> {
    let job = Job { workers: None, sleep_ms: 0.0, burn_ms: 0.0, core: None, urgent: None };
    let mut goals = Goals::new(name);
    let (mut mine, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (server, ratios) in [(name, &mut mine), (BESIDE, &mut beside)] {
            let (process, address) = cli.located()?.start(server, job)?;
            let (url, seconds) = (format!("http://{address}/"), cli.seconds().ceil() as u64);
            let mut rates = Vec::new();
            for connections in [64, 2_000] {
                let before = process.usage().cpu_us;
                let load = wrk::run(&url, connections, seconds)?;
                let cpu = (process.usage().cpu_us - before) as f64;
                let each = cpu / (load.per_second * seconds as f64).max(1.0);
                rates.push(load.per_second);
                goals.lines.push(format!(
                    "  {server} at {connections}: {:.0}/s, {each:.1} µs of CPU each, {} errors",
                    load.per_second, load.errors
                ));
            }
            ratios.push(rates[1] / rates[0].max(1.0));
        }
    }
    let (mine, beside) = (median(mine), median(beside));
    goals.at_least("throughput at 2,000 over that at 64", mine, 0.95, &None);
    goals.lines.push(format!("  {:<42} {beside:>9.3}", format!("the same of {BESIDE}")));
    Ok(goals)
}
