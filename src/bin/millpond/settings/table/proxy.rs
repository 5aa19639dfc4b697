//! The settings for proxies in front of the server.

use super::row::{ROW, Row, single};
use crate::settings::value;

pub(super) static PROXY_ROWS: &[Row] = &[
    Row {
        is_list: true,
        get: |s| s.config.proxy.trusted.iter().map(value::text).collect(),
        set: |s, v| {
            s.config.proxy.trusted = value::trusted_peers(v)?;
            Ok(())
        },
        ..row!(
            "proxy.trusted",
            "trusted-proxy",
            "PEER",
            "Proxies in front of the server that may name their clients",
            "PEER is a network (10.0.0.0/8, 2001:db8::/32), an address, or unix for peers on Unix \
             sockets. List every proxy on the way. The fields of other peers are ignored."
        )
    },
    field!(
        row!(
            "proxy.header",
            "proxy-header",
            "NAME",
            "Request field in which trusted proxies name their clients",
            "X-Forwarded-For, Forwarded (RFC 7239), or another field with an address or a list of \
             addresses, such as X-Real-IP. Each proxy has to append to the field, or to replace \
             it. Empty: no such field."
        ),
        config.proxy.header,
        value::any,
        |name| name
    ),
    switch!(
        "true",
        config.proxy.trust_all,
        "proxy.trust_all",
        "trust-all-proxies",
        "",
        "Allow 0.0.0.0/0 and ::/0 in --trusted-proxy",
        "Every client that reaches the server past its proxies can then claim any address."
    ),
];
