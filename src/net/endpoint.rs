//! [`Endpoint`]: where to listen or connect, as text.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// Where to listen or connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `tcp:HOST:PORT`.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `unix:@NAME`.
    UnixAbstract(Vec<u8>),
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return Ok(match rest.strip_prefix('@') {
                Some(name) => Self::UnixAbstract(name.as_bytes().to_vec()),
                None => Self::Unix(rest.into()),
            });
        }
        let rest = text.strip_prefix("tcp:").unwrap_or(text);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        rest.parse().map(Self::Tcp).map_err(|_| {
            Error::new(ErrorKind::Endpoint, format!("{text:?} is no endpoint"))
                .with_hint("such as tcp://[::]:8888 or unix:/run/millpond.sock")
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "tcp://{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::UnixAbstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
        }
    }
}
