//! Sends the body of each request back, whatever its method: for trying clients, and for checking the
//! server itself.
//!
//! ```sh
//! cargo run --example echo -- --bind 127.0.0.1:8080     # port 0: any that is free
//! curl -d 'water for the wheel' http://127.0.0.1:8080/
//! curl -H 'Transfer-Encoding: chunked' -T Cargo.toml http://127.0.0.1:8080/
//! ```
//!
//! The address is printed. A body is read whole before the answer begins, so that one that is malformed
//! or too large (over 16 MiB) can still be answered as such; examples/streaming.rs shows the other way.

#![allow(clippy::print_stdout, reason = "the address is for whoever started it")]

use std::io::Read;

use millpond::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use millpond::{Config, Error, ErrorKind, Server};

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
    let mut config = Config::default();
    config.limits.body = 16 << 20;
    let server = Server::builder().config(config).bind(format!("tcp://{bind}")).http(echo)?;
    let handle = server.spawn()?;
    for endpoint in handle.endpoints() {
        println!("listening on {endpoint}");
    }
    handle.wait();
    Ok(())
}

fn echo(request: &mut Request) -> Response {
    if request.method() == Method::CONNECT {
        // A 2xx would promise a tunnel.
        return Response::error(StatusCode::METHOD_NOT_ALLOWED)
            .with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, OPTIONS"));
    }
    let mut body = Vec::new();
    if let Err(error) = request.body_mut().read_to_end(&mut body) {
        return Response::from(error);
    }
    let answer = Response::new(body);
    match request.headers().get(header::CONTENT_TYPE) {
        Some(kind) => answer.with_header(header::CONTENT_TYPE, kind.clone()),
        None => answer,
    }
}
