//! [`LoadMeter`]: the rates of the server over the last second or more, for load reports.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::sync::lock;

/// The shortest time over which rates are measured.
const PERIOD: Duration = Duration::from_secs(1);

/// What the server has done since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadTotals {
    /// Requests that a handler served.
    pub(crate) served: u64,
    /// Responses with a status of 5xx.
    pub(crate) errors: u64,
    /// The time that all workers spent serving.
    pub(crate) busy: Duration,
    /// The CPU time of the process.
    pub(crate) cpu: Duration,
}

impl LoadTotals {
    /// Those of a process that has served nothing yet.
    pub(crate) fn at_start() -> Self {
        Self { cpu: process_time(), ..Self::default() }
    }
}

/// The CPU time of the process since its start.
pub(crate) fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// What the server does in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LoadRates {
    /// Requests served.
    pub(crate) served: f64,
    /// Responses with a status of 5xx.
    pub(crate) errors: f64,
    /// Seconds of work of all workers.
    pub(crate) busy: f64,
    /// Seconds of CPU time.
    pub(crate) cpu: f64,
}

/// Measures rates, at most once a second, and only while they are asked for.
#[derive(Debug)]
pub(crate) struct LoadMeter(Mutex<LoadMeasured>);

#[derive(Debug)]
struct LoadMeasured {
    at: Instant,
    totals: LoadTotals,
    rates: LoadRates,
}

impl LoadMeter {
    /// `totals`: those at the moment `at`.
    pub(crate) fn new(at: Instant, totals: LoadTotals) -> Self {
        Self(Mutex::new(LoadMeasured { at, totals, rates: LoadRates::default() }))
    }

    /// The rates since the measurement before the last one. `totals` is called once a second.
    pub(crate) fn rates(&self, now: Instant, totals: impl FnOnce() -> LoadTotals) -> LoadRates {
        let mut measured = lock(&self.0);
        let time = now.saturating_duration_since(measured.at);
        if time >= PERIOD {
            let (before, after) = (measured.totals, totals());
            let seconds = time.as_secs_f64();
            let count = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
            let spent = |before: Duration, after: Duration| {
                after.saturating_sub(before).as_secs_f64() / seconds
            };
            let rates = LoadRates {
                served: count(before.served, after.served),
                errors: count(before.errors, after.errors),
                busy: spent(before.busy, after.busy),
                cpu: spent(before.cpu, after.cpu),
            };
            *measured = LoadMeasured { at: now, totals: after, rates };
        }
        measured.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_measured_once_a_second_over_the_time_that_has_passed() {
        let start = Instant::now();
        let before = LoadTotals { cpu: Duration::from_secs(7), ..LoadTotals::default() };
        let meter = LoadMeter::new(start, before);
        let totals = |served: u64, busy: u64| LoadTotals {
            served,
            errors: served / 10,
            busy: Duration::from_secs(busy),
            cpu: Duration::from_secs(7) + Duration::from_millis(served),
        };
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(meter.rates(at(999), || panic!("too soon")), LoadRates::default());
        let first = meter.rates(at(2000), || totals(1000, 8));
        assert_eq!(first, LoadRates { served: 500.0, errors: 50.0, busy: 4.0, cpu: 0.5 });
        assert_eq!(meter.rates(at(2999), || panic!("too soon")), first);
        let idle = meter.rates(at(12_000), || totals(1000, 8));
        assert_eq!(idle, LoadRates::default());
    }
}
