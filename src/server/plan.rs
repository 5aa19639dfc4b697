//! [`Plan`]: which part of a service goes with an endpoint, decided before anything is bound.

use std::sync::Arc;

use super::builder::{Bind, Place};
use super::service::{Service, Spoken};
use crate::error::{Error, ErrorKind};
use crate::net::{Datagram, Endpoint, Host, Listener, Raw, Transport, UnixKind};
use crate::pool::DatagramHandler;
use crate::pool::datagrams::Socket;

/// A bind, understood: a place, and what is spoken there.
pub(super) struct Plan {
    pub(super) place: Known,
    pub(super) urgent: bool,
    pub(super) part: Part,
}

/// A place whose text is understood.
pub(super) enum Known {
    Endpoint(Endpoint),
    Listener(Listener),
    Datagram(Datagram),
}

/// The part of a service that a place takes.
pub(super) enum Part {
    Connections(Spoken),
    Datagrams(Arc<dyn DatagramHandler>),
}

/// What kind of socket a place is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Streams,
    Packets,
    Datagrams,
}

impl Plan {
    pub(super) fn new(bind: Bind, main: &Service) -> Result<Self, Error> {
        let place = match bind.place {
            Place::Endpoint(text) => Known::Endpoint(text.parse()?),
            Place::Listener(listener) => Known::Listener(listener),
            Place::Datagram(socket) => Known::Datagram(socket),
        };
        let service = bind.service.as_ref().unwrap_or(main);
        let sort = place.sort()?;
        let part = match sort {
            Sort::Streams => service.spoken(false).cloned().map(Part::Connections),
            Sort::Packets => service.spoken(true).cloned().map(Part::Connections),
            Sort::Datagrams => service.datagram_handler().cloned().map(Part::Datagrams),
        };
        let Some(part) = part else { return Err(unserved(&place, sort, service)) };
        if let Part::Connections(spoken) = &part {
            spoken.check()?;
        }
        Ok(Self { place, urgent: bind.urgent, part })
    }
}

impl Known {
    fn sort(&self) -> Result<Sort, Error> {
        let endpoint = match self {
            Self::Listener(listener) if listener.is_packet() => return Ok(Sort::Packets),
            Self::Listener(_) => return Ok(Sort::Streams),
            Self::Datagram(_) => return Ok(Sort::Datagrams),
            Self::Endpoint(endpoint) => endpoint,
        };
        let unfit = |what: &str, hint: &str| {
            Error::new(ErrorKind::Config, format!("{endpoint} {what}")).with_hint(hint)
        };
        match endpoint {
            Endpoint::Unix { kind: UnixKind::Packet, .. } => Ok(Sort::Packets),
            Endpoint::Inet { transport: Transport::Tcp, .. }
            | Endpoint::Unix { kind: UnixKind::Stream, .. } => Ok(Sort::Streams),
            Endpoint::Icmp { .. } => Err(unfit(
                "is no place to listen: the kernel answers echo requests itself",
                "an IP protocol of one's own is served at ip4:253:127.0.0.1",
            )),
            // Such a socket would hear its own answers and answer them.
            Endpoint::Raw { host: Host::Ip(ip), protocol } if ip.is_unspecified() => Err(unfit(
                "is every address of this machine, and a raw socket hears its own answers",
                &format!("name one address: ip4:{protocol}:127.0.0.1"),
            )),
            Endpoint::Fd(_) => Err(unfit(
                "is a descriptor, which has to be passed as such",
                "a program passes it with Bind::passed, `millpond serve` takes it by socket activation",
            )),
            _ => Ok(Sort::Datagrams),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Endpoint(endpoint) => endpoint.to_string(),
            Self::Listener(listener) => listener.endpoint_text(),
            Self::Datagram(socket) => socket.endpoint_text(),
        }
    }

    pub(super) fn listen(self, backlog: u32) -> Result<Listener, Error> {
        let listener = match self {
            Self::Listener(listener) => return Ok(listener),
            Self::Endpoint(endpoint) => Listener::bind(&endpoint, backlog)?,
            Self::Datagram(_) => return Err(confused()),
        };
        if let Some((asked, granted)) = listener.backlog()
            && granted < asked
        {
            log::warn!(
                "{listener}: the kernel holds {granted} waiting connections, not {asked}: \
                 net.core.somaxconn is {granted}"
            );
        }
        Ok(listener)
    }

    pub(super) fn receive(self, buffer: Option<usize>) -> Result<Socket, Error> {
        let socket = match self {
            Self::Endpoint(endpoint @ Endpoint::Raw { .. }) => {
                return Raw::bind(&endpoint).map(Socket::Raw);
            }
            Self::Endpoint(endpoint) => Datagram::bind(&endpoint)?,
            Self::Datagram(socket) => socket,
            Self::Listener(_) => return Err(confused()),
        };
        if let Some(asked) = buffer {
            match socket.set_receive_buffer(asked) {
                Ok(granted) if granted < asked => log::warn!(
                    "{socket}: the kernel holds {granted} bytes of datagrams, not {asked}: \
                     net.core.rmem_max is lower"
                ),
                Ok(_) => {}
                Err(error) => log::warn!("{socket}: cannot set the receive buffer: {error}"),
            }
        }
        Ok(Socket::Datagram(socket))
    }
}

/// The number of a protocol or an inlet, as work carries it.
pub(super) fn number(index: usize) -> Result<u16, Error> {
    u16::try_from(index).map_err(|_| {
        Error::new(ErrorKind::Config, "a server has at most 65,536 services")
            .with_hint("let several endpoints share one")
    })
}

fn unserved(place: &Known, sort: Sort, service: &Service) -> Error {
    let (takes, hint) = match sort {
        Sort::Streams => {
            ("streams", "give it Service::http or Service::protocol, or bind another kind")
        }
        Sort::Packets => (
            "sequenced packets",
            "HTTP goes over tcp: and unix:; `serve --echo` and Service::packets serve unixpacket:",
        ),
        Sort::Datagrams => (
            "datagrams",
            "HTTP goes over tcp: and unix:; `serve --echo` and Service::datagrams serve udp: and \
             unixgram:",
        ),
    };
    let place = place.text();
    let serves = match service.describe() {
        none if none.is_empty() => "nothing".to_owned(),
        some => some,
    };
    Error::new(ErrorKind::Config, format!("{place} takes {takes}, but its service serves {serves}"))
        .with_hint(hint)
}

/// The plan goes by the kind of the place, so that this does not happen.
fn confused() -> Error {
    Error::new(ErrorKind::Config, "a socket of another kind was planned for")
}
