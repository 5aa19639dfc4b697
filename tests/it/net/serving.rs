//! The server on sockets of every type: datagrams and records beside streams.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond::handlers::{Echo, Hello};
use millpond::net::{Addr, Datagram, Endpoint, Packet, Raw};
use millpond::pool::DatagramStats;
use millpond::{Bind, CloseReason, Config, ErrorKind, Refusal, Server, Service};

use super::common::{Dir, endpoint, skipped, unix};
use crate::support::daemon::{Daemon, run};
use crate::support::{PATIENCE, Start, TestServer, until};

fn echo() -> Service {
    Service::protocol(Echo).and_packets(Echo).and_datagrams(Echo)
}

fn serve(config: Config, bind: &str, service: &Service) -> TestServer {
    let server = Server::builder().config(config).bind(bind).serve(service).unwrap();
    server.start().unwrap()
}

fn config(workers: usize) -> Config {
    let mut config = Config::default();
    config.pool.workers = workers;
    config
}

/// A UDP socket connected to the server's first address.
fn udp(handle: &TestServer) -> UdpSocket {
    let to = handle.local_addrs()[0].as_socket().unwrap();
    let from: SocketAddr = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let client = UdpSocket::bind(from).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(to).unwrap();
    client
}

fn ask(client: &UdpSocket, text: &str) -> String {
    client.send(text.as_bytes()).unwrap();
    let mut buf = [0; 1000];
    let len = client.recv(&mut buf).unwrap();
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
fn settled(handle: &TestServer) -> DatagramStats {
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
    let handle = builder.serve(&echo()).unwrap().start().unwrap();
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
    UdpSocket::bind(handle.local_addrs()[1].as_socket().unwrap()).expect("the port is free again");
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
        (
            "unixgram:@never",
            Service::protocol(Echo),
            "is for datagrams, but its service serves str",
        ),
        ("unixpacket:@never", Service::http(Hello), "is for sequenced packets, but its service"),
        (
            "tcp://127.0.0.1:0",
            Service::datagrams(Echo),
            "is for streams, but its service serves da",
        ),
        ("icmp:127.0.0.1", Service::datagrams(Echo), "the kernel responds to echo requests itself"),
        ("ip4:253", Service::datagrams(Echo), "a raw socket receives its own responses"),
        ("fd:3", Service::protocol(Echo), "is a descriptor"),
    ];
    for (bind, service, expected) in table {
        let first = Bind::to(unix("unix", &socket).to_string()).with(echo());
        let error = Server::builder().bind(first).bind(bind).serve(&service).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
        assert!(!socket.exists(), "nothing is bound");
    }
}

#[test]
fn a_closure_may_respond_and_a_panic_loses_one_datagram() {
    let service = Service::datagrams(|datagram: &[u8], peer: &Addr| match datagram {
        b"panic" => panic!("as asked"),
        b"silence" => None,
        b"who" => Some(peer.to_string().into_bytes()),
        other => Some(other.to_ascii_uppercase()),
    });
    let handle = serve(config(2), "udp://127.0.0.1:0", &service);
    let client = udp(&handle);
    assert_eq!(ask(&client, "hello"), "HELLO");
    assert_eq!(ask(&client, "who"), client.local_addr().unwrap().to_string());
    client.send(b"panic").unwrap();
    client.send(b"silence").unwrap();
    assert_eq!(ask(&client, "still here"), "STILL HERE");
    let stats = settled(&handle);
    assert_eq!((stats.answered, stats.unanswered, stats.panicked), (3, 1, 1));
    assert_eq!(handle.stats().panics, 1);
}

#[test]
fn datagrams_that_are_too_long_or_get_no_response_are_counted() {
    let dir = Dir::new();
    let mut config = config(1);
    config.limits.datagram = 1000;
    let place = unix("unixgram", &dir.path("s"));
    let handle = serve(config, &place.to_string(), &Service::datagrams(Echo));
    let mut client = Datagram::connect(&place, None).unwrap();
    client.set_timeout(Some(PATIENCE));
    client.send(&[1; 1000]).unwrap();
    assert_eq!(client.recv(&mut [0; 2000]).unwrap().len, 1000);
    client.send(&[1; 1001]).unwrap();
    let nameless = std::os::unix::net::UnixDatagram::unbound().unwrap();
    nameless.send_to(b"no address", dir.path("s")).unwrap();
    until("all three are received", || settled(&handle).received == 3);
    let stats = settled(&handle);
    assert_eq!((stats.too_long, stats.answered, stats.unsent), (1, 1, 1));
}

