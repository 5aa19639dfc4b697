//! Endpoints whose connections begin with a PROXY header.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use millpond::handlers::Hello;
use millpond::http::{Request, Response};
use millpond::{Bind, CloseReason, Config, Handle, Server, Service};

use crate::support::{
    Gate, Start, TestServer, addr, connect, connect_from, exchange, read_last_response,
    read_response, read_to_end, until,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The client that the headers below name.
const CLIENT: &str = "192.0.2.7:50000";

/// Headers of each kind, and the clients that they name.
fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let v2 = |command: u8, family: u8, rest: &[u8]| {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
    };
    let ipv4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x50, 0, 80];
    let mut ipv6 = vec![0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    ipv6.extend([0; 16]);
    ipv6.extend([0xc3, 0x50, 0, 80]);
    // An extension that takes more than one read.
    let mut long = ipv4.to_vec();
    long.extend([0xe0, 0x08, 0x00]);
    long.extend([b'x'; 0x800]);
    vec![
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\n".to_vec(), Some(CLIENT)),
        (b"PROXY TCP6 2001:db8::1 ::1 50000 80\r\n".to_vec(), Some("[2001:db8::1]:50000")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 50000 80\r\n".to_vec(), Some(CLIENT)),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (v2(0x21, 0x11, &ipv4), Some(CLIENT)),
        (v2(0x21, 0x21, &ipv6), Some("[2001:db8::1]:50000")),
        (v2(0x21, 0x11, &long), Some(CLIENT)),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x00, b"GET /skipped HTTP/1.1\r\n\r\n"), None),
    ]
}

fn v1(client: &str, request: &[u8]) -> Vec<u8> {
    [format!("PROXY TCP4 {client} 10.0.0.1 50000 80\r\n").as_bytes(), request].concat()
}

fn config() -> Config {
    let mut config = Config::default();
    config.pool.workers = 2;
    config.proxy.trusted = vec!["127.0.0.1".parse().unwrap(), "unix".parse().unwrap()];
    config
}

fn start(config: Config, service: Service) -> TestServer {
    let bind = Bind::to("tcp://127.0.0.1:0?proxy=require");
    Server::builder().config(config).bind(bind).service(service).build().unwrap().start().unwrap()
}

/// A server whose handler waits at the gate, so that the client of its request can be seen.
fn gated(config: Config) -> (TestServer, Arc<Gate>) {
    let gate = Arc::new(Gate::closed());
    let handler = {
        let gate = Arc::clone(&gate);
        move |req: &mut Request| {
            gate.wait();
            Response::text(format!("{} {}", req.uri().path(), req.peer_addr().is_some()))
        }
    };
    (start(config, Service::http(handler)), gate)
}

/// The client whom a worker serves.
fn served(server: &Handle) -> Option<SocketAddr> {
    server.workers().iter().find_map(|worker| worker.peer)
}

#[test]
fn a_header_names_the_client_and_the_bytes_behind_it_are_the_request() {
    for (header, client) in headers() {
        let text = header.escape_ascii().to_string();
        let (server, gate) = gated(config());
        let mut proxy = connect(addr(&server));
        let peer = proxy.local_addr().unwrap();
        proxy.write_all(&[&header[..], GET].concat()).unwrap();
        until("a worker serves it", || gate.waited() == 1);
        let expected = client.map_or(peer, |client| client.parse().unwrap());
        assert_eq!(served(&server), Some(expected), "{text}");
        gate.open();
        assert_eq!(read_response(&mut proxy).text(), "/ true", "{text}");
        // Only the connection begins with a header.
        proxy.write_all(GET).unwrap();
        assert_eq!(read_response(&mut proxy).text(), "/ true", "{text}");
        proxy.write_all(&header).unwrap();
        proxy.shutdown(Shutdown::Write).unwrap();
        let refused = read_last_response(&mut proxy);
        assert_eq!(refused.status, 400, "{text}: {}", refused.text());
    }
}

