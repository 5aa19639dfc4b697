//! [`AgentOptions`]: where the agent listens, and what its weight refers to.

use crate::error::{Error, ErrorKind};
use crate::net::Endpoint;
use crate::server::private_endpoint::PrivateEndpoint;

/// The endpoint of the agent in words of its errors.
const RULES: PrivateEndpoint = PrivateEndpoint {
    name: "agent endpoint",
    hint: "use tcp://127.0.0.1:9902; --agent-public (Builder::agent_public) allows any address, \
           for a balancer on another machine: everyone who reaches it can read one line, with the \
           state and the weight",
};

/// The settings of the agent.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct AgentOptions {
    /// `None`: there is no agent.
    pub(in crate::server) endpoint: Option<String>,
    /// Whether the endpoint may be an address that other machines can reach.
    pub(in crate::server) is_public: bool,
    /// The requests per second that are 100 %. `None`: the highest capacity so far.
    pub(in crate::server) reference: Option<f64>,
}

impl AgentOptions {
    /// Checks the settings, before anything is bound.
    pub(in crate::server) fn check(&self) -> Result<Option<Endpoint>, Error> {
        if let Some(reference) = self.reference
            && !(reference.is_finite() && reference >= 1.0)
        {
            let what = format!("invalid agent reference {reference}: expected 1 or more");
            return Err(Error::new(ErrorKind::Config, what)
                .with_hint("the requests per second for which the weight is 100 %"));
        }
        let Some(text) = &self.endpoint else { return Ok(None) };
        RULES.parse(text, self.is_public).map(Some)
    }
}
