//! A worker, as in `worker.rs` of the pool.

use std::time::Duration;

use super::state::Machine;
use super::threads::{Serving, ThreadStep};
use crate::pool::overload::controller::Verdict;
use crate::pool::overload::refusal::Refusal;
use crate::pool::overload::simulation::clients::Repeat;
use crate::pool::poller::BATCH;

impl Machine {
    /// The head of a worker's loop.
    pub(super) fn look(&mut self, worker: usize) {
        let now = self.instant();
        if let Some((queued, refusal)) = self.queue.take(|| now) {
            self.turns += 1;
            let verdict = self.queue.check_wait(&queued, now);
            let connection = queued.work.connection;
            match refusal.map_or(verdict, Verdict::Refuse) {
                Verdict::Keep => {
                    let waited = now.saturating_duration_since(queued.entered).as_nanos() as u64;
                    self.serve(worker, connection, self.now, waited);
                }
                Verdict::Refuse(reason) => {
                    self.refuse(worker, (connection, reason), self.now, ThreadStep::Look);
                }
            }
        } else if self.leader.is_none() {
            self.leader = Some(worker);
            if self.ready.is_empty() {
                self.threads[worker].step = ThreadStep::Leading;
            } else {
                self.run_for(worker, self.setup.costs.look, ThreadStep::Collect);
            }
        } else {
            self.threads[worker].step = ThreadStep::Asleep;
            self.idle.push(worker);
        }
    }

    /// The leader keeps the first connection that is ready, and enqueues the others.
    pub(super) fn collect(&mut self, worker: usize) {
        let room = (self.queue.room() + 1).min(BATCH).min(self.ready.len());
        let mut found: std::collections::VecDeque<_> = self.ready.drain(..room).collect();
        self.leader = None;
        self.looks += 1;
        let thread = &mut self.threads[worker];
        thread.found = found.len();
        thread.first = found.pop_front();
        thread.rest = found;
        thread.batch = self.now;
        self.enqueue_or_refuse(worker);
    }

    /// Enqueues or refuses the rest of a batch, and then serves its first connection.
    pub(super) fn enqueue_or_refuse(&mut self, thread: usize) {
        let batch = self.threads[thread].batch;
        let is_monitor = thread > self.setup.workers;
        while let Some(connection) = self.threads[thread].rest.pop_front() {
            if let Err(reason) = self.push(connection, batch, batch) {
                self.refuse(thread, (connection, reason), batch, ThreadStep::Enqueue);
                return;
            }
            if is_monitor {
                self.wake_worker();
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
        let bucket = self.bucket(first);
        if self.queue.controller.may_serve(bucket, Duration::ZERO, self.at(batch)) {
            self.serve(thread, first, batch, 0);
        } else {
            match self.push(first, batch, batch) {
                Ok(()) => self.look(thread),
                Err(reason) => self.refuse(thread, (first, reason), batch, ThreadStep::Look),
            }
        }
    }

    fn serve(&mut self, worker: usize, connection: usize, began: u64, waited: u64) {
        let bucket = self.bucket(connection);
        let controller = &self.queue.controller;
        // Version 0.1.0 knew how many workers were busy, but not for which clients.
        let whose =
            if self.setup.features.fair_workers { bucket } else { self.clients.absent_client() };
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

    /// Begins to handle the next request of the connection.
    fn handle(&mut self, worker: usize) {
        let now = self.instant();
        let Some(serving) = &mut self.threads[worker].serving else { return };
        let input = &mut self.clients.connections[serving.connection].input;
        let Some(&request) = input.front() else { return self.end_turn(worker) };
        let waited = Duration::from_nanos(serving.waited);
        if let Some(timeout) = request.handler.timeout
            && !self.queue.controller.can_meet_timeout(now, waited, timeout)
        {
            let (connection, began) = (serving.connection, serving.began);
            self.end_service(worker);
            return self.refuse(worker, (connection, Refusal::Deadline), began, ThreadStep::Look);
        }
        input.pop_front();
        serving.request = Some(request);
        let connection = serving.connection;
        let cost =
            self.setup.costs.serve + self.cost_of_identifying(connection) + request.handler.burn;
        self.run_for(worker, cost, ThreadStep::Burned);
    }

    pub(super) fn burned(&mut self, worker: usize) {
        let Some(serving) = &mut self.threads[worker].serving else { return };
        let Some(request) = &serving.request else { return };
        let handler = request.handler;
        serving.burned += self.setup.costs.serve + handler.burn;
        if handler.client_waits && self.setup.features.client_time {
            serving.client_wait += handler.sleep;
        }
        if handler.sleep > 0 {
            self.sleep(worker, handler.sleep, ThreadStep::Handled);
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
        let leaves = self.setup.features.leaves_pipelines;
        let pipeline = if leaves { self.config.limits.pipeline } else { 32 };
        if more && !(requests >= pipeline && others_wait) {
            self.handle(worker);
        } else {
            self.end_turn(worker);
        }
    }

    /// Ends a turn: the connection is parked, or has another turn, or is enqueued behind others.
    fn end_turn(&mut self, worker: usize) {
        let Some(serving) = &self.threads[worker].serving else { return };
        let connection = serving.connection;
        let bucket = self.bucket(connection);
        let Some(serving) = &mut self.threads[worker].serving else { return };
        if serving.requests > 0 {
            let whole =
                self.now - serving.began - serving.client_wait.min(self.now - serving.began);
            let each = Duration::from_nanos(whole) / serving.requests;
            serving.longest = serving.longest.max(Some(each));
            let controller = &self.queue.controller;
            controller.computed(Duration::from_nanos(serving.burned) / serving.requests);
            controller.served(bucket, each, serving.requests);
        }
        (serving.requests, serving.burned, serving.client_wait) = (0, 0, 0);
        (serving.began, serving.waited) = (self.now, 0);
        let connected = &self.clients.connections[connection];
        let kept = matches!(connected.script.repeat, Repeat::Every(_));
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
                Err(reason) => {
                    self.refuse(worker, (connection, reason), self.now, ThreadStep::Look);
                }
            }
        }
    }

    fn end_service(&mut self, worker: usize) {
        let Some(mut serving) = self.threads[worker].serving.take() else { return };
        let Some(in_service) = serving.in_service.take() else { return };
        let longest = serving.longest.filter(|_| self.setup.features.fair_workers);
        self.queue.controller.end_service(in_service, self.instant(), longest);
    }
}
