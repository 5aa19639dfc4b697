//! [`Settings`]: what the daemon does, as plain values with defaults.

use std::path::PathBuf;

use log::LevelFilter;
use millpond::{ClientAuth, Config, TlsVersion};

use super::site::Site;
use crate::failure::{Failure, code};

/// The default endpoint: port 8888 of every address, IPv4 and IPv6.
pub(crate) const DEFAULT_BIND: &str = "tcp://[::]:8888";

/// What the daemon does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// The settings of the library's server.
    pub(crate) config: Config,
    /// The endpoints. Empty: the sockets that the service manager passed, else [`DEFAULT_BIND`].
    pub(crate) bind: Vec<String>,
    /// The site for requests that no `[[site]]` matches. The `[[site]]`s inherit its settings of
    /// files.
    pub(crate) site: Site,
    /// The `[[site]]`s of the file.
    pub(crate) sites: Vec<Site>,
    /// Whether the server echoes bytes instead of speaking HTTP.
    pub(crate) echo: bool,
    /// TLS, for endpoints `tls://`. The certificates are those of the sites.
    pub(crate) tls: TlsRules,
    pub(crate) log: LogSettings,
    pub(crate) access_log: AccessLogSettings,
    pub(crate) admin: AdminSettings,
    pub(crate) agent: AgentSettings,
    /// The user that the process becomes once every endpoint is bound.
    pub(crate) user: Option<String>,
    /// Whether the process is confined to the files that it serves.
    pub(crate) confine: bool,
    /// Further paths that a confined process can read, so that a reload can move a root there.
    pub(crate) reach: Vec<String>,
}

/// What all endpoints with TLS have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsRules {
    /// The oldest version that is accepted.
    pub(crate) min: TlsVersion,
    pub(crate) client_auth: ClientAuth,
    /// The file with the certificates that those of clients are verified by.
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether a request without TLS is redirected to `https`.
    pub(crate) redirect: bool,
}

/// The admin endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AdminSettings {
    /// `None`: there is none. [`AUTO`]: the usual place.
    pub(crate) endpoint: Option<String>,
    /// Whether it may be an address that other machines can reach.
    pub(crate) public: bool,
    /// The file of the token that commands need over TCP.
    pub(crate) token_file: Option<PathBuf>,
}

/// The agent's endpoint, for HAProxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AgentSettings {
    /// `None`: there is none.
    pub(crate) endpoint: Option<String>,
    /// Whether it may be an address that other machines can reach.
    pub(crate) public: bool,
    /// The requests per second for which the weight is 100 %.
    pub(crate) reference: Option<u32>,
}

/// The admin endpoint at its usual place: see [`AdminSettings::endpoint`].
pub(crate) const AUTO: &str = "auto";

impl AdminSettings {
    /// The endpoint, with the usual place in `runtime`, the service's directory for sockets.
    pub(crate) fn resolved(&self, runtime: Option<&str>) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?;
        if endpoint != AUTO {
            return Some(endpoint.to_owned());
        }
        // systemd.exec(5): several directories are separated by colons.
        let directory =
            runtime.and_then(|list| list.split(':').next()).filter(|dir| !dir.is_empty());
        Some(directory.map_or_else(
            || "tcp://127.0.0.1:9901".to_owned(),
            |directory| format!("unix:{directory}/admin.sock"),
        ))
    }
}

/// The server's log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogSettings {
    pub(crate) level: LevelFilter,
    pub(crate) color: Color,
}

/// When the log is coloured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// The access log: one line for each request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccessLogSettings {
    pub(crate) format: AccessLogFormat,
    /// `None`: standard error.
    pub(crate) file: Option<PathBuf>,
    /// Lines that may wait to be written. Further lines are dropped and counted.
    pub(crate) buffer: usize,
}

impl AccessLogSettings {
    /// The longest queue of lines, as each line takes memory.
    const MAX_BUFFER: usize = 1 << 20;

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.buffer > Self::MAX_BUFFER {
            let (value, most) = (self.buffer, Self::MAX_BUFFER);
            let what = format!("invalid access_log.buffer {value}: expected at most {most}");
            return Err(
                Failure::new(code::CONFIG, what).with_hint("each waiting line takes memory")
            );
        }
        Ok(())
    }
}

/// The format of a line of the access log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AccessLogFormat {
    Off,
    /// The common log format.
    Clf,
    /// The common log format, followed by Referer and User-Agent.
    Combined,
    /// One JSON object a line.
    Json,
}

pub(super) const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

pub(super) const TLS_VERSIONS: [(&str, TlsVersion); 2] =
    [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

pub(super) const CLIENT_AUTH: [(&str, ClientAuth); 3] =
    [("off", ClientAuth::Off), ("ask", ClientAuth::Ask), ("require", ClientAuth::Require)];

pub(super) const COLORS: [(&str, Color); 3] =
    [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];

pub(super) const FORMATS: [(&str, AccessLogFormat); 4] = [
    ("off", AccessLogFormat::Off),
    ("clf", AccessLogFormat::Clf),
    ("combined", AccessLogFormat::Combined),
    ("json", AccessLogFormat::Json),
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: Config::default(),
            bind: Vec::new(),
            site: Site::default(),
            sites: Vec::new(),
            echo: false,
            tls: TlsRules::default(),
            log: LogSettings { level: LevelFilter::Info, color: Color::Auto },
            access_log: AccessLogSettings {
                format: AccessLogFormat::Off,
                file: None,
                buffer: 8192,
            },
            admin: AdminSettings::default(),
            agent: AgentSettings::default(),
            user: None,
            confine: true,
            reach: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_admin_endpoint_is_in_the_runtime_directory_or_on_the_loopback_address() {
        let of = |endpoint: &str, runtime| {
            let settings =
                AdminSettings { endpoint: Some(endpoint.to_owned()), ..AdminSettings::default() };
            settings.resolved(runtime).unwrap()
        };
        assert_eq!(of("auto", None), "tcp://127.0.0.1:9901");
        assert_eq!(of("auto", Some("")), "tcp://127.0.0.1:9901");
        assert_eq!(of("auto", Some("/run/a:/run/b")), "unix:/run/a/admin.sock");
        assert_eq!(of("unix:@b", Some("/run/a")), "unix:@b");
        assert_eq!(AdminSettings::default().resolved(Some("/run/a")), None);
    }
}
