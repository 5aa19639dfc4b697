//! The table of connections, which all clients share.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond::handlers::Hello;
use millpond::http::{Body, Request, Response};
use millpond::{Bind, CloseReason, Config, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    PATIENCE, SetOnDrop, Start, TestServer, addr, connect, connect_from, exchange,
    passes_in_a_process_of_its_own, read_last_response, read_response, response, socket_at, until,
};

const GET_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// How often the thread of that name has gone to sleep.
fn sleeps_of(name: &str) -> Option<u64> {
    std::fs::read_dir("/proc/self/task").ok()?.flatten().find_map(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let switches = status.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"))?;
        (comm.trim() == name).then(|| switches.trim().parse().ok())?
    })
}

#[test]
fn the_end_of_a_connection_does_not_wake_the_thread_that_runs_the_server() {
    let server =
        Server::builder().bind("tcp://127.0.0.1:0").workers(2).http(Hello).build().unwrap();
    let handle = server.start().unwrap();
    let runner = std::thread::Builder::new().name("runs-the-server".to_owned()).spawn({
        let handle = handle.clone();
        move || handle.wait()
    });
    let mut before = None;
    until("the thread waits", || {
        let now = sleeps_of("runs-the-server");
        let waits = now.is_some() && now == before;
        before = now;
        waits && now > Some(0)
    });
    for _ in 0..200 {
        exchange(addr(&handle), GET_CLOSE);
    }
    until("all have ended", || handle.stats().live == 0);
    let (before, after) = (before.unwrap(), sleeps_of("runs-the-server").unwrap());
    assert!(after - before < 20, "200 connections woke it {} times", after - before);
    let report = handle.drain(Duration::from_secs(5));
    assert_eq!(runner.unwrap().join().unwrap().served, report.served);
}

/// The connection limit of the servers below.
const PLACES: usize = 50;

/// The address of a client that sends requests while others fill the table.
const PROBE: [u8; 4] = [127, 0, 0, 3];

/// What hostile clients do with their connections.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One request, and then nothing.
    Idle,
    /// Nothing at all.
    Silent,
    /// A byte of a head now and then.
    HalfHead,
    /// A byte of a body now and then.
    HalfBody,
    /// A byte of a response is read now and then.
    SlowReader,
}

const KINDS: [Kind; 5] =
    [Kind::Idle, Kind::Silent, Kind::HalfHead, Kind::HalfBody, Kind::SlowReader];

