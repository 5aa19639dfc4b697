//! The PROXY header of `--send-proxy`, with the client's own addresses.

use std::io;
use std::time::Duration;

use millpond::net::{Addr, Endpoint, Transport, UnixKind};
use millpond::{Error, ErrorKind};
use proxy_header::{ProxiedAddress, ProxyHeader};

use super::args::{ConnectArgs, ProxyVersion};
use super::socket::{ClientSocket, Target};
use super::tls::TlsClient;
use crate::failure::{Failure, code};

/// Bytes of the longest header that the client sends: 107 in version 1.
const MOST: usize = 128;

/// Only a stream begins with a header.
pub(super) fn check(args: &ConnectArgs, endpoint: &Endpoint) -> Result<(), Failure> {
    let is_stream = matches!(
        endpoint,
        Endpoint::Inet { transport: Transport::Tcp, .. }
            | Endpoint::Unix { kind: UnixKind::Stream, .. }
    );
    if args.send_proxy.is_none() || is_stream {
        return Ok(());
    }
    let what = format!("{endpoint} cannot begin with a PROXY header");
    Err(Failure::new(code::USAGE, what).with_hint("--send-proxy is for tcp: and unix:"))
}

/// Connects, and sends the header if there is to be one.
///
/// # Errors
/// Those of connecting, and [`ErrorKind::Connect`] if the header cannot be sent.
pub(super) fn open(
    args: &ConnectArgs,
    target: Target<'_>,
    timeout: Duration,
) -> Result<ClientSocket, Error> {
    let socket = ClientSocket::open(target, timeout)?;
    if let (Some(version), ClientSocket::Stream(stream)) = (args.send_proxy, &socket) {
        let send = || {
            let header = encode(version, &stream.local_addr()?, &stream.peer_addr()?)?;
            stream.send_all(&header)
        };
        send().map_err(|error| {
            let what = format!("cannot send a PROXY header to {}", target.text());
            Error::new(ErrorKind::Connect, what).with_source(error)
        })?;
    }
    // TLS begins after the header.
    Ok(match (socket, target.tls) {
        (ClientSocket::Stream(stream), Some(tls)) => {
            ClientSocket::Tls(Box::new(TlsClient::over(stream, &target.text(), timeout, tls)?))
        }
        (socket, _) => socket,
    })
}

/// The header of a connection between these addresses. For Unix sockets it names none: `UNKNOWN` in
/// version 1, `LOCAL` in version 2.
fn encode(version: ProxyVersion, local: &Addr, peer: &Addr) -> io::Result<Vec<u8>> {
    let header = match (local, peer) {
        (Addr::Ip(local), Addr::Ip(peer)) => {
            ProxyHeader::with_address(ProxiedAddress::stream(*local, *peer))
        }
        _ => ProxyHeader::with_local(),
    };
    let mut bytes = [0; MOST];
    let length = match version {
        ProxyVersion::V1 => header.encode_to_slice_v1(&mut bytes),
        ProxyVersion::V2 => header.encode_to_slice_v2(&mut bytes),
    };
    // Both ends of a connection have addresses of one family, and the header has room for them.
    let length = length.map_err(io::Error::other)?;
    Ok(bytes[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_addresses_of_the_connection_or_names_none() {
        let ip = |text: &str| Addr::Ip(text.parse().unwrap());
        let start = r"\r\n\r\n\x00\r\nQUIT\n";
        for (local, peer, v1, v2) in [
            (
                ip("127.0.0.1:4000"),
                ip("127.0.0.2:80"),
                "PROXY TCP4 127.0.0.1 127.0.0.2 4000 80\\r\\n",
                r"!\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x02\x0f\xa0\x00P",
            ),
            (Addr::Unnamed, Addr::Path("/run/x".into()), "PROXY UNKNOWN\\r\\n", r" \x00\x00\x00"),
        ] {
            let encoded = |version| encode(version, &local, &peer).unwrap();
            assert_eq!(encoded(ProxyVersion::V1).escape_ascii().to_string(), v1);
            let v2 = format!("{start}{v2}");
            assert_eq!(encoded(ProxyVersion::V2).escape_ascii().to_string(), v2);
        }
        let longest = ip("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
        assert_eq!(encode(ProxyVersion::V1, &longest, &longest).unwrap().len(), 104);
    }
}
