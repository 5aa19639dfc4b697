//! The walk as a table, and the property that it is for: nothing that a client sends changes which
//! client its proxy names.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// Fields that are read with trust in 10.0.0.0/8, 2001:db8:f::/48 and peers on Unix sockets.
fn fields(header: &str) -> ProxyFields {
    let trusted = ["10.0.0.0/8", "2001:db8:f::/48", "unix"].map(|text| text.parse().unwrap());
    let proxy = Proxy { trusted: trusted.into(), header: header.to_owned(), ..Proxy::default() };
    ProxyFields::new(&proxy).unwrap()
}

fn headers<'a>(lines: impl IntoIterator<Item = (&'static str, &'a [u8])>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

/// The client that these lines of the field name, as text; `-`: it is the peer.
fn client(field: &'static str, lines: &[&[u8]]) -> String {
    let headers = headers(lines.iter().map(|line| (field, *line)));
    let forwarded = fields(field).read(&headers);
    forwarded.client.map_or_else(|| "-".to_owned(), |addr| addr.to_string())
}

#[track_caller]
fn assert_clients(field: &'static str, table: &[(&[&str], &str)]) {
    for (lines, expected) in table {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client(field, &lines), *expected, "{field}: {lines:?}");
    }
}

#[test]
fn the_first_address_from_the_right_that_is_not_trusted_is_the_client() {
    assert_clients(
        "x-forwarded-for",
        &[
            (&[], "-"),
            (&["192.0.2.1"], "192.0.2.1:0"),
            (&["192.0.2.1:4711"], "192.0.2.1:4711"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1:0"),
            (&["6.6.6.6, 192.0.2.1, 10.0.0.9"], "192.0.2.1:0"),
            (&["6.6.6.6", "192.0.2.1 ,\t10.0.0.9"], "192.0.2.1:0"),
            (&["6.6.6.6, 192.0.2.1", "10.0.0.9", "10.0.0.8"], "192.0.2.1:0"),
            // All are trusted: the leftmost.
            (&["10.0.0.7, 10.0.0.9"], "10.0.0.7:0"),
            (&["10.0.0.7:80", "10.0.0.9"], "10.0.0.7:80"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]:4711, 2001:db8:f::2"], "[2001:db8::1]:4711"),
            (&["::ffff:192.0.2.1"], "192.0.2.1:0"),
            (&["6.6.6.6, ::ffff:10.0.0.9"], "6.6.6.6:0"),
        ],
    );
}

#[test]
fn anything_that_is_no_address_ends_the_walk_at_the_last_address() {
    let no_addresses = [
        "",
        "unknown",
        "_hidden",
        "unix:",
        "client.example",
        "10.0.0",
        "010.0.0.9",
        "10.0.0.9:",
        "10.0.0.9:65536",
        "10.0.0.9:8x",
        "[10.0.0.9]",
        "[2001:db8:f::2",
        "[2001:db8:f::2]80",
        "fe80::1%eth0",
        "10.0.0.9;",
        "\"10.0.0.9\"",
        "10.0.0.9 10.0.0.8",
        "for=10.0.0.9",
        "10.0.0.9/8",
    ];
    for text in no_addresses {
        let stop = |line: String| client("x-forwarded-for", &[line.as_bytes()]);
        assert_eq!(stop(format!("6.6.6.6, {text}")), "-", "{text}");
        assert_eq!(stop(format!("6.6.6.6, {text}, 10.0.0.9")), "10.0.0.9:0", "{text}");
        assert_eq!(stop(format!("6.6.6.6, {text}, 192.0.2.1")), "192.0.2.1:0", "{text}");
    }
    let not_text = [b"6.6.6.6, ".as_slice(), &[0xff, 0xfe]].concat();
    assert_eq!(client("x-forwarded-for", &[&not_text]), "-");
    let long = format!("6.6.6.6, {}", "1".repeat(60_000));
    assert_eq!(client("x-forwarded-for", &[long.as_bytes()]), "-");
}

#[test]
fn forwarded_is_read_by_rfc_7239() {
    assert_clients(
        "forwarded",
        &[
            (&["for=192.0.2.1"], "192.0.2.1:0"),
            (&["For=192.0.2.1;Proto=http;by=203.0.113.43"], "192.0.2.1:0"),
            (&["by=\"a,b\";for=\"192.0.2.1:4711\""], "192.0.2.1:4711"),
            (&["for=\"[2001:db8::1]\""], "[2001:db8::1]:0"),
            (&["for=\"[2001:db8::1]:4711\", for=10.0.0.9"], "[2001:db8::1]:4711"),
            (&["for=\"192.0.2.1:_port\""], "192.0.2.1:0"),
            (&["for=6.6.6.6", "for=192.0.2.1,for=10.0.0.9"], "192.0.2.1:0"),
            (&["for=10.0.0.7,for=10.0.0.9"], "10.0.0.7:0"),
            (&[";for=192.0.2.1;;proto=https;"], "192.0.2.1:0"),
            (&["for=6.6.6.6, for=192.0.2.1;host=\"a\\\", for=7.7.7.7\""], "192.0.2.1:0"),
            (&["for=6.6.6.6, for=192.0.2.1;host=\"a\\\\\""], "192.0.2.1:0"),
            // A quote that the client has opened ends nowhere.
            (&["for=\"6.6.6.6, for=192.0.2.1"], "192.0.2.1:0"),
            (&["for=\"6.6.6.6", "for=192.0.2.1"], "192.0.2.1:0"),
        ],
    );
    for text in [
        "for=unknown",
        "for=_hidden",
        "for=\"_hidden:80\"",
        "",
        "for",
        "for=",
        "proto=https",
        "for=7.7.7.7;for=10.0.0.9",
        "for=\"10.0.0.9",
        "for=\"10.0\\.0.9\"",
        "10.0.0.9",
        "for=\"\"10.0.0.9\"\"",
        "for =10.0.0.9",
        "for=10.0.0.9;x",
    ] {
        let stop = |line: String| client("forwarded", &[line.as_bytes()]);
        assert_eq!(stop(format!("for=6.6.6.6,{text}")), "-", "{text}");
        assert_eq!(stop(format!("for=6.6.6.6, {text}, for=10.0.0.9")), "10.0.0.9:0", "{text}");
    }
}

#[test]
fn only_the_field_of_the_setting_counts() {
    let headers =
        headers([("x-forwarded-for", &b"192.0.2.1"[..]), ("x-forwarded-proto", b"https")]);
    let client = Some("192.0.2.1:0".parse().unwrap());
    let both = Forwarded { client, is_https: Some(true) };
    assert_eq!(fields("X-Forwarded-For").read(&headers), both);
    assert_eq!(fields("X-Real-IP").read(&headers), Forwarded { client: None, ..both });
    assert_eq!(fields("").read(&headers), Forwarded::default());
    assert!(ProxyFields::new(&Proxy::default()).is_none(), "an empty list trusts no peer");
}

#[test]
fn the_scheme_is_what_the_trusted_proxy_says() {
    let scheme = |lines: &[(&'static str, &str)], header| {
        let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
        fields(header).read(&headers(lines)).is_https
    };
    let proto = "x-forwarded-proto";
    for (lines, expected) in [
        (&[][..], None),
        (&[(proto, "https")], Some(true)),
        (&[(proto, "HTTP")], Some(false)),
        (&[(proto, "https, http")], Some(false)),
        (&[(proto, "http"), (proto, "https")], Some(true)),
        (&[(proto, "ftp")], None),
        (&[(proto, "")], None),
        (&[("forwarded", "for=192.0.2.1;proto=https")], None),
    ] {
        assert_eq!(scheme(lines, "X-Forwarded-For"), expected, "{lines:?}");
    }
    let forwarded = "forwarded";
    for (lines, expected) in [
        (&[(forwarded, "for=192.0.2.1;proto=https")][..], Some(true)),
        // That of the client's connection, not of the one between two proxies.
        (&[(forwarded, "for=192.0.2.1;proto=https, for=10.0.0.9;proto=http")], Some(true)),
        (&[(forwarded, "for=6.6.6.6;proto=https, for=192.0.2.1;proto=http")], Some(false)),
        (&[(forwarded, "for=6.6.6.6;proto=https, for=unknown;proto=https")], None),
        (&[(proto, "https"), (forwarded, "for=192.0.2.1")], None),
    ] {
        assert_eq!(scheme(lines, "Forwarded"), expected, "{lines:?}");
    }
}

/// A field value of any bytes that HTTP allows in one, often with bytes that have a meaning here.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        5 => prop::sample::select(b"\",;=\\ []:.f0123unkor".to_vec()),
        1 => b' '..=b'~',
        1 => 0x80..=0xff_u8,
    ];
    prop::collection::vec(byte, 0..60)
}

