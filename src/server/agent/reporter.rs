//! [`AgentReporter`]: what the agent reports of the server at one moment.

use std::time::Instant;

use super::line::{AgentState, line};
use super::weight::AgentWeight;
use crate::server::state::ServerState;

/// Makes the lines of the agent.
#[derive(Debug)]
pub(in crate::server) struct AgentReporter {
    weight: AgentWeight,
}

impl AgentReporter {
    /// `reference`: the requests per second that are 100 %. `None`: the highest capacity so far.
    pub(in crate::server) fn new(reference: Option<f64>) -> Self {
        Self { weight: AgentWeight::new(reference) }
    }

    /// The line at `now`. `capacity`: requests per second that the workers can serve, estimated
    /// from `served` requests.
    pub(in crate::server) fn line(
        &mut self,
        state: ServerState,
        is_live: bool,
        (capacity, served): (f64, u64),
        now: Instant,
    ) -> String {
        let weight = self.weight.update(capacity, served, now);
        let state = match state {
            ServerState::Starting => AgentState::Starting,
            ServerState::Running if is_live => AgentState::Up,
            ServerState::Running => AgentState::Stuck,
            ServerState::LameDuck | ServerState::Draining | ServerState::Stopped => {
                AgentState::Leaving
            }
        };
        line(state, weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_a_drain_also_while_the_workers_are_stuck() {
        for (state, is_live, expected) in [
            (ServerState::Starting, true, "down #starting\n"),
            (ServerState::Running, true, "up ready 100%\n"),
            (ServerState::Running, false, "down #workers stuck\n"),
            (ServerState::LameDuck, true, "up drain\n"),
            (ServerState::LameDuck, false, "up drain\n"),
            (ServerState::Draining, true, "up drain\n"),
            (ServerState::Stopped, true, "up drain\n"),
        ] {
            let mut agent = AgentReporter::new(None);
            assert_eq!(agent.line(state, is_live, (0.0, 0), Instant::now()), expected);
        }
    }
}
