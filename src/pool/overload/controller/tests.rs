//! Tests of the decisions, from tables. The simulation tests what they lead to under load.

use std::time::{Duration, Instant};

use super::{Controller, Verdict};
use crate::config::Overload;
use crate::pool::overload::fairness::{Bucket, ClientKey};
use crate::pool::overload::refusal::Refusal;

const MILLIS: Duration = Duration::from_millis(1);

/// A controller of four workers and a queue of 100, which has served a hundred requests.
struct TestController {
    controller: Controller,
    epoch: Instant,
    /// Milliseconds since the epoch.
    now: u32,
}

impl TestController {
    fn new(service: Duration, change: impl FnOnce(&mut Overload)) -> Self {
        let epoch = Instant::now();
        let mut config = Overload::default();
        change(&mut config);
        let controller = Controller::new(&config, 4, 100, epoch);
        let client = controller.bucket(ClientKey::None);
        (0..100).for_each(|_| controller.served(client, service, 1));
        Self { controller, epoch, now: 0 }
    }

    fn client(&self, uid: u32) -> Bucket {
        self.controller.bucket(ClientKey::Uid(uid))
    }

    fn time(&self) -> Instant {
        self.epoch + MILLIS * self.now
    }

    fn admit(&self, length: usize) -> Verdict {
        self.controller.admit(self.time(), self.time(), length, self.client(1), false)
    }

    /// The decision about work that has `waited` in the queue.
    fn check_wait(&self, waited: Duration) -> Verdict {
        self.controller.count_enqueued(self.client(1));
        self.controller.check_wait(self.time(), self.time() - waited, self.client(1))
    }

    /// A load of `multiple` times the capacity for `millis` milliseconds. In each millisecond one
    /// piece of work is served that waited behind `length` others, and the rest finds the queue
    /// full.
    fn load(&mut self, multiple: u32, length: usize, millis: u32) {
        for _ in 0..millis {
            self.now += 1;
            let bucket = self.client(0);
            for client in 1..multiple {
                let bucket = self.client(client);
                self.controller.admit(self.time(), self.time(), 100, bucket, false);
            }
            self.controller.admit(self.time(), self.time(), length, bucket, false);
            self.controller.count_enqueued(bucket);
            let entered = self.time() - MILLIS * (length as u32).min(self.now);
            self.controller.check_wait(self.time(), entered, bucket);
            self.controller.served(bucket, 4 * MILLIS, 1);
        }
    }
}

fn refuse(refusal: Refusal) -> Verdict {
    Verdict::Refuse(refusal)
}

#[test]
fn within_capacity_only_a_wait_of_an_interval_refuses() {
    // Four workers of 4 ms: one piece of work leaves the queue each millisecond.
    let test = TestController::new(4 * MILLIS, |_| {});
    for (length, expected) in [
        (0, Verdict::Keep),
        (50, Verdict::Keep),
        (99, Verdict::Keep),
        (100, refuse(Refusal::QueueFull)),
    ] {
        assert_eq!(test.admit(length), expected, "{length}");
    }
    let short = TestController::new(4 * MILLIS, |config| config.interval = 10 * MILLIS);
    // Four targets are the least that is allowed.
    assert_eq!(short.admit(20), Verdict::Keep);
    assert_eq!(short.admit(21), refuse(Refusal::WaitTooLong));
    let short = TestController::new(4 * MILLIS, |config| {
        (config.target, config.interval) = (2 * MILLIS, 50 * MILLIS);
    });
    assert_eq!(short.admit(40), Verdict::Keep);
    // A client without work in the queue is admitted behind a longer one, within bounds.
    assert_eq!(short.admit(50), Verdict::Keep);
    assert_eq!(short.admit(51), refuse(Refusal::WaitTooLong));
    (0..60).for_each(|_| short.controller.count_enqueued(short.client(1)));
    assert_eq!(short.admit(41), refuse(Refusal::WaitTooLong));
}

#[test]
fn before_anything_was_served_only_a_full_queue_refuses() {
    let test = TestController::new(Duration::ZERO, |_| {});
    assert_eq!(test.admit(99), Verdict::Keep);
    assert_eq!(test.admit(100), refuse(Refusal::QueueFull));
    assert_eq!(test.controller.capacity_estimate(), 0.0);
}

