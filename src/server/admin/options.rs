//! [`AdminOptions`]: where the admin endpoint listens and what it may do, until it is bound.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use log::LevelFilter;

use crate::error::{Error, ErrorKind};
use crate::net::{Endpoint, Host, Listener, Transport, UnixKind};
use crate::sync::Waker;

/// The backlog of the endpoint. It has eight connections at once.
const BACKLOG: u32 = 64;

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
}

impl AdminOptions {
    /// Checks the endpoint and the token, before anything is bound.
    pub(in crate::server) fn check(&self) -> Result<Option<Endpoint>, Error> {
        if let Some(token) = &self.token {
            check_token(token)?;
        }
        let Some(text) = &self.endpoint else { return Ok(None) };
        let endpoint: Endpoint = text.parse()?;
        match &endpoint {
            Endpoint::Unix { kind: UnixKind::Stream, .. } => {}
            Endpoint::Inet { transport: Transport::Tcp, host, .. } => {
                if !self.is_public && !is_loopback(host) {
                    let what = format!("the admin endpoint {endpoint} is not a loopback address");
                    return Err(Error::new(ErrorKind::Config, what).with_hint(
                        "use tcp://127.0.0.1:9901 or unix:PATH; --admin-public \
                         (Builder::admin_public) allows any address, and everyone who reaches it \
                         can read the status",
                    ));
                }
            }
            _ => {
                let what = format!("invalid admin endpoint {endpoint}: expected tcp: or unix:");
                return Err(Error::new(ErrorKind::Config, what));
            }
        }
        Ok(Some(endpoint))
    }

    /// Binds the endpoint, if there is one.
    pub(in crate::server) fn bind(self) -> Result<Option<BoundAdmin>, Error> {
        let Some(endpoint) = self.check()? else { return Ok(None) };
        let is_unix = matches!(endpoint, Endpoint::Unix { .. });
        let listener = Listener::bind(&endpoint, BACKLOG)?;
        let waker = Waker::new().map_err(|error| {
            Error::new(ErrorKind::System, "cannot make the descriptor of the admin endpoint")
                .with_source(error)
        })?;
        Ok(Some(BoundAdmin { listener, is_unix, options: self, waker: Arc::new(waker) }))
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        f.debug_struct("AdminOptions")
            .field("endpoint", &self.endpoint)
            .field("is_public", &self.is_public)
            .finish_non_exhaustive()
    }
}

/// The admin endpoint, bound.
#[derive(Debug)]
pub(in crate::server) struct BoundAdmin {
    pub(super) listener: Listener,
    /// Whether only users of this machine reach it, by the mode of a file.
    pub(super) is_unix: bool,
    pub(super) options: AdminOptions,
    /// Ends the thread, once the server has stopped.
    pub(super) waker: Arc<Waker>,
}

impl BoundAdmin {
    /// The endpoint as text, with the actual port.
    pub(in crate::server) fn endpoint_text(&self) -> String {
        self.listener.endpoint_text()
    }

    /// What wakes the thread.
    pub(in crate::server) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
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

/// Whether only programs on this machine can reach the host.
fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Ip(ip) => is_loopback_ip(*ip),
        Host::Zoned(..) => false,
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn is_loopback_ip(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
