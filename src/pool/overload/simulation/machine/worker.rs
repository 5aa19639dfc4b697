//! What a worker does, as in `worker.rs`.

use std::time::Duration;

use super::{Lead, Machine, Step};
use crate::pool::overload::controller::Verdict;
use crate::pool::overload::fairness::InService;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::simulation::clients::{Pace, Request};
use crate::pool::poller::BATCH;

/// What a worker serves.
#[derive(Debug)]
pub(super) struct Serving {
    connection: usize,
    in_service: Option<InService>,
    /// When its turn began, and what it had waited before.
    began: u64,
    waited: u64,
    /// Of this turn: requests, CPU time, time that its client was waited for.
    requests: u32,
    burned: u64,
    client_wait: u64,
    longest: Option<Duration>,
    request: Option<Request>,
}

impl Machine {
    /// The head of a worker's loop.
    pub(super) fn look(&mut self, worker: usize) {
        let now = self.instant();
        if let Some((ticket, refusal)) = self.queue.take(|| now) {
            self.turns += 1;
            let verdict = self.queue.check_wait(&ticket, now);
            let connection = ticket.work.connection;
            match refusal.map_or(verdict, Verdict::Refuse) {
                Verdict::Keep => {
                    let waited = now.saturating_duration_since(ticket.entered).as_nanos() as u64;
                    self.serve(worker, connection, self.now, waited);
                }
                Verdict::Refuse(reason) => {
                    self.refuse(worker, (connection, reason), self.now, Step::Look);
                }
            }
        } else if self.lead == Lead::Nobody {
            self.lead = Lead::Worker(worker);
            if self.ready.is_empty() {
                self.threads[worker].step = Step::Leading;
            } else {
                self.run_for(worker, self.setup.costs.look, Step::Collect);
            }
        } else {
            self.threads[worker].step = Step::Asleep;
            self.idle.push(worker);
        }
    }

    /// The leader keeps the first connection that is ready, and queues the others.
    pub(super) fn collect(&mut self, worker: usize) {
        let room = (self.queue.room() + 1).min(BATCH).min(self.ready.len());
        let mut found: std::collections::VecDeque<_> = self.ready.drain(..room).collect();
        self.lead = Lead::Nobody;
        self.looks += 1;
        let thread = &mut self.threads[worker];
        thread.found = found.len();
        thread.first = found.pop_front();
        thread.rest = found;
        thread.batch = self.now;
        self.enqueue_or_refuse(worker);
    }

    /// Queues what is left of a batch, or refuses it; then goes on with the first one.
    pub(super) fn enqueue_or_refuse(&mut self, thread: usize) {
        let batch = self.threads[thread].batch;
        let is_monitor = thread > self.setup.workers;
        while let Some(connection) = self.threads[thread].rest.pop_front() {
            if let Err(reason) = self.push(connection, batch, batch) {
                self.refuse(thread, (connection, reason), batch, Step::Bring);
                return;
            }
            if is_monitor {
                self.call();
            }
        }
        if is_monitor {
            self.rest_monitor();
            return;
        }
        let Some(first) = self.threads[thread].first.take() else {
            self.look(thread);
            return;
        };
        for _ in 0..self.threads[thread].found {
            if !self.wake_one() {
                break;
            }
        }
        self.turns += 1;
        let bucket = self.clients.bucket(first);
        if self.queue.controller.may_serve(bucket, Duration::ZERO, self.at(batch)) {
            self.serve(thread, first, batch, 0);
        } else {
            match self.push(first, batch, batch) {
                Ok(()) => self.look(thread),
                Err(reason) => self.refuse(thread, (first, reason), batch, Step::Look),
            }
        }
    }

    fn serve(&mut self, worker: usize, connection: usize, began: u64, waited: u64) {
        let bucket = self.clients.bucket(connection);
        let controller = &self.queue.controller;
        // As in 0.1.0: who holds how many workers is not known, only how many are held.
        let whose = if self.setup.around.fair_workers { bucket } else { self.clients.nobody() };
        let in_service = Some(controller.begin_service(whose, self.at(began)));
        self.threads[worker].serving = Some(Serving {
            connection,
            in_service,
            began,
            waited,
            requests: 0,
            burned: 0,
            client_wait: 0,
            longest: None,
            request: None,
        });
        self.handle(worker);
    }