#[test]
fn a_slow_wake_up_of_an_idle_server_does_not_lower_the_capacity_estimate() {
    let mut test = TestController::new(MILLIS, |_| {});
    for _ in 0..5 {
        test.now += 400;
        assert_eq!(test.check_wait(10 * MILLIS), Verdict::Keep);
        test.controller.served(test.client(1), MILLIS, 1);
    }
    test.now += 400;
    assert_eq!(test.admit(20), Verdict::Keep);
    assert!(test.controller.capacity_estimate() > 3000.0);
}

#[test]
fn without_shedding_only_a_full_queue_refuses() {
    let test = TestController::new(4000 * MILLIS, |config| config.shed = false);
    assert_eq!(test.admit(99), Verdict::Keep);
    assert_eq!(test.check_wait(3600 * 1000 * MILLIS), Verdict::Keep);
    assert_eq!(test.admit(100), refuse(Refusal::QueueFull));
}

#[test]
fn work_that_cannot_meet_the_deadline_is_refused_on_entry_and_when_taken() {
    // One piece of work leaves the queue every 62.5 ms, and 750 ms are left to wait.
    let test = TestController::new(250 * MILLIS, |config| config.interval = 1000 * MILLIS);
    test.controller.count_enqueued(test.client(1));
    assert_eq!(test.admit(12), Verdict::Keep);
    assert_eq!(test.admit(13), refuse(Refusal::Deadline));
    assert_eq!(test.check_wait(750 * MILLIS), Verdict::Keep);
    assert_eq!(test.check_wait(751 * MILLIS), refuse(Refusal::Deadline));
}

#[test]
fn requests_of_handlers_slower_than_the_deadline_are_still_served() {
    let test = TestController::new(5000 * MILLIS, |_| {});
    assert_eq!(test.admit(0), Verdict::Keep);
    assert_eq!(test.admit(1), Verdict::Keep);
    assert_eq!(test.check_wait(100 * MILLIS), Verdict::Keep);
    assert_eq!(test.check_wait(2000 * MILLIS), refuse(Refusal::Deadline));
}

#[test]
fn work_that_would_wait_for_a_service_longer_than_the_deadline_is_refused_at_once() {
    let test = TestController::new(1500 * MILLIS, |_| {});
    let (client, now) = (test.client(1), test.time());
    let services: Vec<_> = (0..4).map(|_| test.controller.begin_service(client, now)).collect();
    test.controller.count_enqueued(client);
    assert_eq!(test.admit(1), refuse(Refusal::Deadline));
    services.into_iter().for_each(|it| test.controller.end_service(it, now, None));
    assert_eq!(test.admit(1), Verdict::Keep, "a worker is free");
}

#[test]
fn past_the_capacity_the_wait_limit_shrinks_and_afterwards_it_grows_again() {
    let mut test = TestController::new(4 * MILLIS, |_| {});
    test.load(1, 2, 500);
    assert!(!test.controller.is_overloaded());
    assert_eq!(test.controller.wait_limit(), 100 * MILLIS);
    test.load(10, 4, 1000);
    assert!(test.controller.is_overloaded());
    assert_eq!(test.controller.wait_limit(), 5 * MILLIS);
    let capacity = test.controller.capacity_estimate();
    assert!((900.0..1100.0).contains(&capacity), "{capacity}");
    test.now += 101;
    test.controller.refresh(test.time(), 0);
    test.now += 101;
    test.controller.refresh(test.time(), 0);
    assert!(!test.controller.is_overloaded());
}

#[test]
fn urgent_work_is_refused_by_the_length_and_the_deadline_only() {
    let mut test = TestController::new(4 * MILLIS, |_| {});
    test.load(10, 4, 1000);
    let client = test.client(1);
    let admit =
        |length, urgent| test.controller.admit(test.time(), test.time(), length, client, urgent);
    assert_eq!(admit(50, false), refuse(Refusal::WaitTooLong));
    assert_eq!(admit(50, true), Verdict::Keep);
    assert_eq!(admit(100, true), refuse(Refusal::QueueFull));
}

