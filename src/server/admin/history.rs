//! [`History`]: the last two minutes, one sample a second.
//!
//! The thread takes samples only while somebody looks: from a request for the status on until two
//! minutes after the last one. Before that it sleeps, as an idle server makes no system calls.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pool::stats::histogram::HistogramSnapshot;

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(1);
/// Samples that are kept.
const SAMPLES: usize = 120;
/// How long after a request for the status samples are taken.
const WATCHED: Duration = Duration::from_secs(120);

/// The counters at one moment.
#[derive(Clone, Debug)]
pub(super) struct CounterReading {
    pub(super) served: u64,
    pub(super) refused: u64,
    pub(super) wait: HistogramSnapshot,
    pub(super) service: HistogramSnapshot,
}

/// One second of the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Its end, in seconds since 1970.
    pub(super) unix: u64,
    pub(super) served: u64,
    pub(super) refused: u64,
    pub(super) wait: [Duration; 2],
    pub(super) service: [Duration; 2],
}

/// The samples.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// The reading at the end of the last sample; `None` while no samples are taken.
    before: Option<CounterReading>,
    /// When the next sample is due.
    due: Option<Instant>,
    watched_until: Option<Instant>,
}

impl History {
    /// Somebody looks at the status.
    pub(super) fn watch(&mut self, now: Instant, read: impl FnOnce() -> CounterReading) {
        self.watched_until = Some(now + WATCHED);
        if self.before.is_none() {
            self.before = Some(read());
            self.due = Some(now + PERIOD);
        }
    }

    /// When the next sample is due; `None` while no samples are taken.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a sample if one is due. `unix`: the time in seconds since 1970.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        unix: u64,
        read: impl FnOnce() -> CounterReading,
    ) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        if self.watched_until.is_none_or(|until| now > until) {
            (self.before, self.due) = (None, None);
            return;
        }
        let reading = read();
        if let Some(before) = &self.before {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(Sample::between(before, &reading, unix));
        }
        self.before = Some(reading);
        // Not `due + PERIOD`: after a delay there would be several samples at once.
        self.due = Some(now + PERIOD);
    }

    /// The samples of the last two minutes, the oldest first.
    pub(super) fn samples(&self, unix: u64) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.unix + SAMPLES as u64 >= unix)
    }
}

impl Sample {
    fn between(before: &CounterReading, after: &CounterReading, unix: u64) -> Self {
        let percentiles = |after: &HistogramSnapshot, before| {
            let recorded = after.since(before);
            [recorded.percentile(0.5), recorded.percentile(0.99)]
        };
        Self {
            unix,
            served: after.served.saturating_sub(before.served),
            refused: after.refused.saturating_sub(before.refused),
            wait: percentiles(&after.wait, &before.wait),
            service: percentiles(&after.service, &before.service),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(served: u64) -> CounterReading {
        let empty = HistogramSnapshot::default;
        CounterReading { served, refused: 2 * served, wait: empty(), service: empty() }
    }

    #[test]
    fn samples_are_taken_until_two_minutes_after_the_last_look() {
        let start = Instant::now();
        let mut history = History::default();
        history.advance(start, 0, || panic!("nobody looks"));
        assert_eq!(history.due(), None);
        history.watch(start, || reading(0));
        for second in 1..=125_u64 {
            let now = start + Duration::from_secs(second);
            history.advance(now, second, || reading(10 * second));
        }
        assert_eq!(history.due(), None, "it sleeps again");
        let samples: Vec<_> = history.samples(120).collect();
        assert_eq!(samples.len(), 120);
        assert!(samples.iter().all(|sample| (sample.served, sample.refused) == (10, 20)));
        assert_eq!(history.samples(230).count(), 11, "old samples are not shown");
    }

    #[test]
    fn a_look_after_a_gap_begins_with_a_new_reading() {
        let start = Instant::now();
        let mut history = History::default();
        history.watch(start, || reading(0));
        let late = start + Duration::from_secs(500);
        history.advance(late, 500, || panic!("nobody looks"));
        history.watch(late, || reading(1000));
        history.advance(late + PERIOD, 501, || reading(1001));
        let served: Vec<_> = history.samples(501).map(|sample| sample.served).collect();
        assert_eq!(served, [1]);
    }
}
