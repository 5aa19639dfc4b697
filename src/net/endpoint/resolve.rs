//! From an endpoint to addresses, and the trying of each in turn.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::error::{Error, ErrorKind, reason};
use crate::net::endpoint::unfit;
use crate::net::{Addr, Endpoint, Family, Host};

pub(in crate::net) fn resolve(endpoint: &Endpoint) -> Result<Vec<Addr>, Error> {
    match endpoint {
        Endpoint::Inet { family, host, port, .. } => lookup(endpoint, *family, host, *port),
        Endpoint::Icmp { family, host } => lookup(endpoint, *family, host, 0),
        Endpoint::Raw { host, .. } => lookup(endpoint, Family::V4, host, 0),
        Endpoint::Unix { name, .. } => Ok(vec![name.clone().into()]),
        Endpoint::Fd(_) => Err(unfit(
            endpoint,
            "a descriptor, not an address",
            "descriptors are passed in by the program that starts this one",
        )),
    }
}

fn lookup(endpoint: &Endpoint, family: Family, host: &Host, port: u16) -> Result<Vec<Addr>, Error> {
    let unknown = |what: String| Error::new(ErrorKind::Endpoint, what);
    let addrs: Vec<SocketAddr> = match host {
        Host::Ip(IpAddr::V6(ip)) if ip.is_unspecified() && family == Family::Any && !has_ipv6() => {
            vec![(Ipv4Addr::UNSPECIFIED, port).into()]
        }
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Zoned(ip, zone) => {
            let index = interface(zone).map_err(|error| {
                unknown(format!("{endpoint}: there is no network interface {zone:?}"))
                    .with_source(error)
                    .with_hint("`ls /sys/class/net` lists them")
            })?;
            vec![SocketAddrV6::new(*ip, port, 0, index).into()]
        }
        Host::Name(name) => (name.as_str(), port)
            .to_socket_addrs()
            .map_err(|error| {
                let text = error.to_string();
                let text = text.rsplit(": ").next().unwrap_or(&text);
                unknown(format!("cannot look up the host {name:?}: {text}"))
                    .with_hint("check the spelling, /etc/hosts and the name server")
            })?
            .collect(),
    };
    let mut found: Vec<Addr> = Vec::with_capacity(addrs.len());
    for addr in addrs {
        let fits = match family {
            Family::Any => true,
            Family::V4 => addr.is_ipv4(),
            Family::V6 => addr.is_ipv6(),
        };
        if fits && !found.contains(&Addr::Ip(addr)) {
            found.push(Addr::Ip(addr));
        }
    }
    if found.is_empty() {
        let version = if family == Family::V4 { "IPv4" } else { "IPv6" };
        return Err(unknown(format!("the host of {endpoint} has no {version} address"))
            .with_hint("leave the version of IP open, or choose the other one"));
    }
    Ok(found)
}

/// Whether the kernel makes IPv6 sockets and has an address for them.
fn has_ipv6() -> bool {
    let probe = || {
        let fd = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&fd, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
    };
    probe().is_ok()
}

fn interface(zone: &str) -> io::Result<u32> {
    if let Ok(index) = zone.parse() {
        return Ok(index);
    }
    let fd = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(netdevice::name_to_index(&fd, zone)?)
}

/// Why one address would not do: the system's reason, and what is known beyond it.
#[derive(Debug)]
pub(in crate::net) struct Refusal {
    pub(in crate::net) reason: io::Error,
    pub(in crate::net) hint: Option<String>,
}

impl<E: Into<io::Error>> From<E> for Refusal {
    fn from(reason: E) -> Self {
        Self { reason: reason.into(), hint: None }
    }
}

/// Tries the addresses of an endpoint in their order and takes the first that works. The error
/// names the endpoint and, if it has several addresses or a host name, each address with its
/// reason. The attempt is told how many addresses are left to try, its own among them.
pub(in crate::net) fn try_each<T>(
    endpoint: &Endpoint,
    verb: &str,
    mut attempt: impl FnMut(&Addr, u32) -> Result<T, Refusal>,
) -> Result<T, Error> {
    let addrs = endpoint.resolve()?;
    let mut refusals = Vec::new();
    for (untried, addr) in (1..=addrs.len() as u32).rev().zip(&addrs) {
        match attempt(addr, untried) {
            Ok(made) => return Ok(made),
            Err(refusal) => refusals.push((addr.clone(), refusal)),
        }
    }
    Err(refused(endpoint, verb, refusals))
}

