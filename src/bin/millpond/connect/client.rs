//! `millpond connect`: the client from its arguments to its exit code.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use millpond::net::{Addr, Endpoint, Family};

use super::args::ConnectArgs;
use super::output::note;
use super::socket::{ClientSocket, Target};
use super::tls::{TlsTarget, split_scheme};
use super::{exchange, message, ping, probe, proxy_header, relay, tls};
use crate::failure::{Failure, code};

/// Runs the client until the conversation ends.
pub(crate) fn run(args: &ConnectArgs) -> Result<ExitCode, Failure> {
    let message = message::bytes(args)?;
    let (text, has_tls) = split_scheme(&args.endpoint);
    let mut endpoint: Endpoint = text.parse()?;
    let family = match (args.four, args.six) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    endpoint = endpoint.with_family(family)?;
    let from = args.from.as_deref().map(|text| source_address(text, &endpoint)).transpose()?;
    if let Some(Addr::Ip(ip)) = &from {
        // A host with addresses of both versions is reached only by the version of the source.
        endpoint = endpoint.with_family(if ip.is_ipv4() { Family::V4 } else { Family::V6 })?;
    }
    proxy_header::check(args, &endpoint)?;
    if matches!(endpoint, Endpoint::Icmp { .. }) && !args.probe {
        return ping::run(
            args,
            &endpoint,
            from.and_then(|from| from.as_socket()),
            message.as_deref(),
        );
    }
    let tls = match args.tls_flag() {
        _ if has_tls => Some(TlsTarget::new(args, &endpoint)?),
        Some(flag) => {
            return Err(Failure::new(code::USAGE, format!("{flag} is for tls://HOST:PORT only"))
                .with_hint("an endpoint with TLS begins with tls://"));
        }
        None => None,
    };
    let target = Target { endpoint: &endpoint, from: from.as_ref(), tls: tls.as_ref() };
    if args.probe {
        return probe::run(args, target);
    }
    let mut socket = match args.wait_for {
        Some(limit) => probe::wait_for(args, target, limit)?,
        None => proxy_header::open(args, target, args.timeout)?,
    };
    if args.verbose {
        note(&format!("{}: {}", args.endpoint, socket.addresses()));
    }
    if let ClientSocket::Tls(client) = &socket {
        tls::report(args, client);
    }
    match message {
        Some(message) => exchange::run(args, &target.text(), &mut socket, &message)?,
        None => relay::run(args, &endpoint, &target.text(), &mut socket)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses a source address of the family of the endpoint.
fn source_address(text: &str, endpoint: &Endpoint) -> Result<Addr, Failure> {
    if matches!(endpoint, Endpoint::Unix { .. }) {
        let text = text.strip_prefix("unix:").unwrap_or(text);
        // Names have the grammar of endpoints.
        let name: Endpoint = format!("unix:{text}").parse()?;
        return Ok(name.resolve()?.swap_remove(0));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let addr = match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(addr), _) => addr,
        (_, Ok(ip)) => (ip, 0).into(),
        _ => {
            let what = format!("invalid source address {text:?}: expected IP or IP:PORT");
            return Err(Failure::new(code::USAGE, what)
                .with_hint("--from takes 127.0.0.1, 127.0.0.1:4000 or [::1]:4000, for example"));
        }
    };
    Ok(Addr::Ip(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_address_has_the_family_of_the_endpoint() {
        let table = [
            ("tcp::80", "127.0.0.1", "127.0.0.1:0"),
            ("tcp::80", "127.0.0.1:9", "127.0.0.1:9"),
            ("udp::80", "::1", "[::1]:0"),
            ("udp::80", "[::1]", "[::1]:0"),
            ("udp::80", "[::1]:9", "[::1]:9"),
            ("unix:/a", "/tmp/b", "unix:/tmp/b"),
            ("unixgram:/a", "@b", "unix:@b"),
        ];
        for (endpoint, text, expected) in table {
            let endpoint = endpoint.parse().unwrap();
            assert_eq!(source_address(text, &endpoint).unwrap().to_string(), expected);
        }
        let failure = source_address("/tmp/b", &"tcp::80".parse().unwrap()).unwrap_err();
        assert_eq!(failure.code(), code::USAGE);
    }
}
