//! `millpond connect`: the small client. Connects, sends, receives, prints, closes.

mod exchange;
mod message;
mod ping;
mod probe;
mod reader;
mod relay;
mod socket;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use millpond::net::{Addr, Endpoint, Family, advice};
use millpond::{Error, ErrorKind};

use crate::connect::socket::Line;
use crate::failure::{Failure, code};
use message::CrlfWhen;

/// Connect to a server, send, print what comes back
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectArgs {
    /// Where to connect: tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME, unixgram:PATH,
    /// unixpacket:PATH, icmp:HOST (ping), ip4:PROTO:HOST (raw packets)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// What to send, after which the response is printed; without it, standard input is sent and
    /// what comes is printed, both at once
    #[arg(value_name = "MESSAGE")]
    message: Option<OsString>,

    /// Send each line end as CRLF, as HTTP, SMTP and most text protocols want it: auto for lines
    /// that are typed at a terminal over TCP, always, never
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", num_args = 0..=1,
        require_equals = true, default_missing_value = "always", hide_possible_values = true)]
    crlf: CrlfWhen,
    /// MESSAGE is written in hexadecimal digits: "48 65 6c 6c 6f"
    #[arg(long, requires = "message")]
    hex: bool,

    /// Timeout for the connection, and for a response to MESSAGE
    #[arg(short = 'w', long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// End when nothing was sent or received for so long
    #[arg(short = 'i', long, value_name = "SECONDS", value_parser = seconds)]
    idle: Option<Duration>,
    /// Use IPv4 only
    #[arg(short = '4', conflicts_with = "six")]
    four: bool,
    /// Use IPv6 only
    #[arg(short = '6')]
    six: bool,
    /// The source address to bind: IP, IP:PORT, or for Unix sockets a path or @NAME
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Tell the names of both ends on standard error
    #[arg(short = 'v', long)]
    verbose: bool,

    /// Print the bytes of the answer to MESSAGE as they are
    #[arg(long)]
    raw: bool,
    /// Keep the sending side open after MESSAGE or the end of standard input
    #[arg(long)]
    no_shutdown: bool,
    /// Only receive; standard input is not read
    #[arg(long, conflicts_with_all = ["send_only", "message"])]
    recv_only: bool,
    /// Only send; nothing is printed
    #[arg(long)]
    send_only: bool,

    /// Only try to connect: exit code 0, or the system's reason and exit code 1
    #[arg(long, conflicts_with_all = ["message", "recv_only", "send_only"])]
    probe: bool,
    /// Try again until it works, for so long at most
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    wait_for: Option<Duration>,

    /// icmp: how many echo requests to send; 0 for no end
    #[arg(long, value_name = "N", default_value_t = 4)]
    count: u64,
    /// icmp: the time between two echo requests
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// icmp: build the IPv4 header here (IP_HDRINCL) and not in the kernel
    #[arg(long)]
    own_header: bool,
    /// icmp: the time to live in that header
    #[arg(long, value_name = "N", default_value_t = 64, requires = "own_header",
        value_parser = clap::value_parser!(u8).range(1..))]
    ttl: u8,
}

/// Runs the client: 0, or a code by the kind of failure and one line that says what failed.
pub(crate) fn run(args: &ConnectArgs) -> ExitCode {
    attempt(args).unwrap_or_else(|failure| failure.report())
}

fn attempt(args: &ConnectArgs) -> Result<ExitCode, Failure> {
    let message = message::bytes(args)?;
    let mut endpoint: Endpoint = args.endpoint.parse()?;
    let family = match (args.four, args.six) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    endpoint = endpoint.with_family(family)?;
    let from = args.from.as_deref().map(|text| source(text, &endpoint)).transpose()?;
    if let Some(Addr::Ip(ip)) = &from {
        // A host of both versions is only reached from an address of its own version.
        endpoint = endpoint.with_family(if ip.is_ipv4() { Family::V4 } else { Family::V6 })?;
    }
    if matches!(endpoint, Endpoint::Icmp { .. }) && !args.probe {
        return ping::run(
            args,
            &endpoint,
            from.and_then(|from| from.as_socket()),
            message.as_deref(),
        );
    }
    if args.probe {
        return probe::run(args, &endpoint, from.as_ref());
    }
    let mut line = match args.wait_for {
        Some(patience) => probe::wait_for(args, &endpoint, from.as_ref(), patience)?,
        None => Line::open(&endpoint, from.as_ref(), args.timeout)?,
    };
    if args.verbose {
        note(&format!("{}: {}", args.endpoint, line.names()));
    }
    match message {
        Some(message) => exchange::run(args, &endpoint, &mut line, &message)?,
        None => relay::run(args, &endpoint, &mut line)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A line on standard error that is no error.
fn note(text: &str) {
    // Nobody is left to be told where even this fails.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes to standard output. `false`: its reader has gone, and there is nothing more to do.
fn print(bytes: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result
            .map(|()| true)
            .map_err(|error| Failure::io(code::RUNTIME, "cannot print what came", error)),
    }
}

/// What a call on the socket met: the endpoint, the system's reason, and what that means.
fn broken(what: &str, endpoint: &Endpoint, error: io::Error) -> Failure {
    let hint = advice(&error);
    let error = Error::new(ErrorKind::System, format!("{what} {endpoint}")).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint).into(),
        None => error.into(),
    }
}

/// Understands a number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        // Longer than a year is for ever, and clocks do not reach so far.
        .filter(|time| !time.is_zero() && *time <= Duration::from_secs(31_536_000))
        .ok_or_else(|| "give it seconds, such as 2.5".to_owned())
}

/// Understands a source address, of the family of the endpoint.
fn source(text: &str, endpoint: &Endpoint) -> Result<Addr, Failure> {
    if matches!(endpoint, Endpoint::Unix { .. }) {
        let text = text.strip_prefix("unix:").unwrap_or(text);
        // The grammar of names is that of endpoints.
        let name: Endpoint = format!("unix:{text}").parse()?;
        return Ok(name.resolve()?.swap_remove(0));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let addr = match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(addr), _) => addr,
        (_, Ok(ip)) => (ip, 0).into(),
        _ => {
            let what = format!("invalid source address {text:?} for --from");
            return Err(Failure::new(code::USAGE, what)
                .with_hint("give it an address such as 127.0.0.1, 127.0.0.1:4000 or [::1]:4000"));
        }
    };
    Ok(Addr::Ip(addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for text in ["0", "-1", "", "soon", "NaN", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_is_of_the_family_of_the_endpoint() {
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
            assert_eq!(source(text, &endpoint).unwrap().to_string(), expected);
        }
        let failure = source("/tmp/b", &"tcp::80".parse().unwrap()).unwrap_err();
        assert_eq!(failure.code(), code::USAGE);
    }
}
