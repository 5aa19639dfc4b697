//! Sends the body of each request back, whatever its method: for testing clients, and for testing
//! the server itself.
//!
//! ```sh
//! cargo run --example echo -- --bind 127.0.0.1:8080     # port 0: any that is free
//! curl -d 'water for the wheel' http://127.0.0.1:8080/
//! curl -H 'Transfer-Encoding: chunked' -T Cargo.toml http://127.0.0.1:8080/
//! ```
//!
//! The program prints its address. It reads a body whole before it responds, so that a malformed or
//! too large body (over 16 MiB) gets an error status; examples/streaming.rs shows the other way.
//! The response to OPTIONS without a body lists the methods. TRACE and CONNECT, which have another
//! meaning, get a 405.

#![allow(clippy::print_stdout, reason = "the address is for the user who starts the program")]

use millpond::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use millpond::{Error, ErrorKind, Server};

fn main() -> Result<(), Error> {
    let mut bind = "127.0.0.1:8080".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--bind", Some(value)) => bind = value,
            _ => {
                let unknown = format!("unknown option {name}, or missing value");
                return Err(Error::new(ErrorKind::Config, unknown).with_hint("--bind ADDRESS:PORT"));
            }
        }
    }
    let server = Server::builder().bind(format!("tcp://{bind}")).http(echo).build()?;
    let handle = server.spawn()?;
    for endpoint in handle.endpoints() {
        println!("listening on {endpoint}");
    }
    handle.wait();
    Ok(())
}

/// The maximum length of a body, in bytes.
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

fn allow(response: Response) -> Response {
    response.with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, OPTIONS"))
}
