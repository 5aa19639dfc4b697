//! [`AdminOptions`]: where the admin endpoint listens and what it may do, until it is bound.

use std::fmt;
use std::io;
use std::sync::Arc;

use log::LevelFilter;

use crate::error::{Error, ErrorKind};
use crate::net::{Endpoint, Listener};
use crate::server::admin_endpoints::AdminEndpoints;
use crate::server::agent::AgentOptions;
use crate::server::private_endpoint::PrivateEndpoint;
use crate::sync::Waker;

/// The backlog of the endpoint. It has eight connections at once.
const BACKLOG: u32 = 64;

/// The endpoint in words of its errors.
const RULES: PrivateEndpoint = PrivateEndpoint {
    name: "admin endpoint",
    hint: "use tcp://127.0.0.1:9901 or unix:PATH; --admin-public (Builder::admin_public) allows \
           any address, and everyone who reaches it can read the status",
};

/// The bytes that a token may have. A shorter one could be guessed.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// What a `POST` to the admin endpoint asks the program for: see
/// [`Builder::on_admin_command`](crate::Builder::on_admin_command).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminCommand {
    /// `POST /drain`: stop gracefully.
    Drain,
    /// `POST /reload`: load the settings again.
    Reload,
    /// `POST /log-level?level=LEVEL`: log from this level on.
    LogLevel(LevelFilter),
}

/// Runs a command, and returns whether it does. It must not block.
pub(super) type CommandRunner = Arc<dyn Fn(AdminCommand) -> bool + Send + Sync>;

/// The settings of the admin endpoint.
#[derive(Clone, Default)]
pub(in crate::server) struct AdminOptions {
    /// `None`: there is no admin endpoint.
    pub(in crate::server) endpoint: Option<String>,
    /// Whether the endpoint may be an address that other machines can reach.
    pub(in crate::server) is_public: bool,
    /// The token that commands need over TCP. `None`: there are no commands over TCP.
    pub(in crate::server) token: Option<String>,
    pub(in crate::server) run: Option<CommandRunner>,
    pub(in crate::server) agent: AgentOptions,
}

impl AdminOptions {
    /// Checks the endpoint and the token, before anything is bound.
    pub(in crate::server) fn check(&self) -> Result<Option<Endpoint>, Error> {
        if let Some(token) = &self.token {
            check_token(token)?;
        }
        self.agent.check()?;
        let Some(text) = &self.endpoint else { return Ok(None) };
        RULES.parse(text, self.is_public).map(Some)
    }

    /// Binds the endpoints, if there is one.
    pub(in crate::server) fn bind(self) -> Result<Option<BoundAdmin>, Error> {
        let (admin, agent) = (self.check()?, self.agent.check()?);
        if admin.is_none() && agent.is_none() {
            return Ok(None);
        }
        let is_unix = matches!(admin, Some(Endpoint::Unix { .. }));
        let bind = |endpoint: Option<Endpoint>| {
            endpoint.map(|endpoint| Listener::bind(&endpoint, BACKLOG)).transpose()
        };
        let admin = bind(admin)?.map(|listener| (listener, is_unix));
        let agent = bind(agent)?;
        let waker = Waker::new().map_err(|error| {
            Error::new(ErrorKind::System, "cannot make the descriptor of the admin endpoint")
                .with_source(error)
        })?;
        Ok(Some(BoundAdmin { admin, agent, options: self, waker: Arc::new(waker) }))
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        f.debug_struct("AdminOptions")
            .field("endpoint", &self.endpoint)
            .field("is_public", &self.is_public)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// The admin endpoint and the agent's, bound. There is at least one of them.
#[derive(Debug)]
pub(in crate::server) struct BoundAdmin {
    /// The admin endpoint, and whether only users of this machine reach it, by the mode of a file.
    pub(super) admin: Option<(Listener, bool)>,
    pub(super) agent: Option<Listener>,
    pub(super) options: AdminOptions,
    /// Ends the thread, once the server has stopped.
    pub(super) waker: Arc<Waker>,
}

impl BoundAdmin {
    /// The endpoints as text, with the actual ports, and what wakes the thread.
    pub(in crate::server) fn endpoints(&self) -> AdminEndpoints {
        AdminEndpoints {
            admin: self.admin.as_ref().map(|(listener, _)| listener.endpoint_text()),
            agent: self.agent.as_ref().map(Listener::endpoint_text),
            waker: Arc::clone(&self.waker),
        }
    }
}

fn check_token(token: &str) -> Result<(), Error> {
    let is_printable = token.bytes().all(|byte| byte.is_ascii_graphic());
    if TOKEN_BYTES.contains(&token.len()) && is_printable {
        return Ok(());
    }
    let what = format!(
        "invalid admin token: expected {} to {} printable ASCII characters without spaces",
        TOKEN_BYTES.start(),
        TOKEN_BYTES.end()
    );
    let reason = io::Error::new(
        io::ErrorKind::InvalidData,
        if is_printable { format!("it has {}", token.len()) } else { "it has others".to_owned() },
    );
    Err(Error::new(ErrorKind::Config, what)
        .with_source(reason)
        .with_hint("make one: head -c 24 /dev/urandom | base64"))
}
