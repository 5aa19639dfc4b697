//! [`PrivateEndpoint`]: the rules for endpoints that only operators should reach.

use std::net::IpAddr;

use crate::error::{Error, ErrorKind};
use crate::net::{Endpoint, Host, Transport, UnixKind};

/// An endpoint that is a Unix socket or a loopback address, unless it is declared public.
pub(super) struct PrivateEndpoint {
    /// What it is, in errors.
    pub(super) name: &'static str,
    /// What to do about an address that is not a loopback address.
    pub(super) hint: &'static str,
}

impl PrivateEndpoint {
    /// # Errors
    /// [`ErrorKind::Config`] if other machines can reach the endpoint and it is not `public`, or if
    /// it is not one for streams; the errors of parsing it.
    pub(super) fn parse(&self, text: &str, public: bool) -> Result<Endpoint, Error> {
        let endpoint: Endpoint = text.parse()?;
        match &endpoint {
            Endpoint::Unix { kind: UnixKind::Stream, .. } => {}
            Endpoint::Inet { transport: Transport::Tcp, host, .. } => {
                if !public && !is_loopback(host) {
                    let what = format!("the {} {endpoint} is not a loopback address", self.name);
                    return Err(Error::new(ErrorKind::Config, what).with_hint(self.hint));
                }
            }
            _ => {
                let what = format!("invalid {} {endpoint}: expected tcp: or unix:", self.name);
                return Err(Error::new(ErrorKind::Config, what));
            }
        }
        Ok(endpoint)
    }
}

/// Whether only programs on this machine can reach the host.
fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Ip(ip) => is_loopback_ip(*ip),
        Host::Zoned(..) => false,
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn is_loopback_ip(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
