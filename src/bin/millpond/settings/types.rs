//! [`Settings`]: what the daemon does, as plain values with defaults.

use std::path::PathBuf;

use log::LevelFilter;
use millpond::Config;

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
    pub(crate) log: LogSettings,
    pub(crate) access_log: AccessLogSettings,
    /// The user that the process becomes once every endpoint is bound.
    pub(crate) user: Option<String>,
    /// Whether the process is confined to the files that it serves.
    pub(crate) confine: bool,
    /// Further paths that a confined process can read, so that a reload can move a root there.
    pub(crate) reach: Vec<String>,
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
            log: LogSettings { level: LevelFilter::Info, color: Color::Auto },
            access_log: AccessLogSettings {
                format: AccessLogFormat::Off,
                file: None,
                buffer: 8192,
            },
            user: None,
            confine: true,
            reach: Vec::new(),
        }
    }
}
