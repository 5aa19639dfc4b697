//! [`Plan`]: the part of a service that an endpoint uses, determined before any socket is bound.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

#[cfg(feature = "tls")]
use super::bind::BindTls;
use super::bind::{Bind, BindTarget};
use super::bind_options::BindOptions;
use super::service::{ConnectionService, Service};
use crate::config::Proxy;
use crate::error::{Error, ErrorKind};
use crate::net::{Addr, Datagram, Endpoint, Family, Host, Listener, Raw, Transport, UnixKind};
use crate::pool::DatagramHandler;
use crate::pool::datagram::socket::SocketKind;
#[cfg(feature = "tls")]
use crate::pool::source::tls_text;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// A parsed [`Bind`], with the part of the service that it uses.
pub(super) struct Plan {
    pub(super) target: ParsedTarget,
    pub(super) options: BindOptions,
    pub(super) part: ServicePart,
    /// The certificates of an endpoint with TLS.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

/// The target of a [`Bind`], with its endpoint parsed.
pub(super) enum ParsedTarget {
    Endpoint(Endpoint),
    Listener(Listener),
    Datagram(Datagram),
}

/// The part of a service that a target uses.
pub(super) enum ServicePart {
    Connections(ConnectionService),
    Datagrams(Arc<dyn DatagramHandler>),
}

/// The kind of a target's socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Streams,
    Packets,
    Datagrams,
}

