//! [`Addr`]: the name of one end of a socket.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// The name of one end of a socket, as getsockname(2), getpeername(2) and accept(2) give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addr {
    /// An Internet address and port.
    Ip(SocketAddr),
    /// A Unix socket bound to a path.
    Path(PathBuf),
    /// A Unix socket bound to a name in Linux's abstract namespace, without its leading NUL.
    Abstract(Vec<u8>),
    /// A Unix socket that was not bound, as most clients are, or a family with no name of its own.
    Unnamed,
}

impl Addr {
    /// The Internet address, if it is one.
    #[must_use]
    pub fn as_socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            _ => None,
        }
    }
}

impl From<SocketAddrAny> for Addr {
    fn from(any: SocketAddrAny) -> Self {
        if let Ok(addr) = SocketAddr::try_from(any.clone()) {
            return Self::Ip(addr);
        }
        match SocketAddrUnix::try_from(any) {
            Ok(unix) => match (unix.path_bytes(), unix.abstract_name()) {
                (Some(path), _) => Self::Path(std::ffi::OsStr::from_bytes(path).into()),
                (_, Some(name)) => Self::Abstract(name.to_vec()),
                _ => Self::Unnamed,
            },
            Err(_) => Self::Unnamed,
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("unix:"),
        }
    }
}
