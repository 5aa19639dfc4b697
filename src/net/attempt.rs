//! Tries the addresses of an endpoint one after the other. The error names each of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, reason};
use crate::net::{Addr, Endpoint, Family, Host};

/// Why the attempt at one address failed: the system's reason, and a hint where there is a better
/// one than [`hint`] finds.
#[derive(Debug)]
pub(super) struct AttemptError {
    pub(super) reason: io::Error,
    pub(super) hint: Option<String>,
}

impl<E: Into<io::Error>> From<E> for AttemptError {
    fn from(reason: E) -> Self {
        Self { reason: reason.into(), hint: None }
    }
}

/// Tries the addresses of an endpoint in order until an attempt succeeds. The error names the
/// endpoint and, if it has several addresses or a host name, each address with its reason. The
/// second argument of `attempt` is the number of untried addresses, including this one.
pub(super) fn try_each<T>(
    endpoint: &Endpoint,
    verb: &str,
    mut attempt: impl FnMut(&Addr, u32) -> Result<T, AttemptError>,
) -> Result<T, Error> {
    let addrs = endpoint.resolve()?;
    let mut failures = Vec::new();
    for (untried, addr) in (1..=addrs.len() as u32).rev().zip(&addrs) {
        match attempt(addr, untried) {
            Ok(made) => return Ok(made),
            Err(failure) => failures.push((addr.clone(), failure)),
        }
    }
    Err(failed(endpoint, verb, failures))
}

/// With port 0: how many ports that the kernel chose at one address are tried at the others.
const PORT_ATTEMPTS: usize = 16;

