//! Sends the body of each request back, whatever its method: for trying clients, and for checking
//! the server itself.
//!
//! ```sh
//! cargo run --example echo -- --bind 127.0.0.1:8080     # port 0: any that is free
//! curl -d 'water for the wheel' http://127.0.0.1:8080/
//! curl -H 'Transfer-Encoding: chunked' -T Cargo.toml http://127.0.0.1:8080/
//! ```
//!
//! The address is printed. A body is read whole before the answer begins, so that one that is
//! malformed or too large (over 16 MiB) can still be answered as such; examples/streaming.rs shows
//! the other way. OPTIONS without a body is told the methods; TRACE and CONNECT, which mean
//! something else, get a 405.

#![allow(clippy::print_stdout, reason = "the address is for whoever started it")]

use millpond::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use millpond::{Error, ErrorKind, Server};

fn main() -> Result<(), Error> {
    let mut bind = "127.0.0.1:8080".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--bind", Some(value)) => bind = value,
            _ => {
                let unknown = format!("{name} is unknown, or has no value");
                return Err(Error::new(ErrorKind::Config, unknown).with_hint("--bind ADDRESS:PORT"));
            }
        }
    }
    let server = Server::builder().bind(format!("tcp://{bind}")).http(echo)?;
    let handle = server.spawn()?;
    for endpoint in handle.endpoints() {
        println!("listening on {endpoint}");
    }
    handle.wait();
    Ok(())
}

/// The most bytes of a body that are kept.
const BODY_MAX: u64 = 16 << 20;

fn echo(request: &mut Request) -> Response {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        // A 2xx would promise a tunnel, or the head of the request as the body (RFC 9110 §9.3).
        return allow(Response::error(StatusCode::METHOD_NOT_ALLOWED));
    }
    let body = match request.body_mut().read_bytes(BODY_MAX) {
        Ok(body) => body,
        Err(error) => return Response::from(error),
    };
    if request.method() == Method::OPTIONS && body.is_empty() {
        return allow(Response::empty(StatusCode::NO_CONTENT));
    }
    let unknown = HeaderValue::from_static("application/octet-stream");
    let kind = request.headers().get(header::CONTENT_TYPE).cloned().unwrap_or(unknown);
    Response::new(body).with_header(header::CONTENT_TYPE, kind)
}

fn allow(answer: Response) -> Response {
    answer.with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, OPTIONS"))
}
