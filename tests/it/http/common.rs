//! What the tests of HTTP share: a server with one worker, and a handler that echoes.

use std::io::{self, Read};

use millpond::Config;
use millpond::http::{Body, Handler, Request, Response};

use crate::support::TestServer;

pub(crate) fn serve(handler: impl Handler) -> TestServer {
    serve_with(Config::default(), handler)
}

/// With one worker, so that what it keeps of one connection would be seen in the next.
pub(crate) fn serve_with(mut config: Config, handler: impl Handler) -> TestServer {
    config.pool.workers = 1;
    crate::support::start_http_with(config, handler)
}

pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Echoes the body as it arrives, in each way that the API offers.
pub(crate) fn stream_back(request: &mut Request) -> Response {
    let mut body = request.take_body();
    Response::new(match request.uri().path() {
        "/body" => body,
        "/reader" => Body::from_reader(body, None),
        "/writer" => Body::from_writer(move |out| io::copy(&mut body, out).map(drop)),
        "/rest" => {
            let mut first = [0; 2];
            body.read_exact(&mut first).unwrap();
            body
        }
        _ => Body::empty(),
    })
}
