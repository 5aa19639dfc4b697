//! The server on datagram sockets: responses, and an account of every datagram.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use millpond::handlers::Echo;
use millpond::net::{Addr, Datagram};
use millpond::{Refusal, Service};

use super::common::{Dir, unix};
use super::serving::{ask, config, serve, settled, udp};
use crate::support::{PATIENCE, uninterrupted, until};

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
    assert_eq!(uninterrupted(|| client.recv(&mut buf)).unwrap(), 1);
    assert_eq!(uninterrupted(|| client.recv(&mut buf)).unwrap(), 1);
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
    assert_eq!(stats.datagrams.refused_for(Refusal::QueueFull), 15);
    assert_eq!((stats.datagrams.waiting, stats.queued), (6, 5));
    (0..6).for_each(|_| open.send(()).unwrap());
    (0..6).for_each(|_| assert_eq!(uninterrupted(|| client.recv(&mut [0; 8])).unwrap(), 1));
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
    assert_eq!(uninterrupted(|| client.recv(&mut [0; 8])).unwrap(), 5);
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
    (0..102).for_each(|_| assert!(uninterrupted(|| client.recv(&mut [0; 8])).unwrap() > 0));
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
    (0..10).for_each(|_| assert_eq!(uninterrupted(|| client.recv(&mut [0; 8])).unwrap(), 1));
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
