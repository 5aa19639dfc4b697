//! A WebSocket echo (RFC 6455): millpond accepts the upgrade, tungstenite implements the protocol.
//!
//! ```sh
//! cargo run --example websocket -- 127.0.0.1:8888
//! websocat ws://127.0.0.1:8888/echo                # sends back what you type
//! curl -i http://127.0.0.1:8888/echo               # 426: this path requires an upgrade
//! ```
//!
//! An upgraded connection has its own thread, one of at most `pool.upgrades`, and occupies no
//! worker.

#![allow(clippy::print_stdout, reason = "the address is for the user who starts the program")]

use std::io::Read;
use std::time::{Duration, Instant};

use millpond::Server;
use millpond::http::{HeaderValue, Request, Response, Router, StatusCode, Upgraded, header};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, WebSocket, handshake::derive_accept_key};

fn main() -> Result<(), millpond::Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "[::]:8888".to_owned());
    let router = Router::new().get("/echo", upgrade);
    let handle =
        Server::builder().bind(format!("tcp://{address}")).http(router).build()?.spawn()?;
    for endpoint in handle.endpoints() {
        println!("listening on {endpoint}");
    }
    handle.wait();
    Ok(())
}

/// The opening handshake (RFC 6455 §4.2). The server checks that the client offers `websocket`, and
/// responds with 426 if not.
pub(crate) fn upgrade(request: &mut Request) -> Response {
    let field = |name: &str| request.headers().get(name);
    let version = HeaderValue::from_static("13");
    if field("upgrade").is_some() && field("sec-websocket-version") != Some(&version) {
        return Response::error(StatusCode::UPGRADE_REQUIRED)
            .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
            .with_header(header::SEC_WEBSOCKET_VERSION, version);
    }
    let key = field("sec-websocket-key").map_or(&b""[..], HeaderValue::as_bytes);
    let Ok(accept) = HeaderValue::try_from(derive_accept_key(key)) else {
        return Response::error(StatusCode::BAD_REQUEST);
    };
    Response::upgrade(HeaderValue::from_static("websocket"), echo)
        .with_header(header::SEC_WEBSOCKET_ACCEPT, accept)
}

/// The maximum length of a message, in bytes.
const MESSAGE_MAX: usize = 1 << 20;
/// How long the server reads the rest of a client's message after the close frame.
const LINGER: Duration = Duration::from_secs(5);

/// Runs until the client closes the connection, is silent for a minute, or the server stops.
fn echo(mut stream: Upgraded) {
    stream.set_read_timeout(Some(Duration::from_secs(60)));
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
        .max_write_buffer_size(2 * MESSAGE_MAX);
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(limits));
    loop {
        let outcome = match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message),
            // `read` itself responds to pings and to the closing handshake.
            Ok(_) => socket.flush(),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {}
            Err(Error::ConnectionClosed) => return,
            Err(error) => return close(socket, &error),
        }
    }
}

/// Sends the client the reason for closing (RFC 6455 §7.4.1). A client may be in the middle of a
/// message. Closing with unread input would reset the connection, and the client would lose the
/// close frame.
fn close(mut socket: WebSocket<Upgraded>, error: &Error) {
    let code = match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => CloseCode::Away,
    };
    let reason = match error {
        Error::Capacity(_) => format!("a message has at most {MESSAGE_MAX} bytes"),
        _ => String::new(),
    };
    if socket.close(Some(CloseFrame { code, reason: reason.into() })).is_err() {
        return;
    }
    let stream = socket.get_mut();
    let end = Instant::now() + LINGER;
    let mut piece = [0; 16 * 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left));
        match stream.read(&mut piece) {
            Ok(1..) if !left.is_zero() => {}
            _ => return,
        }
    }
}
