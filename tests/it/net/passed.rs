//! Passed sockets: served like any other, and left open for the next program.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use millpond::handlers::{Echo, Hello};
use millpond::http::{Request, Response};
use millpond::{Bind, Config, Server, Service};
use rustix::process::Signal;

use crate::support::daemon::{Daemon, activated};
use crate::support::{
    PATIENCE, Start, connect, exchange, read_last_response, uninterrupted, until,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

fn asking(addr: SocketAddr) -> TcpStream {
    let mut client = connect(addr);
    client.write_all(GET).unwrap();
    client
}

#[test]
fn the_backlog_of_a_passed_listener_is_left_to_the_next_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let passed = || Bind::passed(listener.try_clone().unwrap().into()).unwrap();
    let (entered, inside) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    let mut config = Config::default();
    config.pool.workers = 1;
    config.pool.queue = Some(1);
    config.overload.shed = false;
    let server = Server::builder()
        .config(config)
        .bind(passed())
        .http(move |_: &mut Request| {
            let _ = entered.lock().unwrap().send(());
            let _ = gate.lock().unwrap().recv();
            Response::text("the first")
        })
        .build()
        .unwrap()
        .start()
        .unwrap();
    // One in the handler, one in the queue; the third stays in the backlog, as no handler is known
    // to be slow yet.
    let _served = asking(addr);
    inside.recv_timeout(PATIENCE).unwrap();
    let _queued = asking(addr);
    until("the queue is full", || server.stats().queued == 1);
    let mut waiting = asking(addr);
    // The handler outlasts the deadline, so that nothing changes meanwhile.
    assert_eq!(server.drain(Duration::from_millis(100)).cut_off, 2);
    assert_eq!(server.stats().accepted, 2, "the third is for the next program");
    drop(open);

    let next = Server::builder().bind(passed()).http(Hello).build().unwrap().start().unwrap();
    assert_eq!(read_last_response(&mut waiting).text(), "Hello, world!");
    assert_eq!(exchange(addr, GET).text(), "Hello, world!");
    next.drain(PATIENCE);
}

#[test]
fn a_passed_datagram_socket_is_served_and_left_to_its_owner() {
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
    let copy = theirs.try_clone().unwrap();
    let bind = Bind::passed(theirs.into()).unwrap();
    let service = Service::datagrams(Echo);
    let handle = Server::builder()
        .workers(1)
        .bind(bind)
        .service(service.clone())
        .build()
        .unwrap()
        .start()
        .unwrap();
    let client = udp(copy.local_addr().unwrap());
    assert_eq!(ask(&client, "passed"), "passed");
    handle.drain(PATIENCE);
    client.send(b"for the next").unwrap();
    copy.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(uninterrupted(|| copy.recv(&mut [0; 20])).unwrap(), 12);

    let error = Bind::passed(std::fs::File::open("/").unwrap().into()).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
}

/// A socket that is connected to this address.
fn udp(to: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(to).unwrap();
    client
}

fn ask(client: &UdpSocket, text: &str) -> String {
    client.send(text.as_bytes()).unwrap();
    let mut buf = [0; 100];
    let len = uninterrupted(|| client.recv(&mut buf)).unwrap();
    String::from_utf8_lossy(&buf[..len]).into_owned()
}

#[test]
fn the_daemon_serves_a_passed_datagram_socket_one_process_after_the_other() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = udp(socket.local_addr().unwrap());
    for args in [&["--echo"][..], &["--echo", "-b", "fd:passed"], &["--echo", "-b", "fd:0"]] {
        // It waits in the socket's buffer until the next process is there.
        client.send(b"early").unwrap();
        let mut daemon = Daemon::start(activated(socket.try_clone().unwrap(), args));
        daemon.wait_for(&format!("listening on udp://{}", socket.local_addr().unwrap()));
        let mut buf = [0; 100];
        assert_eq!(uninterrupted(|| client.recv(&mut buf)).unwrap(), 5);
        assert_eq!(ask(&client, "Hello"), "Hello");
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
    }
}

#[test]
fn a_closed_peer_of_a_connected_datagram_socket_is_one_line_in_the_log() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // An address at which no other test takes the port once it is free.
    let peer = UdpSocket::bind("127.0.0.8:0").unwrap();
    socket.connect(peer.local_addr().unwrap()).unwrap();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    (0..20).for_each(|_| assert_eq!(peer.send(b"x").unwrap(), 1));
    let gone = peer.local_addr().unwrap();
    drop(peer);
    let copy = socket.try_clone().unwrap();
    let mut daemon = Daemon::start(activated(socket, &["--echo"]));
    daemon.wait_for("Connection refused (os error 111)");
    // The daemon keeps serving, once a peer is there again.
    let peer = UdpSocket::bind(gone).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.connect(copy.local_addr().unwrap()).unwrap();
    peer.send(b"again").unwrap();
    // Late responses to the others may come before.
    while uninterrupted(|| peer.recv(&mut [0; 100])).unwrap() != 5 {}
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    let lines = daemon.log.iter().filter(|line| line.contains("refused (os error")).count();
    assert_eq!(lines, 1, "{:#?}", daemon.log);
}