/// Binds every address of a host name that this machine has, all to the same port; for any other
/// endpoint its one address. `local` returns the address that was bound.
pub(super) fn bind_each<T>(
    endpoint: &Endpoint,
    mut attempt: impl FnMut(&Addr) -> Result<T, AttemptError>,
    local: impl Fn(&T) -> Option<Addr>,
) -> Result<Vec<T>, Error> {
    let Endpoint::Inet { host: Host::Name(name), port, family, .. } = endpoint else {
        return try_each(endpoint, "bind", |addr, _| attempt(addr)).map(|one| vec![one]);
    };
    let local_host = name.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    let mut addrs = match endpoint.resolve() {
        Err(_) if local_host => Vec::new(),
        resolved => resolved?,
    };
    if local_host {
        // Both loopback addresses, even if /etc/hosts lacks one (RFC 6761 §6.3).
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for ip in loopback {
            let addr = Addr::Ip((ip, *port).into());
            let other = if ip.is_ipv4() { Family::V6 } else { Family::V4 };
            if *family != other && !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
    for _ in 0..PORT_ATTEMPTS {
        let (mut bound, mut failures) = (Vec::new(), Vec::new());
        let mut chosen = None;
        for addr in &addrs {
            let mut addr = addr.clone();
            if let (Addr::Ip(ip), Some(chosen)) = (&mut addr, chosen) {
                ip.set_port(chosen);
            }
            match attempt(&addr) {
                Ok(made) => {
                    chosen = chosen.or_else(|| Some(local(&made)?.as_socket()?.port()));
                    bound.push(made);
                }
                Err(failure) => failures.push((addr, failure)),
            }
        }
        // Addresses of other machines, and of a version of IP that this one does not support.
        let (absent, fatal): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|(_, failure)| is_absent(&failure.reason));
        if fatal.is_empty() && !bound.is_empty() {
            return Ok(bound);
        }
        let taken =
            |(_, failure): &(Addr, AttemptError)| failure.reason.kind() == io::ErrorKind::AddrInUse;
        if *port == 0 && !bound.is_empty() && fatal.iter().all(taken) {
            continue;
        }
        return Err(failed(endpoint, "bind", if fatal.is_empty() { absent } else { fatal }));
    }
    Err(Error::new(
        ErrorKind::Bind,
        format!("cannot bind {endpoint}: no port is free at every address"),
    )
    .with_hint("choose a port, or bind a single address"))
}

/// Whether this machine does not have the address.
fn is_absent(reason: &io::Error) -> bool {
    is_unsupported(reason) || reason.kind() == io::ErrorKind::AddrNotAvailable
}

/// Whether the kernel does not support the version of IP.
fn is_unsupported(reason: &io::Error) -> bool {
    reason.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

/// An error that names each address with its reason. Its source is the last reason.
fn failed(endpoint: &Endpoint, verb: &str, failures: Vec<(Addr, AttemptError)>) -> Error {
    let mut message = format!("cannot {verb} {endpoint}");
    let kind = if verb == "bind" { ErrorKind::Bind } else { ErrorKind::Connect };
    let named = failures.len() > 1
        || matches!(
            endpoint,
            Endpoint::Inet { host: Host::Name(_), .. } | Endpoint::Icmp { host: Host::Name(_), .. }
        );
    let mut last: Option<AttemptError> = None;
    for (addr, failure) in failures {
        if let Some(before) = last.take() {
            message.push_str(&format!(": {};", reason(&before.reason)));
        }
        if named {
            let at = match addr {
                // Raw packets have no ports.
                Addr::Ip(ip) if !matches!(endpoint, Endpoint::Inet { .. }) => ip.ip().to_string(),
                _ => addr.to_string(),
            };
            message.push_str(&format!(" at {at}"));
        }
        last = Some(AttemptError {
            hint: failure.hint.or_else(|| hint(kind, &addr, &failure.reason)),
            reason: failure.reason,
        });
    }
    let Some(AttemptError { reason, hint }) = last else {
        return Error::new(kind, message).with_hint("the host has no address");
    };
    let error = Error::new(kind, message).with_source(reason);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The cause of an error, or what to do about it, if the error's own text does not make that clear.
fn hint(kind: ErrorKind, addr: &Addr, error: &io::Error) -> Option<String> {
    use io::ErrorKind as Io;
    let binding = kind == ErrorKind::Bind;
    let parent = addr.as_path().and_then(Path::parent).map(|dir| match dir.as_os_str().len() {
        0 => ".".to_owned(),
        _ => dir.display().to_string(),
    });
    Some(match (error.kind(), addr) {
        (Io::AddrInUse, _) => {
            "another program listens there; choose another port or stop it".to_owned()
        }
        (Io::PermissionDenied, Addr::Ip(ip)) if binding && (1..1024).contains(&ip.port()) => {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose one above, or use socket activation"
                .to_owned()
        }
        (Io::PermissionDenied, Addr::Path(_)) if binding => {
            format!("this user must be allowed to write to {}", parent?)
        }
        (Io::PermissionDenied, Addr::Path(_)) => {
            "connecting needs write permission on the socket's file".to_owned()
        }
        (Io::AddrNotAvailable, Addr::Ip(_)) if binding => {
            "no interface of this machine has that address; [::] binds all of them".to_owned()
        }
        (Io::NotFound, Addr::Path(_)) if binding => {
            format!("the directory {} does not exist; create it first", parent?)
        }
        (Io::NotFound, Addr::Path(_)) => {
            "the file does not exist; is the server running?".to_owned()
        }
        (Io::ConnectionRefused, _) => "no program listens there".to_owned(),
        (Io::TimedOut, _) => {
            "no response before the timeout; a firewall may block it, or the server is too busy"
                .to_owned()
        }
        (Io::InvalidInput, Addr::Ip(SocketAddr::V6(ip)))
            if ip.ip().is_unicast_link_local() && ip.scope_id() == 0 =>
        {
            format!("a link-local address needs its zone, an interface: [{}%eth0]", ip.ip())
        }
        (_, Addr::Ip(ip)) if is_unsupported(error) && ip.is_ipv6() => {
            "this machine has no IPv6; use tcp4: or an IPv4 address".to_owned()
        }
        _ => return None,
    })
}
