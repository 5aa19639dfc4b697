//! Endpoints of every kind go to text and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use millpond::net::{
    Datagram, Endpoint, Family, Host, Listener, Packet, Raw, Stream, Transport, UnixKind, UnixName,
};
use proptest::prelude::*;

fn host(family: Family) -> BoxedStrategy<Host> {
    let four = any::<Ipv4Addr>().prop_map(|ip| Host::Ip(ip.into()));
    let six = any::<Ipv6Addr>().prop_map(|ip| Host::Ip(ip.into()));
    let zoned = (any::<Ipv6Addr>(), "[a-z][a-z0-9.@-]{0,13}|[1-9][0-9]{0,3}")
        .prop_map(|(ip, zone)| Host::Zoned(ip, zone));
    let name = "[a-z][a-z0-9_-]{0,20}(\\.[a-z0-9-]{1,20}){0,3}".prop_map(Host::Name);
    match family {
        Family::Any => prop_oneof![four, six, zoned, name].boxed(),
        Family::V4 => prop_oneof![four, name].boxed(),
        Family::V6 => prop_oneof![six, zoned, name].boxed(),
    }
}

fn inet() -> impl Strategy<Value = Endpoint> {
    let family = prop_oneof![Just(Family::Any), Just(Family::V4), Just(Family::V6)];
    let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Udp), Just(Transport::Rdm)];
    (transport, family, any::<u16>()).prop_flat_map(|(transport, family, port)| {
        // There is no rdm4:.
        let family = if transport == Transport::Rdm { Family::Any } else { family };
        host(family).prop_map(move |host| Endpoint::Inet { transport, family, host, port })
    })
}

fn unix() -> impl Strategy<Value = Endpoint> {
    let kind =
        prop_oneof![Just(UnixKind::Stream), Just(UnixKind::Datagram), Just(UnixKind::Packet)];
    let name = prop_oneof![
        "/?[^/@\\pC][^\\pC]{0,20}".prop_map(|path| UnixName::Path(path.into())),
        proptest::collection::vec(any::<u8>(), 1..=107).prop_map(UnixName::Abstract),
    ];
    (kind, name).prop_map(|(kind, name)| Endpoint::Unix { kind, name })
}

fn others() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        host(Family::Any).prop_map(|host| Endpoint::Icmp { family: Family::Any, host }),
        (any::<u8>(), host(Family::V4))
            .prop_map(|(protocol, host)| Endpoint::Raw { protocol, host }),
        any::<u8>().prop_map(|protocol| {
            let host = Host::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            Endpoint::Raw { protocol, host }
        }),
        "[0-9]{1,3}|[a-z][a-z0-9.-]{0,20}".prop_map(Endpoint::Fd),
    ]
}

proptest! {
    #[test]
    fn every_displayed_endpoint_parses_back_with_and_without_slashes(
        endpoint in prop_oneof![inet(), unix(), others()],
    ) {
        let written = endpoint.to_string();
        prop_assert_eq!(written.parse::<Endpoint>().ok(), Some(endpoint.clone()), "{}", written);
        let short = written.replacen("://", ":", 1);
        prop_assert_eq!(short.parse::<Endpoint>().ok(), Some(endpoint.clone()), "{}", short);
        if !written.contains("://") {
            let long = written.replacen(':', "://", 1);
            prop_assert_eq!(long.parse::<Endpoint>().ok(), Some(endpoint), "{}", long);
        }
    }
}

#[test]
fn every_type_of_socket_lends_its_descriptor() {
    fn lends<T: AsFd>() {}
    lends::<Listener>();
    lends::<Stream>();
    lends::<Packet>();
    lends::<Datagram>();
    lends::<Raw>();
}