/// With and without `TCP_DEFER_ACCEPT`, which keeps a connection in the kernel until its first
/// bytes have come.
#[test]
fn a_header_arrives_in_any_pieces() {
    for defer in [Config::default().timeouts.defer_accept, Duration::ZERO] {
        let mut config = config();
        config.timeouts.defer_accept = defer;
        let server = start(config, Service::http(Hello));
        let send = |pieces: &[&[u8]]| {
            let before = server.stats().accepted;
            let mut proxy = connect(addr(&server));
            for piece in pieces {
                proxy.write_all(piece).unwrap();
                until("it was accepted", || server.stats().accepted > before);
            }
            assert_eq!(read_last_response(&mut proxy).status, 200);
        };
        for (header, _) in headers() {
            let bytes = [&header[..], GET_CLOSE].concat();
            for cut in (1..header.len() + 4).step_by(1 + header.len() / 16) {
                send(&[&bytes[..cut], &bytes[cut..]]);
            }
            send(&[&header, GET_CLOSE]);
            let bytes: Vec<_> = header.chunks(1).chain([GET_CLOSE]).collect();
            send(&bytes);
        }
        assert_eq!(server.stats().closed_for(CloseReason::NoProxyHeader), 0);
    }
}

#[test]
fn a_request_long_after_its_header_is_served() {
    let server = start(config(), Service::http(Hello));
    for (header, _) in headers() {
        let mut proxy = connect(addr(&server));
        proxy.write_all(&header).unwrap();
        until("it was accepted", || server.stats().live == 1);
        until("no worker is held", || served(&server).is_none());
        proxy.write_all(GET_CLOSE).unwrap();
        assert_eq!(read_last_response(&mut proxy).status, 200);
        until("it ended", || server.stats().live == 0);
    }
}

