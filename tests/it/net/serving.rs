//! The server on sockets of every type: datagrams and records beside streams.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use millpond::handlers::{Echo, Hello};
use millpond::net::{Addr, Datagram, Endpoint, Packet, Raw};
use millpond::pool::DatagramStats;
use millpond::{Bind, CloseReason, Config, ErrorKind, Server, Service};

use super::common::{Dir, endpoint, skipped, unix};
use crate::support::daemon::{Daemon, run};
use crate::support::ports::{free_addr, until_closed};
use crate::support::{PATIENCE, Start, TestServer, uninterrupted, until};

fn echo() -> Service {
    Service::echo()
}

pub(super) fn serve(config: Config, bind: &str, service: &Service) -> TestServer {
    let server =
        Server::builder().config(config).bind(bind).service(service.clone()).build().unwrap();
    server.start().unwrap()
}

pub(super) fn config(workers: usize) -> Config {
    let mut config = Config::default();
    config.pool.workers = workers;
    config
}

/// A UDP socket connected to the server's first address.
pub(super) fn udp(handle: &TestServer) -> UdpSocket {
    let to = handle.local_addrs()[0].as_socket().unwrap();
    let from: SocketAddr = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let client = UdpSocket::bind(from).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(to).unwrap();
    client
}

pub(super) fn ask(client: &UdpSocket, text: &str) -> String {
    client.send(text.as_bytes()).unwrap();
    let mut buf = [0; 1000];
    let len = uninterrupted(|| client.recv(&mut buf)).unwrap();
    String::from_utf8_lossy(&buf[..len]).into_owned()
}

fn ask_datagram(endpoint: &Endpoint, text: &[u8]) -> Vec<u8> {
    let mut client = Datagram::connect(endpoint, None).unwrap();
    client.set_timeout(Some(PATIENCE));
    client.send(text).unwrap();
    let mut buf = vec![0; 100_000];
    let received = client.recv(&mut buf).unwrap();
    buf.truncate(received.len);
    buf
}

fn packets(endpoint: &Endpoint) -> Packet {
    let mut client = Packet::connect(endpoint, None, Some(PATIENCE)).unwrap();
    client.set_timeout(Some(PATIENCE));
    client
}

/// Every datagram that was received is accounted for, and none waits.
#[track_caller]
pub(super) fn settled(handle: &TestServer) -> DatagramStats {
    let mut stats = handle.stats().datagrams;
    until("every datagram is done with", || {
        let settled = stats.waiting == 0;
        if !settled {
            stats = handle.stats().datagrams;
        }
        settled
    });
    assert_eq!(stats.received, stats.answered + stats.unanswered + stats.dropped(), "{stats:?}");
    stats
}