    /// Begins with the next request of the connection.
    fn handle(&mut self, worker: usize) {
        let now = self.instant();
        let Some(serving) = &mut self.threads[worker].serving else { return };
        let input = &mut self.clients.connections[serving.connection].input;
        let Some(&request) = input.front() else { return self.end_turn(worker) };
        let waited = Duration::from_nanos(serving.waited);
        if let Some(patience) = request.job.patience
            && !self.queue.controller.can_meet_timeout(now, waited, patience)
        {
            let (connection, began) = (serving.connection, serving.began);
            self.end_service(worker);
            return self.refuse(worker, (connection, Refusal::Deadline), began, Step::Look);
        }
        input.pop_front();
        serving.request = Some(request);
        let cost = self.setup.costs.serve + request.job.burn;
        self.run_for(worker, cost, Step::Burned);
    }

    pub(super) fn burned(&mut self, worker: usize) {
        let Some(serving) = &mut self.threads[worker].serving else { return };
        let Some(request) = &serving.request else { return };
        let job = request.job;
        serving.burned += self.setup.costs.serve + job.burn;
        if job.client_waits && self.setup.around.client_time {
            serving.client_wait += job.sleep;
        }
        if job.sleep > 0 {
            self.sleep(worker, job.sleep, Step::Handled);
        } else {
            self.handled(worker);
        }
    }

    pub(super) fn handled(&mut self, worker: usize) {
        let others_wait = self.queue.has_any();
        let Some(serving) = &mut self.threads[worker].serving else { return };
        let Some(request) = serving.request.take() else { return };
        serving.requests += 1;
        let (connection, requests) = (serving.connection, serving.requests as usize);
        self.clients.respond(connection, request, self.now);
        let more = !self.clients.connections[connection].input.is_empty();
        let leaves = self.setup.around.leaves_pipelines;
        let pipeline = if leaves { self.config.limits.pipeline } else { 32 };
        if more && !(requests >= pipeline && others_wait) {
            self.handle(worker);
        } else {
            self.end_turn(worker);
        }
    }

    /// The turn is over: the connection is parked, or has another one, or others come first.
    fn end_turn(&mut self, worker: usize) {
        let Some(serving) = &mut self.threads[worker].serving else { return };
        let connection = serving.connection;
        if serving.requests > 0 {
            let whole =
                self.now - serving.began - serving.client_wait.min(self.now - serving.began);
            let each = Duration::from_nanos(whole) / serving.requests;
            serving.longest = serving.longest.max(Some(each));
            let controller = &self.queue.controller;
            controller.computed(Duration::from_nanos(serving.burned) / serving.requests);
            controller.served(self.clients.bucket(connection), each, serving.requests);
        }
        (serving.requests, serving.burned, serving.client_wait) = (0, 0, 0);
        (serving.began, serving.waited) = (self.now, 0);
        let connected = &self.clients.connections[connection];
        let kept = matches!(connected.script.pace, Pace::Every(_));
        if !kept || connected.input.is_empty() {
            if kept {
                self.park(connection);
            }
            self.end_service(worker);
            self.look(worker);
        } else if !self.queue.has_any() {
            self.handle(worker);
        } else {
            let taken = self.push(connection, self.now, self.now);
            self.end_service(worker);
            match taken {
                Ok(()) => self.look(worker),
                Err(reason) => self.refuse(worker, (connection, reason), self.now, Step::Look),
            }
        }
    }

    fn end_service(&mut self, worker: usize) {
        let Some(mut serving) = self.threads[worker].serving.take() else { return };
        let Some(in_service) = serving.in_service.take() else { return };
        let longest = serving.longest.filter(|_| self.setup.around.fair_workers);
        self.queue.controller.end_service(in_service, self.instant(), longest);
    }
}
