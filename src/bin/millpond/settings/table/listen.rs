//! Where the server listens, and the settings that only a `[[site]]` has.

use super::row::{ROW, Row, in_short_help, single};
use crate::settings::value;

/// The settings at the top of `--help`.
pub(super) static LISTEN_ROWS: &[Row] = &[
    Row {
        key: "bind",
        flag: "bind",
        short: Some('b'),
        value_name: "ENDPOINT",
        is_list: true,
        in_short_help: true,
        help: "An endpoint to listen on; repeatable",
        details: "An endpoint is tcp://HOST:PORT, tls://HOST:PORT (HTTPS), unix:PATH, unix:@NAME, or, for a socket that the \
                  service manager passes, fd:NAME or fd:N (N counts from 0). Port 0 is any free \
                  port. With --echo, udp://HOST:PORT, unixgram:PATH and unixpacket:PATH are \
                  possible, too: see docs/sockets.md. Work of an endpoint that ends with \
                  ?priority=high is served first and refused last. With ?proxy=require each \
                  connection begins with a PROXY header, in which a proxy of proxy.trusted names \
                  the client. Several options are joined by &. Without an endpoint, the server \
                  uses every passed socket, or else tcp://[::]:8888: port 8888 of every address, \
                  IPv4 and IPv6.",
        get: |s| s.bind.clone(),
        set: |s, v| {
            if v.iter().any(String::is_empty) {
                return Err("an endpoint".to_owned());
            }
            s.bind = v.to_vec();
            Ok(())
        },
        ..ROW
    },
    in_short_help(switch!(
        "true",
        echo,
        "echo",
        "echo",
        "",
        "Return the bytes that arrive, instead of HTTP",
        "RFC 862."
    )),
];

/// The settings that only a `[[site]]` has, in addition to those of files.
pub(super) static SITE_ROWS: &[Row] = &[
    list!(
        site.hosts,
        "hosts",
        "",
        "HOST",
        "The host names of the site, as in the Host field",
        "`*.example.org` matches every name below example.org. Without hosts, or with `*`, the \
         site is served for every name that no other site has."
    ),
    list!(
        site.bind,
        "bind",
        "",
        "ENDPOINT",
        "The endpoints of the site, if they differ from those at the top",
        ""
    ),
];
