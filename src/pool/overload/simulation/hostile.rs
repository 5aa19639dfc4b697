//! Hostile clients beside ten well-behaved ones: four workers on one core, handlers that sleep.
//!
//! The tests of goals that the controller does not reach yet are ignored, each with the cause that
//! was found.

use std::io::Write;
use std::time::Duration;

use super::arrivals::{self, Phase};
use super::clients::{Repeat, Script, SimulatedHandler};
use super::features::Features;
use super::machine::{AttackOutcome, MachineSetup};

/// The well-behaved clients are the first ones. Each sends 2.5 requests a second from the start on,
/// and each request has a connection of its own.
const BEHAVED: usize = 10;
const RATE: f64 = 2.5;
const WORKERS: usize = 4;
/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// When the hostile clients begin, which is also when the figures begin to count, and when they
/// end.
const ATTACK_START: u64 = SECOND;
const ATTACK_END: u64 = 6 * SECOND;
/// The goals: the share of the other clients' requests that are served within 200 ms, and the
/// longest wait of a new client after the attack, in milliseconds.
const SERVED_MIN: f64 = 0.98;
const NEWCOMER_WAIT_MAX: f64 = 100.0;
/// The next request is sent as soon as the response has arrived.
const AT_ONCE: Repeat = Repeat::Every(0);

/// What each of the hostile clients does.
#[derive(Clone, Copy, Debug)]
struct Attack {
    connections: usize,
    repeat: Repeat,
    handler: SimulatedHandler,
    /// How many requests each connection sends without waiting for a response.
    depth: usize,
    /// The handler of its requests from a second after its start on.
    later: Option<SimulatedHandler>,
    /// Whether all clients come through one proxy, which is trusted.
    proxied: bool,
}

impl Attack {
    fn new(connections: usize, repeat: Repeat, handler: SimulatedHandler) -> Self {
        Self { connections, repeat, handler, depth: 1, later: None, proxied: false }
    }

    /// Runs the attack from `attackers` addresses beside the well-behaved clients, whose requests
    /// have this handler. The first new client comes as the attack ends.
    fn run(self, attackers: usize, handler: SimulatedHandler, features: Features) -> AttackOutcome {
        let time = Duration::from_nanos(ATTACK_END);
        let phase = Phase { rate: RATE * BEHAVED as f64, time, retries: 0, counted: true };
        let arrivals = arrivals::poisson(&[phase], &[1.0; BEHAVED], 1);
        let behaved =
            arrivals.iter().map(|it| Script::once(usize::from(it.client), it.at, handler));
        let mut scripts: Vec<_> = behaved.collect();
        for index in 0..attackers * self.connections {
            // A few microseconds apart: no two connect(2) happen at the same time.
            let start = ATTACK_START + index as u64 * 20_000;
            scripts.push(Script {
                until: ATTACK_END,
                repeat: self.repeat,
                depth: self.depth,
                later: self.later.map(|handler| (ATTACK_START + SECOND, handler)),
                ..Script::once(BEHAVED + 1 + index % attackers, start, self.handler)
            });
        }
        scripts.push(newcomer(ATTACK_END, handler));
        scripts.iter_mut().for_each(|script| script.proxied = self.proxied);
        MachineSetup::new(1, WORKERS, features).run(
            &scripts,
            (ATTACK_START, ATTACK_END),
            ATTACK_END + 2 * SECOND,
        )
    }

