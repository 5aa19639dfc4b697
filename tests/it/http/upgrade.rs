//! Upgrades: offered or not, limited in number, with bytes that were read ahead, and WebSocket on
//! top.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use millpond::http::{HeaderValue, Request, Response, Upgraded};
use millpond::{CloseReason, Config};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::{Message, WebSocket};

use crate::support::{
    PATIENCE, TestServer, addr, connect, read_last_response, read_response, read_to_end,
    start_http, start_http_with, until,
};

#[path = "../../../examples/websocket.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example is a program of its own")]
mod websocket;

/// Hands each connection to a thread that sends back what it reads, with `>` before it.
fn serve_upgrades(upgrades: usize) -> TestServer {
    let mut config = Config::default();
    config.pool.workers = 1;
    config.pool.upgrades = upgrades;
    start_http_with(config, |_: &mut Request| {
        Response::upgrade(HeaderValue::from_static("mirror"), mirror)
    })
}

fn mirror(mut stream: Upgraded) {
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        stream.write_all(&[b">", &piece[..count]].concat()).unwrap();
    }
}

fn ask(server: &TestServer, fields: &str, ahead: &str) -> TcpStream {
    let mut stream = connect(addr(server));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{ahead}");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

const OFFER: &str = "Connection: Upgrade\r\nUpgrade: other, Mirror\r\n";

#[test]
fn the_handler_gets_the_stream_with_what_was_read_ahead() {
    let server = serve_upgrades(1);
    let mut stream = ask(&server, OFFER, "early");
    let response = read_response(&mut stream);
    assert_eq!((response.status, response.reason.as_str()), (101, "Switching Protocols"));
    assert_eq!(response.field("connection"), Some("upgrade"));
    assert_eq!(response.field("upgrade"), Some("mirror"));
    let mut came = [0; 6];
    stream.read_exact(&mut came).unwrap();
    assert_eq!(&came, b">early");
    stream.write_all(b"late").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), ">late");
    until("its end is counted", || server.stats().closed_for(CloseReason::Upgraded) == 1);
}

#[test]
fn a_client_that_does_not_offer_the_upgrade_gets_a_426() {
    let server = serve_upgrades(1);
    for fields in [
        "Connection: close\r\n",
        "Upgrade: mirror\r\nConnection: close\r\n",
        "Connection: upgrade, close\r\nUpgrade: mirrors\r\n",
    ] {
        let response = read_last_response(&mut ask(&server, fields, ""));
        assert_eq!((response.status, response.reason.as_str()), (426, "Upgrade Required"));
        assert_eq!(response.field("connection"), Some("upgrade, close"));
        assert_eq!(response.field("upgrade"), Some("mirror"));
    }
    let mut old = connect(addr(&server));
    old.write_all(format!("GET / HTTP/1.0\r\n{OFFER}\r\n").as_bytes()).unwrap();
    assert_eq!(read_last_response(&mut old).status, 426);
}

#[test]
fn an_upgrade_beyond_the_limit_gets_a_503_and_the_workers_go_on() {
    let server = serve_upgrades(1);
    let mut held = ask(&server, OFFER, "");
    read_response(&mut held);
    let response = read_last_response(&mut ask(&server, OFFER, ""));
    assert_eq!((response.status, response.reason.as_str()), (503, "Service Unavailable"));
    assert!(response.field("retry-after").is_some(), "{response:?}");
    assert_eq!(response.field("connection"), Some("close"));
    drop(held);
    until("the place is free again", || read_response(&mut ask(&server, OFFER, "")).status == 101);
}

#[test]
fn the_body_of_the_request_ends_before_the_new_protocol_begins() {
    let server = serve_upgrades(1);
    let mut stream = ask(&server, &format!("{OFFER}Content-Length: 4\r\n"), "bodynext");
    assert_eq!(read_response(&mut stream).status, 101);
    let mut came = [0; 5];
    stream.read_exact(&mut came).unwrap();
    assert_eq!(&came, b">next");
    // A client that expects 100 Continue gets it before the 101 (RFC 9110 §7.8).
    drop(stream);
    until("its place is free", || server.stats().closed_for(CloseReason::Upgraded) == 1);
    let fields = format!("{OFFER}Content-Length: 4\r\nExpect: 100-continue\r\n");
    let mut stream = ask(&server, &fields, "");
    assert_eq!(read_response(&mut stream).status, 100);
    stream.write_all(b"bodynext").unwrap();
    assert_eq!(read_response(&mut stream).status, 101);
}

#[test]
fn a_websocket_client_gets_its_messages_echoed() {
    let server = start_http(1, websocket::upgrade);
    let url = format!("ws://{}/echo", addr(&server));
    let stream = connect(addr(&server));
    let (mut socket, response) = tungstenite::client(url, stream).unwrap();
    assert_eq!(response.status(), 101);
    for message in
        [Message::text("over the weir"), Message::binary(vec![7; 100_000]), Message::text("")]
    {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping(vec![1, 2].into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(vec![1, 2].into()));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    until("its end is counted", || server.stats().closed_for(CloseReason::Upgraded) == 1);
    // A stop ends those that are left, with a word to the client.
    let stream = connect(addr(&server));
    let (mut socket, _) = tungstenite::client(format!("ws://{}/", addr(&server)), stream).unwrap();
    let stopper = std::thread::spawn(move || server.drain(PATIENCE));
    assert!(matches!(socket.read(), Ok(Message::Close(_))));
    let _ = socket.flush();
    drop(socket);
    let report = stopper.join().unwrap();
    assert_eq!(report.cut_off, 0);
    assert!(report.elapsed < Duration::from_secs(20), "{report}");
}

/// A client whose messages have no limit.
fn websocket_client(server: &TestServer) -> WebSocket<TcpStream> {
    let url = format!("ws://{}/echo", addr(server));
    let config = WebSocketConfig::default().max_write_buffer_size(64 << 20);
    let stream = connect(addr(server));
    tungstenite::client::client_with_config(url, stream, Some(config)).unwrap().0
}

#[test]
fn a_websocket_is_closed_with_the_code_of_its_reason() {
    let server = start_http(1, websocket::upgrade);
    let text = |bytes: &[u8], is_final: bool| {
        Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(Data::Text), is_final))
    };
    let reserved =
        FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Text), ..Default::default() };
    for (messages, expected) in [
        (vec![Message::binary(vec![0; (1 << 20) + 1])], CloseCode::Size),
        // More than the socket's buffers hold: the client is still sending when the close arrives.
        (vec![Message::binary(vec![0; 24 << 20])], CloseCode::Size),
        (vec![text(&[b'a'; 1 << 20], false), Message::text("a")], CloseCode::Protocol),
        (vec![text(b"\xff", true)], CloseCode::Invalid),
        (
            vec![Message::Frame(Frame::from_payload(reserved, Vec::new().into()))],
            CloseCode::Protocol,
        ),
    ] {
        let mut socket = websocket_client(&server);
        for message in messages {
            // The end may come before all is sent.
            let _ = socket.send(message);
        }
        let code = loop {
            match socket.read() {
                Ok(Message::Close(frame)) => break frame.map(|frame| frame.code),
                Ok(_) => {}
                Err(error) => panic!("{expected:?}: {error}"),
            }
        };
        assert_eq!(code, Some(expected));
    }
    until("they have ended", || server.stats().closed_for(CloseReason::Upgraded) == 5);
}
