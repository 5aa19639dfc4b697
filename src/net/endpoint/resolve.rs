//! Resolution: from an endpoint to addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::error::{Error, ErrorKind};
use crate::net::Addr;
use crate::net::endpoint::types::{Endpoint, Family, Host};

impl Endpoint {
    /// Resolves the endpoint to its addresses, in the order in which to try them. Host names are
    /// looked up with getaddrinfo(3); paths and addresses need no look-up. `[::]` becomes 0.0.0.0
    /// on a machine without IPv6.
    ///
    /// # Errors
    /// [`ErrorKind::Endpoint`] if the host or the zone is unknown, if the host has no address of
    /// the required version of IP, and for `fd:`, which has no address.
    pub fn resolve(&self) -> Result<Vec<Addr>, Error> {
        match self {
            Self::Inet { family, host, port, .. } => lookup(self, *family, host, *port),
            Self::Icmp { family, host } => lookup(self, *family, host, 0),
            Self::Raw { host, .. } => lookup(self, Family::V4, host, 0),
            Self::Unix { name, .. } => Ok(vec![name.clone().into()]),
            Self::Fd(_) => Err(Error::new(ErrorKind::Endpoint, format!("{self} has no address"))
                .with_hint("the program that starts this one passes the descriptor")),
        }
    }
}

fn lookup(endpoint: &Endpoint, family: Family, host: &Host, port: u16) -> Result<Vec<Addr>, Error> {
    let unknown = |what: String| Error::new(ErrorKind::Lookup, what);
    let addrs: Vec<SocketAddr> = match host {
        Host::Ip(IpAddr::V6(ip)) if ip.is_unspecified() && family == Family::Any && !has_ipv6() => {
            vec![(Ipv4Addr::UNSPECIFIED, port).into()]
        }
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Zoned(ip, zone) => {
            let index = interface(zone).map_err(|error| {
                unknown(format!("invalid zone {zone:?} in {endpoint}"))
                    .with_source(error)
                    .with_hint("expected a network interface; `ls /sys/class/net` lists them")
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
            .with_hint("allow both versions of IP, or choose the other one"));
    }
    Ok(found)
}

/// Whether the kernel supports IPv6 and can bind an IPv6 address.
fn has_ipv6() -> bool {
    let probe = || {
        let fd = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&fd, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
    };
    probe().is_ok()
}

/// The index of a network interface, from its name or number.
fn interface(zone: &str) -> io::Result<u32> {
    if let Ok(index) = zone.parse() {
        return Ok(index);
    }
    let fd = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(netdevice::name_to_index(&fd, zone)?)
}