impl Kind {
    /// What a client of this kind sends first.
    fn begin(self, client: &mut TcpStream) {
        let said = match self {
            Self::Silent => "",
            Self::Idle => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Self::HalfHead => "GET / HT",
            Self::HalfBody => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nx",
            Self::SlowReader => "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        client.write_all(said.as_bytes()).unwrap();
        if matches!(self, Self::Idle) {
            assert_eq!(read_response(client).text(), "small");
        }
    }

    /// What it does from time to time. The server may have closed it meanwhile.
    fn go_on(self, client: &mut TcpStream) {
        let _ = match self {
            Self::Idle | Self::Silent => Ok(0),
            Self::HalfHead | Self::HalfBody => client.write(b"x"),
            Self::SlowReader => client.read(&mut [0]),
        };
    }
}

/// A server with an ordinary listener and an urgent one. `/held` waits at the gate.
fn small_table(gate: &Arc<Barrier>) -> TestServer {
    let mut config = Config::default();
    config.pool.workers = 4;
    config.limits.connections = PLACES;
    config.limits.pending_total = 1 << 30;
    // Silent clients would not get into the table at all.
    config.timeouts.defer_accept = Duration::ZERO;
    // This is not about the load of the machine.
    config.overload.shed = false;
    let large = Bytes::from(vec![b'x'; 8 << 20]);
    let gate = Arc::clone(gate);
    let handler = move |req: &mut Request| match req.uri().path() {
        "/large" => Response::new(large.clone()),
        "/held" => {
            gate.wait();
            Response::text("held")
        }
        _ => Response::text("small"),
    };
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    builder
        .bind(Bind::to("tcp://127.0.0.1:0").urgent())
        .http(handler)
        .build()
        .unwrap()
        .start()
        .unwrap()
}

/// A request gets a response, on a connection of its own.
#[track_caller]
fn answered(addr: SocketAddr) {
    let mut probe = connect_from(PROBE, addr);
    probe.write_all(GET_CLOSE).unwrap();
    assert_eq!(read_last_response(&mut probe).text(), "small");
}

/// These addresses open more connections than the table has room for, and keep them. Other clients
/// are served.
fn others_are_served(kind: Kind, sources: &[[u8; 4]]) {
    let gate = Arc::new(Barrier::new(2));
    let server = small_table(&gate);
    let addrs: Vec<_> = server.local_addrs().iter().map(|addr| addr.as_socket().unwrap()).collect();
    // A connection in service is never closed, however long the handler takes.
    let mut held = connect_from([127, 0, 0, 9], addrs[0]);
    held.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    // A client with less than its share keeps its connections.
    let mut kept = connect_from(PROBE, addrs[0]);
    Kind::Idle.begin(&mut kept);
    let is_one = sources.len() == 1;
    let mut flood: Vec<TcpStream> = Vec::new();
    for index in 0..PLACES * 2 {
        let mut client = connect_from(sources[index % sources.len()], addrs[0]);
        kind.begin(&mut client);
        client.set_nonblocking(true).unwrap();
        flood.push(client);
    }
    until("the table is full of waiting connections", || {
        let stats = server.stats();
        stats.parked >= PLACES - 4 && stats.queued == 0
    });
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                flood.iter_mut().for_each(|client| kind.go_on(client));
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let _ended = SetOnDrop(&ended);
        for _ in 0..20 {
            addrs.iter().for_each(|addr| answered(*addr));
            if is_one {
                kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                assert_eq!(read_response(&mut kept).text(), "small");
            }
        }
    });
    let stats = server.stats();
    // A newcomer of the flood is turned away if all others of it are in service at that moment.
    let count = |reason| stats.closed_for(reason);
    assert!(count(CloseReason::MadeRoom) > 0, "{stats:?}");
    let gave_way = count(CloseReason::MadeRoom) + count(CloseReason::Overloaded);
    assert!(gave_way >= PLACES as u64, "{stats:?}");
    assert!(stats.live >= PLACES - 10, "no more are closed than need be: {} live", stats.live);
    gate.wait();
    assert_eq!(read_response(&mut held).text(), "held");
    drop((held, kept, flood));
    until("all have ended", || server.stats().live == 0);
    let stats = server.stats();
    assert_eq!(stats.accepted, stats.closed_total());
}

#[test]
fn waiting_connections_of_one_client_shut_nobody_out() {
    for kind in KINDS {
        println!("{kind:?}");
        others_are_served(kind, &[[127, 0, 0, 2]]);
    }
}

#[test]
fn waiting_connections_of_many_clients_shut_nobody_out() {
    let sources: Vec<_> = (0..40).map(|n| [127, 0, 2, n + 1]).collect();
    for kind in KINDS {
        println!("{kind:?}");
        others_are_served(kind, &sources);
    }
}

