//! A simulated machine: the real [`Queue`], [`Controller`] and budget; workers, acceptor, monitor,
//! backlog and epoll as programs for threads that share a [`Cpu`].
//!
//! Each thread runs for some CPU time or sleeps, and then does its next [`Step`], which takes no
//! time. The programs follow `worker.rs`, `acceptor.rs` and `monitor.rs`, with handlers taken to be
//! slow.

mod acceptor;
mod monitor;
mod worker;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::clients::{Clients, Place, Script, Tally};
use super::cpu::{Cpu, NICE_0, NICE_5};
use super::surroundings::{Budget, Costs, Surroundings};
use crate::config::Config;
use crate::pool::overload::controller::Controller;
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
use crate::pool::queue::{Queue, QueueItem};
use acceptor::Acceptor;
use monitor::Monitor;
use worker::Serving;

/// A machine to be simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) cores: usize,
    pub(super) workers: usize,
    pub(super) costs: Costs,
    pub(super) around: Surroundings,
}

impl Setup {
    pub(super) fn new(cores: usize, workers: usize, around: Surroundings) -> Self {
        Self { cores, workers, costs: Costs::MEASURED, around }
    }

    /// Runs until `end`, in nanoseconds from the start; requests sent within `counted` count.
    pub(super) fn run(self, scripts: &[Script], counted: (u64, u64), end: u64) -> AttackOutcome {
        let mut machine = Machine::new(self, Clients::new(scripts, counted));
        machine.run(end);
        machine.clients.finish(end);
        let used = |threads: std::ops::Range<usize>| {
            threads.map(|thread| machine.cpu.used(thread)).sum::<f64>() / end as f64
        };
        let workers = self.workers;
        AttackOutcome {
            used: [used(0..workers), used(workers..workers + 1), used(workers + 1..workers + 2)],
            tallies: machine.clients.tallies,
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct AttackOutcome {
    /// By client.
    pub(super) tallies: Vec<Tally>,
    /// The cores that workers, acceptor and monitor used.
    pub(super) used: [f64; 3],
}

impl AttackOutcome {
    /// All of some clients together.
    pub(super) fn of(&self, clients: std::ops::Range<usize>) -> Tally {
        let mut sum = Tally::default();
        self.tallies[clients].iter().for_each(|tally| sum.add(tally));
        sum
    }
}

/// What happens at a time, but for threads that have had their CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A client connects.
    Syn(usize),
    /// A request comes over a connection, if it is still the one that was opened as so many.
    Data(usize, u32),
    /// A thread has slept.
    Timer(usize),
}

/// Work in the queue: a connection.
#[derive(Debug)]
struct Piece {
    connection: usize,
    bucket: Bucket,
}

impl QueueItem for Piece {
    fn bucket(&self) -> Bucket {
        self.bucket
    }

    fn is_urgent(&self) -> bool {
        false
    }

    fn is_admitted(&self) -> bool {
        false
    }
}

/// What a thread does once it has had its CPU time, or has slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A worker sleeps, or waits on epoll.
    Asleep,
    Leading,
    /// A worker takes work, or leads.
    Look,
    /// The leader has come back from epoll.
    Collect,
    /// A worker or the monitor goes on with what epoll has told of.
    Bring,
    /// A handler has burned its CPU time; it has slept, too.
    Burned,
    Handled,
    /// A refusal is done.
    Refused,
    /// The acceptor waits for connections; it looks what to do; it is to accept; it has accepted.
    Waiting,
    Poll,
    Woken,
    Round,
    Accept,
    Accepted,
    /// The monitor has slept; it looks after the others.
    Tick,
    Watch,
    TurnAway,
}

/// A refusal on its way.
#[derive(Clone, Copy, Debug)]
struct Refusing {
    connection: usize,
    reset: bool,
    /// The response is held back, as the client is over its share and its connection is kept.
    held: bool,
    cost: u64,
    reason: Refusal,
    /// When its batch began.
    began: u64,
    then: Step,
}

/// As in `connection.rs`.
const HOLD: u64 = 100_000_000;

#[derive(Debug)]
struct Thread {
    step: Step,
    refusing: Option<Refusing>,
    serving: Option<Serving>,
    /// Connections that epoll has told of: the one that is kept, the others, how many there were,
    /// and when.
    first: Option<usize>,
    rest: VecDeque<usize>,
    found: usize,
    batch: u64,
}

/// Who waits on epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Nobody,
    Worker(usize),
}

