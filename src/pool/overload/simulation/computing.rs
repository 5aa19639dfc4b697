//! Handlers that burn 4 ms of CPU time on one core: the goals, for millpond and for what 0.1.0 did.

use std::time::Duration;

use super::Service;
use super::arrivals::{self, Phase};
use super::clients::{Job, Pace, Script};
use super::machine::Setup;
use super::percentile;
use super::surroundings::{Costs, Surroundings};

const CLIENTS: usize = 16;
/// Requests a second, in arithmetic.
const CAPACITY: f64 = 250.0;
/// In nanoseconds: the load that fills the estimates.
const WARM_UP: u64 = 500_000_000;
/// Newcomers come for so long once the load is over.
const AFTER: u64 = 500_000_000;
/// How long clients stay for a response that is late, and newcomers for theirs.
const STAY: u64 = 2_000_000_000;

/// What one load came to. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Point {
    multiple: f64,
    /// The CPU time that goes into responses in time, per second. A count of them would be at the
    /// mercy of the draw where services differ.
    goodput: f64,
    late: f64,
    p99: f64,
    refusals_p99: f64,
    newcomer: f64,
}

fn phase(rate: f64, nanos: u64) -> Phase {
    Phase { rate, time: Duration::from_nanos(nanos), retries: 0, counted: true }
}

fn point(setup: Setup, service: Service, multiple: f64) -> Point {
    let load = if multiple <= 2.0 { 6_000_000_000 } else { 3_000_000_000 };
    let end = WARM_UP + load;
    let phases = [phase(CAPACITY / 2.0, WARM_UP), phase(multiple * CAPACITY, load)];
    let job = Job { exponential: service == Service::Exponential, ..Job::burns(4) };
    let arrivals = arrivals::poisson(&phases, &[1.0; CLIENTS], 1);
    let once = |it: &arrivals::Arrival| Script::once(usize::from(it.client), it.at, job);
    let mut scripts: Vec<_> = arrivals.iter().map(once).collect();
    let newcomer = Script::once(CLIENTS, end, Job::burns(4));
    scripts.push(Script { until: end + AFTER, pace: Pace::Probe, ..newcomer });
    let outcome = setup.run(&scripts, (WARM_UP, end), end + STAY);
    let all = outcome.of(0..CLIENTS);
    Point {
        multiple,
        goodput: all.goodput as f64 / load as f64,
        late: all.late as f64 / all.responses.len() as f64,
        p99: percentile(&all.responses, 0.99),
        refusals_p99: percentile(&all.refusals, 0.99),
        newcomer: outcome.of(CLIENTS..CLIENTS + 1).worst_ms(),
    }
}

/// A goal, at which multiple of the capacity, and the figure that missed it.
type Missed = (&'static str, f64, f64);

/// The longest that the 99th percentile of the responses may be from five times the capacity on.
/// What is said of fixed services goes for others too, but for one case: an exponential service on
/// a core that eight workers share takes `8 * 4 ms * ln 100` by itself, without any wait.
fn most_p99(workers: usize, service: Service) -> f64 {
    match (workers, service) {
        (..=2, _) => 60.0,
        (8.., Service::Exponential) => workers as f64 * 4.0 * 100_f64.ln() + 60.0,
        _ => 120.0,
    }
}

/// Runs every load, and tells which goals were missed.
fn missed(setup: Setup, service: Service) -> Vec<Missed> {
    let points: Vec<_> =
        [1.0, 2.0, 5.0, 10.0, 20.0].map(|multiple| point(setup, service, multiple)).into();
    let usual = points.iter().filter(|point| point.multiple <= 2.0);
    let best = usual.map(|point| point.goodput).fold(0.0, f64::max);
    let mut missed = Vec::new();
    for point in &points {
        let mut check = |goal, figure: f64, met: bool| {
            if !met {
                missed.push((goal, point.multiple, figure));
            }
        };
        let least = match point.multiple {
            5.0 => 0.95,
            10.0 => 0.90,
            20.0 => 0.80,
            2.0 => 0.97,
            _ => 0.0,
        };
        let goodput = point.goodput / best;
        check("goodput", goodput, goodput >= least);
        check("late", point.late, point.late <= 0.01);
        let most = most_p99(setup.workers, service);
        check("p99", point.p99, point.multiple < 5.0 || point.p99 <= most);
        check("refusals' p99", point.refusals_p99, point.refusals_p99 <= 30.0);
        check("newcomer", point.newcomer, point.newcomer <= 100.0);
    }
    missed
}

/// All goals are reached but these, each of which is a fault of the controller that is known.
#[track_caller]
fn reaches_all(workers: usize, service: Service, but: &[(&str, f64)]) {
    let missed = missed(Setup::new(1, workers, Surroundings::TODAY), service);
    let known = |it: &&Missed| but.contains(&(it.0, it.1));
    let unknown: Vec<_> = missed.iter().filter(|it| !known(it)).collect();
    assert!(unknown.is_empty(), "{workers} workers, {service:?}: missed {missed:?}");
}

#[test]
fn two_workers_reach_the_goals() {
    reaches_all(2, Service::Fixed, &[]);
}

#[test]
fn two_workers_more_or_less_reach_the_goals() {
    reaches_all(2, Service::Exponential, &[]);
}

#[test]
fn four_workers_reach_the_goals() {
    reaches_all(4, Service::Fixed, &[]);
}

#[test]
fn four_workers_more_or_less_reach_the_goals() {
    reaches_all(4, Service::Exponential, &[]);
}

#[test]
fn eight_workers_reach_the_goals() {
    reaches_all(8, Service::Fixed, &[]);
}

#[test]
fn eight_workers_more_or_less_reach_the_goals() {
    // Services alone take up to 150 ms, and at the capacity a burst may wait for 128 ms: 2.5 % are
    // late then, and 1.04 % at 20x.
    reaches_all(8, Service::Exponential, &[("late", 1.0), ("late", 20.0)]);
}

/// The surroundings of 0.1.0 must miss the goals: these, at these multiples.
#[track_caller]
fn first_misses(workers: usize, goals: &[(&str, &[f64])]) {
    let setup = Setup { costs: Costs::FIRST, ..Setup::new(1, workers, Surroundings::FIRST) };
    let missed = missed(setup, Service::Fixed);
    for (goal, multiples) in goals {
        let at: Vec<_> = missed.iter().filter(|it| it.0 == *goal).map(|it| it.1).collect();
        assert_eq!(at, *multiples, "{goal}: {missed:?}");
    }
}

#[test]
fn the_first_surroundings_miss_them_with_two_workers() {
    let goals = ["late", "p99", "refusals' p99", "newcomer"];
    let mut goals = goals.map(|goal| (goal, &[10.0, 20.0][..])).to_vec();
    goals.push(("goodput", &[5.0, 10.0, 20.0]));
    first_misses(2, &goals);
}

#[test]
fn the_first_surroundings_miss_them_with_eight_workers() {
    let goals = ["goodput", "late", "p99", "refusals' p99", "newcomer"];
    first_misses(8, &goals.map(|goal| (goal, &[5.0, 10.0, 20.0][..])));
}