proptest! {
    /// What a client sends stands to the left of what its proxy appends, in the same line or in
    /// lines of its own.
    #[test]
    fn no_value_that_a_client_sends_changes_its_address(
        sent in prop::collection::vec(any_value(), 0..4),
        same_line in any::<bool>(),
        trusted_hop in any::<bool>(),
    ) {
        for (field, appended, hop) in [
            ("x-forwarded-for", "192.0.2.1:7", "10.0.0.9"),
            ("forwarded", "for=\"192.0.2.1:7\";proto=https", "for=10.0.0.9"),
        ] {
            let mut lines = sent.clone();
            match lines.last_mut() {
                Some(last) if same_line => {
                    last.extend_from_slice(b", ");
                    last.extend_from_slice(appended.as_bytes());
                }
                _ => lines.push(appended.as_bytes().to_vec()),
            }
            if trusted_hop {
                lines.push(hop.as_bytes().to_vec());
            }
            let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(client(field, &lines), "192.0.2.1:7");
        }
    }

    /// A proxy that names no address hides its client, and does not let it choose one.
    #[test]
    fn no_value_before_a_member_that_is_no_address_is_used(
        sent in any_value(),
        word in "unknown|_[a-z]{1,5}|unix:|",
    ) {
        let line = [&sent[..], b", ", word.as_bytes()].concat();
        prop_assert_eq!(client("x-forwarded-for", &[&line]), "-");
        let line = [&sent[..], b", for=", word.as_bytes()].concat();
        prop_assert_eq!(client("forwarded", &[&line]), "-");
    }

    #[test]
    fn no_value_makes_it_panic(value in any_value()) {
        let _ = (client("x-forwarded-for", &[&value]), client("forwarded", &[&value]));
    }
}