struct Machine {
    setup: Setup,
    config: Config,
    /// How often the monitor looks, and how long accepting waits for more to come.
    tick: u64,
    epoch: Instant,
    now: u64,
    sequence: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    cpu: Cpu,
    threads: Vec<Thread>,
    queue: Queue<Piece>,
    budget: Budget,
    clients: Clients,
    acceptor: Acceptor,
    monitor: Monitor,
    backlog: VecDeque<usize>,
    ready: VecDeque<usize>,
    lead: Lead,
    /// Followers that sleep.
    idle: Vec<usize>,
    looks: u64,
    turns: u64,
}

impl Machine {
    fn new(setup: Setup, clients: Clients) -> Self {
        let Setup { cores, workers, around, .. } = setup;
        let (config, epoch) = (Config::default(), Instant::now());
        let capacity = config.pool.queue_capacity();
        let known = if around.knows_cores { cores } else { workers };
        let controller = Controller::new(&config.overload, workers, capacity, epoch);
        let controller = controller.with_cores(known);
        let nice = if around.nice_workers { NICE_5 } else { NICE_0 };
        let weights = std::iter::repeat_n(nice, workers).chain([NICE_0, NICE_0]);
        let thread = |step| Thread {
            step,
            refusing: None,
            serving: None,
            first: None,
            rest: VecDeque::new(),
            found: 0,
            batch: 0,
        };
        let steps = std::iter::repeat_n(Step::Asleep, workers).chain([Step::Waiting, Step::Tick]);
        let mut machine = Self {
            setup,
            tick: config.pool.tick.as_nanos() as u64,
            epoch,
            now: 0,
            sequence: 0,
            events: BinaryHeap::new(),
            cpu: Cpu::new(cores, weights),
            threads: steps.map(thread).collect(),
            queue: Queue::new(capacity, controller),
            budget: Budget::new(&around, around.share(&config.overload), cores, epoch),
            clients,
            acceptor: Acceptor::default(),
            monitor: Monitor::default(),
            backlog: VecDeque::new(),
            ready: VecDeque::new(),
            lead: Lead::Worker(0),
            idle: (1..workers).rev().collect(),
            looks: 0,
            turns: 0,
            config,
        };
        machine.threads[0].step = Step::Leading;
        machine.sleep(workers + 1, machine.tick, Step::Tick);
        machine
    }

    fn run(&mut self, end: u64) {
        self.send_out();
        while self.now < end {
            let event = self.events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let done = self.cpu.first_done();
            match done.filter(|(time, _)| self.now + time <= event) {
                Some((time, thread)) => {
                    self.cpu.advance(time);
                    self.now += time;
                    self.cpu.rest(thread);
                    self.go_on(thread);
                }
                None => {
                    let Some(Reverse((at, _, event))) = self.events.pop() else { return };
                    self.cpu.advance(at - self.now);
                    self.now = at;
                    self.happen(event);
                }
            }
            self.send_out();
        }
    }

    fn send_out(&mut self) {
        while let Some((at, event)) = self.clients.outbox.pop() {
            self.schedule(at, event);
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Syn(connection) => {
                self.clients.connect(connection, self.now);
                if self.backlog.len() >= self.backlog_limit() {
                    self.clients.drop_syn(connection, self.now);
                } else {
                    self.backlog.push_back(connection);
                    self.wake_acceptor();
                }
            }
            Event::Data(connection, opened) => {
                if self.clients.receive(connection, opened, self.now) {
                    self.ready.push_back(connection);
                    self.wake_leader(Step::Collect);
                }
            }
            Event::Timer(thread) => self.go_on(thread),
        }
    }

