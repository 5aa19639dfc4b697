//! [`line`]: the words of HAProxy's agent protocol.

/// What the agent reports of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgentState {
    /// The workers are not ready yet.
    Starting,
    /// It serves.
    Up,
    /// It makes no progress: the test of `/live` fails.
    Stuck,
    /// A stop was announced, or has begun.
    Leaving,
}

/// The line that a connection gets. `weight`: in per cent of the weight in HAProxy's configuration.
///
/// Each line has all the words that are needed to undo an earlier one, as HAProxy keeps a
/// state until the agent itself changes it: `up` ends `down`, and `ready` ends `drain`. The text
/// behind `#` appears in HAProxy's log and statistics. HAProxy ignores a line without a newline.
pub(super) fn line(state: AgentState, weight: u8) -> String {
    match state {
        AgentState::Starting => "down #starting\n".to_owned(),
        AgentState::Up => format!("up ready {weight}%\n"),
        AgentState::Stuck => "down #workers stuck\n".to_owned(),
        AgentState::Leaving => "up drain\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_line() {
        for (state, weight, expected) in [
            (AgentState::Starting, 100, "down #starting\n"),
            (AgentState::Up, 100, "up ready 100%\n"),
            (AgentState::Up, 80, "up ready 80%\n"),
            (AgentState::Up, 1, "up ready 1%\n"),
            (AgentState::Stuck, 80, "down #workers stuck\n"),
            (AgentState::Leaving, 80, "up drain\n"),
        ] {
            assert_eq!(line(state, weight), expected);
        }
    }
}
