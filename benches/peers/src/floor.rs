//! The floor: an epoll loop per core, SO_REUSEPORT, one canned response for whatever one read
//! brings.
//!
//! It parses nothing, so that what it costs is what the kernel's sockets cost.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with, sockopt,
};

use crate::ServeArgs;
use crate::work::Work;

/// Serves on `--threads` loops (one per core) until it is ended.
pub(crate) fn serve(args: &ServeArgs) -> Result<(), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // All listeners exist before any serves, so that the kernel spreads connections evenly.
    let listeners = (0..args.threads.unwrap_or(cores)).map(|_| listener(args));
    let listeners = listeners.collect::<Result<Vec<_>, _>>();
    let listeners =
        listeners.map_err(|error| format!("cannot bind {}: {error}", args.address()))?;
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let work = args.work();
            std::thread::spawn(move || run(listener, &work))
        })
        .collect();
    for thread in threads {
        if let Ok(Err(error)) = thread.join() {
            return Err(format!("the epoll loop ended: {error}"));
        }
    }
    Ok(())
}

fn listener(args: &ServeArgs) -> Result<OwnedFd, Errno> {
    let address = args.address();
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 1024)?;
    Ok(socket)
}

fn run(listener: OwnedFd, work: &Work) -> Result<(), Errno> {
    const LISTENER: u64 = u64::MAX;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut connections: HashMap<u64, OwnedFd> = HashMap::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = [0_u8; 4096];
    loop {
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                accept_all(&poll, &listener, &mut connections);
            } else if !connections.get(&key).is_some_and(|fd| respond(fd, &mut buffer, work)) {
                connections.remove(&key);
            }
        }
    }
}

fn accept_all(poll: &OwnedFd, listener: &OwnedFd, connections: &mut HashMap<u64, OwnedFd>) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    while let Ok(connection) = accept_with(listener, flags) {
        let _ = sockopt::set_tcp_nodelay(&connection, true);
        let key = connection.as_raw_fd() as u64;
        let data = epoll::EventData::new_u64(key);
        if epoll::add(poll, &connection, data, epoll::EventFlags::IN).is_ok() {
            connections.insert(key, connection);
        }
    }
}

/// Responds to what one read returned; false when the connection is over.
fn respond(connection: &OwnedFd, buffer: &mut [u8], work: &Work) -> bool {
    match recv(connection, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => false,
        Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
        Ok(_) => {
            let body = work.block();
            let mut response = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            response.extend_from_slice(&body);
            send(connection, &response, SendFlags::NOSIGNAL).is_ok()
        }
    }
}