    /// A thread does its next step.
    fn go_on(&mut self, thread: usize) {
        match self.threads[thread].step {
            Step::Asleep | Step::Leading | Step::Waiting => {}
            Step::Look => self.look(thread),
            Step::Collect => self.collect(thread),
            Step::Bring => self.enqueue_or_refuse(thread),
            Step::Burned => self.burned(thread),
            Step::Handled => self.handled(thread),
            Step::Refused => self.refused(thread),
            Step::Poll => self.poll(),
            Step::Woken => self.run_for(thread, self.setup.costs.wake, Step::Round),
            Step::Round => self.round(),
            Step::Accept => self.accept(),
            Step::Accepted => self.accepted(),
            Step::Tick => self.run_for(thread, self.setup.costs.wake, Step::Watch),
            Step::Watch => self.watch(),
            Step::TurnAway => self.turn_away(),
        }
    }

    /// A thread runs for so much CPU time, and then does `step`.
    fn run_for(&mut self, thread: usize, nanos: u64, step: Step) {
        self.threads[thread].step = step;
        self.cpu.run(thread, nanos);
    }

    fn sleep(&mut self, thread: usize, nanos: u64, step: Step) {
        self.threads[thread].step = step;
        self.schedule(self.now + nanos, Event::Timer(thread));
    }

    fn instant(&self) -> Instant {
        self.at(self.now)
    }

    fn at(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    /// Puts a connection into the queue, or gives the reason to refuse it.
    fn push(&mut self, connection: usize, arrived: u64, now: u64) -> Result<(), Refusal> {
        let piece = Piece { connection, bucket: self.clients.bucket(connection) };
        self.queue.push_from(piece, self.at(arrived), self.at(now)).map_err(|(_, reason)| reason)
    }

    /// A thread refuses a connection, as one of a batch that `began` then, and then does a step.
    fn refuse(
        &mut self,
        thread: usize,
        (connection, reason): (usize, Refusal),
        began: u64,
        then: Step,
    ) {
        let cheap = self.budget.resets(self.instant());
        let held = cheap
            && self.setup.around.together
            && thread != self.acceptor()
            && self.queue.controller.is_over_share(self.clients.bucket(connection));
        let reset = cheap && !held;
        let cost = if reset { self.setup.costs.reset } else { self.setup.costs.refuse };
        self.threads[thread].refusing =
            Some(Refusing { connection, reset, held, cost, reason, began, then });
        self.run_for(thread, cost, Step::Refused);
    }

    fn refused(&mut self, thread: usize) {
        let Some(refusing) = self.threads[thread].refusing.take() else { return };
        self.budget.charge(self.instant(), refusing.cost, self.now - refusing.began);
        let at = self.now + if refusing.held { HOLD } else { 0 };
        self.clients.refuse(refusing.connection, refusing.reset, refusing.reason, at);
        self.threads[thread].step = refusing.then;
        self.go_on(thread);
    }

    /// A worker parks a connection.
    fn park(&mut self, connection: usize) {
        self.clients.connections[connection].place = Place::Parked;
    }

    /// Wakes a follower. `false`: none sleeps.
    fn wake_one(&mut self) -> bool {
        let Some(worker) = self.idle.pop() else { return false };
        self.run_for(worker, self.setup.costs.wake, Step::Look);
        true
    }

    /// The worker that waits on epoll, if one does, comes back.
    fn wake_leader(&mut self, step: Step) {
        if let Lead::Worker(worker) = self.lead
            && self.threads[worker].step == Step::Leading
        {
            self.run_for(worker, self.setup.costs.wake, step);
        }
    }

    /// There is work in the queue: somebody is to take it.
    fn call(&mut self) {
        if !self.wake_one() {
            self.wake_leader(Step::Collect);
        }
    }
}
