//! When requests are meant to be sent: an open loop, which no response and no delay holds up.

use std::time::Duration;

/// A stretch of load at one rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// Requests per second.
    pub(crate) rate: f64,
    /// How long it lasts.
    pub(crate) time: Duration,
    /// How often a client tries again that got no response in time.
    pub(crate) retries: u8,
    /// Whether it counts, or only warms the server up.
    pub(crate) counted: bool,
}

/// One request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When, in nanoseconds from the start of the load.
    pub(crate) at: u64,
    /// By which client: an index.
    pub(crate) client: u16,
    /// How often that client tries again.
    pub(crate) retries: u8,
    /// Whether it counts.
    pub(crate) counted: bool,
}

/// Poisson arrivals for `phases`, shared out among clients by `weights`, in the order of time.
///
/// Each phase has exactly `rate * time` arrivals: given their number, the times of a Poisson
/// process are independent and uniform. So the offered load is what it claims to be, and a short
/// run does not measure the luck of its draw.
pub(crate) fn poisson(phases: &[Phase], weights: &[f64], seed: u64) -> Vec<Arrival> {
    let mut random = Random(seed);
    let total: f64 = weights.iter().sum();
    let mut arrivals = Vec::new();
    let mut start = 0.0;
    for phase in phases {
        let seconds = phase.time.as_secs_f64();
        let first = arrivals.len();
        for _ in 0..(phase.rate * seconds).round() as u64 {
            let at = ((start + random.unit() * seconds) * 1e9) as u64;
            let client = pick(weights, random.unit() * total);
            let (retries, counted) = (phase.retries, phase.counted);
            arrivals.push(Arrival { at, client, retries, counted });
        }
        arrivals[first..].sort_unstable_by_key(|arrival| arrival.at);
        start += seconds;
    }
    arrivals
}

/// The client in whose share of the total `point` lies.
fn pick(weights: &[f64], point: f64) -> u16 {
    let mut end = 0.0;
    let within = |weight: &f64| {
        end += weight;
        point < end
    };
    let last = weights.len().saturating_sub(1);
    u16::try_from(weights.iter().position(within).unwrap_or(last)).unwrap_or(0)
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same load for the same seed, everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