#[test]
fn a_full_table_keeps_room_for_urgent_connections() {
    // Each of the ordinary places is taken by a request that is being served.
    const WORKERS: usize = 9;
    let gate = Arc::new(Barrier::new(WORKERS + 1));
    let entered = Arc::new(AtomicUsize::new(0));
    let mut config = Config::default();
    config.pool.workers = WORKERS + 1;
    config.limits.connections = WORKERS + 1;
    let handler = {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        move |req: &mut Request| {
            if req.uri().path() == "/held" {
                entered.fetch_add(1, Ordering::SeqCst);
                gate.wait();
            }
            Response::text("small")
        }
    };
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    let builder = builder.bind(Bind::to("tcp://127.0.0.1:0").urgent());
    let server = builder.http(handler).build().unwrap().start().unwrap();
    let urgent = server.local_addrs()[1].as_socket().unwrap();
    let mut held: Vec<_> = (0..WORKERS).map(|_| connect_from(PROBE, addr(&server))).collect();
    for client in &mut held {
        client.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    until("all are in service", || entered.load(Ordering::SeqCst) == WORKERS);
    let mut late = connect_from(PROBE, addr(&server));
    late.write_all(GET_CLOSE).unwrap();
    until("the ordinary listener waits for a place", || server.stats().accept_full > 0);
    for _ in 0..5 {
        answered(urgent);
    }
    until("the urgent ones have ended", || server.stats().live == WORKERS);
    // No connection ends, but those served become idle, so that one of them can make room.
    gate.wait();
    assert_eq!(read_last_response(&mut late).text(), "small", "{:?}", server.stats());
    assert_eq!(server.stats().closed_for(CloseReason::MadeRoom), 1);
}

#[test]
fn waiting_connections_make_room_when_descriptors_run_out() {
    passes_in_a_process_of_its_own("pool::connections::few_descriptors");
}

#[test]
#[ignore = "run by waiting_connections_make_room_when_descriptors_run_out"]
fn few_descriptors() {
    let gate = Arc::new(Barrier::new(2));
    let server = small_table(&gate);
    // Made while there are descriptors. The last one has the highest number.
    let flood: Vec<_> = (0..40).map(|_| socket_at([127, 0, 0, 2])).collect();
    let probes: Vec<_> = (0..20).map(|_| socket_at(PROBE)).collect();
    let last = probes.last().unwrap().as_raw_fd() as u64;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(last + 11), maximum: limit.maximum })
        .unwrap();
    for socket in &flood {
        rustix::net::connect(socket, &addr(&server)).unwrap();
        // The kernel keeps a silent connection back for a while (TCP_DEFER_ACCEPT).
        rustix::io::write(socket, b"G").unwrap();
    }
    for socket in probes {
        rustix::net::connect(&socket, &addr(&server)).unwrap();
        let mut probe = TcpStream::from(socket);
        probe.set_read_timeout(Some(PATIENCE)).unwrap();
        probe.write_all(GET_CLOSE).unwrap();
        let began = Instant::now();
        assert_eq!(read_last_response(&mut probe).text(), "small", "{:?}", server.stats());
        println!("{:?}", began.elapsed());
        // The descriptor stays taken at this end, so that each probe needs another one.
        std::mem::forget(probe);
    }
    let stats = server.stats();
    assert!(stats.accept_exhausted > 0, "there were enough descriptors");
    assert!(stats.closed_for(CloseReason::MadeRoom) >= 20, "{stats:?}");
    setrlimit(Resource::Nofile, limit).unwrap();
    answered(addr(&server));
}

/// Several long downloads at once, of clients that read without a pause. The worker interrupts each
/// for the others.
fn downloads_end(queue: usize, clients: usize, flood: usize) {
    const LENGTH: usize = 8 << 20;
    let mut config = Config::default();
    config.pool.workers = 1;
    config.pool.queue = Some(queue);
    config.overload.shed = false;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![b'x'; LENGTH]).unwrap();
    let file = Arc::new(file);
    let handler = move |req: &mut Request| match req.uri().path() {
        "/file" => Response::new(Body::from_file(Arc::clone(&file), 0, LENGTH as u64)),
        _ => Response::text("small"),
    };
    let builder = Server::builder().config(config).bind("tcp://127.0.0.1:0");
    let server = builder.http(handler).build().unwrap().start().unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..flood {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let mut client = connect(addr(&server));
                    // It may be refused at any time.
                    while !ended.load(Ordering::Relaxed)
                        && client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok()
                    {
                        if !client.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {
                            break;
                        }
                    }
                }
            });
        }
        let _ended = SetOnDrop(&ended);
        let downloads: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    // Until it is not refused.
                    loop {
                        let mut client = connect(addr(&server));
                        let get = b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                        let mut bytes = Vec::new();
                        let sent = client.write_all(get);
                        let _ = sent.and_then(|()| client.read_to_end(&mut bytes));
                        if bytes.starts_with(b"HTTP/1.1 200 ") {
                            let whole = response::read(&mut &bytes[..], false);
                            return whole.map(|response| response.body.len());
                        }
                    }
                })
            })
            .collect();
        for download in downloads {
            let length = download.join().unwrap();
            assert_eq!(length, Ok(LENGTH), "{:?}", server.stats());
        }
    });
}

#[test]
fn downloads_continue_while_the_queue_is_full() {
    downloads_end(2, 10, 0);
}

#[test]
fn downloads_continue_beside_a_flood_that_fills_the_queue() {
    downloads_end(2, 4, 12);
}