impl Plan {
    pub(super) fn new(bind: Bind, main: Option<&Service>) -> Result<Self, Error> {
        let mut options = bind.options;
        let target = match bind.target {
            BindTarget::Endpoint(text) => {
                let (endpoint, of_text) = BindOptions::split(&text)?;
                options = options.and(of_text);
                ParsedTarget::Endpoint(endpoint.parse()?)
            }
            BindTarget::Listener(listener) => ParsedTarget::Listener(listener),
            BindTarget::Datagram(socket) => ParsedTarget::Datagram(socket),
        };
        let Some(service) = bind.service.as_ref().or(main) else {
            return Err(Error::new(ErrorKind::Config, format!("no service for {}", target.text()))
                .with_hint("set one with Builder::http or Builder::service"));
        };
        let kind = target.kind()?;
        if options.proxy_header && kind != PartKind::Streams {
            let message = format!("{} cannot require a PROXY header", target.text());
            return Err(Error::new(ErrorKind::Config, message)
                .with_hint("streams begin with one: proxy=require is for tcp: and unix:"));
        }
        let part = match kind {
            PartKind::Streams => {
                service.connection_service(false).cloned().map(ServicePart::Connections)
            }
            PartKind::Packets => {
                service.connection_service(true).cloned().map(ServicePart::Connections)
            }
            PartKind::Datagrams => service.datagram_handler().cloned().map(ServicePart::Datagrams),
        };
        let Some(part) = part else { return Err(missing_part(&target, kind, service)) };
        if let ServicePart::Connections(service) = &part {
            service.check()?;
        }
        Ok(Self {
            target,
            options,
            part,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Sets the certificates, if the endpoint has TLS. `main`: those of the server.
    #[cfg(feature = "tls")]
    pub(super) fn with_tls(mut self, tls: BindTls, main: Option<&Tls>) -> Result<Self, Error> {
        let text = || self.target.text();
        self.tls = match (tls, main) {
            (BindTls::Off, _) => return Ok(self),
            (BindTls::With(tls), _) => Some(tls),
            (BindTls::Default, Some(tls)) => Some(tls.clone()),
            (BindTls::Default, None) => {
                let message = format!("no certificate for {}", tls_text(&text()));
                return Err(Error::new(ErrorKind::Config, message)
                    .with_hint("set one with Builder::tls or Bind::tls"));
            }
        };
        if self.target.kind()? != PartKind::Streams {
            let message = format!("{} cannot have TLS", text());
            return Err(
                Error::new(ErrorKind::Config, message).with_hint("TLS goes over tcp: and unix:")
            );
        }
        Ok(self)
    }

    /// The transport and the port, if the target is this wildcard address.
    fn wildcard(&self, wildcard: IpAddr) -> Option<(Transport, u16)> {
        match self.target.endpoint()? {
            Endpoint::Inet { transport, host: Host::Ip(ip), port, .. } => {
                (*ip == wildcard && *port != 0).then_some((*transport, *port))
            }
            _ => None,
        }
    }
}

impl ParsedTarget {
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            _ => None,
        }
    }

    fn kind(&self) -> Result<PartKind, Error> {
        let endpoint = match self {
            Self::Listener(listener) if listener.is_packet() => return Ok(PartKind::Packets),
            Self::Listener(_) => return Ok(PartKind::Streams),
            Self::Datagram(_) => return Ok(PartKind::Datagrams),
            Self::Endpoint(endpoint) => endpoint,
        };
        let invalid = |what: &str, hint: &str| {
            Error::new(ErrorKind::Config, format!("{endpoint} {what}")).with_hint(hint)
        };
        match endpoint {
            Endpoint::Unix { kind: UnixKind::Packet, .. } => Ok(PartKind::Packets),
            Endpoint::Inet { transport: Transport::Tcp, .. }
            | Endpoint::Unix { kind: UnixKind::Stream, .. } => Ok(PartKind::Streams),
            Endpoint::Icmp { .. } => Err(invalid(
                "cannot be served: the kernel responds to echo requests itself",
                "to serve a custom IP protocol, bind an endpoint such as ip4:253:127.0.0.1",
            )),
            // Such a socket would receive its own responses, and respond to them.
            Endpoint::Raw { host: Host::Ip(ip), protocol } if ip.is_unspecified() => Err(invalid(
                "is every address of this machine, and a raw socket receives its own responses",
                &format!("name one address: ip4:{protocol}:127.0.0.1"),
            )),
            Endpoint::Fd(_) => Err(invalid(
                "is a descriptor: it cannot be opened by its number",
                "in a program, pass it with Bind::passed; `millpond serve` uses socket activation",
            )),
            _ => Ok(PartKind::Datagrams),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Endpoint(endpoint) => endpoint.to_string(),
            Self::Listener(listener) => listener.endpoint_text(),
            Self::Datagram(socket) => socket.endpoint_text(),
        }
    }

    /// Listens. A host name is bound at each of its addresses.
    pub(super) fn listen(self, backlog: u32) -> Result<Vec<Listener>, Error> {
        let listeners = match self {
            Self::Listener(listener) => return Ok(vec![listener]),
            Self::Endpoint(endpoint) => Listener::bind_all(&endpoint, backlog)?,
            Self::Datagram(_) => return Err(wrong_target()),
        };
        for listener in &listeners {
            if let Some((requested, granted)) = listener.backlog()
                && granted < requested
            {
                log::warn!(
                    "{listener}: the backlog is {granted} connections, not {requested}: \
                     net.core.somaxconn is {granted}"
                );
            }
        }
        Ok(listeners)
    }

    /// Opens the datagram sockets, with this receive buffer if one is set. A host name is bound at
    /// each of its addresses.
    pub(super) fn receive(self, buffer: Option<usize>) -> Result<Vec<SocketKind>, Error> {
        let sockets = match self {
            Self::Endpoint(endpoint @ Endpoint::Raw { .. }) => {
                return Raw::bind(&endpoint).map(|raw| vec![SocketKind::Raw(raw)]);
            }
            Self::Endpoint(endpoint) => Datagram::bind_all(&endpoint)?,
            Self::Datagram(socket) => vec![socket],
            Self::Listener(_) => return Err(wrong_target()),
        };
        for socket in &sockets {
            let Some(requested) = buffer else { break };
            match socket.set_receive_buffer(requested) {
                Ok(granted) if granted < requested => log::warn!(
                    "{socket}: the receive buffer is {granted} bytes, not {requested}: \
                     net.core.rmem_max is lower"
                ),
                Ok(_) => {}
                Err(error) => log::warn!("{socket}: cannot set the receive buffer: {error}"),
            }
        }
        Ok(sockets.into_iter().map(SocketKind::Datagram).collect())
    }
}

/// Restricts `[::]` to IPv6 if the server also binds `0.0.0.0` at the same port: together they
/// cover every address once.
pub(super) fn share_versions(plans: &mut [Plan]) {
    let any_ipv4: Vec<_> =
        plans.iter().filter_map(|plan| plan.wildcard(Ipv4Addr::UNSPECIFIED.into())).collect();
    for plan in plans {
        let any_ipv6 = plan.wildcard(Ipv6Addr::UNSPECIFIED.into());
        if any_ipv6.is_some_and(|any_ipv6| any_ipv4.contains(&any_ipv6))
            && let ParsedTarget::Endpoint(Endpoint::Inet { family: family @ Family::Any, .. }) =
                &mut plan.target
        {
            *family = Family::V6;
        }
    }
}

/// Finds an endpoint that requires a PROXY header although no peer may send one.
pub(super) fn check_proxies(plans: &[Plan], proxy: &Proxy) -> Result<(), Error> {
    let Some(plan) = plans.iter().find(|plan| plan.options.proxy_header) else { return Ok(()) };
    if !proxy.trusted.is_empty() {
        return Ok(());
    }
    let text = plan.target.text();
    let message = format!("{text} requires a PROXY header, but no proxy is trusted");
    Err(Error::new(ErrorKind::Config, message).with_hint(
        "name the proxies that connect to it: proxy.trusted (--trusted-proxy 10.0.0.0/8, or unix)",
    ))
}

/// Finds two endpoints of a server that cannot both be bound.
pub(super) fn check_apart(plans: &[Plan]) -> Result<(), Error> {
    let endpoints: Vec<_> = plans.iter().filter_map(|plan| plan.target.endpoint()).collect();
    for (index, second) in endpoints.iter().enumerate() {
        if let Some(first) = endpoints[..index].iter().find(|first| first.collides(second)) {
            return Err(collision(second, &first.to_string()));
        }
    }
    Ok(())
}

/// The error for an endpoint that another endpoint of the same server already uses.
fn collision(second: &Endpoint, first: &str) -> Error {
    let second = second.to_string();
    let message = match second == first {
        true => format!("{second} is bound twice by this server"),
        false => {
            format!("{second} and {first} are both bound by this server, and share an address")
        }
    };
    Error::new(ErrorKind::Config, message).with_hint("remove one of them, or change its port")
}

/// Explains why an endpoint with a host name could not be bound, if another endpoint of the same
/// server uses one of its addresses: these are known only after the name is resolved. `bound` are
/// the endpoints that the server has bound before.
pub(super) fn explain_collision(
    error: Error,
    endpoint: Option<Endpoint>,
    bound: &[(Option<Addr>, String)],
) -> Error {
    let taken = error.io().is_some_and(|reason| reason.kind() == io::ErrorKind::AddrInUse);
    let Some(endpoint @ Endpoint::Inet { .. }) = endpoint.filter(|_| taken) else { return error };
    let addrs = endpoint.resolve().unwrap_or_default();
    let endpoint_of = |addr: &Addr| match (&endpoint, addr.as_socket()) {
        (Endpoint::Inet { transport, family, .. }, Some(ip)) => Some(Endpoint::Inet {
            transport: *transport,
            family: *family,
            host: Host::Ip(ip.ip()),
            port: ip.port(),
        }),
        _ => None,
    };
    let wanted: Vec<_> = addrs.iter().filter_map(endpoint_of).collect();
    let own = bound.iter().map(|(_, text)| text).find(|text| {
        let first = text.replacen("tls://", "tcp://", 1).parse::<Endpoint>();
        first.is_ok_and(|first| wanted.iter().any(|second| first.collides(second)))
    });
    own.map_or(error, |own| collision(&endpoint, own))
}

/// The number of a protocol or a socket in the queue's entries.
pub(super) fn service_number(index: usize) -> Result<u16, Error> {
    u16::try_from(index).map_err(|_| {
        Error::new(ErrorKind::Config, "too many services: expected at most 65,536")
            .with_hint("let several endpoints share one")
    })
}

fn missing_part(target: &ParsedTarget, kind: PartKind, service: &Service) -> Error {
    let (socket_kind, hint) = match kind {
        PartKind::Streams => {
            ("streams", "use Service::http or Service::echo, or another kind of endpoint")
        }
        PartKind::Packets => (
            "sequenced packets",
            "HTTP goes over tcp: and unix:; `serve --echo` and Service::packets serve unixpacket:",
        ),
        PartKind::Datagrams => (
            "datagrams",
            "HTTP goes over tcp: and unix:; `serve --echo` and Service::datagrams serve udp: and \
             unixgram:",
        ),
    };
    let target = target.text();
    let serves = match service.describe() {
        parts if parts.is_empty() => "nothing".to_owned(),
        parts => parts,
    };
    Error::new(
        ErrorKind::Config,
        format!("{target} is for {socket_kind}, but its service serves {serves}"),
    )
    .with_hint(hint)
}

/// Not reachable: [`Plan::new`] chooses the part by the kind of the target.
fn wrong_target() -> Error {
    Error::new(ErrorKind::Config, "the endpoint and its service need different kinds of sockets")
}