    #[track_caller]
    fn harms_no_other_client(self, attackers: usize, handler: SimulatedHandler) {
        let outcome = self.run(attackers, handler, Features::TODAY);
        let (others, newcomer) = (outcome.of(0..BEHAVED), outcome.tallies[BEHAVED].worst_ms());
        assert!(
            others.success() >= SERVED_MIN && newcomer <= NEWCOMER_WAIT_MAX,
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

    /// The same attack, through a proxy.
    fn through_a_proxy(self) -> Self {
        Self { proxied: true, ..self }
    }

    /// Without knowing which client a proxy sends a request of, the attack does harm.
    #[track_caller]
    fn does_harm_if_the_proxy_counts_as_one_client(self, handler: SimulatedHandler) {
        let features = Features { identifies: false, ..Features::TODAY };
        let served = self.through_a_proxy().run(1, handler, features).of(0..BEHAVED).success();
        assert!(served < SERVED_MIN, "{self:?}: {served:.3}");
    }

    /// With the features of version 0.1.0 the attack does harm.
    #[track_caller]
    fn did_harm_in_0_1_0(self, handler: SimulatedHandler) {
        let outcome = self.run(1, handler, Features::V0_1_0);
        let served = outcome.of(0..BEHAVED).success();
        assert!(served < SERVED_MIN, "{self:?}: {served:.3}");
    }
}

/// New clients from `start` on, for half a second.
fn newcomer(start: u64, handler: SimulatedHandler) -> Script {
    let until = start + SECOND / 2;
    Script { until, repeat: Repeat::Probe, ..Script::once(BEHAVED, start, handler) }
}

fn flood() -> Attack {
    Attack::new(200, AT_ONCE, SimulatedHandler::sleeps(5))
}

fn paced() -> Attack {
    Attack::new(60, Repeat::Every(50_000_000), SimulatedHandler::sleeps(50))
}

fn slow() -> Attack {
    Attack::new(8, AT_ONCE, SimulatedHandler::sleeps(2000))
}

fn pipelines(connections: usize) -> Attack {
    Attack { depth: 32, ..Attack::new(connections, AT_ONCE, SimulatedHandler::sleeps(5)) }
}

fn primed() -> Attack {
    Attack {
        later: Some(SimulatedHandler::sleeps(2000)),
        ..Attack::new(8, AT_ONCE, SimulatedHandler::sleeps(5))
    }
}

#[test]
fn two_hundred_connections_without_a_pause_harm_no_other_client() {
    flood().harms_no_other_client(1, SimulatedHandler::sleeps(5));
}

#[test]
fn sixty_connections_of_slow_requests_harm_no_other_client() {
    paced().harms_no_other_client(1, SimulatedHandler::sleeps(50));
}

#[test]
fn eight_requests_of_two_seconds_at_a_time_harm_no_other_client() {
    slow().harms_no_other_client(1, SimulatedHandler::sleeps(5));
}

#[test]
fn ten_connections_that_pipeline_harm_no_other_client() {
    pipelines(10).harms_no_other_client(1, SimulatedHandler::sleeps(5));
}

#[test]
fn forty_connections_that_pipeline_harm_no_other_client() {
    pipelines(40).harms_no_other_client(1, SimulatedHandler::sleeps(5));
}

#[test]
#[ignore = "missed: 0.984 with two, 0.976 with three, by the estimate of the wait"]
fn two_and_three_clients_of_slow_requests_harm_no_other_client() {
    for attackers in [2, 3] {
        paced().harms_no_other_client(attackers, SimulatedHandler::sleeps(50));
    }
}

#[test]
fn eight_requests_of_two_seconds_from_each_of_two_and_three_clients_harm_no_other_client() {
    for attackers in [2, 3] {
        slow().harms_no_other_client(attackers, SimulatedHandler::sleeps(5));
    }
}

#[test]
#[ignore = "missed: 0.968 with two, 0.976 with three, by the estimate of the wait"]
fn two_and_three_floods_harm_no_other_client() {
    for attackers in [2, 3] {
        flood().harms_no_other_client(attackers, SimulatedHandler::sleeps(5));
    }
}

#[test]
fn two_and_three_clients_that_pipeline_harm_no_other_client() {
    for attackers in [2, 3] {
        pipelines(10).harms_no_other_client(attackers, SimulatedHandler::sleeps(5));
    }
}

#[test]
fn no_attack_through_a_proxy_harms_its_other_clients() {
    for (attack, millis) in [(flood(), 5), (paced(), 50), (slow(), 5)] {
        let handler = SimulatedHandler::sleeps(millis);
        attack.through_a_proxy().harms_no_other_client(1, handler);
        attack.does_harm_if_the_proxy_counts_as_one_client(handler);
    }
}

/// The figures of every attack from one to three addresses, for work on the controller.
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
            let outcome = attack.run(attackers, SimulatedHandler::sleeps(millis), Features::TODAY);
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

/// A client whose requests were quick and then take two seconds cannot be recognized before the
/// first of these is over. Until then it may delay the other clients, once.
#[test]
fn a_client_that_was_quick_before_delays_others_once() {
    let outcome = primed().run(1, SimulatedHandler::sleeps(5), Features::TODAY);
    let others = outcome.of(0..BEHAVED);
    let failed = 1.0 - others.success();
    // Two of the five seconds that the attack lasts.
    assert!(failed <= 2.2 / 5.0, "{failed:.3} failed, at worst {:.0} ms", others.worst_ms());
    assert!(outcome.tallies[BEHAVED].worst_ms() <= NEWCOMER_WAIT_MAX);
}

#[test]
fn each_attack_does_harm_with_the_features_of_0_1_0() {
    flood().did_harm_in_0_1_0(SimulatedHandler::sleeps(5));
    paced().did_harm_in_0_1_0(SimulatedHandler::sleeps(50));
    slow().did_harm_in_0_1_0(SimulatedHandler::sleeps(5));
    pipelines(40).did_harm_in_0_1_0(SimulatedHandler::sleeps(5));
}

/// All workers wait for a database for 1.3 s, once, while a thousand quick requests arrive. Returns
/// how long a new client has to wait right afterwards, in milliseconds.
fn after_a_stall(features: Features) -> f64 {
    let quick = SimulatedHandler { burn: 30_000, ..SimulatedHandler::NOTHING };
    let mut scripts = Vec::new();
    for n in 0..1000 {
        scripts.push(Script::once(n as usize % 100 + BEHAVED + 1, n * SECOND / 1000, quick));
        scripts.push(Script::once(
            n as usize % 100 + BEHAVED + 1,
            ATTACK_START + n * 200_000,
            quick,
        ));
    }
    for client in 0..WORKERS {
        scripts.push(Script::once(client, ATTACK_START - 1_000, SimulatedHandler::sleeps(1300)));
    }
    let end = ATTACK_START + SECOND * 13 / 10;
    scripts.push(newcomer(end, quick));
    let outcome = MachineSetup::new(1, WORKERS, features).run(
        &scripts,
        (ATTACK_START, ATTACK_END),
        end + 2 * SECOND,
    );
    outcome.tallies[BEHAVED].worst_ms()
}

#[test]
fn a_new_client_is_served_soon_after_workers_were_stuck() {
    let today = after_a_stall(Features::TODAY);
    assert!(today <= NEWCOMER_WAIT_MAX, "{today:.0} ms");
    let first = after_a_stall(Features::V0_1_0);
    assert!(first > NEWCOMER_WAIT_MAX, "{first:.0} ms");
}

/// Five uploads, one after the other, for each of which a worker waits for its client for four
/// seconds; then, on an idle server, requests with a timeout of half a second. Returns the share of
/// these that is served.
fn after_slow_uploads(features: Features) -> f64 {
    let upload = SimulatedHandler { client_waits: true, ..SimulatedHandler::sleeps(4000) };
    let patient = SimulatedHandler {
        timeout: Some(Duration::from_millis(500)),
        ..SimulatedHandler::sleeps(5)
    };
    let begin = 21 * SECOND;
    let uploads = (0..5).map(|n| Script::once(0, n * 4 * SECOND, upload));
    let requests = (0..50).map(|n| Script::once(1, begin + n * SECOND / 10, patient));
    let scripts: Vec<_> = uploads.chain(requests).collect();
    let counted = (begin, begin + 5 * SECOND);
    MachineSetup::new(1, WORKERS, features)
        .run(&scripts, counted, begin + 6 * SECOND)
        .of(1..2)
        .success()
}

#[test]
fn slow_uploads_do_not_cause_refusals_of_requests_with_a_timeout() {
    assert_eq!(after_slow_uploads(Features::TODAY), 1.0);
}
