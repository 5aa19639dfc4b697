//! Where the server listens, and the settings that only a `[[site]]` has.

use super::row::{ROW, Row, in_short_help, single};
use crate::settings::value;

/// Where, and what in general.
pub(super) static LISTEN_ROWS: &[Row] = &[
    Row {
        key: "bind",
        flag: "bind",
        short: Some('b'),
        value_name: "ENDPOINT",
        is_list: true,
        in_short_help: true,
        help: "Where to listen; repeatable",
        details: "An endpoint is tcp://HOST:PORT, unix:PATH, unix:@NAME, or fd:NAME and fd:N for a \
               socket that was passed by the service manager (N counts from 0). Port 0 takes a \
               free one. With --echo also udp://HOST:PORT, unixgram:PATH and unixpacket:PATH, see \
               docs/sockets.md. With ?priority=high behind it, its work is taken first and \
               refused last. Without any, all passed sockets are taken, or else tcp://[::]:8888, \
               which is every address, IPv4 and IPv6.",
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
        "Send back what comes, instead of HTTP",
        "RFC 862."
    )),
];

/// What only a `[[site]]` of the file has, besides the settings of its files.
pub(super) static SITE_ROWS: &[Row] = &[
    list!(
        site.hosts,
        "hosts",
        "",
        "HOST",
        "The names of the site, as in Host",
        "`*.example.org` is every name below example.org. Without hosts, or with `*`, the site \
         answers for every name that no other one has."
    ),
    list!(
        site.bind,
        "bind",
        "",
        "ENDPOINT",
        "Where the site is served, if elsewhere than the others",
        ""
    ),
];
