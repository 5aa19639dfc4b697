//! The command line of `millpond connect`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::settings::value;

/// Connect to a server, send, print what it sends back
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectArgs {
    /// The server: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME,
    /// unixgram:PATH, unixpacket:PATH, icmp:HOST (ping), ip4:PROTOCOL:HOST (raw packets)
    #[arg(value_name = "ENDPOINT")]
    pub(super) endpoint: String,
    /// The bytes to send, after which the response is printed. Without MESSAGE, standard input is
    /// sent and received bytes are printed, both at once
    #[arg(value_name = "MESSAGE")]
    pub(super) message: Option<OsString>,

    /// Send each line end as CRLF, as HTTP, SMTP and most text protocols require: always, never, or
    /// auto (only lines typed at a terminal, over TCP). Without WHEN: always
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", num_args = 0..=1,
        require_equals = true, default_missing_value = "always", hide_possible_values = true)]
    pub(super) crlf: CrlfWhen,
    /// Read MESSAGE as hexadecimal digits, such as "48 65 6c 6c 6f"
    #[arg(long, requires = "message")]
    pub(super) hex: bool,

    /// Timeout for connecting, and for each part of the response to MESSAGE
    #[arg(short = 'w', long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(super) timeout: Duration,
    /// End when nothing was sent or received for TIME
    #[arg(short = 'i', long, value_name = "TIME", value_parser = time)]
    pub(super) idle: Option<Duration>,
    /// Use IPv4 only
    #[arg(short = '4', conflicts_with = "six")]
    pub(super) four: bool,
    /// Use IPv6 only
    #[arg(short = '6')]
    pub(super) six: bool,
    /// The source address to bind: IP, IP:PORT, or for Unix sockets a path or @NAME
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// Begin the connection with a PROXY header of version v1 or v2 that has the addresses of both
    /// ends, as a proxy does, for endpoints with ?proxy=require
    #[arg(long, value_name = "VERSION", value_enum, hide_possible_values = true)]
    pub(super) send_proxy: Option<ProxyVersion>,
    /// Print the addresses of both ends on standard error; for tls://, also what was negotiated,
    /// and the certificates
    #[arg(short = 'v', long)]
    pub(super) verbose: bool,

    /// Print the response to MESSAGE as it is, without quotes and escapes
    #[arg(long)]
    pub(super) raw: bool,
    /// Keep the sending side open after MESSAGE or the end of standard input
    #[arg(long)]
    pub(super) no_shutdown: bool,
    /// Only receive; standard input is not read
    #[arg(long, conflicts_with_all = ["send_only", "message"])]
    pub(super) recv_only: bool,
    /// Only send; nothing is printed
    #[arg(long)]
    pub(super) send_only: bool,

    /// Only connect; if that fails, print the reason and exit with 1. For tls://, also print when
    /// the certificate expires
    #[arg(long, conflicts_with_all = ["message", "recv_only", "send_only"])]
    pub(super) probe: bool,
    /// Retry until the connection succeeds, for TIME at most
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) wait_for: Option<Duration>,

    /// tls: the file of the authorities to trust, in PEM, instead of those of this machine
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(super) ca: Option<PathBuf>,
    /// tls: accept every certificate
    #[arg(long)]
    pub(super) insecure: bool,
    /// tls: the name to ask for (SNI), which the certificate must have; otherwise HOST
    #[arg(long, value_name = "NAME")]
    pub(super) sni: Option<String>,
    /// tls: the protocols to offer (ALPN), separated by commas: http/1.1
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) alpn: Vec<String>,
    /// tls: let --probe fail if the certificate expires in fewer than N days
    #[arg(long, value_name = "N", requires = "probe")]
    pub(super) min_days: Option<u32>,

    /// icmp: the number of echo requests; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count)]
    pub(super) count: u64,
    /// icmp: the time between two echo requests
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(super) interval: Duration,
    /// icmp: build the IPv4 header here (IP_HDRINCL), not in the kernel
    #[arg(long)]
    pub(super) own_header: bool,
    /// icmp: the time to live in the header of --own-header
    #[arg(long, value_name = "N", default_value_t = 64, requires = "own_header",
        value_parser = ttl)]
    pub(super) ttl: u8,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProxyVersion {
    /// As text
    V1,
    /// In binary
    V2,
}

impl ConnectArgs {
    /// A flag for TLS that was given.
    pub(super) fn tls_flag(&self) -> Option<&'static str> {
        let given = [
            ("--ca", self.ca.is_some()),
            ("--insecure", self.insecure),
            ("--sni", self.sni.is_some()),
            ("--alpn", !self.alpn.is_empty()),
            ("--min-days", self.min_days.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// When a line end is sent as CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CrlfWhen {
    /// For lines that are typed at a terminal, over TCP
    Auto,
    /// In MESSAGE and in everything from standard input
    Always,
    /// Bytes are sent as they are
    Never,
}

/// Parses a time, which is not zero: a number of seconds, or with units.
fn time(text: &str) -> Result<Duration, String> {
    match value::time(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("expected a time above 0".to_owned()),
        Err(expected) => Err(format!("expected {expected}")),
    }
}

fn count(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "expected a number from 0 on")
}

fn ttl(text: &str) -> Result<u8, &'static str> {
    text.parse().ok().filter(|ttl| *ttl > 0).ok_or("expected 1 to 255")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_positive() {
        assert_eq!(time("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "", "soon", "NaN", "inf", "1e300"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
