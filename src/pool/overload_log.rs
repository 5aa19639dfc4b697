//! [`OverloadLog`]: log lines when an overload begins, while it lasts, and when it is over.

use std::time::{Duration, Instant};

use crate::pool::overload::refusal::Refusal;
use crate::pool::shared::Shared;
use crate::pool::stats::histogram::HistogramSnapshot;

/// When to log a line.
#[derive(Debug, Default)]
struct Schedule {
    /// Whether there was an overload according to the last line.
    logged: bool,
    /// When the last line was logged.
    at: Option<Instant>,
}

/// What a line reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OverloadEvent {
    Begins,
    Lasts,
    Over,
}

impl Schedule {
    /// The line to log now, if one is due: at most one in `every`, so that a state that changes
    /// often does not fill the log.
    fn due(&mut self, now: Instant, overloaded: bool, every: Duration) -> Option<OverloadEvent> {
        if every.is_zero() || self.wait(now, every).is_some_and(|wait| !wait.is_zero()) {
            return None;
        }
        let event = match (self.logged, overloaded) {
            (false, false) => return None,
            (false, true) => OverloadEvent::Begins,
            (true, true) => OverloadEvent::Lasts,
            (true, false) => OverloadEvent::Over,
        };
        (self.logged, self.at) = (overloaded, Some(now));
        Some(event)
    }

    /// How long until the next line may be logged. `None`: none was logged yet.
    fn wait(&self, now: Instant, every: Duration) -> Option<Duration> {
        self.at.map(|at| every.saturating_sub(now.saturating_duration_since(at)))
    }
}

/// Logs the lines. The monitor owns it.
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

    /// Logs a line if one is due.
    pub(crate) fn update(&mut self, shared: &Shared, now: Instant) {
        let overloaded = shared.queue.controller.is_overloaded();
        if !overloaded && !self.schedule.logged {
            return;
        }
        let every = shared.config.load().overload.report;
        let Some(event) = self.schedule.due(now, overloaded, every) else { return };
        let figures = Figures::of(shared, now);
        let text = describe(shared, &self.before, &figures);
        match event {
            OverloadEvent::Begins => log::warn!("overloaded: {text}"),
            OverloadEvent::Lasts => log::warn!("still overloaded: {text}"),
            OverloadEvent::Over => log::info!("no longer overloaded: {text}"),
        }
        self.before = figures;
    }

    /// How long until the next [`update`](Self::update) is needed although no work moves: during an
    /// overload, or while the line about its end is due.
    pub(crate) fn wait(&self, shared: &Shared, now: Instant) -> Option<Duration> {
        let controller = &shared.queue.controller;
        if controller.is_overloaded() {
            return Some(controller.interval());
        }
        let every = shared.config.load().overload.report;
        if !self.schedule.logged || every.is_zero() {
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
    for &refusal in Refusal::ALL {
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
    fn each_change_is_one_line_and_there_is_at_most_one_line_in_an_interval() {
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
            assert_eq!(schedule.due(now, overloaded, every), expected, "at {second} s");
        }
    }

    #[test]
    fn an_interval_of_zero_logs_nothing() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(Instant::now(), true, Duration::ZERO), None);
    }
}
