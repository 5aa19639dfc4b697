//! Handlers that use 4 ms of CPU time on one core: the goals, with the features of today and with
//! those of version 0.1.0.

use std::time::Duration;

use super::arrivals::{self, Phase};
use super::clients::{Repeat, Script, SimulatedHandler};
use super::common::percentile;
use super::features::{Costs, Features};
use super::machine::MachineSetup;
use super::server::ServiceTimes;

const CLIENTS: usize = 16;
/// Requests that one core can serve in a second.
const CAPACITY: f64 = 250.0;
/// How long the load lasts that fills the estimates, in nanoseconds.
const WARM_UP: u64 = 500_000_000;
/// For how long new clients come after the load, in nanoseconds.
const AFTER: u64 = 500_000_000;
/// For how long the simulation goes on after the load, so that late responses are counted too.
const STAY: u64 = 2_000_000_000;

/// The figures of one load. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Point {
    multiple: f64,
    /// The CPU time per second of the handlers whose responses are in time. Where service times
    /// differ, the number of these responses would depend on the draw.
    goodput: f64,
    late: f64,
    p99: f64,
    refusals_p99: f64,
    newcomer: f64,
}

fn phase(rate: f64, nanos: u64) -> Phase {
    Phase { rate, time: Duration::from_nanos(nanos), retries: 0, counted: true }
}

fn point(setup: MachineSetup, times: ServiceTimes, multiple: f64) -> Point {
    let load = if multiple <= 2.0 { 6_000_000_000 } else { 3_000_000_000 };
    let end = WARM_UP + load;
    let phases = [phase(CAPACITY / 2.0, WARM_UP), phase(multiple * CAPACITY, load)];
    let handler = SimulatedHandler {
        exponential: times == ServiceTimes::Exponential,
        ..SimulatedHandler::burns(4)
    };
    let arrivals = arrivals::poisson(&phases, &[1.0; CLIENTS], 1);
    let once = |it: &arrivals::Arrival| Script::once(usize::from(it.client), it.at, handler);
    let mut scripts: Vec<_> = arrivals.iter().map(once).collect();
    let newcomer = Script::once(CLIENTS, end, SimulatedHandler::burns(4));
    scripts.push(Script { until: end + AFTER, repeat: Repeat::Probe, ..newcomer });
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

/// A goal, the multiple of the capacity at which it was missed, and the figure that missed it.
type Missed = (&'static str, f64, f64);

/// The highest 99th percentile of the responses that is allowed from five times the capacity on. It
/// is the same for fixed and exponential service times, except for one case: an exponential service
/// on a core that eight workers share takes `8 * 4 ms * ln 100` by itself, without any wait.
fn most_p99(workers: usize, times: ServiceTimes) -> f64 {
    match (workers, times) {
        (..=2, _) => 60.0,
        (8.., ServiceTimes::Exponential) => workers as f64 * 4.0 * 100_f64.ln() + 60.0,
        _ => 120.0,
    }
}

/// Runs every load. Returns the goals that were missed.
fn missed(setup: MachineSetup, times: ServiceTimes) -> Vec<Missed> {
    let points: Vec<_> =
        [1.0, 2.0, 5.0, 10.0, 20.0].map(|multiple| point(setup, times, multiple)).into();
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
        let most = most_p99(setup.workers, times);
        check("p99", point.p99, point.multiple < 5.0 || point.p99 <= most);
        check("refusals' p99", point.refusals_p99, point.refusals_p99 <= 30.0);
        check("newcomer", point.newcomer, point.newcomer <= 100.0);
    }
    missed
}

/// All goals are reached, except for known faults of the controller, listed in `but`.
#[track_caller]
fn reaches_all(workers: usize, times: ServiceTimes, but: &[(&str, f64)]) {
    let missed = missed(MachineSetup::new(1, workers, Features::TODAY), times);
    let known = |it: &&Missed| but.contains(&(it.0, it.1));
    let unknown: Vec<_> = missed.iter().filter(|it| !known(it)).collect();
    assert!(unknown.is_empty(), "{workers} workers, {times:?}: missed {missed:?}");
}

#[test]
fn two_workers_reach_the_goals() {
    reaches_all(2, ServiceTimes::Fixed, &[]);
}

#[test]
fn two_workers_with_exponential_service_times_reach_the_goals() {
    reaches_all(2, ServiceTimes::Exponential, &[]);
}

#[test]
fn four_workers_reach_the_goals() {
    reaches_all(4, ServiceTimes::Fixed, &[]);
}

#[test]
fn four_workers_with_exponential_service_times_reach_the_goals() {
    reaches_all(4, ServiceTimes::Exponential, &[]);
}

#[test]
fn eight_workers_reach_the_goals() {
    reaches_all(8, ServiceTimes::Fixed, &[]);
}

#[test]
fn eight_workers_with_exponential_service_times_reach_the_goals() {
    // Services alone take up to 150 ms, and at the capacity a burst may wait for 128 ms: then 2.5 %
    // of the responses are late, and 1.04 % at 20 times the capacity.
    reaches_all(8, ServiceTimes::Exponential, &[("late", 1.0), ("late", 20.0)]);
}

/// The features of version 0.1.0 must miss these goals, at these multiples.
#[track_caller]
fn version_0_1_0_misses(workers: usize, goals: &[(&str, &[f64])]) {
    let setup = MachineSetup {
        costs: Costs::MEASURED_0_1_0,
        ..MachineSetup::new(1, workers, Features::V0_1_0)
    };
    let missed = missed(setup, ServiceTimes::Fixed);
    for (goal, multiples) in goals {
        let at: Vec<_> = missed.iter().filter(|it| it.0 == *goal).map(|it| it.1).collect();
        assert_eq!(at, *multiples, "{goal}: {missed:?}");
    }
}

#[test]
fn the_features_of_0_1_0_miss_the_goals_with_two_workers() {
    let goals = ["late", "p99", "refusals' p99", "newcomer"];
    let mut goals = goals.map(|goal| (goal, &[10.0, 20.0][..])).to_vec();
    goals.push(("goodput", &[5.0, 10.0, 20.0]));
    version_0_1_0_misses(2, &goals);
}

#[test]
fn the_features_of_0_1_0_miss_the_goals_with_eight_workers() {
    let goals = ["goodput", "late", "p99", "refusals' p99", "newcomer"];
    version_0_1_0_misses(8, &goals.map(|goal| (goal, &[5.0, 10.0, 20.0][..])));
}