#[test]
fn a_response_that_is_too_long_affects_no_other() {
    let service = Service::datagrams(|datagram: &[u8], _: &Addr| match datagram {
        b"long" => Some(vec![0; 70_000]),
        other => Some(other.to_vec()),
    });
    let handle = serve(config(1), "udp://127.0.0.1:0", &service);
    let client = udp(&handle);
    for text in ["a", "long", "b", "long"] {
        client.send(text.as_bytes()).unwrap();
    }
    let mut buf = [0; 10];
    assert_eq!(client.recv(&mut buf).unwrap(), 1);
    assert_eq!(client.recv(&mut buf).unwrap(), 1);
    until("all four are done with", || settled(&handle).received == 4);
    let stats = settled(&handle);
    assert_eq!((stats.answered, stats.unsent), (2, 2));
}

#[test]
fn datagrams_beyond_the_queue_are_dropped_and_counted() {
    let (entered, inside) = mpsc::channel();
    let entered = Mutex::new(entered);
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let service = Service::datagrams(move |datagram: &[u8], _: &Addr| {
        match datagram {
            b"slow" => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = entered.lock().unwrap().send(());
                let _ = gate.lock().unwrap().recv();
            }
        }
        Some(datagram.to_vec())
    });
    let mut config = config(1);
    config.pool.queue = Some(5);
    // The handler blocks for as long as the test takes: only the queue's limit is to refuse.
    config.overload.shed = false;
    let handle = serve(config, "udp://127.0.0.1:0", &service);
    let client = udp(&handle);
    // Behind fast handlers datagrams wait in the kernel's buffer: this one is known to be slow.
    assert_eq!(ask(&client, "slow"), "slow");
    client.send(b"0").unwrap();
    inside.recv_timeout(PATIENCE).unwrap();
    for _ in 0..20 {
        client.send(b"1").unwrap();
    }
    until("all are received", || handle.stats().datagrams.received == 22);
    let stats = handle.stats();
    assert_eq!(stats.datagrams.refused[Refusal::QueueFull as usize], 15);
    assert_eq!((stats.datagrams.waiting, stats.queued), (6, 5));
    (0..6).for_each(|_| open.send(()).unwrap());
    (0..6).for_each(|_| assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1));
    let stats = settled(&handle);
    assert_eq!((stats.answered, stats.dropped()), (7, 15));
}

#[test]
fn at_twice_the_capacity_every_datagram_is_accounted_for() {
    const SENT: u64 = 6_000;
    let pause = Duration::from_micros(500);
    let service = Service::datagrams(move |datagram: &[u8], _: &Addr| {
        std::thread::sleep(pause);
        Some(datagram.to_vec())
    });
    let handle = serve(config(4), "udp://127.0.0.1:0", &service);
    let client = udp(&handle);
    // The schedule is for the load; the accounts have to be right at any pace.
    let start = std::time::Instant::now();
    for index in 0..SENT {
        let due = start + pause / 8 * index as u32;
        std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
        client.send(&index.to_be_bytes()).unwrap();
    }
    until("all have arrived somewhere", || {
        let stats = handle.stats().datagrams;
        stats.received + stats.kernel_drops == SENT && stats.waiting == 0
    });
    let stats = settled(&handle);
    assert_eq!(SENT, stats.answered + stats.dropped() + stats.kernel_drops, "{stats:?}");
    assert!(stats.answered > 0, "{stats:?}");
    // The client's receive buffer held some of the responses, each once.
    client.set_nonblocking(true).unwrap();
    let mut seen = HashSet::new();
    let mut buf = [0; 8];
    while client.recv(&mut buf).is_ok() {
        assert!(seen.insert(buf), "two responses");
    }
    assert!(seen.len() as u64 <= stats.answered);
}

#[test]
fn a_handler_that_blocks_after_fast_ones_delays_no_other_datagram() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let service = Service::datagrams(move |datagram: &[u8], _: &Addr| {
        if datagram == b"block" {
            let _ = gate.lock().unwrap().recv();
        }
        Some(datagram.to_vec())
    });
    let mut config = config(2);
    config.overload.shed = false;
    let handle = serve(config, "udp://127.0.0.1:0", &service);
    let client = udp(&handle);
    // While handlers are fast, the workers receive.
    (0..200).for_each(|_| assert_eq!(ask(&client, "quick"), "quick"));
    client.send(b"block").unwrap();
    (0..200).for_each(|_| assert_eq!(ask(&client, "quick"), "quick"));
    open.send(()).unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), 5);
    (0..200).for_each(|_| assert_eq!(ask(&client, "quick"), "quick"));
    // With every worker blocked, the acceptor receives, and datagrams wait in the queue.
    (0..2).for_each(|_| assert_eq!(client.send(b"block").unwrap(), 5));
    until("both workers are blocked", || {
        let stats = handle.stats();
        (stats.datagrams.waiting, stats.queued) == (2, 0)
    });
    (0..100).for_each(|_| assert_eq!(client.send(b"x").unwrap(), 1));
    until("the others are received", || handle.stats().datagrams.received == 703);
    assert_eq!(handle.stats().queued, 100);
    (0..2).for_each(|_| open.send(()).unwrap());
    (0..102).for_each(|_| assert!(client.recv(&mut [0; 8]).unwrap() > 0));
    assert_eq!(settled(&handle).answered, 703);
    assert_eq!(handle.drain(PATIENCE).cut_off, 0);
}

