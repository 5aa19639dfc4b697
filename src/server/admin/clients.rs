//! [`BusiestClients`]: the clients that ask for most, of about the last ten seconds.

/// Clients that are shown.
const SHOWN: usize = 10;
/// How much of the sum stays from one second to the next.
const KEPT: f64 = 0.9;

/// For each bucket of clients, a sum of its requests in which those of the past fade.
#[derive(Debug, Default)]
pub(super) struct BusiestClients {
    before: Vec<u32>,
    sums: Vec<f64>,
}

impl BusiestClients {
    /// Adds the requests since the last call, given all of them since the start.
    pub(super) fn advance(&mut self, requests: Vec<u32>) {
        self.sums.resize(requests.len(), 0.0);
        // Nothing is known of what came before the first call.
        if self.before.len() == requests.len() {
            for ((sum, now), before) in self.sums.iter_mut().zip(&requests).zip(&self.before) {
                *sum = *sum * KEPT + f64::from(now.wrapping_sub(*before));
            }
        }
        self.before = requests;
    }

    /// Forgets everything: there is a gap.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The buckets that ask for most, with their shares (0 to 1) of all requests.
    pub(super) fn busiest(&self) -> Vec<(usize, f64)> {
        let all: f64 = self.sums.iter().sum();
        // Less than a thousandth of a request is what fades.
        let asks = |(_, sum): &(usize, &f64)| **sum > 1e-3;
        let mut found: Vec<_> = self.sums.iter().enumerate().filter(asks).collect();
        found.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        found.truncate(SHOWN);
        found.into_iter().map(|(bucket, sum)| (bucket, sum / all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_come_first_and_the_past_fades() {
        let mut clients = BusiestClients::default();
        clients.advance(vec![1000, 0, u32::MAX]);
        assert_eq!(clients.busiest(), []);
        clients.advance(vec![1000, 30, 9]);
        assert_eq!(clients.busiest(), [(1, 0.75), (2, 0.25)]);
        for _ in 0..200 {
            clients.advance(vec![1000, 30, 9]);
        }
        assert_eq!(clients.busiest(), []);
    }
}
