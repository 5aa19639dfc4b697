//! [`Machine`]: its clock, its events, and its threads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::setup::MachineSetup;
use super::threads::{Refusing, SimulatedAcceptor, SimulatedMonitor, SimulatedThread, ThreadStep};
use crate::config::Config;
use crate::pool::connection::HOLD;
use crate::pool::overload::controller::Controller;
use crate::pool::overload::fairness::Bucket;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::simulation::clients::Clients;
use crate::pool::overload::simulation::cpu::{Cpu, NICE_0, NICE_5};
use crate::pool::overload::simulation::event::Event;
use crate::pool::overload::simulation::features::SimulatedBudget;
use crate::pool::queue::{Queue, QueueItem};

/// Work in the queue: a connection.
#[derive(Debug)]
pub(super) struct SimulatedWork {
    pub(super) connection: usize,
    pub(super) bucket: Bucket,
}

impl QueueItem for SimulatedWork {
    fn bucket(&self) -> Bucket {
        self.bucket
    }
}

/// A simulated machine while it runs.
pub(super) struct Machine {
    pub(super) setup: MachineSetup,
    pub(super) config: Config,
    /// How often the monitor checks, and for how long accepting waits for more connections.
    pub(super) tick: u64,
    pub(super) epoch: Instant,
    pub(super) now: u64,
    /// Numbers the events: two at the same time happen in the order in which they were scheduled.
    pub(super) sequence: u64,
    pub(super) events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    pub(super) cpu: Cpu,
    pub(super) threads: Vec<SimulatedThread>,
    pub(super) queue: Queue<SimulatedWork>,
    pub(super) budget: SimulatedBudget,
    pub(super) clients: Clients,
    pub(super) acceptor: SimulatedAcceptor,
    pub(super) monitor: SimulatedMonitor,
    /// Connections in the kernel's backlog.
    pub(super) backlog: VecDeque<usize>,
    /// Parked connections with input.
    pub(super) ready: VecDeque<usize>,
    /// The worker that waits on epoll, or that has just been woken there.
    pub(super) leader: Option<usize>,
    /// Workers that sleep.
    pub(super) idle: Vec<usize>,
    /// How often a thread returned from epoll.
    pub(super) looks: u64,
    /// How often a worker began a turn.
    pub(super) turns: u64,
}