/// How often a port that the kernel chose for one address is tried at the others.
const PORTS: usize = 16;

/// Binds every address of a host name that this machine has, all to one port; of any other endpoint
/// its one address. `local` tells what something is bound to.
pub(in crate::net) fn bind_each<T>(
    endpoint: &Endpoint,
    mut attempt: impl FnMut(&Addr) -> Result<T, Refusal>,
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
        // Both loopback addresses, whatever /etc/hosts has (RFC 6761 section 6.3).
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for ip in loopback {
            let addr = Addr::Ip((ip, *port).into());
            let other = if ip.is_ipv4() { Family::V6 } else { Family::V4 };
            if *family != other && !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
    for _ in 0..PORTS {
        let (mut bound, mut refusals) = (Vec::new(), Vec::new());
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
                Err(refusal) => refusals.push((addr, refusal)),
            }
        }
        // An address of the name that is another machine's, or of a version of IP that this one has
        // not.
        let (absent, wrong): (Vec<_>, Vec<_>) =
            refusals.into_iter().partition(|(_, refusal)| is_absent(&refusal.reason));
        if wrong.is_empty() && !bound.is_empty() {
            return Ok(bound);
        }
        let taken =
            |(_, refusal): &(Addr, Refusal)| refusal.reason.kind() == io::ErrorKind::AddrInUse;
        if *port == 0 && !bound.is_empty() && wrong.iter().all(taken) {
            continue;
        }
        return Err(refused(endpoint, "bind", if wrong.is_empty() { absent } else { wrong }));
    }
    Err(Error::new(
        ErrorKind::Bind,
        format!("cannot bind {endpoint}: no port is free at all addresses"),
    )
    .with_hint("name one address, or a port"))
}

fn is_absent(reason: &io::Error) -> bool {
    let unsupported = reason.raw_os_error() == Some(97);
    unsupported || reason.kind() == io::ErrorKind::AddrNotAvailable
}

/// The error that names each address with its reason; its source is the last reason.
fn refused(endpoint: &Endpoint, verb: &str, refusals: Vec<(Addr, Refusal)>) -> Error {
    let mut message = format!("cannot {verb} {endpoint}");
    let kind = if verb == "bind" { ErrorKind::Bind } else { ErrorKind::Connect };
    let named = refusals.len() > 1
        || matches!(
            endpoint,
            Endpoint::Inet { host: Host::Name(_), .. } | Endpoint::Icmp { host: Host::Name(_), .. }
        );
    let mut last: Option<Refusal> = None;
    for (addr, refusal) in refusals {
        if let Some(before) = last.take() {
            message.push_str(&format!(": {};", reason(&before.reason)));
        }
        if named {
            let at = match addr {
                // Raw packets know no ports.
                Addr::Ip(ip) if !matches!(endpoint, Endpoint::Inet { .. }) => ip.ip().to_string(),
                _ => addr.to_string(),
            };
            message.push_str(&format!(" at {at}"));
        }
        last = Some(Refusal {
            hint: refusal.hint.or_else(|| hint(kind, &addr, &refusal.reason)),
            reason: refusal.reason,
        });
    }
    let Some(Refusal { reason, hint }) = last else {
        return Error::new(kind, message).with_hint("the host has no address");
    };
    let error = Error::new(kind, message).with_source(reason);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// What to do about a reason, where that is known.
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
            "no interface of this machine has that address; [::] stands for all of them".to_owned()
        }
        (Io::NotFound, Addr::Path(_)) if binding => {
            format!("the directory {} does not exist; make it first", parent?)
        }
        (Io::NotFound, Addr::Path(_)) => "there is no such file; is the server running?".to_owned(),
        (Io::ConnectionRefused, _) => "nothing listens there".to_owned(),
        (Io::TimedOut, _) => {
            "nothing answered in time; a firewall may be in the way, or the server is too busy"
                .to_owned()
        }
        (Io::InvalidInput, Addr::Ip(SocketAddr::V6(ip)))
            if ip.ip().is_unicast_link_local() && ip.scope_id() == 0 =>
        {
            format!("a link-local address needs its zone, an interface: [{}%eth0]", ip.ip())
        }
        (_, Addr::Ip(ip)) if error.raw_os_error() == Some(97) && ip.is_ipv6() => {
            "this machine has no IPv6; use tcp4: or an IPv4 address".to_owned()
        }
        _ => return None,
    })
}