#[test]
fn one_server_echoes_on_sockets_of_every_type_at_once() {
    let dir = Dir::new();
    let mut builder = Server::builder().workers(2);
    let binds = [
        "tcp://127.0.0.1:0".to_owned(),
        "udp://127.0.0.1:0".to_owned(),
        "udp6://[::1]:0".to_owned(),
        unix("unix", &dir.path("s")).to_string(),
        unix("unixgram", &dir.path("g")).to_string(),
        unix("unixpacket", &dir.path("p")).to_string(),
        format!("unixgram:@millpond-serving-{}", std::process::id()),
    ];
    for bind in &binds {
        builder = builder.bind(bind);
    }
    let handle = builder.service(echo()).build().unwrap().start().unwrap();
    let ends = handle.endpoints().to_vec();
    assert_eq!(ends.len(), binds.len());
    assert_eq!(ends[3..], binds[3..]);

    let mut tcp = TcpStream::connect(handle.local_addrs()[0].as_socket().unwrap()).unwrap();
    let mut stream = UnixStream::connect(dir.path("s")).unwrap();
    for socket in [&mut tcp as &mut dyn ReadWrite, &mut stream] {
        socket.write_all(b"stream").unwrap();
        let mut response = [0; 6];
        socket.read_exact(&mut response).unwrap();
        assert_eq!(&response, b"stream");
    }
    for index in [1, 2, 4, 6] {
        let to = endpoint(&ends[index]);
        assert_eq!(ask_datagram(&to, b"datagram"), b"datagram", "{to}");
        assert_eq!(ask_datagram(&to, b""), b"", "an empty datagram is a datagram: {to}");
        assert_eq!(ask_datagram(&to, &[7; 60_000]), [7; 60_000], "{to}");
    }
    let client = packets(&endpoint(&ends[5]));
    client.send(b"one").unwrap();
    client.send(b"three").unwrap();
    let mut buf = [0; 100];
    assert_eq!(client.recv(&mut buf).unwrap().len, 3);
    assert_eq!(client.recv(&mut buf).unwrap().len, 5);
    let stats = settled(&handle);
    assert_eq!((stats.received, stats.answered, stats.kernel_drops), (12, 12, 0));
    drop((tcp, stream, client));
    let report = handle.drain(PATIENCE);
    assert_eq!(report.cut_off, 0);
    for name in ["s", "g", "p"] {
        assert!(!dir.path(name).exists(), "the file {name} goes with its socket");
    }
    let udp = handle.local_addrs()[1].as_socket().unwrap();
    until("the port is free again", || UdpSocket::bind(udp).is_ok());
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn an_endpoint_that_the_service_cannot_serve_is_refused_before_anything_is_bound() {
    let dir = Dir::new();
    let socket = dir.path("s");
    let table = [
        (
            "udp://127.0.0.1:0",
            Service::http(Hello),
            "is for datagrams, but its service serves HTTP",
        ),
        ("unixgram:@never", Service::packets(Echo), "is for datagrams, but its service serves seq"),
        ("unixpacket:@never", Service::http(Hello), "is for sequenced packets, but its service"),
        (
            "tcp://127.0.0.1:0",
            Service::datagrams(Echo),
            "is for streams, but its service serves da",
        ),
        ("icmp:127.0.0.1", Service::datagrams(Echo), "the kernel responds to echo requests itself"),
        ("ip4:253", Service::datagrams(Echo), "a raw socket receives its own responses"),
        ("fd:3", Service::echo(), "is a descriptor"),
    ];
    for (bind, service, expected) in table {
        let first = Bind::to(unix("unix", &socket).to_string()).with(echo());
        let error =
            Server::builder().bind(first).bind(bind).service(service.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
        assert!(!socket.exists(), "nothing is bound");
    }
}

#[test]
fn records_keep_their_boundaries_and_a_slow_reader_holds_no_worker() {
    let dir = Dir::new();
    let place = unix("unixpacket", &dir.path("p"));
    let handle = serve(config(1), &place.to_string(), &Service::packets(Echo));
    let slow = packets(&place);
    // More than the socket buffers of both directions hold.
    let mut sent = 0_usize;
    let mut impatient = packets(&place);
    impatient.set_nonblocking(true);
    while sent < 10_000 {
        match impatient.send(&[1; 1000]) {
            Ok(()) => sent += 1,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if handle.stats().parked > 0 {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    slow.send(b"the only worker is free").unwrap();
    let mut buf = [0; 2000];
    assert_eq!(slow.recv(&mut buf).unwrap().len, 23);
    impatient.set_timeout(Some(PATIENCE));
    for _ in 0..sent {
        assert_eq!(impatient.recv(&mut buf).unwrap().len, 1000);
    }
    drop((slow, impatient));
    until("both have gone", || handle.stats().closed_for(CloseReason::ClientClosed) == 2);
}

#[test]
fn a_record_longer_than_the_limit_ends_its_connection() {
    let dir = Dir::new();
    let place = unix("unixpacket", &dir.path("p"));
    let mut config = config(1);
    config.limits.datagram = 100;
    let service =
        Service::packets(|record: &[u8], _: &Addr| (record != b"-").then(|| record.into()));
    let handle = serve(config, &place.to_string(), &service);
    let client = packets(&place);
    client.send(b"-").unwrap();
    client.send(&[1; 100]).unwrap();
    assert_eq!(client.recv(&mut [0; 200]).unwrap().len, 100, "no response to the first");
    client.send(&[1; 101]).unwrap();
    assert_eq!(client.recv(&mut [0; 200]).map_or(0, |received| received.len), 0);
    until("it is counted", || handle.stats().closed_for(CloseReason::TooLarge) == 1);
}

#[test]
fn a_protocol_number_is_served_over_a_raw_socket() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = Service::datagrams({
        let seen = Arc::clone(&seen);
        move |payload: &[u8], peer: &Addr| {
            seen.lock().unwrap().push(peer.clone());
            Some(payload.to_ascii_uppercase())
        }
    });
    // 254 is for experiments: RFC 3692 §2.1. Other tests use 253 and another address.
    let bound =
        Server::builder().workers(1).bind("ip4:254:127.0.0.7").service(service.clone()).build();
    let server = match bound {
        Ok(server) => server,
        Err(error) if error.kind() == ErrorKind::Permission => {
            assert!(error.hint().unwrap().contains("CAP_NET_RAW"), "{error}");
            skipped(&format!("{error:#}"));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(server.endpoints(), ["ip4:254:127.0.0.7"]);
    let _handle = server.start().unwrap();
    let from: SocketAddr = "127.0.0.8:0".parse().unwrap();
    let mut client = Raw::connect(&endpoint("ip4:254:127.0.0.7"), Some(from)).unwrap();
    client.set_timeout(Some(PATIENCE));
    client.send(b"raw").unwrap();
    let mut buf = [0; 100];
    let (received, _) = client.recv_from(&mut buf).unwrap();
    let (header, payload) = millpond::net::Ipv4Header::decode(&buf[..received.len]).unwrap();
    assert_eq!((header.protocol, payload), (254, &b"RAW"[..]));
    assert_eq!(*seen.lock().unwrap(), [Addr::Ip(from)]);
    // A packet that seems to be its own response gets none.
    let own: SocketAddr = "127.0.0.7:0".parse().unwrap();
    Raw::connect(&endpoint("ip4:254:127.0.0.7"), Some(own)).unwrap().send(b"echo?").unwrap();
    client.send(b"again").unwrap();
    client.recv_from(&mut buf).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn the_daemon_echoes_on_every_type_of_socket_for_its_client() {
    let dir = Dir::new();
    let at = |scheme: &str, name: &str| unix(scheme, &dir.path(name)).to_string();
    let binds = [at("unix", "s"), at("unixgram", "g"), at("unixpacket", "p")];
    let mut args = vec!["--echo", "--no-confine", "-b", "udp://127.0.0.1:0"];
    binds.iter().for_each(|bind| args.extend(["-b", bind]));
    let mut daemon = Daemon::serve(&args);
    let mut ends = Vec::new();
    for _ in 0..5 {
        let line = daemon.wait_for("listening on ");
        ends.push(line.split_once("listening on ").unwrap().1.trim().to_owned());
    }
    assert_eq!(ends[2..], binds);
    for end in ends {
        let ran = run(&["connect", &end, "Hello"]);
        assert_eq!(ran.stdout, "Received b\"Hello\"\n", "{end}: {ran:?}");
    }
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0), "{:#?}", daemon.log);
}

#[test]
fn http_over_datagrams_is_an_error_at_start() {
    let ran = run(&["serve", "-b", "tcp://127.0.0.1:0", "-b", "udp://127.0.0.1:0"]);
    let error = &ran.stderr;
    assert_eq!(ran.code, Some(78), "{error}");
    assert!(error.contains("is for datagrams, but its service serves HTTP"), "{error}");
    assert!(error.contains("hint: HTTP goes over tcp: and unix:; `serve --echo`"), "{error}");
}

#[test]
fn both_wildcards_share_a_port_and_colliding_endpoints_are_named() {
    // A port that is free for both versions of IP.
    let free = free_addr(Ipv6Addr::UNSPECIFIED).port();
    let (six, four) = (format!("tcp://[::]:{free}"), format!("tcp://0.0.0.0:{free}"));
    let server = |binds: &[&str]| {
        let binds = binds.iter().fold(Server::builder(), |builder, bind| builder.bind(*bind));
        binds.service(echo()).build()
    };
    let closed = || {
        until_closed((Ipv4Addr::LOCALHOST, free).into());
        until_closed((Ipv6Addr::LOCALHOST, free).into());
    };
    for order in [[&six, &four], [&four, &six]] {
        let handle = server(&[order[0], order[1]]).unwrap().start().unwrap();
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, free)).unwrap();
        }
        handle.stop_now();
        closed();
    }
    let one = format!("tcp://127.0.0.1:{free}");
    let name = format!("tcp://localhost:{free}");
    for (first, second) in [(&one, &one), (&six, &one), (&one, &six), (&one, &name)] {
        let error = server(&[first, second]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(first.as_str()) && text.contains(second.as_str()), "{text}");
        assert!(text.contains("by this server"), "{text}");
        assert!(!error.hint().unwrap().contains("another program"), "{error:?}");
        closed();
    }
    let checked = Server::builder().bind(&one).bind(&one).service(echo()).check().unwrap_err();
    assert_eq!(checked.kind(), ErrorKind::Config);
}