#[test]
fn datagrams_received_before_the_stop_get_their_responses() {
    let (entered, inside) = mpsc::channel();
    let entered = Mutex::new(entered);
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let service = Service::datagrams(move |datagram: &[u8], _: &Addr| {
        let _ = entered.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv();
        Some(datagram.to_vec())
    });
    let mut config = config(1);
    config.overload.shed = false;
    let handle = serve(config, "udp://127.0.0.1:0", &service);
    let client = udp(&handle);
    for _ in 0..10 {
        client.send(b"x").unwrap();
    }
    inside.recv_timeout(PATIENCE).unwrap();
    let drainer = std::thread::spawn({
        let handle = handle.clone();
        move || handle.drain(PATIENCE)
    });
    (0..10).for_each(|_| open.send(()).unwrap());
    let report = drainer.join().unwrap();
    (0..10).for_each(|_| assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1));
    assert_eq!((report.cut_off, handle.stats().datagrams.answered), (0, 10));
    assert!(report.elapsed < PATIENCE, "no thread waits until the deadline");
}

#[test]
fn a_handler_that_outlasts_the_deadline_is_left_behind_and_its_datagram_counted() {
    let (entered, inside) = mpsc::channel();
    let entered = Mutex::new(entered);
    let (_open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let service = Service::datagrams(move |_: &[u8], _: &Addr| {
        let _ = entered.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv();
        None
    });
    let handle = serve(config(1), "udp://127.0.0.1:0", &service);
    udp(&handle).send(b"x").unwrap();
    inside.recv_timeout(PATIENCE).unwrap();
    assert_eq!(handle.drain(Duration::from_millis(20)).cut_off, 1);
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
    let bound = Server::builder().workers(1).bind("ip4:254:127.0.0.7").serve(&service);
    let server = match bound {
        Ok(server) => server,
        Err(error) if error.kind() == ErrorKind::Permission => {
            assert!(error.hint().unwrap().contains("CAP_NET_RAW"), "{error}");
            skipped(&format!("{error}"));
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
fn an_ipv4_client_of_a_socket_for_both_versions_is_ipv4_to_handlers_of_datagrams() {
    let handler = |_: &[u8], peer: &Addr| Some(peer.to_string().into_bytes());
    let service = Service::datagrams(handler);
    let handle = serve(config(2), "udp://[::]:0", &service);
    let port = handle.local_addrs()[0].as_socket().unwrap().port();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(("127.0.0.1", port)).unwrap();
    assert_eq!(ask(&client, "who"), client.local_addr().unwrap().to_string());
    handle.stop_now();
}

#[test]
fn both_wildcards_share_a_port_and_colliding_endpoints_are_named() {
    // A port that is free for both versions of IP.
    let free = std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let (six, four) = (format!("tcp://[::]:{free}"), format!("tcp://0.0.0.0:{free}"));
    let server = |binds: &[&str]| {
        let binds = binds.iter().fold(Server::builder(), |builder, bind| builder.bind(*bind));
        binds.serve(&echo())
    };
    for order in [[&six, &four], [&four, &six]] {
        let handle = server(&[order[0], order[1]]).unwrap().start().unwrap();
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, free)).unwrap();
        }
        handle.stop_now();
    }
    let one = format!("tcp://127.0.0.1:{free}");
    let name = format!("tcp://localhost:{free}");
    for (first, second) in [(&one, &one), (&six, &one), (&one, &six), (&one, &name)] {
        let error = server(&[first, second]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(first.as_str()) && text.contains(second.as_str()), "{text}");
        assert!(text.contains("by this server"), "{text}");
        assert!(!error.hint().unwrap().contains("another program"), "{error:?}");
    }
    let checked = Server::builder().bind(&one).bind(&one).check(&echo()).unwrap_err();
    assert_eq!(checked.kind(), ErrorKind::Config);
}
