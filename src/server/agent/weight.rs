//! [`AgentWeight`]: the capacity of this server over a reference, smoothed and in coarse steps.

use std::time::{Duration, Instant};

/// The time in which the smoothed capacity covers two thirds of the way to a new one.
const SMOOTHING: Duration = Duration::from_secs(1);
/// The time in which the highest capacity counts for half, so that what was measured with other
/// requests is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Requests before the estimate counts: it is the mean of the first hundred until then, and one
/// quick request at the start would be a reference that nothing reaches.
const FIRST_REQUESTS: u64 = 100;
/// The steps of the weight, in per cent.
const STEP: f64 = 5.0;
/// How far the capacity has to be from the weight that was reported to change it: more than half a
/// step, so that the weight does not alternate between two.
const HYSTERESIS: f64 = 4.0;

/// How much of the work this server should get: 1 to 100 per cent of its usual share.
///
/// It follows the capacity, and never the load or the workers that are idle: these depend on the
/// share that the weight itself has caused, so that the share would oscillate.
#[derive(Debug)]
pub(super) struct AgentWeight {
    /// The requests per second that are 100 %. `None`: the highest capacity so far.
    reference: Option<f64>,
    /// The smoothed capacity, and when it was updated.
    smoothed: Option<(f64, Instant)>,
    highest: f64,
    /// The weight that was reported last.
    reported: u8,
}

impl AgentWeight {
    pub(super) fn new(reference: Option<f64>) -> Self {
        Self { reference, smoothed: None, highest: 0.0, reported: 100 }
    }

    /// The weight at `now`. `capacity`: requests per second that the workers can serve, estimated
    /// from `served` requests.
    pub(super) fn update(&mut self, capacity: f64, served: u64, now: Instant) -> u8 {
        if served < FIRST_REQUESTS || capacity <= 0.0 {
            return self.reported;
        }
        let smoothed = match self.smoothed {
            None => capacity,
            Some((before, at)) => {
                let passed = now.saturating_duration_since(at).as_secs_f64();
                self.highest *= (-passed / HALF_LIFE.as_secs_f64()).exp2();
                let kept = (-passed / SMOOTHING.as_secs_f64()).exp();
                capacity + (before - capacity) * kept
            }
        };
        self.smoothed = Some((smoothed, now));
        self.highest = self.highest.max(smoothed);
        let exact = 100.0 * smoothed / self.reference.unwrap_or(self.highest);
        if (exact - f64::from(self.reported)).abs() > HYSTERESIS {
            self.reported = ((exact / STEP).round() * STEP).clamp(1.0, 100.0) as u8;
        }
        self.reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports twice a second, from `from` on, and returns the weights.
    fn run(weight: &mut AgentWeight, from: Instant, capacities: &[f64]) -> Vec<u8> {
        let at = |index: usize| from + Duration::from_millis(500) * index as u32;
        let update = |(index, capacity): (usize, &f64)| weight.update(*capacity, 1000, at(index));
        capacities.iter().enumerate().map(update).collect()
    }

    #[test]
    fn before_the_first_hundred_requests_it_is_the_full_weight() {
        let now = Instant::now();
        let mut weight = AgentWeight::new(Some(1000.0));
        assert_eq!(weight.update(0.0, 0, now), 100);
        assert_eq!(weight.update(10.0, 99, now), 100);
        assert_eq!(weight.update(10.0, 100, now), 1);
    }

    #[test]
    fn a_server_at_a_quarter_of_its_speed_has_less_than_half_within_two_seconds() {
        let mut weight = AgentWeight::new(None);
        let start = Instant::now();
        assert_eq!(run(&mut weight, start, &[800.0; 10]), [100; 10]);
        let slow = run(&mut weight, start + Duration::from_secs(5), &[200.0; 12]);
        assert!(slow[3] < 50, "{slow:?}");
        assert_eq!(slow[11], 25, "{slow:?}");
        assert!(slow.is_sorted_by(|a, b| a >= b), "{slow:?}");
        let again = run(&mut weight, start + Duration::from_secs(11), &[800.0; 12]);
        assert_eq!(again[11], 100, "{again:?}");
    }

    #[test]
    fn one_wrong_estimate_moves_it_by_part_of_the_way() {
        let mut weight = AgentWeight::new(Some(1000.0));
        let start = Instant::now();
        run(&mut weight, start, &[1000.0; 4]);
        let dip =
            run(&mut weight, start + Duration::from_secs(2), &[100.0, 1000.0, 1000.0, 1000.0]);
        assert!(dip[0] > 50 && dip[3] > 85, "{dip:?}");
    }

    #[test]
    fn it_stays_while_the_capacity_changes_by_a_little() {
        let mut weight = AgentWeight::new(Some(1000.0));
        let start = Instant::now();
        run(&mut weight, start, &[800.0; 4]);
        let noisy: Vec<f64> = (0..100).map(|n| if n % 2 == 0 { 780.0 } else { 830.0 }).collect();
        let weights = run(&mut weight, start + Duration::from_secs(2), &noisy);
        assert_eq!(weights, [80; 100]);
    }

    #[test]
    fn it_is_a_multiple_of_five_and_at_least_one() {
        for (capacity, expected) in
            [(0.1, 1), (24.0, 1), (26.0, 5), (333.0, 35), (949.0, 95), (1000.0, 100), (1e9, 100)]
        {
            let mut weight = AgentWeight::new(Some(1000.0));
            assert_eq!(weight.update(capacity, 1000, Instant::now()), expected, "{capacity}");
        }
    }

    #[test]
    fn the_highest_capacity_is_forgotten_by_half_in_ten_minutes() {
        let mut weight = AgentWeight::new(None);
        let start = Instant::now();
        weight.update(1000.0, 1000, start);
        assert_eq!(weight.update(250.0, 1000, start + Duration::from_secs(30)), 25);
        assert_eq!(weight.update(250.0, 1000, start + HALF_LIFE), 50);
        assert_eq!(weight.update(250.0, 1000, start + 3 * HALF_LIFE), 100);
    }
}
