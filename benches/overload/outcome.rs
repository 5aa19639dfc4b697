//! How requests ended, counted: one histogram an outcome.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::arrivals::Arrival;

/// The generator may be this late before a run is void.
pub(crate) const LAG_LIMIT: Duration = Duration::from_millis(1);
/// The width of the windows in which success is counted over time.
pub(crate) const WINDOW: Duration = Duration::from_millis(100);

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A 2xx response within the deadline.
    InTime,
    /// A 2xx response after the deadline.
    Late,
    /// A 503 response.
    Unavailable,
    /// The connection was reset, or closed without a response.
    Reset,
    /// Nobody listened.
    Refused,
    /// The client lost its patience and closed.
    Timeout,
    /// A response with another status.
    Other,
    /// The generator's own machine failed it: no port or no descriptor left.
    NotSent,
}

impl Outcome {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 8] = [
        Self::InTime,
        Self::Late,
        Self::Unavailable,
        Self::Reset,
        Self::Refused,
        Self::Timeout,
        Self::Other,
        Self::NotSent,
    ];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InTime => "in time",
            Self::Late => "late",
            Self::Unavailable => "503",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Other => "other",
            Self::NotSent => "not sent",
        }
    }

    /// Whether a client tries again after it.
    pub(crate) fn is_retried(self) -> bool {
        matches!(self, Self::Unavailable | Self::Reset | Self::Refused | Self::Timeout)
    }
}

/// Requests, and how many of them got a response in time at last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Requests, each counted once however often it was tried.
    pub(crate) requests: u64,
    /// Requests with a response in time at the first attempt.
    pub(crate) at_once: u64,
    /// Requests with a response in time at any attempt.
    pub(crate) in_time: u64,
}

impl Tally {
    /// The share with a response in time; 1 when there was no request.
    pub(crate) fn success(&self) -> f64 {
        if self.requests == 0 { 1.0 } else { self.in_time as f64 / self.requests as f64 }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.at_once += other.at_once;
        self.in_time += other.in_time;
    }
}

/// Everything that one load showed.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    outcomes: Vec<Histogram<u64>>,
    lag: Histogram<u64>,
    /// By the time of arrival, in windows of [`WINDOW`] from the start of the load.
    pub(crate) windows: Vec<Tally>,
    /// By client.
    pub(crate) clients: Vec<Tally>,
    /// Responses in time that came before the counted load was over.
    in_time_before_end: u64,
    counted_seconds: f64,
    end: u64,
}

impl Report {
    /// For `clients` clients and a counted load that lasts `counted` and is over at `end`
    /// nanoseconds.
    pub(crate) fn new(clients: usize, counted: Duration, end: u64) -> Self {
        Self {
            outcomes: Outcome::ALL.iter().map(|_| histogram()).collect(),
            lag: histogram(),
            windows: vec![Tally::default(); (end / WINDOW.as_nanos() as u64) as usize + 1],
            clients: vec![Tally::default(); clients],
            in_time_before_end: 0,
            counted_seconds: counted.as_secs_f64(),
            end,
        }
    }

    /// A request was sent for the first time, `lag` nanoseconds after it was meant to be.
    pub(crate) fn sent(&mut self, arrival: &Arrival, lag: u64) {
        self.lag.saturating_record(lag.max(1));
        if arrival.counted {
            self.tallies(arrival).for_each(|tally| tally.requests += 1);
        }
    }

    /// An attempt ended at `now`, `latency` nanoseconds after it was meant to be sent.
    pub(crate) fn ended(
        &mut self,
        arrival: &Arrival,
        first: bool,
        outcome: Outcome,
        latency: u64,
        now: u64,
    ) {
        if !arrival.counted {
            return;
        }
        self.outcomes[outcome as usize].saturating_record(latency.max(1));
        if outcome != Outcome::InTime {
            return;
        }
        if now <= self.end {
            self.in_time_before_end += 1;
        }
        self.tallies(arrival).for_each(|tally| {
            tally.in_time += 1;
            tally.at_once += u64::from(first);
        });
    }

    fn tallies(&mut self, arrival: &Arrival) -> impl Iterator<Item = &mut Tally> {
        let window = (arrival.at / WINDOW.as_nanos() as u64) as usize;
        let client = usize::from(arrival.client);
        self.windows.get_mut(window).into_iter().chain(self.clients.get_mut(client))
    }

    /// Attempts that ended so.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].len()
    }

    /// Attempts in all.
    pub(crate) fn attempts(&self) -> u64 {
        self.outcomes.iter().map(Histogram::len).sum()
    }

    /// The latency below which this share of the attempts that ended so lies, in milliseconds.
    pub(crate) fn latency_ms(&self, outcome: Outcome, quantile: f64) -> Option<f64> {
        let histogram = &self.outcomes[outcome as usize];
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile) as f64 / 1e6)
    }

    /// The latency below which this share of all responses with 2xx lies, late ones included.
    pub(crate) fn in_time_ms(&self, quantile: f64) -> Option<f64> {
        let mut all = self.outcomes[Outcome::InTime as usize].clone();
        all.add(&self.outcomes[Outcome::Late as usize]).ok()?;
        (!all.is_empty()).then(|| all.value_at_quantile(quantile) as f64 / 1e6)
    }

    /// The share of the responses with 2xx that came after the deadline.
    pub(crate) fn late_share(&self) -> f64 {
        let (in_time, late) = (self.count(Outcome::InTime), self.count(Outcome::Late));
        late as f64 / (in_time + late).max(1) as f64
    }

    /// Responses in time per second. Those that came after the load was over do not count: a server
    /// must not gain from what stood in its queue at the end.
    pub(crate) fn goodput(&self) -> f64 {
        self.in_time_before_end as f64 / self.counted_seconds
    }

    /// How late the generator itself was, in milliseconds, at this quantile.
    pub(crate) fn lag_ms(&self, quantile: f64) -> f64 {
        self.lag.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Why the run tells nothing, if so.
    pub(crate) fn void(&self) -> Option<String> {
        self.void_past(LAG_LIMIT)
    }

    /// The same with another limit on how late the generator may be.
    pub(crate) fn void_past(&self, limit: Duration) -> Option<String> {
        let (lag, not_sent) = (self.lag_ms(0.99), self.count(Outcome::NotSent));
        if lag > limit.as_secs_f64() * 1e3 {
            Some(format!("lag p99 {lag:.1} ms"))
        } else if not_sent > 0 {
            Some(format!("{not_sent} not sent"))
        } else {
            None
        }
    }
}

/// From a microsecond to a minute, in nanoseconds, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("these bounds are valid")
}
