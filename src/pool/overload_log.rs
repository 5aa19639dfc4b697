//! What the log says of an overload: when it begins, as long as it lasts, and when it is over.

use std::time::{Duration, Instant};

use crate::pool::overload::refusal::Refusal;
use crate::pool::shared::Shared;
use crate::pool::stats::histogram::HistogramSnapshot;

/// When to say something.
#[derive(Debug, Default)]
struct Schedule {
    /// What was said last: whether there is an overload.
    told: bool,
    /// When.
    at: Option<Instant>,
}

/// What to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OverloadEvent {
    Begins,
    Lasts,
    Over,
}

impl Schedule {
    /// What is to be said now: at most one line in `every`, so that a state that flickers does not
    /// fill the log.
    fn line(&mut self, now: Instant, overloaded: bool, every: Duration) -> Option<OverloadEvent> {
        if every.is_zero() || self.wait(now, every).is_some_and(|wait| !wait.is_zero()) {
            return None;
        }
        let line = match (self.told, overloaded) {
            (false, false) => return None,
            (false, true) => OverloadEvent::Begins,
            (true, true) => OverloadEvent::Lasts,
            (true, false) => OverloadEvent::Over,
        };
        (self.told, self.at) = (overloaded, Some(now));
        Some(line)
    }

    /// For how long there is still nothing to be said. `None`: nothing was said yet.
    fn wait(&self, now: Instant, every: Duration) -> Option<Duration> {
        self.at.map(|at| every.saturating_sub(now.saturating_duration_since(at)))
    }
}

/// Writes the lines. It belongs to the monitor.
#[derive(Debug)]
pub(crate) struct OverloadLog {
    schedule: Schedule,
    before: Figures,
}

/// The counters at the last line.
#[derive(Debug)]
struct Figures {
    at: Instant,
    served: u64,
    refused: [u64; Refusal::COUNT],
    wait: HistogramSnapshot,
    service: HistogramSnapshot,
}

impl Figures {
    fn of(shared: &Shared, at: Instant) -> Self {
        let counters = &shared.counters;
        let (wait, service) = (counters.wait.snapshot(), counters.service.snapshot());
        Self { at, served: counters.served(), refused: counters.refused(), wait, service }
    }
}

impl OverloadLog {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self { schedule: Schedule::default(), before: Figures::of(shared, Instant::now()) }
    }

    /// Says what there is to say.
    pub(crate) fn look(&mut self, shared: &Shared, now: Instant) {
        let overloaded = shared.queue.controller.is_overloaded();
        if !overloaded && !self.schedule.told {
            return;
        }
        let every = shared.config.load().overload.report;
        let Some(line) = self.schedule.line(now, overloaded, every) else { return };
        let figures = Figures::of(shared, now);
        let text = describe(shared, &self.before, &figures);
        match line {
            OverloadEvent::Begins => log::warn!("overloaded: {text}"),
            OverloadEvent::Lasts => log::warn!("still overloaded: {text}"),
            OverloadEvent::Over => log::info!("no longer overloaded: {text}"),
        }
        self.before = figures;
    }

    /// When to look again although nothing moves: there is an overload, or the end of one to be
    /// told.
    pub(crate) fn wait(&self, shared: &Shared, now: Instant) -> Option<Duration> {
        let controller = &shared.queue.controller;
        if controller.is_overloaded() {
            return Some(controller.interval());
        }
        let every = shared.config.load().overload.report;
        if !self.schedule.told || every.is_zero() {
            return None;
        }
        self.schedule.wait(now, every)
    }
}

/// The figures since the last line.
fn describe(shared: &Shared, before: &Figures, now: &Figures) -> String {
    use std::fmt::Write;
    let controller = &shared.queue.controller;
    let (wait, service) = (now.wait.since(&before.wait), now.service.since(&before.service));
    let mut text = format!(
        "{} queued, wait p50 {:.1?} p99 {:.1?} (allowed {:.1?}), service p50 {:.1?} p99 {:.1?}, \
         capacity {:.0}/s; in {:.1} s served {}, refused {}",
        shared.queue.len(),
        wait.percentile(0.5),
        wait.percentile(0.99),
        controller.wait_limit(),
        service.percentile(0.5),
        service.percentile(0.99),
        controller.capacity_estimate(),
        now.at.saturating_duration_since(before.at).as_secs_f64(),
        now.served - before.served,
        now.refused.iter().sum::<u64>() - before.refused.iter().sum::<u64>(),
    );
    let mut separator = ':';
    for refusal in Refusal::ALL {
        let count = now.refused[refusal as usize] - before.refused[refusal as usize];
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator} {} {count}", refusal.name());
            separator = ',';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_change_and_at_most_one_in_the_time_that_is_set() {
        let start = Instant::now();
        let every = Duration::from_secs(10);
        let mut schedule = Schedule::default();
        for (second, overloaded, expected) in [
            (0, false, None),
            (1, true, Some(OverloadEvent::Begins)),
            (2, true, None),
            (3, false, None),
            (4, true, None),
            (11, true, Some(OverloadEvent::Lasts)),
            (12, false, None),
            (21, false, Some(OverloadEvent::Over)),
            (22, false, None),
            (23, true, None),
            (24, false, None),
            (31, false, None),
            (90, true, Some(OverloadEvent::Begins)),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(schedule.line(now, overloaded, every), expected, "at {second} s");
        }
    }

    #[test]
    fn with_no_time_set_nothing_is_said() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.line(Instant::now(), true, Duration::ZERO), None);
    }
}
