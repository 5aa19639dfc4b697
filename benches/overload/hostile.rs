//! Clients that hold a server up, beside ten that behave, an urgent listener and newcomers.
//!
//! Each attack has a server of its own. The ten send over fresh connections from addresses of their
//! own, in an open loop; the urgent listener, and in a crowd the usual one too, is probed 20 times
//! a second. What counts is what these get; what became of the attackers is only told.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::Cli;
use crate::arrivals::Phase;
use crate::fleet::{Fleet, Seen};
use crate::newcomer;
use crate::outcome::{Outcome, Report};
use crate::plan::{self, Plan};
use crate::point;
use crate::process::Process;
use crate::rows::{ALL, Attack, Kind, Times};
use crate::scenario::Goals;
use crate::servers::Job;
use crate::table::Table;

/// How long an attack lasts unless the command line says so, in seconds.
const SECONDS: f64 = 8.0;
/// How long the others are there before the attack begins.
const BEFORE: Duration = Duration::from_secs(1);
/// For how long newcomers come once the attack is over.
const AFTER: Duration = Duration::from_secs(2);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The ten, and what each sends per second.
const OTHERS: (u8, f64) = (10, 2.5);
/// Requests per second of a probe.
const PROBE: f64 = 20.0;
/// How long clients wait before they count a request as lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// Within what the requests of the ten, of the probe and of the urgent one have to be served.
const IN_TIME: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(100), Duration::from_millis(50)];
/// Memory that the server may take for an attack, in MiB: besides what is kept for slow readers,
/// whose limit is 64 MiB, connections and their buffers.
const MEMORY: f64 = 128.0;
/// A lag of the generators that voids a row: a tenth of the shortest time that is asked for. A row
/// has few requests, and one that is late by less changes nothing, as latency counts it anyway.
const LAG: Duration = Duration::from_millis(5);
/// A health check, which takes its handler no time.
const CHECK: &[u8] = b"GET /?quick HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const FIELD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Timeout: 500ms\r\n\
                       Connection: close\r\n\r\n";

/// What one attack did to others.
#[derive(Debug)]
struct Line {
    attack: Attack,
    others: Report,
    urgent: Report,
    probe: Option<Report>,
    during: Duration,
    after: Duration,
    /// By how much the server's memory grew at the most, in MiB.
    grown: f64,
    alive: bool,
    seen: Seen,
}

/// Runs the chosen attacks and prints what they did.
pub(crate) fn run(cli: &Cli) -> Result<(), String> {
    let names = ALL.map(|attack| attack.name);
    if let Some(unknown) = cli.row.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("no row is named {unknown}; there are {}", names.join(", ")));
    }
    let time =
        Duration::from_secs_f64(cli.seconds.unwrap_or(if cli.quick { 2.0 } else { SECONDS }));
    let mut lines = Vec::new();
    for attack in ALL {
        if cli.row.is_empty() || cli.row.iter().any(|name| name == attack.name) {
            eprintln!("{}", attack.name);
            lines.push(one(cli, attack, attack.times(time))?);
        }
    }
    println!(
        "{} clients at {}/s each over fresh connections beside attacks of {time:?}\n",
        OTHERS.0, OTHERS.1
    );
    print!("{}", table(&lines, cli.markdown));
    let mut goals = Goals::new("millpond");
    lines.iter().for_each(|line| line.goals(&mut goals));
    goals.print();
    Ok(())
}

/// One attack on a server of its own.
fn one(cli: &Cli, attack: Attack, times: Times) -> Result<Line, String> {
    let urgent = SocketAddr::from(([127, 0, 0, 1], crate::process::free_port()?));
    let job = Job {
        workers: Some(attack.workers),
        sleep_ms: attack.sleep_ms,
        burn_ms: 0.0,
        core: None,
        urgent: Some(urgent),
    };
    let (mut process, usual) = cli.located()?.start("millpond", job)?;
    let others = others(cli, attack.kind, usual, times);
    let mut urgent = probe(cli, urgent, Ipv4Addr::new(127, 0, 3, 1), IN_TIME[2], times);
    urgent.request = Some(CHECK);
    let crowd = matches!(attack.kind, Kind::Crowd { .. });
    let probe = crowd.then(|| probe(cli, usual, Ipv4Addr::new(127, 0, 3, 2), IN_TIME[1], times));
    let start = Instant::now();
    thread::scope(|scope| {
        let fleets: Vec<_> = (attack.fleets)()
            .into_iter()
            .map(|fleet| scope.spawn(move || send(&fleet, usual, start, times)))
            .collect();
        let during = scope.spawn(move || {
            until(start + BEFORE + times.count_from);
            newcomer::worst(usual, Some([127, 0, 3, 3].into()), times.count)
        });
        let after = scope.spawn(move || {
            until(start + BEFORE + times.attack.max(times.count_from));
            newcomer::worst(usual, Some([127, 0, 3, 4].into()), AFTER)
        });
        let others = scope.spawn(move || point::send(&others));
        let urgent = scope.spawn(move || point::send(&urgent));
        let probe = scope.spawn(move || probe.map(|probe| point::send(&probe)).transpose());
        let grown = grown(&process, || others.is_finished() && after.is_finished());
        let mut seen = Seen::default();
        for fleet in fleets {
            seen.add(fleet.join().map_err(|_| "an attacker panicked")??);
        }
        let panicked = |_| "a client panicked".to_string();
        Ok(Line {
            attack,
            others: others.join().map_err(panicked)??,
            urgent: urgent.join().map_err(panicked)??,
            probe: probe.join().map_err(panicked)??,
            during: during.join().map_err(panicked)?,
            after: after.join().map_err(panicked)?,
            grown,
            alive: !process.has_ended(),
            seen,
        })
    })
}