#[test]
fn every_protocol_of_streams_gets_what_follows_the_header() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let server = Server::builder()
        .config(config())
        .bind("tcp://127.0.0.1:0?priority=high&proxy=require")
        .bind(Bind::to(format!("unix:{}", path.display())).proxy_header())
        .service(Service::echo())
        .build()
        .unwrap()
        .start()
        .unwrap();
    for (header, _) in headers() {
        let mut tcp = connect(addr(&server));
        let mut unix = UnixStream::connect(&path).unwrap();
        unix.set_read_timeout(tcp.read_timeout().unwrap()).unwrap();
        for proxy in [&mut tcp as &mut dyn ReadWrite, &mut unix] {
            proxy.write_all(&header).unwrap();
            for text in ["mill", "pond"] {
                proxy.write_all(text.as_bytes()).unwrap();
                let mut echoed = [0; 4];
                proxy.read_exact(&mut echoed).unwrap();
                assert_eq!(echoed, text.as_bytes());
            }
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn a_connection_without_a_header_is_closed_for_that() {
    let server = start(config(), Service::http(Hello));
    let too_long = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let inputs: [&[u8]; 5] = [
        GET,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 50000\r\n",
        &too_long,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ];
    for (count, input) in (1..).zip(inputs) {
        let mut client = connect(addr(&server));
        client.write_all(input).unwrap();
        assert_eq!(read_until_closed(&mut client), b"", "{}", input.escape_ascii());
        until("it counts", || server.stats().closed_for(CloseReason::NoProxyHeader) == count);
    }
    assert_eq!(server.stats().served, 0);
}

/// What comes until the connection ends, by a reset or otherwise.
fn read_until_closed(client: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    match client.read_to_end(&mut read) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => read,
    }
}

#[test]
fn a_client_that_ends_before_its_header_is_complete_is_counted_as_such() {
    let server = start(config(), Service::http(Hello));
    drop(connect(addr(&server)));
    until("it left", || server.stats().closed_for(CloseReason::ClientClosed) == 1);
    let mut client = connect(addr(&server));
    client.write_all(b"PROXY TCP4 192.").unwrap();
    drop(client);
    until("it left", || server.stats().closed_for(CloseReason::ClientGone) == 1);
}

#[test]
fn only_trusted_peers_may_send_a_header() {
    let server = start(config(), Service::http(Hello));
    let mut other = connect_from([127, 0, 0, 2], addr(&server));
    other.write_all(&v1("192.0.2.7", GET_CLOSE)).unwrap();
    assert_eq!(read_until_closed(&mut other), b"");
    until("it counts", || server.stats().closed_for(CloseReason::UntrustedProxy) == 1);
    let mut proxy = connect(addr(&server));
    proxy.write_all(&v1("192.0.2.7", GET_CLOSE)).unwrap();
    assert_eq!(read_last_response(&mut proxy).status, 200);
    // The list may change while the server runs.
    let mut changed = config();
    changed.proxy.trusted = vec!["127.0.0.2".parse().unwrap()];
    server.reconfigure(changed).unwrap();
    let mut other = connect_from([127, 0, 0, 2], addr(&server));
    other.write_all(&v1("192.0.2.7", GET_CLOSE)).unwrap();
    assert_eq!(read_last_response(&mut other).status, 200);
}

#[test]
fn a_plain_endpoint_refuses_every_header_as_a_bad_request() {
    let server = Server::builder().config(config()).bind("tcp://127.0.0.1:0").http(Hello);
    let server = server.build().unwrap().start().unwrap();
    for (header, _) in headers() {
        let response = exchange(addr(&server), &[&header[..], GET].concat());
        assert_eq!(response.status, 400, "{}", header.escape_ascii());
    }
}

#[test]
fn half_a_header_ends_with_the_timeout_for_the_head_whatever_comes_meanwhile() {
    let mut config = config();
    config.timeouts.head = Duration::from_millis(400);
    let server = start(config, Service::http(Hello));
    let mut silent = connect(addr(&server));
    let mut slow = connect(addr(&server));
    let mut done = connect(addr(&server));
    done.write_all(&v1("192.0.2.7", b"")).unwrap();
    // A piece every 100 ms: the deadline counts from the beginning.
    for byte in v1("192.0.2.7", b"") {
        if slow.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // The header stretches no timeout either.
    for client in [&mut silent, &mut slow, &mut done] {
        assert_eq!(read_until_closed(client), b"", "nothing was asked");
    }
    until("all count", || server.stats().closed_for(CloseReason::HeadTimeout) == 3);
}

#[test]
fn a_thousand_silent_connections_hold_no_worker() {
    let server = start(config(), Service::http(Hello));
    let request = v1("192.0.2.7", GET_CLOSE);
    let mut silent = Vec::new();
    for index in 0..1000 {
        let mut client = connect(addr(&server));
        // Half of them have sent half a header.
        let sent = if index % 2 == 0 { 18 } else { 0 };
        client.write_all(&request[..sent]).unwrap();
        silent.push((client, sent));
        if index % 100 == 0 {
            let mut proxy = connect(addr(&server));
            proxy.write_all(&request).unwrap();
            assert_eq!(read_last_response(&mut proxy).status, 200);
        }
    }
    let mut proxy = connect(addr(&server));
    proxy.write_all(&request).unwrap();
    assert_eq!(read_last_response(&mut proxy).status, 200);
    for (mut client, sent) in silent {
        client.write_all(&request[sent..]).unwrap();
        assert_eq!(read_last_response(&mut client).status, 200);
    }
}

#[test]
fn a_drain_serves_the_request_behind_a_header_that_has_begun() {
    let server = start(config(), Service::http(Hello));
    let header = v1("192.0.2.7", GET);
    let mut half = connect(addr(&server));
    half.write_all(&header[..20]).unwrap();
    let mut kept = connect(addr(&server));
    kept.write_all(&header).unwrap();
    assert_eq!(read_response(&mut kept).status, 200);
    until("both are there", || server.stats().live == 2);
    let handle = (*server).clone();
    let drain = std::thread::spawn(move || handle.drain(Duration::from_secs(5)));
    until("it drains", || server.state() == millpond::ServerState::Draining);
    half.write_all(&header[20..]).unwrap();
    let response = read_response(&mut half);
    assert!(response.status == 200 && response.has_connection_option("close"));
    drop(half);
    assert_eq!(read_to_end(&mut kept), "");
    drop(kept);
    let report = drain.join().unwrap();
    assert_eq!((report.served, report.cut_off), (2, 0));
}

/// The table of connections is shared by the clients that the headers name, not by their proxy.
#[test]
fn connections_count_for_the_client_that_the_header_names() {
    let mut config = config();
    config.limits.connections = 20;
    let server = start(config, Service::http(Hello));
    let open = |client: &str| {
        let mut proxy = connect(addr(&server));
        proxy.write_all(&v1(client, GET)).unwrap();
        assert_eq!(read_response(&mut proxy).status, 200);
        proxy
    };
    let mut one = open("192.0.2.1");
    let mut many: Vec<_> = (0..19).map(|_| open("192.0.2.2")).collect();
    let more: Vec<_> = (0..8).map(|n| open(&format!("192.0.2.{}", 10 + n))).collect();
    assert_eq!(server.stats().closed_for(CloseReason::MadeRoom), 8);
    one.write_all(GET).unwrap();
    assert_eq!(read_response(&mut one).status, 200, "it had only one");
    let lost = many.iter_mut().map(|client| client.write_all(GET).is_err() || ended(client));
    assert_eq!(lost.filter(|lost| *lost).count(), 8, "the client with most has lost all 8");
    drop(more);
}

fn ended(client: &mut TcpStream) -> bool {
    !client.peek(&mut [0]).is_ok_and(|count| count > 0)
}

/// While the queue is full: the header is read before the request is refused, so that the client
/// gets a whole response, and no worker is needed for that.
#[test]
fn a_refusal_is_a_response_to_the_request_behind_the_header() {
    let mut config = config();
    config.pool.workers = 1;
    config.pool.queue = Some(1);
    let (server, gate) = gated(config);
    let mut clients = Vec::new();
    for n in 0..8 {
        let mut proxy = connect(addr(&server));
        proxy.write_all(&v1(&format!("192.0.2.{n}"), GET_CLOSE)).unwrap();
        clients.push(proxy);
        until("it was accepted", || server.stats().accepted > n);
    }
    until("some are refused", || server.stats().refused_total() > 0);
    gate.open();
    let mut statuses: Vec<_> =
        clients.iter_mut().map(|client| read_last_response(client).status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 503]);
}

#[test]
fn a_server_that_could_not_serve_its_proxies_does_not_start() {
    let error = |trusted: &str, endpoint: &str| {
        let mut config = Config::default();
        config.proxy.trusted = trusted.parse().into_iter().collect();
        let builder = Server::builder().config(config).bind(endpoint).service(Service::echo());
        let error = builder.check().unwrap_err();
        assert!(error.hint().is_some());
        error.to_string()
    };
    assert_eq!(
        error("", "tcp://[::]:80?proxy=require"),
        "tcp://[::]:80 requires a PROXY header, but no proxy is trusted"
    );
    for endpoint in ["udp://127.0.0.1:80", "unixpacket:@a", "unixgram:@a"] {
        let text = error("unix", &format!("{endpoint}?proxy=require"));
        assert_eq!(text, format!("{endpoint} cannot require a PROXY header"));
    }
    assert_eq!(
        error("unix", "[::]:80?proxy=yes"),
        "unknown option \"proxy=yes\" of the endpoint [::]:80: expected priority=high or \
         proxy=require"
    );
}

#[test]
fn a_field_names_another_client_only_if_the_one_in_the_header_is_a_trusted_proxy() {
    let who = |req: &mut Request| {
        Response::text(format!("{:?} {:?}", req.client_addr(), req.peer_addr()))
    };
    let mut config = config();
    config.proxy.trusted.push("10.0.0.0/8".parse().unwrap());
    let server = start(config, Service::http(who));
    let field = b"X-Forwarded-For: 198.51.100.9\r\n\r\n";
    let request = [&GET_CLOSE[..GET_CLOSE.len() - 2], field].concat();
    let local = b"PROXY UNKNOWN\r\n".to_vec();
    // A client that the proxy cannot name must not name itself.
    for (header, client) in [
        (v1("192.0.2.7", b""), Some(CLIENT)),
        (v1("10.1.1.1", b""), Some("198.51.100.9:0")),
        (local, None),
    ] {
        let mut proxy = connect(addr(&server));
        let own = proxy.local_addr().unwrap();
        proxy.write_all(&[&header[..], &request].concat()).unwrap();
        let client = client.map_or(own, |client| client.parse().unwrap());
        let expected = format!("{:?} {:?}", Some(client), Some(own));
        assert_eq!(read_last_response(&mut proxy).text(), expected);
    }
}