#[test]
fn of_work_whose_turn_it_is_only_that_of_a_flooding_client_is_refused() {
    let admit = |test: &TestController, length, client| {
        test.controller.admit_in_turn(test.time(), length, test.client(client))
    };
    let new = Controller::new(&Overload::default(), 4, 100, Instant::now());
    let first = new.bucket(ClientKey::None);
    assert_eq!(new.admit_in_turn(Instant::now(), 4, first), Verdict::Keep, "nothing was learned");
    let mut test = TestController::new(4 * MILLIS, |_| {});
    (0..100).for_each(|_| test.controller.count_continued(test.client(1)));
    assert_eq!(admit(&test, 4, 1), Verdict::Keep, "there is no overload");
    test.load(10, 4, 1000);
    assert_eq!(admit(&test, 4, 1), refuse(Refusal::OverFairShare));
    assert_eq!(admit(&test, 3, 1), Verdict::Keep, "a worker is free for each");
    assert_eq!(admit(&test, 4, 20), Verdict::Keep);
    let lenient = TestController::new(4 * MILLIS, |config| config.shed = false);
    assert_eq!(admit(&lenient, 4, 1), Verdict::Keep);
}

#[test]
fn in_a_flood_stale_work_is_refused_while_fresh_work_arrives() {
    let mut test = TestController::new(4 * MILLIS, |_| {});
    test.load(10, 4, 150);
    assert_eq!(test.check_wait(10 * MILLIS), Verdict::Keep);
    assert_eq!(test.check_wait(148 * MILLIS), refuse(Refusal::Stale));
    // Work that entered after the flood was noticed was admitted by the limit in force.
    assert_eq!(test.check_wait(40 * MILLIS), Verdict::Keep);
    // No fresh work has arrived for a while: serving stale work is better than doing nothing.
    test.now += 20;
    assert_eq!(test.check_wait(168 * MILLIS), Verdict::Keep);
}

#[test]
fn a_flood_is_noticed_before_the_interval_is_over() {
    let mut test = TestController::new(4 * MILLIS, |config| config.fairness = false);
    test.load(1, 2, 200);
    for _ in 0..30 {
        test.now += 1;
        (0..10).for_each(|_| {
            test.admit(101);
        });
    }
    assert!(test.controller.is_overloaded());
}

#[test]
fn settings_can_be_changed_while_running() {
    let test = TestController::new(4 * MILLIS, |_| {});
    assert_eq!(test.check_wait(1500 * MILLIS), refuse(Refusal::Deadline));
    let changed = Overload { deadline: 2000 * MILLIS, ..Overload::default() };
    test.controller.reconfigure(&changed);
    assert_eq!(test.check_wait(1500 * MILLIS), Verdict::Keep);
}

#[test]
fn a_request_whose_timeout_cannot_be_met_is_refused() {
    let mut test = TestController::new(40 * MILLIS, |_| {});
    let can_meet = |test: &TestController, waited, timeout| {
        test.controller.can_meet_timeout(test.time(), waited, timeout)
    };
    test.now = 500;
    // The first request is let through against the estimate.
    assert!(can_meet(&test, Duration::ZERO, 10 * MILLIS));
    for (waited, timeout, expected) in [
        (0, 10, false),
        (0, 39, false),
        (0, 41, true),
        (10, 41, false),
        (900, 60_000, true),
        // A timeout cannot extend the server's own deadline.
        (980, 60_000, false),
        (0, 0, false),
    ] {
        let (waited, timeout) = (waited * MILLIS, timeout * MILLIS);
        assert_eq!(can_meet(&test, waited, timeout), expected, "{waited:?} of {timeout:?}");
    }
    test.now += 400;
    assert!(can_meet(&test, Duration::ZERO, 10 * MILLIS), "one is let through once an interval");
    assert!(!can_meet(&test, Duration::ZERO, 10 * MILLIS));
    let lenient = TestController::new(40 * MILLIS, |config| config.shed = false);
    assert!(can_meet(&lenient, 10 * MILLIS, Duration::ZERO));
}