fn send(fleet: &Fleet, target: SocketAddr, start: Instant, times: Times) -> Result<Seen, String> {
    until(start + BEFORE);
    fleet.run(target, times.attack).map_err(|error| format!("an attacker: {error}"))
}

fn until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// The load of the ten.
fn others(cli: &Cli, kind: Kind, target: SocketAddr, times: Times) -> Plan {
    let mut plan = plan::usual(target, OTHERS.0);
    plan.request = (kind == Kind::Field).then_some(FIELD);
    let rate = f64::from(OTHERS.0) * OTHERS.1;
    fit(cli, &mut plan, rate, IN_TIME[0], times);
    plan
}

/// A client that comes at even distances.
fn probe(cli: &Cli, target: SocketAddr, source: Ipv4Addr, within: Duration, times: Times) -> Plan {
    let mut plan = plan::usual(target, 1);
    plan.clients[0].source = Some(source);
    plan.even = true;
    fit(cli, &mut plan, PROBE, within, times);
    plan
}

fn fit(cli: &Cli, plan: &mut Plan, rate: f64, deadline: Duration, times: Times) {
    (plan.deadline, plan.patience, plan.seed) = (deadline, PATIENCE, cli.seed);
    let before = BEFORE + times.count_from;
    plan.phases = vec![
        Phase { rate, time: before, retries: 0, counted: false },
        Phase { rate, time: times.count, retries: 0, counted: true },
    ];
}

/// By how much memory grew at the most until `is_over`, in MiB.
fn grown(process: &Process, is_over: impl Fn() -> bool) -> f64 {
    let before = process.usage().rss_kib;
    let mut most = before;
    while !is_over() {
        thread::sleep(LOOK);
        most = most.max(process.usage().rss_kib);
    }
    most.saturating_sub(before) as f64 / 1024.0
}

/// The share of the requests that were served in time.
fn share(report: &Report) -> f64 {
    report.count(Outcome::InTime) as f64 / report.attempts().max(1) as f64
}

impl Line {
    fn void(&self) -> Option<String> {
        let reports = [Some(&self.others), Some(&self.urgent), self.probe.as_ref()];
        reports.into_iter().flatten().find_map(|report| report.void_past(LAG))
    }

    fn goals(&self, goals: &mut Goals) {
        let (name, void) = (self.attack.name, self.void());
        goals.at_least(format!("{name}: others"), share(&self.others), 0.98, &void);
        goals.at_least(format!("{name}: urgent"), share(&self.urgent), 1.0, &void);
        if let (Some(probe), Kind::Crowd { least }) = (&self.probe, self.attack.kind) {
            let least = f64::from(least) / 100.0;
            goals.at_least(format!("{name}: probe"), share(probe), least, &void);
        }
        let after = self.after.as_secs_f64() * 1e3;
        goals.at_most(format!("{name}: newcomer afterwards, ms"), after, 100.0, &void);
        goals.at_most(format!("{name}: memory, MiB"), self.grown, MEMORY, &None);
    }
}

fn table(lines: &[Line], markdown: bool) -> String {
    let mut table = Table::new(&[
        "attack",
        "others %",
        "p99 ms",
        "urgent %",
        "max ms",
        "probe %",
        "max ms",
        "newcomer ms",
        "afterwards",
        "RSS +MiB",
        "opened",
        "closed",
        "200",
        "503",
        "void?",
    ]);
    let percent = |report: &Report| format!("{:.1}", share(report) * 100.0);
    let ms = |latency: Option<f64>| latency.map_or("-".into(), |ms| format!("{ms:.1}"));
    let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    for line in lines {
        let probe = line.probe.as_ref();
        let died = (!line.alive).then(|| "server died".to_string());
        table.row(vec![
            line.attack.name.into(),
            percent(&line.others),
            ms(line.others.in_time_ms(0.99)),
            percent(&line.urgent),
            ms(line.urgent.in_time_ms(1.0)),
            probe.map_or("-".into(), percent),
            ms(probe.and_then(|probe| probe.in_time_ms(1.0))),
            millis(line.during),
            millis(line.after),
            format!("{:.1}", line.grown),
            line.seen.opened.to_string(),
            line.seen.closed.to_string(),
            line.seen.served.to_string(),
            line.seen.refused.to_string(),
            died.or(line.void()).unwrap_or_default(),
        ]);
    }
    table.render(markdown)
}
