//! [`Addr`]: the address of a socket.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

/// The address of a socket or its peer: the result of getsockname(2), getpeername(2) and accept(2),
/// and the argument of bind(2), connect(2) and sendto(2).
///
/// # Examples
/// ```
/// use millpond::net::Addr;
///
/// let addr = Addr::Ip("[::1]:8888".parse().unwrap());
/// assert_eq!(addr.to_string(), "[::1]:8888");
/// assert_eq!(Addr::Path("/run/x.sock".into()).to_string(), "unix:/run/x.sock");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and port. Raw sockets have no ports: it is 0.
    Ip(SocketAddr),
    /// A Unix socket bound to a path.
    Path(PathBuf),
    /// A Unix socket bound to a name in Linux's abstract namespace. The leading NUL is omitted.
    Abstract(Vec<u8>),
    /// A Unix socket that is not bound, as with most clients, or a socket of another family.
    Unnamed,
}

impl Addr {
    /// The IP address and port of [`Addr::Ip`].
    #[must_use]
    pub fn as_socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            _ => None,
        }
    }

    /// The path of [`Addr::Path`].
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Converts an IPv4-mapped address, `::ffff:192.0.2.1`, to IPv4: a socket for both versions of
    /// IP reports its IPv4 clients in that form. Other addresses stay as they are.
    pub(crate) fn canonical(self) -> Self {
        match self {
            // Any other IPv6 address keeps its zone.
            Self::Ip(SocketAddr::V6(addr)) => match addr.ip().to_ipv4_mapped() {
                Some(ip) => Self::Ip((ip, addr.port()).into()),
                None => Self::Ip(addr.into()),
            },
            other => other,
        }
    }

    pub(crate) fn family(&self) -> AddressFamily {
        match self {
            Self::Ip(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Ip(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Path(_) | Self::Abstract(_) | Self::Unnamed => AddressFamily::UNIX,
        }
    }

    /// The argument for system calls. A path must leave room for a NUL in `sun_path`: without one,
    /// other programs may read past its end.
    pub(crate) fn to_any(&self) -> io::Result<SocketAddrAny> {
        Ok(match self {
            Self::Ip(addr) => (*addr).into(),
            Self::Path(path) if path.as_os_str().len() > UNIX_PATH_MAX => {
                return Err(Errno::NAMETOOLONG.into());
            }
            Self::Path(path) => SocketAddrUnix::new(path.as_path())?.into(),
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?.into(),
            Self::Unnamed => SocketAddrUnix::new_unnamed().into(),
        })
    }
}

/// The longest path of a Unix socket in bytes: `sun_path` has room for 108 with the NUL (unix(7)).
/// An abstract name has the same limit, without its leading NUL.
pub(super) const UNIX_PATH_MAX: usize = 107;

/// Writes a path with control characters escaped: any local user may choose the name, and could
/// otherwise forge a line of a log or move a terminal's cursor. Quotes and backslashes stay, so
/// that most paths read as they are.
fn write_escaped(path: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in path.to_string_lossy().chars() {
        match c {
            '\'' | '"' | '\\' => write!(f, "{c}")?,
            c => write!(f, "{}", c.escape_debug())?,
        }
    }
    Ok(())
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

impl From<SocketAddrAny> for Addr {
    fn from(any: SocketAddrAny) -> Self {
        if let Ok(addr) = SocketAddr::try_from(any.clone()) {
            return Self::Ip(addr);
        }
        match SocketAddrUnix::try_from(any) {
            Ok(unix) => match (unix.path_bytes(), unix.abstract_name()) {
                (Some(path), _) => Self::Path(OsStr::from_bytes(path).into()),
                // accept(2) reports an unnamed peer as an empty abstract name.
                (_, Some(name)) if !name.is_empty() => Self::Abstract(name.to_vec()),
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
            Self::Path(path) => {
                f.write_str("unix:")?;
                write_escaped(path, f)
            }
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_unix_peer_cannot_forge_a_line_of_the_log() {
        let shown = |path: &str| Addr::Path(path.into()).to_string();
        assert_eq!(
            shown("/tmp/a\n[WARN] b\u{1b}[2J\u{202e}"),
            r"unix:/tmp/a\n[WARN] b\u{1b}[2J\u{202e}"
        );
        assert_eq!(shown(r#"/tmp/it's "a\b" mühle"#), r#"unix:/tmp/it's "a\b" mühle"#);
        assert_eq!(Addr::Abstract(b"a\nb".to_vec()).to_string(), r"unix:@a\nb");
    }

    #[test]
    fn a_mapped_address_becomes_ipv4_and_others_stay() {
        let canonical = |text: &str| Addr::Ip(text.parse().unwrap()).canonical().to_string();
        assert_eq!(canonical("[::ffff:192.0.2.1]:80"), "192.0.2.1:80");
        for same in ["192.0.2.1:80", "[::1]:80", "[::c000:201]:80"] {
            assert_eq!(canonical(same), same);
        }
        let zoned = "[fe80::1%3]:80";
        assert_eq!(canonical(zoned), zoned);
    }
}
