//! Random bytes against a running server: it never panics, never hangs, and
//! whatever it says is well-formed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::OnceLock;

use millpond::http::{Body, Request, Response};
use millpond::{Config, Server};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Start, TestServer, addr, connect, response};

/// One server for all cases. Its handler does something else with the body at each path.
fn server() -> &'static TestServer {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut config = Config::default();
        config.pool.workers = 2;
        config.limits.body = 10_000;
        config.overload.shed = false;
        let handler = |request: &mut Request| match request.uri().path() {
            "/" => {
                let mut body = Vec::new();
                match request.body_mut().read_to_end(&mut body) {
                    Ok(_) => Response::new(body),
                    Err(error) => Response::from(error),
                }
            }
            "/back" => Response::new(request.take_body()),
            "/reader" => Response::new(Body::from_reader(request.take_body(), None)),
            _ => Response::text("unread"),
        };
        let server = Server::builder().config(config).bind("tcp://127.0.0.1:0").http(handler);
        server.build().unwrap().start().unwrap()
    })
}

/// Pieces of requests, so that random ones get past the first line.
const PIECES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /back HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\n",
    b"POST /back HTTP/1.1\r\nHost: a\r\n",
    b"POST /reader HTTP/1.1\r\nHost: a\r\n",
    b"POST /unread HTTP/1.0\r\nConnection: keep-alive\r\n",
    b"Content-Length: 3\r\n\r\n",
    b"Content-Length: 20000\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"ff;a=\"b\"\r\n",
    b"\r\n",
    b"\n",
    b"\0",
];

/// What the server sends for these bytes, which come in two pieces.
fn respond(addr: SocketAddr, bytes: &[u8], cut: usize) -> Vec<u8> {
    let mut stream = connect(addr);
    // It may have seen enough before it has seen all.
    let _ = stream.write_all(&bytes[..cut]);
    let _ = stream.write_all(&bytes[cut..]);
    let _ = stream.shutdown(Shutdown::Write);
    let mut came = Vec::new();
    stream.read_to_end(&mut came).unwrap();
    came
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_requests_get_well_formed_responses(
        pieces in vec(
            prop_oneof![
                12 => proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
                1 => vec(any::<u8>(), 0..6),
            ],
            0..10,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = pieces.concat();
        let came = respond(addr(server()), &bytes, cut.index(bytes.len() + 1));
        let mut rest = &came[..];
        while !rest.is_empty() {
            let mut copy = rest;
            if let Err(error) = response::read(&mut copy, false) {
                // It is the response to a HEAD, which is not tracked here; or its body broke off
                // while it was echoed, and is cut short, as it should be.
                let cut_short = ["cut short", "without an end", "missing line"];
                let cut_short = cut_short.iter().any(|text| error.contains(text));
                copy = rest;
                let head = response::read(&mut copy, true);
                prop_assert!(cut_short && head.is_ok(), "{}: {}", error, came.escape_ascii());
                if !copy.starts_with(b"HTTP/1.1 ") {
                    break;
                }
            }
            rest = copy;
        }
        prop_assert_eq!(server().stats().panics, 0);
    }
}