impl Machine {
    pub(super) fn new(setup: MachineSetup, clients: Clients) -> Self {
        let MachineSetup { cores, workers, features, .. } = setup;
        let (config, epoch) = (Config::default(), Instant::now());
        let capacity = config.pool.queue_capacity();
        let known = if features.knows_cores { cores } else { workers };
        let controller = Controller::new(&config.overload, workers, capacity, epoch);
        let controller = controller.with_cores(known);
        let nice = if features.nice_workers { NICE_5 } else { NICE_0 };
        let weights = std::iter::repeat_n(nice, workers).chain([NICE_0, NICE_0]);
        let thread = |step| SimulatedThread {
            step,
            refusing: None,
            serving: None,
            first: None,
            rest: VecDeque::new(),
            found: 0,
            batch: 0,
        };
        let steps = std::iter::repeat_n(ThreadStep::Asleep, workers)
            .chain([ThreadStep::Waiting, ThreadStep::Tick]);
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
            budget: SimulatedBudget::new(&features, features.share(&config.overload), cores, epoch),
            clients,
            acceptor: SimulatedAcceptor::default(),
            monitor: SimulatedMonitor::default(),
            backlog: VecDeque::new(),
            ready: VecDeque::new(),
            leader: Some(0),
            idle: (1..workers).rev().collect(),
            looks: 0,
            turns: 0,
            config,
        };
        machine.threads[0].step = ThreadStep::Leading;
        machine.sleep(workers + 1, machine.tick, ThreadStep::Tick);
        machine
    }

    pub(super) fn run(&mut self, end: u64) {
        self.send_out();
        while self.now < end {
            let event = self.events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let done = self.cpu.first_done();
            match done.filter(|(time, _)| self.now + time <= event) {
                Some((time, thread)) => {
                    self.cpu.advance(time);
                    self.now += time;
                    self.cpu.rest(thread);
                    self.do_step(thread);
                }
                None => {
                    let Some(Reverse((at, _, event))) = self.events.pop() else { return };
                    self.cpu.advance(at - self.now);
                    self.now = at;
                    self.handle_event(event);
                }
            }
            self.send_out();
        }
    }

    pub(super) fn send_out(&mut self) {
        while let Some((at, event)) = self.clients.outbox.pop() {
            self.schedule(at, event);
        }
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    pub(super) fn handle_event(&mut self, event: Event) {
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
                    self.wake_leader(ThreadStep::Collect);
                }
            }
            Event::Timer(thread) => self.do_step(thread),
        }
    }

    /// A thread does its next step.
    pub(super) fn do_step(&mut self, thread: usize) {
        match self.threads[thread].step {
            ThreadStep::Asleep | ThreadStep::Leading | ThreadStep::Waiting => {}
            ThreadStep::Look => self.look(thread),
            ThreadStep::Collect => self.collect(thread),
            ThreadStep::Enqueue => self.enqueue_or_refuse(thread),
            ThreadStep::Burned => self.burned(thread),
            ThreadStep::Handled => self.handled(thread),
            ThreadStep::Refused => self.refused(thread),
            ThreadStep::Poll => self.poll(),
            ThreadStep::Woken => self.run_for(thread, self.setup.costs.wake, ThreadStep::Round),
            ThreadStep::Round => self.round(),
            ThreadStep::Accept => self.accept(),
            ThreadStep::Accepted => self.accepted(),
            ThreadStep::Tick => self.run_for(thread, self.setup.costs.wake, ThreadStep::Watch),
            ThreadStep::Watch => self.watch(),
            ThreadStep::TurnAway => self.turn_away(),
        }
    }

    /// A thread runs for `nanos` of CPU time, and then does `step`.
    pub(super) fn run_for(&mut self, thread: usize, nanos: u64, step: ThreadStep) {
        self.threads[thread].step = step;
        self.cpu.run(thread, nanos);
    }

    pub(super) fn sleep(&mut self, thread: usize, nanos: u64, step: ThreadStep) {
        self.threads[thread].step = step;
        self.schedule(self.now + nanos, Event::Timer(thread));
    }

    pub(super) fn instant(&self) -> Instant {
        self.at(self.now)
    }

    pub(super) fn at(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    /// The client that a connection counts for.
    pub(super) fn bucket(&self, connection: usize) -> Bucket {
        match self.clients.is_proxied(connection) && !self.setup.features.identifies {
            true => self.clients.absent_client(),
            false => self.clients.bucket(connection),
        }
    }

    /// The CPU time that it takes to find out the client of a request.
    pub(super) fn cost_of_identifying(&self, connection: usize) -> u64 {
        let identifies = self.setup.features.identifies && self.clients.is_proxied(connection);
        if identifies { self.setup.costs.identify } else { 0 }
    }

    /// Enqueues a connection, or returns the reason to refuse it.
    pub(super) fn push(
        &mut self,
        connection: usize,
        arrived: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        let piece = SimulatedWork { connection, bucket: self.bucket(connection) };
        self.queue.push_from(piece, self.at(arrived), self.at(now)).map_err(|(_, reason)| reason)
    }

    /// A thread refuses a connection of a batch that `began` then, and afterwards does `then`.
    pub(super) fn refuse(
        &mut self,
        thread: usize,
        (connection, reason): (usize, Refusal),
        began: u64,
        then: ThreadStep,
    ) {
        // A proxy gets its response in any case, and is held no longer than necessary.
        let proxied = self.setup.features.identifies && self.clients.is_proxied(connection);
        let cheap = self.budget.resets(self.instant()) && !proxied;
        let over_share = self.queue.controller.is_over_share(self.bucket(connection));
        let held = cheap && self.setup.features.together && thread != self.acceptor() && over_share;
        let reset = cheap && !held;
        let hold = match (held, proxied && over_share) {
            (true, _) => HOLD.as_nanos() as u64,
            (_, true) => self.budget.delay(self.instant()),
            _ => 0,
        };
        let cost = if reset { self.setup.costs.reset } else { self.setup.costs.refuse };
        let cost = cost + self.cost_of_identifying(connection);
        self.threads[thread].refusing =
            Some(Refusing { connection, reset, hold, cost, reason, began, then });
        self.run_for(thread, cost, ThreadStep::Refused);
    }

    pub(super) fn refused(&mut self, thread: usize) {
        let Some(refusing) = self.threads[thread].refusing.take() else { return };
        self.budget.charge(self.instant(), refusing.cost, self.now - refusing.began);
        let at = self.now + refusing.hold;
        self.clients.refuse(refusing.connection, refusing.reset, refusing.reason, at);
        self.threads[thread].step = refusing.then;
        self.do_step(thread);
    }

    /// A worker parks a connection.
    pub(super) fn park(&mut self, connection: usize) {
        self.clients.connections[connection].parked = true;
    }

    /// Wakes a worker that sleeps. Returns `false` if none sleeps.
    pub(super) fn wake_one(&mut self) -> bool {
        let Some(worker) = self.idle.pop() else { return false };
        self.run_for(worker, self.setup.costs.wake, ThreadStep::Look);
        true
    }

    /// Wakes the worker that waits on epoll, if there is one.
    pub(super) fn wake_leader(&mut self, step: ThreadStep) {
        if let Some(worker) = self.leader
            && self.threads[worker].step == ThreadStep::Leading
        {
            self.run_for(worker, self.setup.costs.wake, step);
        }
    }

    /// Wakes a worker for work in the queue: one that sleeps, or else the leader.
    pub(super) fn wake_worker(&mut self) {
        if !self.wake_one() {
            self.wake_leader(ThreadStep::Collect);
        }
    }
}
